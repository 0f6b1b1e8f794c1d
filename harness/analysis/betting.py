"""A test that may be looked at after every block of the plan, for as long as one likes: an e-process.

Within a block the arms took turns in a random order. If their kernels do not differ, either of two results is as likely
under one name as under the other, whatever the block was like and however alike its rounds are. So one may bet on the
sign of the difference d of hits: a stake grows by 2 / (1 + exp(-theta d)), which is 1 in the mean, for any theta that was
chosen beforehand. A few thetas share the stake. By Ville's inequality the stake ever reaches 1 / alpha with a chance of
at most alpha: no number of looks is planned, nothing is spent, and no distribution is assumed.

Group-sequential bounds (Lan-DeMets) were the alternative. They want the number of looks beforehand, and are calibrated for
sums that are normal; with a handful of boots and no hit in many of them these are not.

Source: J. Ville (1939); A. Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference", 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, logsumexp

from .permutation import Pairs

# Log odds ratios of a hit, arm against baseline, among which the stake is shared evenly.
_THETAS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])


def bet_p(pairs: Pairs, direction: int) -> float:
    """A p-value by the highest stake so far, that holds however often was looked. Hits may be anything that is counted."""
    return float(np.exp(-np.max(log_stakes(pairs, direction), initial=0.0)))


def log_stakes(pairs: Pairs, direction: int) -> NDArray[np.float64]:
    """The log of the stake after each block, from 1 at the start; direction is 1 for a bet that the arm has more hits
    than its baseline, and -1 for fewer. Blocks are of shape (2 arms, 2: hits and rounds, blocks), in their order; axes before
    these are of runs that are independent of each other, as of a simulation."""
    hits, rounds = pairs[..., 0, :].astype(float), pairs[..., 1, :].astype(float)
    shares = hits / np.maximum(rounds, 1)
    # The difference of hits where both have as many rounds; it changes its sign when the names are exchanged.
    paired = 2 * rounds[..., 0, :] * rounds[..., 1, :] / np.maximum(rounds.sum(axis=-2), 1)
    differences = direction * (shares[..., 0, :] - shares[..., 1, :]) * paired
    growth = np.log(2) + log_expit(_THETAS[:, None] * differences[..., None, :])
    return np.asarray(logsumexp(np.cumsum(growth, axis=-1), axis=-2) - np.log(len(_THETAS)))
