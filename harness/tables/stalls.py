"""How long the hogs of a round got no memory, from what each of them wrote down about itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..collectors.events import HogEnd


def next_progress_ns(hogs: Iterable[HogEnd], time_ns: int) -> int | None:
    """When a hog got a page, at or after a time (CLOCK_MONOTONIC); None when none that survived wanted one.

    Exact to a stall's least length, 1 ms (workloads/hog/hog.h, STALL_NS). A hog that was killed is left out: when its
    last wait began is not known.
    """
    earliest = None
    for hog in hogs:
        if (hog.dead and not hog.cleanup) or not hog.begin_ns <= time_ns or hog.begin_ns == 0:
            continue
        if hog.full_ns and hog.full_ns <= time_ns:
            continue
        waited = next((end for start, end, _ in hog.stalls if start <= time_ns < end), None)
        if waited is None and (hog.stalls_lost or not hog.full_ns):
            continue  # it may have been in a stall that was not kept, or that had no end
        at = time_ns if waited is None else waited
        earliest = at if earliest is None else min(earliest, at)
    return earliest


def union_us(spans: Sequence[tuple[int, int]]) -> int:
    """Length of what spans of time, in microseconds, cover together."""
    total, end = 0, None
    for start, stop in sorted(spans):
        if end is None or start > end:
            total, end = total + stop - start, stop
        elif stop > end:
            total, end = total + stop - end, stop
    return total
