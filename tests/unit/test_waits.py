"""Longest wait of a survivor, and Jain's index over the waiting times."""

import pytest

from harness.collectors.events import HogEnd
from harness.tables.waits import jain, survivors_waits_us


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


@pytest.mark.parametrize(
    ("shares", "index"), [([5, 5, 5, 5], 1.0), ([7, 0, 0, 0], 0.25), ([0, 0], None), ([], None), ([3, 1], 0.8)]
)
def test_jains_index(shares, index):
    assert jain(shares) == (None if index is None else pytest.approx(index))
