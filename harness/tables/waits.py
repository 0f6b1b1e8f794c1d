"""How the hogs that survived a round waited for their pages: who waited longest, and how evenly the waiting fell."""

from __future__ import annotations

from collections.abc import Iterable

from ..collectors.events import HogEnd


def survivors_waits_us(hogs: Iterable[HogEnd]) -> list[tuple[int, int]]:
    """Of each survivor that grew: its longest wait and all of its waits together, of those of 1 ms or longer that were kept."""
    survivors = []
    for hog in hogs:
        if (hog.dead and not hog.cleanup) or not hog.begin_ns:
            continue
        waits = [(end - start) // 1000 for start, end, _ in hog.stalls]
        survivors.append((max(waits, default=0), sum(waits)))
    return survivors


def jain(shares: Iterable[float]) -> float | None:
    """Jain's index: 1 where all have the same, 1/n where one of n has everything; None where nobody has anything."""
    values = list(shares)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None
