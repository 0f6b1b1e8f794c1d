"""The test of a run that goes on until it is decided. It may be looked at after every block, for as long as one likes.

Half of the stake is bet on the signs of differences (betting.py), which is slow and assumes nothing about how alike the rounds
of a boot are; the other half on a likelihood ratio (likelihood.py), which decides large differences at once, for an ICC of up to
MOST_ICC. A mean of two e-processes is one. Nothing is won by the first block alone: with one boot per arm, nothing but that
assumption tells a kernel from a boot.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .betting import log_stakes as log_bets
from .likelihood import MOST_ICC, log_ratios
from .permutation import Pairs

_DRAWS, _MOST_BLOCKS, _SEED = 200, 1000, 1  # of the simulation of how long it takes
_LOOKS = np.unique(np.geomspace(1, _MOST_BLOCKS, 50).astype(int)) - 1  # of it: few enough to be quick
_ICCS = (0.15, 0.2, 0.3, 0.5, 0.8)  # for which a decision is tried again


def log_stakes(pairs: Pairs, direction: int, most_icc: float = MOST_ICC) -> NDArray[np.float64]:
    """The log of the stake after each block, from 1 at the start, as in betting.py and likelihood.py."""
    return _combined(log_bets(pairs, direction), log_ratios(pairs, direction, most_icc))


def _combined(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of two stakes; the first look is the one after the first block."""
    stakes = np.asarray(np.logaddexp(first, second) - np.log(2))
    stakes[..., :1] = np.minimum(stakes[..., :1], 0.0)
    return stakes


def anytime_p(pairs: Pairs, side: str, most_icc: float = MOST_ICC) -> float:
    """A p-value that holds however often was looked: one by the highest stake so far. `side` is two-sided or greater."""
    p_values = [float(np.exp(-np.max(log_stakes(pairs, direction, most_icc), initial=0.0))) for direction in (1, -1)]
    return p_values[0] if side == "greater" else min(1.0, 2 * min(p_values))


def turning_icc(pairs: Pairs, side: str, level: float) -> float | None:
    """The ICC up to which the rounds of a boot may be alike with the p-value still below the level; None where the level is not
    reached, or is reached whatever the ICC is."""
    if anytime_p(pairs, side) >= level:
        return None
    holds = MOST_ICC
    for icc in _ICCS:
        if anytime_p(pairs, side, icc) >= level:
            return holds
        holds = icc
    return None


@cache
def blocks_needed(base_share: float, share: float, rounds: int, alpha: float, power: float) -> int | None:
    """Blocks of so many rounds per arm within which the stake reaches 1 / alpha with a chance of `power`, by simulation of
    independent rounds; None where a thousand are too few."""
    generator = np.random.default_rng(_SEED)
    direction = 1 if share > base_share else -1
    hits = np.stack([generator.binomial(rounds, each, (_DRAWS, _MOST_BLOCKS)) for each in (share, base_share)], axis=1)
    pairs = np.stack([hits, np.full_like(hits, rounds)], axis=2)
    bets = log_bets(pairs, direction)[:, _LOOKS]
    ratios = np.stack([log_ratios(draw, direction, looks=_LOOKS, is_coarse=True) for draw in pairs])
    reached = _combined(bets, ratios) >= -np.log(alpha)
    ends = np.where(reached.any(axis=1), _LOOKS[np.argmax(reached, axis=1)] + 1, _MOST_BLOCKS + 1)
    end = int(np.ceil(np.quantile(ends, power)))
    return end if end <= _MOST_BLOCKS else None
