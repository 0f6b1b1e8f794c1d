"""What is said of the runs that are committed: real rounds, whose verdicts are known beforehand in part."""

from pathlib import Path

import pytest

import harness
from harness.runs.summary import summarize_runs

RESULTS = Path(__file__).parents[2] / "results"
SETS = sorted(RESULTS.glob("comparison/*"))


def test_there_are_four():
    assert [path.name for path in SETS] == ["6.1-2-vcpus", "6.1-4-vcpus", "6.12-2-vcpus", "6.12-4-vcpus"]


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)
def test_the_controls_come_out_as_they_must(path):
    run = harness.load_run(path)
    assert all(arm.completed_rounds == 200 and arm.boots == 8 for arm in run.summary.arms)
    verdicts = {found.kernel.split("+")[-1]: found.verdict for found in run.summary.comparisons}
    (stock_again,) = (verdict for arm, verdict in verdicts.items() if arm.endswith("(2)"))
    assert stock_again not in {"better", "worse", "mixed"}
    assert verdicts["ignore-pending-victim"] == "worse"
    assert verdicts["early-reap-no-margin"] != "better"


def test_a_kernel_that_hangs_delays_or_kills_as_many_is_not_called_better():
    found = summarize_runs(sorted(RESULTS.glob("never-better/*")))
    verdicts = {(each.kernel.split("+")[-1], each.scenario): each for each in found.comparisons}
    assert {(arm, scenario): each.verdict for (arm, scenario), each in verdicts.items()} == {
        ("wait-forever", "no-victim-then-big"): "worse",
        ("gate-without-victim", "no-victim-then-big"): "worse",
        ("gate-without-victim", "one-big-many-small"): "mixed",
        ("gate-without-victim", "shmem-survivor"): "no difference shown",
        ("wait-for-victim", "shmem-survivor"): "no difference shown",
        ("wait-for-victim", "one-big-many-small"): "better",
    }
    assert "but worse in no-victim-then-big" in verdicts["gate-without-victim", "one-big-many-small"].because
