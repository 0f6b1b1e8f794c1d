"""P-values of one family of tests, corrected for how many they are."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float | None]) -> list[float]:
    """By Holm's method; None, where there is nothing to test, counts as 1."""
    if len(values) == 1:  # statsmodels collects garbage at every call
        return [1.0 if values[0] is None else values[0]]
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests([1.0 if p is None else p for p in values], method="holm")[1]]
