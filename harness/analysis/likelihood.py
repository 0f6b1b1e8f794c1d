"""A test of two shares that may be looked at after every block, for boots whose rounds are alike up to a bound: an e-process.

The stake is a likelihood ratio. Above stands the likelihood of the boots so far, averaged over pairs of shares of which the
arm's lies on the side that is bet on; below, the greatest likelihood of any pair on the other side. Hits of a boot are
beta-binomial: its rounds correlate by an ICC of at most `most_icc`, which may differ between the arms. Whatever the true
shares and correlations on the other side are, the stake is at most a martingale that starts at 1, so it ever reaches
1 / alpha with a chance of at most alpha.

That holds for any average; this one is made for what a patch is for. The larger share is anything (uniform); the smaller one
is anything (Jeffreys' prior) or, with half of the weight, next to nothing (Beta(0.5, 25), 2 % on average).

Unlike betting on signs (betting.py), it uses how large a difference is within one block, and so decides a large one in two or
three blocks. It pays with the assumption on the ICC, and for small differences with many more blocks: anytime.py
has both.

Source: L. Wasserman, A. Ramdas, S. Balakrishnan, "Universal inference", PNAS 117, 2020 (section 8, running likelihood ratio).
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp, xlog1py, xlogy

from .permutation import Pairs

MOST_ICC = 0.1  # eight times what was measured: spec/boots.py
_ICCS = np.array([0.0, 0.05, 0.15, 0.3, 0.6, 1.0])  # of the bound
_STEPS, _COARSE_STEPS = 400, 80  # of shares, evenly on the scale of log odds


def log_ratios(
    pairs: Pairs,
    direction: int,
    most_icc: float = MOST_ICC,
    looks: NDArray[np.int64] | None = None,
    *,
    is_coarse: bool = False,
) -> NDArray[np.float64]:
    """The log of the stake after each block; direction is 1 for a bet that the arm has more hits than its baseline, and -1 for
    fewer. Blocks are of shape (2 arms, 2: hits and rounds, blocks), in their order. `looks`: after these blocks only.
    `is_coarse`: on fewer shares, for simulations."""
    if not pairs.shape[2]:
        return np.zeros(0)
    looks = np.arange(pairs.shape[2]) if looks is None else looks
    steps = _COARSE_STEPS if is_coarse else _STEPS
    more, fewer = (_cumulative(side, most_icc, looks, steps) for side in pairs[::direction])
    # greatest likelihood with the share of `more` no larger than that of `fewer`
    most_likely = [side.max(axis=1) for side in (more, fewer)]
    other_side = (np.maximum.accumulate(most_likely[0], axis=1) + most_likely[1]).max(axis=1)
    priors = _log_priors(steps)
    weighted = [
        peak + np.log(np.exp(side - peak[:, None]).mean(axis=1)) + prior
        for side, peak, prior in zip((more, fewer), most_likely, priors, strict=True)
    ]
    own_side = _log_sum_below(*weighted) - _log_sum_below(*(prior[None] for prior in priors))
    return np.asarray(own_side - other_side)


def _log_sum_below(more: NDArray[np.float64], fewer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of all pairs of shares of which that of `fewer` is the smaller one."""
    below = np.logaddexp.accumulate(fewer, axis=1)[:, :-1]
    return np.asarray(logsumexp(more[:, 1:] + below, axis=1))


@cache
def _shares(steps: int) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.linspace(-9, 9, steps + 1)))


@cache
def _log_priors(steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the larger share and of the smaller one, per step of log odds."""
    uniform, jeffreys, nothing = (_density(steps, *shape) for shape in ((1.0, 1.0), (0.5, 0.5), (0.5, 25.0)))
    return np.log(uniform), np.log((jeffreys + nothing) / 2)


def _density(steps: int, a: float, b: float) -> NDArray[np.float64]:
    shares = _shares(steps)
    density = shares**a * (1 - shares) ** b
    return np.asarray(density / density.sum())


def _cumulative(side: NDArray[np.int64], most_icc: float, looks: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
    """Log likelihood of all boots up to each look, by ICC and share."""
    kinds, kind = np.unique(side, axis=1, return_inverse=True)
    counts = np.cumsum(kind.reshape(-1, 1) == np.arange(kinds.shape[1]), axis=0)[looks]
    tables = np.stack([_log_likelihood(int(hits), int(rounds), most_icc, steps) for hits, rounds in kinds.T])
    return np.tensordot(counts, tables, axes=1)


@lru_cache(maxsize=4096)
def _log_likelihood(hits: int, rounds: int, most_icc: float, steps: int) -> NDArray[np.float64]:
    """Of so many hits in the rounds of one boot, by ICC and share, but for a factor that depends on neither."""
    shares, iccs = _shares(steps)[None, :], most_icc * _ICCS[1:, None]
    strength = (1 - iccs) / iccs
    alike = betaln(hits + shares * strength, rounds - hits + (1 - shares) * strength) - betaln(
        shares * strength, (1 - shares) * strength
    )
    return np.concatenate([xlogy(hits, shares) + xlog1py(rounds - hits, -shares), alike])
