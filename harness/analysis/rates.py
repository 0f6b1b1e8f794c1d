"""Rates of rounds, their differences and ratios, each with an interval, exact where scipy and statsmodels have it exact.

From MIN_BOOTS boots an arm on, the boot is the cluster: the interval is that of Korn and Graubard (Survey Methodology 24,
1998), Clopper-Pearson at the effective number of rounds. It stays sensible at no hit at all, where a bootstrap over a
handful of boots gives an interval of no width.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.stats import fisher_exact, t

CONFIDENCE = 0.95
# With fewer boots an arm a clustered interval is no better than a guess; the exact one ignores the correlation within
# a boot, and the summary says so.
MIN_BOOTS = 8


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A share of rounds. `effective_rounds` is what so many rounds, alike within their boots, are worth."""

    hits: int
    rounds: int
    effective_rounds: float  # `rounds` where no cluster is taken into account
    low: float | None  # 95 % interval; None without rounds
    high: float | None
    is_clustered: bool

    @property
    def share(self) -> float | None:
        return self.hits / self.rounds if self.rounds else None

    @property
    def design_effect(self) -> float:
        """How many rounds it takes for what one independent round says."""
        return self.rounds / self.effective_rounds if self.effective_rounds else 1.0


def rate_of(hits: Sequence[int], rounds: Sequence[int]) -> Rate:
    """The share of rounds with a hit, from the hits and rounds of each boot."""
    boots = [(hit, count) for hit, count in zip(hits, rounds, strict=True) if count]
    is_clustered = len(boots) >= MIN_BOOTS
    total_hits, total = sum(hit for hit, _ in boots), sum(count for _, count in boots)
    effective = effective_rounds(boots) if is_clustered else float(total)
    share = total_hits / total if total else 0.0
    interval = exact_interval(share * effective, effective) if is_clustered else exact_interval(total_hits, total)
    return Rate(
        hits=total_hits,
        rounds=total,
        effective_rounds=effective,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        is_clustered=is_clustered,
    )


def effective_rounds(boots: Sequence[tuple[int, int]], tail: float = (1 - CONFIDENCE) / 2) -> float:
    """The effective sample size of (hits, rounds) of two or more boots, as Korn and Graubard adjust it, for an interval
    that leaves so much out at an end.

    The variance of the share is that of a ratio estimate over boots; boots that happen to be more alike than chance allows
    are worth no more than independent rounds. A share of none or all shows no variance: it is then taken as independent.
    The factor of the t quantiles pays for a variance that is known from few boots only.
    """
    hits, rounds = np.array(boots, dtype=float).T
    total, count = rounds.sum(), len(boots)
    share = hits.sum() / total
    effective = total
    if 0 < share < 1:
        variance = count / (count - 1) * ((hits - share * rounds) ** 2).sum() / total**2
        if variance > 0:
            effective = min(total, share * (1 - share) / variance)
    return float(effective * (t.ppf(tail, max(1, total - 1)) / t.ppf(tail, count - 1)) ** 2)


def exact_interval(successes: float, trials: float) -> tuple[float, float] | None:
    """The Clopper-Pearson interval of a proportion, or None without trials. Effective numbers need not be whole."""
    if trials == 0:
        return None
    # Imported here, and below: statsmodels takes a second, and most commands need no comparison.
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, trials, alpha=1 - CONFIDENCE, method="beta")
    return float(low), float(high)


def difference_interval(
    successes: float, trials: float, base_successes: float, base_trials: float
) -> tuple[float, float] | None:
    """Newcombe's hybrid score interval of a difference of proportions, or None without trials."""
    if trials == 0 or base_trials == 0:
        return None
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        successes, trials, base_successes, base_trials, method="newcomb", alpha=1 - CONFIDENCE
    )
    return float(low), float(high)


def ratio_interval(
    successes: float, trials: float, base_successes: float, base_trials: float
) -> tuple[float, float] | None:
    """Walter's adjusted log interval of a ratio of proportions, or None where neither has a success.

    statsmodels' score interval divides by zero where one of them has none.
    """
    if trials == 0 or base_trials == 0 or successes + base_successes == 0:
        return None
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        successes, trials, base_successes, base_trials, compare="ratio", method="log-adjusted", alpha=1 - CONFIDENCE
    )
    return float(low), float(high)


def compared(rate: Rate, base: Rate) -> tuple[float, float, float, float]:
    """Effective successes and trials of two rates, for the intervals of a difference or a ratio."""
    return (
        (rate.share or 0.0) * rate.effective_rounds,
        rate.effective_rounds,
        (base.share or 0.0) * base.effective_rounds,
        base.effective_rounds,
    )


def exact_test(
    successes: int, trials: int, base_successes: int, base_trials: int, alternative: str = "two-sided"
) -> float:
    """Fisher's exact test: the p-value that two proportions are one."""
    table = [[successes, trials - successes], [base_successes, base_trials - base_successes]]
    return float(fisher_exact(table, alternative=alternative).pvalue)
