"""How large a run must be: the test that `compare` makes is made on simulated runs of that size.

A boot's own share is drawn from a beta distribution around the arm's, its rounds from that; `icc` is the correlation of two
rounds of one boot. The seed is fixed: the same question gets the same answer.
"""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlog1py, xlogy

from ..spec.boots import DEFAULT_ICC, MIN_BOOTS
from .search import least_enough
from .shares import Boots, boots_by_hits, boots_of, clusters_of_boots, shares_of

ALPHA = 0.05
POWER = 0.9
# The effect that a run is planned for where none is declared: half the baseline's share, the one that "no difference
# shown" says would have been seen. The effect that a run happens to show would be taken as larger than it is.
EFFECT = 0.5
_DRAWS = 2000  # the standard error of a power of 0.9 is 0.007
_AT_ONCE = 2_000_000  # boots in memory
_MOST_BOOTS = 10_000
_MOST_ROUNDS = 100_000  # per boot
_SEED = 1


def draw_hits(
    generator: np.random.Generator, share: float, icc: float, rounds_per_boot: int, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Hits of boots whose rounds correlate by `icc`."""
    if icc and 0 < share < 1:
        scale = (1 - icc) / icc
        shares = generator.beta(share * scale, (1 - share) * scale, shape)
        return generator.binomial(rounds_per_boot, shares).astype(np.float64)
    return generator.binomial(rounds_per_boot, share, shape).astype(np.float64)


def _boots_by_hits(
    generator: np.random.Generator, share: float, icc: float, rounds: int, boots: int
) -> NDArray[np.int64]:
    """As `draw_hits`, in far less time where there are more boots than kinds of them: how many boots have no hit, one hit,
    and so on, of each draw. Hits of a boot are beta-binomial."""
    hits = np.arange(rounds + 1)
    if icc and 0 < share < 1:
        scale = (1 - icc) / icc
        a, b = share * scale, (1 - share) * scale
        log_chance = betaln(hits + a, rounds - hits + b) - betaln(a, b)
    else:
        log_chance = xlogy(hits, share) + xlog1py(rounds - hits, -share)
    chance = np.exp(log_chance - betaln(hits + 1, rounds - hits + 1) - np.log(rounds + 1))
    return generator.multinomial(boots, chance / chance.sum(), _DRAWS)


def _draw_boots(generator: np.random.Generator, share: float, icc: float, rounds: int, boots: int) -> Boots:
    """Draws of an arm."""
    if boots > rounds + 1:
        return boots_by_hits(_boots_by_hits(generator, share, icc, rounds, boots), boots)
    shape = max(200, min(_DRAWS, _AT_ONCE // boots)), boots
    return boots_of(draw_hits(generator, share, icc, rounds, shape), np.full(shape, float(rounds)))


@cache
def simulated_power(
    base_share: float,
    share: float,
    boots: int,
    rounds_per_boot: int,
    icc: float = DEFAULT_ICC,
    alpha: float = ALPHA,
    seed: int = _SEED,
) -> float:
    """The chance that two arms of so many boots are told apart at level alpha, two-sided, and the right way round."""
    generator = np.random.default_rng(seed)
    base, arm = (_draw_boots(generator, each, icc, rounds_per_boot, boots) for each in (base_share, share))
    clusters = clusters_of_boots(arm, base)
    totals = (arm.hits, arm.rounds, base.hits, base.rounds)
    low, high = shares_of(totals, clusters.design_effect, clusters.degrees).limits(alpha)
    return float(np.mean(high < 0 if share < base_share else low > 0))


def boots_needed(
    base_share: float, share: float, power: float, rounds_per_boot: int, icc: float = DEFAULT_ICC, alpha: float = ALPHA
) -> int | None:
    """Boots per arm for this power, MIN_BOOTS at least: with fewer, the test rests on an assumed likeness. None for shares
    that are one, and where 10,000 are too few."""
    if base_share == share:
        return None

    def is_enough(boots: int) -> bool:
        return simulated_power(base_share, share, boots, rounds_per_boot, icc, alpha) >= power

    return MIN_BOOTS if is_enough(MIN_BOOTS) else least_enough(is_enough, 2 * MIN_BOOTS, _MOST_BOOTS, 100)


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run must be. `rounds` and `boots` are None where no number is enough."""

    rate: float
    to: float
    power: float | None  # of a run of this size
    icc: float
    design_effect: float | None
    rounds_per_boot: int | None
    boots: int | None  # per arm
    rounds: int | None  # per arm
    seconds: float | None  # of two arms, one after the other


def size_of(
    rate: float, to: float, power: float, alpha: float, rounds_per_boot: int, icc: float, boots: int | None
) -> Size:
    """The size that tells two shares apart: in boots of so many rounds, or in so many boots."""
    per_boot: int | None = rounds_per_boot
    if boots is None:
        boots = boots_needed(rate, to, power, rounds_per_boot, icc, alpha)
    else:
        fixed = boots
        per_boot = least_enough(
            lambda rounds: simulated_power(rate, to, fixed, rounds, icc, alpha) >= power, 1, _MOST_ROUNDS, 100
        )
    if boots is None or per_boot is None:
        return Size(
            rate=rate,
            to=to,
            power=None,
            icc=icc,
            design_effect=None,
            rounds_per_boot=None,
            boots=None,
            rounds=None,
            seconds=None,
        )
    return Size(
        rate=rate,
        to=to,
        power=simulated_power(rate, to, boots, per_boot, icc, alpha),
        icc=icc,
        design_effect=1 + (per_boot - 1) * icc,
        rounds_per_boot=per_boot,
        boots=boots,
        rounds=per_boot * boots,
        seconds=None,
    )
