"""Wald's sequential probability ratio test for the share of rounds that show an effect.

Source: A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16 (1945).
"""

from __future__ import annotations

import math

ERROR = 0.01  # the chance to take one share for the other, at most about


def likelihood_ratio(hits: int, rounds: int, low: tuple[int, int], high: tuple[int, int]) -> float:
    """The log of how much likelier the hits are under the share seen in `high` than under that in `low`.

    Both are (hits, rounds) that were seen; half a hit is added on either side (Jeffreys), so that none is impossible.
    """
    share_low, share_high = ((seen + 0.5) / (total + 1) for seen, total in (low, high))
    return hits * math.log(share_high / share_low) + (rounds - hits) * math.log((1 - share_high) / (1 - share_low))


def decide(ratio: float) -> int:
    """1 for the share of `high`, -1 for that of `low`, 0 for not yet, with errors of about ERROR on either side."""
    bound = math.log((1 - ERROR) / ERROR)
    return (ratio >= bound) - (ratio <= -bound)
