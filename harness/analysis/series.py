"""The share of rounds by kernel version, and between which two versions it changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from .arm import Arm
from .planning import ALPHA
from .rates import rate_of
from .tally import by_boot
from .verdict import Comparison, compare_all


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel of a series."""

    version: str  # 6.1.192; the name where no version is known
    name: str  # short: what was asked for
    arm: Arm
    surplus_rate: float | None  # share of completed rounds with a surplus kill
    surplus_low: float | None  # 95 % interval
    surplus_high: float | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From one version to the next one that has completed rounds."""

    older: str  # names of versions
    newer: str
    comparison: Comparison  # the newer against the older; p-values are corrected for the number of steps
    is_change: bool  # of the share of rounds with a redundant kill
    fails_more: bool  # more rounds hang, panic or are lost


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What `oomtrial series --format json` prints."""

    run_id: str
    state: str
    scenario: str
    versions: list[Version]  # in their order
    steps: list[Step]
    left_out: list[str]  # kernels that were asked for and are not there, each with why
    notes: list[str]


def version_of(arm: Arm, version: str, name: str) -> Version:
    """The row of one kernel version: its arm, and its share of rounds with a surplus kill with the 95 % interval. `name`: as it is shown."""
    boots = by_boot(arm.by_boot)
    surplus = rate_of([boot.surplus for boot in boots], [boot.completed for boot in boots])
    return Version(
        version=version,
        name=name,
        arm=arm,
        surplus_rate=surplus.share,
        surplus_low=surplus.low,
        surplus_high=surplus.high,
    )


def steps_of(versions: Sequence[Version], *, is_sequential: bool = False) -> list[Step]:
    """Each version against the one before, corrected by Holm's method for the number of steps.

    A version without a completed round has no share: its neighbours are compared with each other.
    """
    measured = [version for version in versions if version.arm.completed_rounds]
    pairs = list(pairwise(measured))
    if not pairs:
        return []
    comparisons = compare_all([(newer.arm, older.arm) for older, newer in pairs], is_sequential=is_sequential)
    return [
        Step(
            older=older.name,
            newer=newer.name,
            comparison=comparison,
            is_change=comparison.p_adjusted is not None and comparison.p_adjusted < ALPHA,
            fails_more=comparison.failed_p_adjusted is not None and comparison.failed_p_adjusted < ALPHA / 2,
        )
        for (older, newer), comparison in zip(pairs, comparisons, strict=True)
    ]
