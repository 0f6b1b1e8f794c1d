"""How the hogs that survived a round waited for their pages: who waited longest, and how evenly the waiting fell."""

from __future__ import annotations

from collections.abc import Iterable

from ..collectors.events import HogEnd


def survivors_waits_us(hogs: Iterable[HogEnd]) -> list[tuple[int, int]]:
    """Of each survivor that grew: its longest wait, and all of its waits together that were kept; those of 1 ms or longer.

    A hog keeps its first 64 waits, and how long the longest of the others was (workloads/hog/hog.h).
    """
    survivors = []
    for hog in hogs:
        if (hog.dead and not hog.cleanup) or not hog.begin_ns:
            continue
        waits = [(end - start) // 1000 for start, end, _ in hog.stalls]
        lost_us = (hog.longest_lost_ns or 0) // 1000
        survivors.append((max((lost_us, *waits)), sum(waits)))
    return survivors


def longest_lost_us(hogs: Iterable[HogEnd]) -> int | None:
    """The longest wait that is in no hog's list; None where none is missing, or evidence from before does not say."""
    lost = [hog.longest_lost_ns for hog in hogs if hog.stalls_lost]
    known = [longest_ns // 1000 for longest_ns in lost if longest_ns is not None]
    return max(known) if known and len(known) == len(lost) else None


def jain(shares: Iterable[float]) -> float | None:
    """Jain's index: 1 where all have the same, 1/n where one of n has everything; None where nobody has anything."""
    values = list(shares)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None
