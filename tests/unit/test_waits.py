"""Longest wait of a survivor, and Jain's index over the waiting times."""

import msgspec
import pytest

from harness.analysis.arm import ArmRun, summarize_arm
from harness.collectors.events import HogEnd
from harness.report.summarycsv import COLUMNS
from harness.report.terminal import arm_lines
from harness.tables.waits import jain, longest_lost_us, survivors_waits_us
from tests.simulated import DEADLINE_S, MACHINE, tables


def _hog(number: int, waits_ms: list[tuple[int, int]], *, dead: bool = False, cleanup: bool = False) -> HogEnd:
    stalls = [(start * 1_000_000, end * 1_000_000, 0) for start, end in waits_ms]
    return HogEnd(
        round=1, hog=number, name=f"small.{number}", demand_bytes=1, touched_bytes=1, begin_ns=1, full_ns=1,
        dead=dead, dead_ns=0, signal=9 if dead else 0, exit=-1, cleanup=cleanup, failed=0, stalls_lost=0, stalls=stalls,
    )  # fmt: skip


def test_only_survivors_wait():
    hogs = [
        _hog(0, [(0, 900)], dead=True),  # a victim
        _hog(1, [(0, 10), (20, 50)], dead=True, cleanup=True),
        _hog(2, []),
    ]
    assert survivors_waits_us(hogs) == [(30_000, 40_000), (0, 0)]


def test_the_longest_wait_is_known_of_a_hog_with_more_waits_than_are_kept():
    long, short = (
        msgspec.structs.replace(_hog(1, [(0, 10)]), stalls_lost=3, longest_lost_ns=ns) for ns in (70_000_000, 2_000_000)
    )
    assert survivors_waits_us([long, short]) == [(70_000, 10_000), (10_000, 10_000)]
    assert longest_lost_us([short, long, _hog(2, [])]) == 70_000
    assert longest_lost_us([_hog(2, [])]) is None
    # evidence from before has no figure
    assert longest_lost_us([long, msgspec.structs.replace(long, longest_lost_ns=None)]) is None


@pytest.mark.parametrize(
    ("shares", "index"), [([5, 5, 5, 5], 1.0), ([7, 0, 0, 0], 0.25), ([0, 0], None), ([], None), ([3, 1], 0.8)]
)
def test_jains_index(shares, index):
    assert jain(shares) == (None if index is None else pytest.approx(index))


def _arm(waits_us, jains, hung=0):
    """An arm with a round for each wait; the first `hung` ones did not complete."""
    found = [["hung"] * hung + [("necessary",)] * (len(waits_us) - hung)]
    rounds, kills = tables("a", found, waits_us={(1, number): wait for number, wait in enumerate(waits_us, start=1)})
    rounds["waits_jain"] = rounds["waits_jain"].astype("Float64")
    for number, index in enumerate(jains):
        rounds.loc[number, "waits_jain"] = index
    run = ArmRun(arm="a", scenario="s", planned={}, ended=[], deadline_s=DEADLINE_S, **MACHINE)
    return summarize_arm(run, rounds, kills)


def test_medians_of_an_arm_are_of_completed_rounds_in_which_a_survivor_waited():
    arm = _arm([9_000_000, 0, 40_000, 10_000, 20_000], [0.1, None, 0.5, 1.0, 0.6], hung=1)
    assert (arm.longest_wait_us_median, arm.longest_wait_us_most) == (20_000, 40_000)
    assert arm.waits_jain_median == pytest.approx(0.6)
    cells = dict(arm_lines([arm]))
    assert cells["  longest wait, median"] == ["20 ms"]
    assert cells["    in any round"] == ["40 ms"]
    assert cells["  Jain's index of the waits"] == ["0.60"]
    assert {"longest_wait_us_median", "longest_wait_us_most", "waits_jain_median"} <= set(COLUMNS)


@pytest.mark.parametrize("wait", [0, None])
def test_no_wait_and_no_figure_are_null(wait):
    arm = _arm([wait, wait], [])
    assert (arm.longest_wait_us_median, arm.longest_wait_us_most, arm.waits_jain_median) == (None, None, None)
    assert not [label for label, _ in arm_lines([arm]) if "wait," in label or "Jain" in label]
