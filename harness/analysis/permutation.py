"""Permutation tests whose unit is the boot, so that rounds of one boot may be as alike as they want.

Within a block of the plan the boots of the arms took turns in a random order: if the kernels do not differ, it is chance
which result stands under which name. Stratified by block, names are exchanged within blocks only, and a drift of the
machine from block to block takes nothing from the test. Where blocks allow fewer than MIN_PERMUTATIONS exchanges, names are
permuted over all boots.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .tally import BootCount, by_boot

# The smallest p-value that 8 blocks of two boots can give is 2/256.
MIN_PERMUTATIONS = 200
_RESAMPLES = 20_000  # all permutations where there are no more; else so many, drawn with a fixed seed
_AT_ONCE = 2000  # in memory
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
    generator = np.random.default_rng(_SEED)
    if 2 ** pairs.shape[2] >= MIN_PERMUTATIONS:
        units, number = "boots within blocks", pairs.shape[2]
        values = np.concatenate([pairs[0], pairs[1]], axis=1)
        is_exact, assignments = 2**number <= _RESAMPLES, _exchanges(number, generator)
    else:
        units = "all boots"
        first, second = (
            [(getattr(c, hits), getattr(c, rounds)) for c in by_boot(arm) if getattr(c, rounds)]
            for arm in (counts, base)
        )
        values, number = np.array(first + second).T, len(first)
        is_exact = math.comb(values.shape[1], number) <= _RESAMPLES
        assignments = _choices(values.shape[1], number, generator)
    observed = _difference(values, (np.arange(values.shape[1]) < number).astype(float)[None])[0]
    drawn = np.concatenate([_difference(values, assigned) for assigned in assignments])
    tolerance = abs(100 * np.finfo(float).eps * observed)  # of values that are one, but for the order of their sums
    more, fewer = (
        (np.count_nonzero(extreme) + (not is_exact)) / (len(drawn) + (not is_exact))  # what was observed is one of them
        for extreme in (drawn >= observed - tolerance, drawn <= observed + tolerance)
    )
    return BootTest(float(more if alternative == "greater" else min(1.0, 2 * min(more, fewer))), units)


def _difference(values: NDArray[np.int64], assigned: NDArray[np.float64]) -> NDArray[np.float64]:
    """The arm's share less its baseline's, by assignment: 1 where a boot is given to the arm. Sums are of integers, so exact."""
    hits, rounds = (assigned @ values.T.astype(float)).T
    all_hits, all_rounds = values.sum(axis=1)
    return np.asarray(hits / np.maximum(rounds, 1) - (all_hits - hits) / np.maximum(all_rounds - rounds, 1))


def _exchanges(number: int, generator: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Assignments in which the boots of each pair have kept their names, or exchanged them: all, or drawn ones."""
    if 2**number <= _RESAMPLES:
        kept = np.arange(2**number)[:, None] >> np.arange(number) & 1
        yield np.concatenate([kept, 1 - kept], axis=1).astype(float)
        return
    pairs = np.tile(np.arange(2), (_AT_ONCE, number, 1))
    for _ in range(0, _RESAMPLES, _AT_ONCE):
        kept = generator.permuted(pairs, axis=-1)[..., 1]
        yield np.concatenate([kept, 1 - kept], axis=1).astype(float)


def _choices(number: int, chosen: int, generator: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Assignments of so many of all boots to the arm: all, or drawn ones."""
    if math.comb(number, chosen) <= _RESAMPLES:
        places = np.array(list(combinations(range(number), chosen)))
    else:
        places = np.array([generator.permutation(number)[:chosen] for _ in range(_RESAMPLES)])
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        assigned = np.zeros((len(some), number))
        np.put_along_axis(assigned, some, 1.0, axis=1)
        yield assigned


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
