"""P-values: of one family of tests, corrected for how many they are; and in words."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float | None]) -> list[float]:
    """By Holm's method; None, where there is nothing to test, counts as 1."""
    return [adjusted for adjusted, _ in holm_factors(values, 0.0)]


def holm_factors(values: Sequence[float | None], alpha: float) -> list[tuple[float, int]]:
    """Each corrected p-value, and the number of tests by which its level is divided: an interval at the level alpha over
    that number excludes "no difference" exactly when the corrected p-value is below alpha."""
    order = sorted(range(len(values)), key=lambda n: _known(values[n]))
    corrected, highest, factor = [(1.0, 1)] * len(values), 0.0, len(values)
    for place, number in enumerate(order):
        own = len(values) - place
        adjusted = min(1.0, own * _known(values[number]))
        # the step-down ends at the first that is not below alpha; its level is that of all after it, as at theirs the
        # intervals would not cover together
        if highest < alpha:
            factor = own
        highest = max(highest, adjusted)
        corrected[number] = highest, factor
    return corrected


def _known(value: float | None) -> float:
    return 1.0 if value is None else value


def p_words(value: float) -> str:
    """No test on rounds of a boot bears out more digits than these."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
