"""Permutation tests whose unit is the boot, so that rounds of one boot may be as alike as they want.

Within a block of the plan the boots of the arms took turns in a random order: if the kernels do not differ, it is chance
which result stands under which name. Stratified by block, names are exchanged within blocks only, and a drift of the
machine from block to block takes nothing from the test. Where blocks allow fewer than MIN_PERMUTATIONS exchanges, names are
permuted over all boots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tally import BootCount, by_boot

# The smallest p-value that 8 blocks of two boots can give is 2/256.
MIN_PERMUTATIONS = 200
_RESAMPLES = 20_000  # all permutations where there are no more; else so many, drawn with a fixed seed
_SEED = 1

Pairs = NDArray[np.int64]  # of shape (2 arms, 2: hits and rounds, units)


@dataclass(frozen=True)
class BootTest:
    """The p-value of a test on boots, two-sided or that the arm's share is greater, and what was permuted."""

    p_value: float
    units: str


def boot_test(
    counts: Sequence[BootCount], base: Sequence[BootCount], hits: str, rounds: str, alternative: str = "two-sided"
) -> BootTest:
    """Tests whether the share of hits in rounds (names of counts) is that of the baseline; of a cost, its mean over rounds.

    The statistic is the difference of the shares. One round or more is needed on either side.
    """
    pairs = paired_blocks(counts, base, hits, rounds)
    if 2 ** pairs.shape[2] >= MIN_PERMUTATIONS:
        units = "boots within blocks"
        data = [np.arange(pairs.shape[2]), np.arange(pairs.shape[2]) + pairs.shape[2]]
        values, kind = np.concatenate([pairs[0], pairs[1]], axis=1), "samples"
    else:
        units, kind = "all boots", "independent"
        first, second = (
            [(getattr(c, hits), getattr(c, rounds)) for c in by_boot(arm) if getattr(c, rounds)]
            for arm in (counts, base)
        )
        values = np.array(first + second).T
        data = [np.arange(len(first)), np.arange(len(second)) + len(first)]

    def difference(mine: NDArray[np.int64], others: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        return _share(values, mine, axis) - _share(values, others, axis)

    from scipy.stats import permutation_test  # half a second, which most commands that import this do not need

    result = permutation_test(
        data,
        difference,
        permutation_type=kind,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=2000,
        alternative=alternative,
        rng=np.random.default_rng(_SEED),
    )
    return BootTest(float(result.pvalue), units)


def _share(values: NDArray[np.int64], index: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    hits, rounds = values[0][index].sum(axis=axis), values[1][index].sum(axis=axis)
    return np.asarray(hits / np.maximum(rounds, 1), dtype=np.float64)


def paired_blocks(counts: Sequence[BootCount], base: Sequence[BootCount], hits: str, rounds: str) -> Pairs:
    """Hits and rounds of both arms, block by block in the order of the plan; blocks that one arm lacks are left out.

    Blocks that share a boot are one: a snapshot that two runs went on from.
    """
    everything = [*counts, *base]
    block_numbers: dict[str, int] = {}
    boots: dict[str, int] = {}
    edges = []
    for count in everything:
        block = block_numbers.setdefault(count.block, len(block_numbers))
        if count.boot_id:
            edges.append((block, boots.setdefault(count.boot_id, len(boots))))
    size = len(block_numbers) + len(boots)
    rows = [block for block, _ in edges]
    columns = [len(block_numbers) + boot for _, boot in edges]
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(coo_array((np.ones(len(edges)), (rows, columns)), shape=(size, size)), False)
    units = {label: number for number, label in enumerate(dict.fromkeys(labels[: len(block_numbers)].tolist()))}
    pairs = np.zeros((2, 2, len(units)), dtype=np.int64)
    for side, arm in enumerate((counts, base)):
        for count in arm:
            unit = units[int(labels[block_numbers[count.block]])]
            pairs[side, :, unit] += (getattr(count, hits), getattr(count, rounds))
    return pairs[:, :, (pairs[:, 1] > 0).all(axis=0)]
