"""Ten faults at random moments of real runs; benchmarks/faults.py makes a hundred."""

import pytest

from benchmarks.faults import Plan, disturb

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("prepared")]


def test_runs_that_are_hit_at_random_are_whole_in_the_end(version, tmp_path):
    plan = Plan((f"source:{version}+ignore-pending-victim",), rounds=4, boots=1, place=tmp_path)
    outcome = disturb(plan, injections=10, seed=1, run_s=6.0)
    assert outcome.violations == []
    assert len(outcome.injections) == 10
    assert outcome.rounds == 4 * outcome.runs
