"""Two shares of rounds against each other: an interval of their difference, one of their ratio, and the test that goes with
both. All three are one statement: the intervals exclude "no difference" exactly when the p-value is below their level.

The interval of the difference is Newcombe's (Statistics in Medicine 17, 1998): the score limits of either share, put
together. That of the ratio is Donner and Zou's (Statistical Methods in Medical Research 21, 2012) from the same limits. The
p-value is the level at which they just reach "no difference".

Rounds of one boot are alike, so counts are deflated by the design effect of the pair (Rao and Scott, Biometrics 48, 1992):
the variance of the difference from boot to boot, over that of independent rounds, and never below 1. From MIN_BOOTS boots
per arm on, it is estimated from the boots of both arms, and quantiles of t pay for a variance that is known from few of
them (Satterthwaite's degrees of freedom). With fewer boots it is that of DEFAULT_ICC, or the estimate if that is larger.

The one-sided test, that the arm's share is greater, deflates each side by the largest of three: the pair's design effect, the
side's own, and an assumed one. The pair's is mostly that of the side with the greater variance, which is the arm if it has the greater
share: a baseline whose rounds are alike would be taken for one with independent rounds. The baseline's own is too uncertain where
it has few hits, and is too small most often when its share is, by chance, too small.

Every function takes arrays, so that a simulation asks thousands of pairs at once what a run asks of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from ..spec.boots import MIN_BOOTS
from .rates import assumed_design_effect

Floats = NDArray[np.float64]
_MANY = 1e6  # degrees of freedom at which t is the normal distribution
# The least correlations that the one-sided test takes: with these it holds its level up to an ICC of 0.1 in either arm or both.
_BASE_ICC = 0.05  # of the baseline's rounds
_FEW_BOOTS_ICC = 0.1  # of the rounds of either arm, below MIN_BOOTS boots


@dataclass(frozen=True)
class Clusters:
    """How alike the rounds of a boot are, in a pair of arms."""

    design_effect: Floats  # what counts are deflated by
    degrees: Floats  # of freedom of the quantiles
    rounds_per_boot: Floats  # of the boot in which an average round stands
    icc: Floats  # estimated correlation of two rounds of one boot; nan where nothing shows it
    # what counts of the arm and of the base are deflated by, to show that the arm's share is greater
    one_sided: tuple[Floats, Floats]


@dataclass(frozen=True)
class Shares:
    """Two shares at the rounds that they are worth."""

    share: Floats
    rounds: Floats
    base_share: Floats
    base_rounds: Floats
    degrees: Floats

    def limits(self, alpha: float) -> tuple[Floats, Floats]:
        """The interval of share - base_share that leaves out alpha."""
        return self._difference(quantile(alpha, self.degrees))

    def ratio_limits(self, alpha: float) -> tuple[Floats, Floats]:
        """The interval of share / base_share; infinite where the base's share may be none."""
        z = quantile(alpha, self.degrees)
        (low, high), (base_low, base_high) = self._limits(z)
        product = self.share * self.base_share

        def root(numerator: Floats, denominator: Floats, sign: int) -> Floats:
            inside = np.sqrt(np.maximum(0, product**2 - numerator * denominator))
            with np.errstate(divide="ignore", invalid="ignore"):
                # the two ways to write one root; each is exact where the other cancels
                return np.asarray(numerator / (product + inside) if sign < 0 else (product + inside) / denominator)

        lower = root(low * (2 * self.share - low), base_high * (2 * self.base_share - base_high), -1)
        upper = root(high * (2 * self.share - high), base_low * (2 * self.base_share - base_low), 1)
        return np.where(low > 0, lower, 0.0), np.where(base_low > 0, upper, np.inf)

    def p_greater(self) -> float:
        """That the share is no larger than the base's; of one pair."""
        difference = float(self.share - self.base_share)
        if not difference:
            return 1.0 if self.share in (0, 1) else 0.5
        side = 0 if difference > 0 else 1

        def excess(z: float) -> float:
            limit = float(self._difference(np.asarray(z))[side])
            return limit if difference > 0 else -limit

        most = 1.0
        while excess(most) > 0:
            most *= 2
        from scipy.optimize import brentq  # takes a quarter of a second to import

        z = brentq(excess, 0.0, most, xtol=1e-10)
        return float(stdtr(float(self.degrees), -z if difference > 0 else z))

    def p_two_sided(self) -> float:
        """The two-sided p-value of equal shares: twice the smaller one-sided value. For one pair of shares."""
        if self.share == self.base_share:
            return 1.0
        greater = self.p_greater()
        return 2 * min(greater, 1 - greater)

    def _limits(self, z: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
        return score_limits(self.share, self.rounds, z), score_limits(self.base_share, self.base_rounds, z)

    def _difference(self, z: Floats) -> tuple[Floats, Floats]:
        (low, high), (base_low, base_high) = self._limits(z)
        difference = self.share - self.base_share
        below = np.hypot(self.share - low, base_high - self.base_share)
        above = np.hypot(high - self.share, self.base_share - base_low)
        return difference - below, difference + above


def quantile(alpha: float, degrees: Floats) -> Floats:
    """Student's t: the two-sided critical value at level `alpha`, for each number of degrees of freedom (infinite: the normal one)."""
    return np.asarray(stdtrit(degrees, 1 - alpha / 2))


def score_limits(share: Floats, rounds: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share."""
    square = z**2 / rounds
    centre = share + square / 2
    half = z * np.sqrt(share * (1 - share) / rounds + (z / (2 * rounds)) ** 2)
    # by rounding alone a limit could lie beyond none or all, or a share beyond its limits
    low = np.where(share > 0, np.clip((centre - half) / (1 + square), 0, share), 0.0)
    high = np.where(share < 1, np.clip((centre + half) / (1 + square), share, 1), 1.0)
    return low, high


@dataclass(frozen=True)
class Boots:
    """Sums over the boots of an arm."""

    number: int
    hits: Floats
    rounds: Floats
    residuals: Floats  # squares of a boot's hits beyond the arm's share of its rounds
    squares: Floats  # of a boot's rounds


def boots_of(hits: Floats, rounds: Floats) -> Boots:
    """Hits and rounds of each boot, which are the last axis; none is empty."""
    total = rounds.sum(-1)
    share = hits.sum(-1) / total
    residuals = ((hits - share[..., None] * rounds) ** 2).sum(-1)
    return Boots(hits.shape[-1], hits.sum(-1), total, residuals, (rounds**2).sum(-1))


def boots_by_hits(boots: NDArray[np.int64], number: int) -> Boots:
    """The same of boots with one number of rounds each: how many boots have no hit, one hit, and so on to all rounds, along the
    last axis; `number` in all."""
    kinds = np.arange(boots.shape[-1])
    rounds = boots.shape[-1] - 1
    hits = (boots @ kinds).astype(np.float64)
    share = hits / (number * rounds)
    residuals = (boots * (kinds - share[..., None] * rounds) ** 2).sum(-1)
    return Boots(number, hits, np.full_like(hits, number * rounds), residuals, np.full_like(hits, number * rounds**2))


def clusters_of(hits: Floats, rounds: Floats, base_hits: Floats, base_rounds: Floats) -> Clusters:
    """The design effect of pairs of arms, from hits and rounds of each boot; boots are the last axis, none is empty."""
    return clusters_of_boots(boots_of(hits, rounds), boots_of(base_hits, base_rounds))


def clusters_of_boots(arm: Boots, base: Boots) -> Clusters:
    """The design effect of pairs of arms."""
    spread, independent = [], []
    for side in (arm, base):
        share = side.hits / side.rounds
        if side.number < 2:
            spread.append(np.zeros_like(share))
            independent.append(np.zeros_like(share))
            continue
        spread.append(side.number / (side.number - 1) * side.residuals / side.rounds**2)
        independent.append(share * (1 - share) / side.rounds)
    variance, expected = spread[0] + spread[1], independent[0] + independent[1]
    boots = [max(2, arm.number), max(2, base.number)]
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(expected > 0, variance / expected, np.nan)
        degrees = variance**2 / (spread[0] ** 2 / (boots[0] - 1) + spread[1] ** 2 / (boots[1] - 1))
    per_boot = np.asarray((arm.squares + base.squares) / (arm.rounds + base.rounds))
    with np.errstate(divide="ignore", invalid="ignore"):
        icc = np.where(per_boot > 1, (seen - 1) / (per_boot - 1), np.nan)
    estimate = np.nan_to_num(seen, nan=1.0)
    if min(arm.number, base.number) >= MIN_BOOTS:
        degrees = np.where(variance > 0, degrees, sum(boots) - 2)
        effect, least_iccs = np.maximum(1.0, estimate), (0.0, _BASE_ICC)
    else:
        degrees = np.full_like(per_boot, _MANY)
        effect, least_iccs = np.maximum(assumed_design_effect(per_boot), estimate), (_FEW_BOOTS_ICC, _FEW_BOOTS_ICC)
    one_sided = [
        np.maximum(np.maximum(_own_effect(*own), estimate), assumed_design_effect(side.squares / side.rounds, least))
        for side, own, least in zip((arm, base), zip(spread, independent, strict=True), least_iccs, strict=True)
    ]
    return Clusters(effect, np.asarray(degrees), per_boot, icc, (one_sided[0], one_sided[1]))


def _own_effect(spread: Floats, independent: Floats) -> Floats:
    """The design effect of one side alone; 1 where nothing shows it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(independent > 0, spread / independent, 1.0)


def shares_of(
    totals: Sequence[Floats], design_effect: Floats, degrees: Floats, base_design_effect: Floats | None = None
) -> Shares:
    """Shares at the rounds that they are worth; `totals`: hits and rounds, then those of the base. `base_design_effect`: of the
    base, where it is not that of the arm."""
    hits, rounds, base_hits, base_rounds = totals
    base_effect = design_effect if base_design_effect is None else base_design_effect
    return Shares(hits / rounds, rounds / design_effect, base_hits / base_rounds, base_rounds / base_effect, degrees)


def shares_to_show_more(totals: Sequence[Floats], clusters: Clusters) -> Shares:
    """Shares at the rounds that they are worth to the one-sided test, that the arm's is greater; `totals` as in `shares_of`."""
    effect, base_effect = clusters.one_sided
    return shares_of(totals, effect, clusters.degrees, base_effect)


class PairTest:
    """The shares of hits of one arm and its base, from the hits and rounds of each boot. Either has a round."""

    def __init__(self, boots: Sequence[tuple[int, int]], base_boots: Sequence[tuple[int, int]]) -> None:
        mine, base = (np.array([boot for boot in side if boot[1]], dtype=float).T for side in (boots, base_boots))
        self._totals = tuple(np.asarray(each.sum()) for each in (*mine, *base))
        self.clusters = clusters_of(mine[0], mine[1], base[0], base[1])
        self.is_estimated = min(mine.shape[1], base.shape[1]) >= MIN_BOOTS
        self.shares = shares_of(self._totals, self.clusters.design_effect, self.clusters.degrees)

    def p_value(self, side: str) -> float:
        """`side`: two-sided, or greater."""
        if side == "greater":
            return shares_to_show_more(self._totals, self.clusters).p_greater()
        return self.shares.p_two_sided()

    def p_value_if(self, icc: float, side: str) -> float:
        """The same if rounds of a boot correlated so much."""
        effect = 1 + (self.clusters.rounds_per_boot - 1) * icc
        shares = shares_of(self._totals, effect, self.clusters.degrees)
        return shares.p_greater() if side == "greater" else shares.p_two_sided()

    def turning_icc(self, level: float, side: str) -> float | None:
        """The correlation at which the p-value crosses a level; None where none does."""
        if self.clusters.rounds_per_boot <= 1:
            return None

        def beyond(icc: float) -> float:
            return self.p_value_if(icc, side) - level

        if beyond(0.0) >= 0 or beyond(1.0) < 0:
            return None
        from scipy.optimize import brentq

        return float(brentq(beyond, 0.0, 1.0, xtol=1e-4))
