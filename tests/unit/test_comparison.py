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
    verdicts = {found.arm.split("+")[-1]: found.verdict for found in run.summary.comparisons}
    (stock_again,) = (verdict for arm, verdict in verdicts.items() if arm.endswith("(2)"))
    assert stock_again not in {"better", "worse", "mixed"}
    assert verdicts["ignore-pending-victim"] == "worse"
    assert verdicts["early-reap-no-margin"] == "worse"
    # stock's own share is 4 % there: eight boots do not tell none from it
    assert verdicts["wait-for-victim"] == ("not enough rounds" if path.name == "6.1-2-vcpus" else "better")


def test_a_kernel_that_hangs_delays_or_kills_as_many_is_not_called_better():
    found = summarize_runs(sorted(RESULTS.glob("never-better/*")))
    verdicts = {(each.arm.split("+")[-1], each.scenario): each for each in found.comparisons}
    assert {(arm, scenario): each.verdict for (arm, scenario), each in verdicts.items()} == {
        ("wait-forever", "no-victim-then-big"): "worse",
        ("gate-without-victim", "no-victim-then-big"): "worse",
        ("gate-without-victim", "one-big-many-small"): "not enough rounds",
        ("gate-without-victim", "shmem-survivor"): "no difference shown",
        ("wait-for-victim", "shmem-survivor"): "no difference shown",
        ("wait-for-victim", "one-big-many-small"): "not enough rounds",
    }
    # two boots of 40 rounds: 11 of 80 against none is told only if rounds of a boot are less alike than is assumed
    turns = verdicts["wait-for-victim", "one-big-many-small"].icc_turns
    assert 0 < turns < 0.03
