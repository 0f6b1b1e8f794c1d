"""The least whole number that is enough, as of rounds."""

from __future__ import annotations

from collections.abc import Callable


def least_enough(is_enough: Callable[[int], bool], start: int, most: int, parts: int | None = None) -> int | None:
    """The least number that is enough, where every larger one is too, and half of `start` is not: found by doubling, then
    between the last two. None where no number up to `most` is enough. `parts`: good to one part in so many."""
    high = start
    while not is_enough(high):
        high *= 2
        if high > most:
            return None
    return bisect_enough(is_enough, high // 2, high, parts)


def bisect_enough(is_enough: Callable[[int], bool], low: int, high: int, parts: int | None = None) -> int:
    """The same between `low`, which is not enough, and `high`, which is; with `parts`, good to one part in so many."""
    while high - low > (max(1, high // parts) if parts else 1):
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
