"""The exact power of Fisher's test on independent rounds, by every outcome that can happen."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import gammaln

_UNLIKELY = 1e-8  # outcomes that are left out; together they are far below any power's last digit
_TIE = 1 + 1e-7  # outcomes as likely as the one that was seen count with it, as in scipy's fisher_exact


@cache
def exact_power(base_share: float, share: float, base_rounds: int, rounds: int, alpha: float, side: str) -> float:
    """The chance that Fisher's exact test at level alpha tells two shares apart; side is two-sided, greater or less,
    and says of the share that it is different from, above or below the base's."""
    from scipy.stats import binom  # here and below: half a second, which only a control needs

    base_hits = _likely(base_share, base_rounds)
    hits = _likely(share, rounds)
    base_chance, chance = binom.pmf(base_hits, base_rounds, base_share), binom.pmf(hits, rounds, share)
    power = 0.0
    for total in range(int(base_hits[0] + hits[0]), int(base_hits[-1] + hits[-1]) + 1):
        mine = hits[(total - hits >= base_hits[0]) & (total - hits <= base_hits[-1])]
        rejected = mine[_p_values(total, base_rounds, rounds, side, mine) < alpha]
        power += float((chance[rejected - hits[0]] * base_chance[total - rejected - base_hits[0]]).sum())
    return power


def _likely(share: float, rounds: int) -> np.ndarray:
    from scipy.stats import binom

    low, high = binom.ppf([_UNLIKELY, 1 - _UNLIKELY], rounds, share)
    return np.arange(max(0, int(low)), int(high) + 1)


def _p_values(total: int, base_rounds: int, rounds: int, side: str, hits: np.ndarray) -> np.ndarray:
    """Of Fisher's test for each number of hits, given the total of both."""
    possible = np.arange(max(0, total - base_rounds), min(total, rounds) + 1)
    # The hypergeometric distribution; scipy's own takes many times as long.
    chance = np.exp(
        _log_choose(rounds, possible)
        + _log_choose(base_rounds, total - possible)
        - _log_choose(base_rounds + rounds, np.asarray(total))
    )
    index = hits - possible[0]
    if side == "two-sided":
        order = np.sort(chance)
        sums = np.concatenate([[0.0], np.cumsum(order)])
        return np.asarray(sums[np.searchsorted(order, chance[index] * _TIE, side="right")])
    if side == "less":
        return np.asarray(np.cumsum(chance)[index])
    return np.asarray(np.cumsum(chance[::-1])[::-1][index])


def _log_choose(items: int, taken: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(items + 1) - gammaln(taken + 1) - gammaln(items - taken + 1))
