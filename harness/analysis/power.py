"""How many rounds a comparison takes: the exact power of the test that is made, by every outcome that can happen.

Rounds that are alike within their boot count for less: n rounds in boots of m with a correlation r within a boot (the
intraclass correlation) are worth n / (1 + (m - 1) r) independent ones, the design effect.
"""

from __future__ import annotations

import math
from functools import cache

import msgspec
import numpy as np
from scipy.special import gammaln
from scipy.stats import binom, t

from .rates import MIN_BOOTS
from .search import bisect_enough, least_enough

ALPHA = 0.05
POWER = 0.9
_UNLIKELY = 1e-8  # outcomes that are left out; together they are far below any power's last digit
_MOST_ROUNDS = 1_000_000
_TIE = 1 + 1e-7  # outcomes as likely as the one that was seen count with it, as in scipy's fisher_exact


@cache
def exact_power(base_share: float, share: float, base_rounds: int, rounds: int, alpha: float, side: str) -> float:
    """The chance that Fisher's exact test at level alpha tells two shares apart; side is two-sided, greater or less,
    and says of the share that it is different from, above or below the base's."""
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


def _log_choose(things: int, taken: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(things + 1) - gammaln(taken + 1) - gammaln(things - taken + 1))


@cache
def rounds_needed(base_share: float, share: float, power: float, alpha: float = ALPHA) -> int | None:
    """Independent rounds an arm for this power, both arms alike; None for shares that are one, or a million.

    The power of an exact test goes up and down by a little from one number to the next: some smaller number may do too.
    Above 200 the answer is good to half a percent.
    """
    if base_share == share:
        return None
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

    def is_enough(rounds: int) -> bool:
        return exact_power(base_share, share, rounds, rounds, alpha, "two-sided") >= power

    start = samplesize_proportions_2indep_onetail(share - base_share, base_share, power, alpha=alpha / 2)
    if start > _MOST_ROUNDS:
        return None
    low = high = max(2, int(start))  # by the normal approximation; the exact test wants a few more
    while not is_enough(high):
        low, high = high, math.ceil(high * 1.2)
    while low > 1 and is_enough(low):
        low, high = math.floor(low / 1.2), low
    return bisect_enough(is_enough, low, high, 200)


def design_effect(rounds_per_boot: float, correlation: float) -> float:
    return 1 + (rounds_per_boot - 1) * correlation


def worth(rounds_per_boot: int, boots: int, correlation: float) -> float:
    """Independent rounds that boots of so many rounds are worth to a test on boots.

    The factor of the t quantiles is the price of a variance that so few boots tell, as in the interval.
    """
    rounds = rounds_per_boot * boots
    effective = rounds / design_effect(rounds_per_boot, correlation)
    if boots < 2:
        return effective
    return float(effective * (t.ppf(0.975, max(1, 2 * rounds - 2)) / t.ppf(0.975, 2 * boots - 2)) ** 2)


def boots_needed(needed: int, rounds_per_boot: int, correlation: float, at_least: int = 1) -> int:
    """Boots of so many rounds that are worth `needed` independent rounds."""
    boots = max(at_least, math.ceil(needed * design_effect(rounds_per_boot, correlation) / rounds_per_boot))
    while worth(rounds_per_boot, boots, correlation) < needed:
        boots += 1
    return boots


def rounds_per_boot_needed(needed: int, boots: int, correlation: float) -> int | None:
    """Rounds in each of so many boots that are worth `needed` independent ones; None where no number is enough."""
    return least_enough(lambda rounds: worth(rounds, boots, correlation) >= needed, 1, _MOST_ROUNDS)


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run must be. `rounds` and `boots` are None where no number is enough."""

    rate: float
    to: float
    power: float  # of the independent rounds that these are worth
    needed: int | None  # independent rounds an arm
    design_effect: float
    rounds: int | None  # an arm
    boots: int | None
    seconds: float | None  # of two arms, one after the other


def size_of(
    rate: float, to: float, power: float, alpha: float, rounds_per_boot: int, correlation: float, boots: int | None
) -> Size:
    """The size that tells two shares apart: in boots of so many rounds, or in so many boots.

    From MIN_BOOTS boots on, and wherever rounds of a boot are said to be alike, the test is one of boots.
    """
    needed = rounds_needed(rate, to, power, alpha)
    per_boot: int | None = rounds_per_boot
    if needed is not None and boots is not None:
        clustered = boots >= MIN_BOOTS
        per_boot = rounds_per_boot_needed(needed, boots, correlation) if clustered else math.ceil(needed / boots)
    elif needed is not None:
        boots = math.ceil(needed / rounds_per_boot)
        if boots >= MIN_BOOTS or correlation:
            boots = boots_needed(needed, rounds_per_boot, correlation, MIN_BOOTS)
    if needed is None or per_boot is None or boots is None:
        return Size(
            rate=rate, to=to, power=power, needed=needed, design_effect=1.0, rounds=None, boots=None, seconds=None
        )
    reached = math.floor(worth(per_boot, boots, correlation) if boots >= MIN_BOOTS else per_boot * boots)
    return Size(
        rate=rate,
        to=to,
        power=exact_power(rate, to, reached, reached, alpha, "two-sided"),
        needed=needed,
        design_effect=design_effect(per_boot, correlation),
        rounds=per_boot * boots,
        boots=boots,
        seconds=None,
    )
