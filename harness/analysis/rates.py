"""Rates of rounds with an interval: Clopper-Pearson at the rounds that the boots are worth.

Rounds of one boot are alike: the boot is the cluster. From MIN_BOOTS boots on, what the rounds are worth is estimated from
the boots, as Korn and Graubard do (Survey Methodology 24, 1998). It stays sensible at no hit at all, where a bootstrap over
a handful of boots gives an interval of no width. With fewer boots, rounds of a boot are taken to correlate by DEFAULT_ICC,
or as much as they are seen to, if that is more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betainccinv, betaincinv, stdtrit

from ..spec.boots import DEFAULT_ICC, MIN_BOOTS

CONFIDENCE = 0.95

_Rounds = TypeVar("_Rounds", float, NDArray[np.float64])


def assumed_design_effect(rounds_per_boot: _Rounds, icc: float = DEFAULT_ICC) -> _Rounds:
    """How many rounds it takes for what one independent round says, where the correlation within a boot is not estimated."""
    return 1 + (rounds_per_boot - 1) * icc


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A share of rounds. `effective_rounds` is what so many rounds, alike within their boots, are worth."""

    hits: int
    rounds: int
    effective_rounds: float  # `rounds` where no cluster is taken into account
    low: float | None  # 95 % interval; None without rounds
    high: float | None
    is_clustered: bool  # what they are worth is estimated, not assumed

    @property
    def share(self) -> float | None:
        """Rounds with the effect per round; None without rounds."""
        return self.hits / self.rounds if self.rounds else None

    @property
    def design_effect(self) -> float:
        """How many rounds it takes for what one independent round says."""
        return self.rounds / self.effective_rounds if self.effective_rounds else 1.0


def rate_of(hits: Sequence[int], rounds: Sequence[int]) -> Rate:
    """The share of rounds with a hit, from the hits and rounds of each boot."""
    boots = [(hit, count) for hit, count in zip(hits, rounds, strict=True) if count]
    total_hits, total = sum(hit for hit, _ in boots), sum(count for _, count in boots)
    effective = effective_rounds(boots) if boots else 0.0
    interval = exact_interval(total_hits / total * effective, effective) if total else None
    return Rate(
        hits=total_hits,
        rounds=total,
        effective_rounds=effective,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        is_clustered=len(boots) >= MIN_BOOTS,
    )


def effective_rounds(boots: Sequence[tuple[int, int]], tail: float = (1 - CONFIDENCE) / 2) -> float:
    """How many independent rounds (hits, rounds) of boots are worth to an interval that leaves so much out at an end.

    The variance of the share is that of a ratio estimate over boots; boots that happen to be more alike than chance allows
    are worth no more than independent rounds. A share of none or all shows no variance: it is then taken as independent.
    From MIN_BOOTS boots on, the factor of the t quantiles pays for a variance that is known from few boots only.
    """
    hits, rounds = np.array(boots, dtype=float).T
    total, count = float(rounds.sum()), len(boots)
    share = hits.sum() / total
    seen = total
    if 0 < share < 1 and count > 1:
        variance = count / (count - 1) * ((hits - share * rounds) ** 2).sum() / total**2
        if variance > 0:
            seen = min(total, float(share * (1 - share) / variance))
    if count < MIN_BOOTS:
        per_boot = float((rounds**2).sum()) / total
        return min(seen, total / assumed_design_effect(per_boot))
    return float(seen * (stdtrit(max(1, total - 1), tail) / stdtrit(count - 1, tail)) ** 2)


def exact_interval(successes: float, trials: float) -> tuple[float, float] | None:
    """The Clopper-Pearson interval of a proportion, or None without trials. Effective numbers need not be whole."""
    if trials == 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    return lower_bound(successes, trials, tail), upper_bound(successes, trials, tail)


def lower_bound(successes: float, trials: float, tail: float) -> float:
    """Clopper and Pearson's lower bound of a proportion: a smaller one would show so many successes with a chance below `tail`.

    scipy's binomtest has it for whole numbers only.
    """
    return float(betaincinv(successes, trials - successes + 1, tail)) if successes > 0 else 0.0


def upper_bound(successes: float, trials: float, tail: float) -> float:
    """Clopper and Pearson's upper bound of a proportion: a larger one would show so few successes with a chance below `tail`."""
    return float(betainccinv(successes + 1, trials - successes, tail)) if successes < trials else 1.0


def difference_interval(
    successes: int, trials: int, base_successes: int, base_trials: int
) -> tuple[float, float] | None:
    """Newcombe's hybrid score interval of a difference of proportions, or None without trials.

    Method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890: Wilson's limits of both proportions, combined.
    """
    if trials == 0 or base_trials == 0:
        return None
    share, base_share = successes / trials, base_successes / base_trials
    (low, high), (base_low, base_high) = _wilson(successes, trials), _wilson(base_successes, base_trials)
    difference = share - base_share
    below, above = math.hypot(share - low, base_high - base_share), math.hypot(high - share, base_share - base_low)
    return difference - below, difference + above


def _wilson(successes: int, trials: int) -> tuple[float, float]:
    from scipy.stats import binomtest  # here and below: it takes half a second, and most commands need no comparison

    low, high = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(low), float(high)


def exact_test(
    successes: int, trials: int, base_successes: int, base_trials: int, alternative: str = "two-sided"
) -> float:
    """Fisher's exact test: the p-value that two proportions are one."""
    from scipy.stats import fisher_exact

    table = [[successes, trials - successes], [base_successes, base_trials - base_successes]]
    return float(fisher_exact(table, alternative=alternative).pvalue)
