"""Rounds and hits of an arm, boot by boot: what intervals and tests of clusters are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import pandas as pd

COSTS = ("duration", "stall", "system")  # of a round: columns in us of the table of rounds


class BootCount(msgspec.Struct, frozen=True, kw_only=True):
    """Rounds of one boot within one block of the plan. Counts are of rounds."""

    block: str  # boots of different arms in one block took turns: the planned boot, with its run where runs are pooled
    boot_id: str  # the cluster; empty for rounds that never came to a boot
    completed: int = 0
    redundant: int = 0  # completed ones with a redundant kill
    surplus: int = 0  # completed ones with a surplus kill
    unknown: int = 0  # completed ones with a kill of unknown class that may be redundant, and no redundant one
    failed: int = 0  # begun and not completed, or given up after all attempts
    # sums over the completed rounds that have the figure, and how many they are
    duration_us: int = 0
    duration_rounds: int = 0
    stall_us: int = 0
    stall_rounds: int = 0
    system_us: int = 0
    system_rounds: int = 0

    @property
    def attempted(self) -> int:
        return self.completed + self.failed


_SUMS = tuple(name for name in BootCount.__struct_fields__ if name not in ("block", "boot_id"))


def count_boots(rounds: pd.DataFrame, kills: pd.DataFrame, given_up: Mapping[str, int]) -> list[BootCount]:
    """One arm's and scenario's rounds by block and boot; `given_up`: rounds that never began, by block.

    A table of pooled runs has a column `block`; otherwise the planned boot is the block.
    """
    keys = ["trial_id", "round"]
    block = rounds["block"] if "block" in rounds else rounds["boot"].astype("string")
    frame = rounds[[*keys, "outcome"]].assign(
        block=block.fillna(""), boot_id=rounds["boot_id"].fillna(rounds["trial_id"])
    )
    frame["completed"] = (frame["outcome"] == "completed").astype(bool)
    frame["failed"] = ~frame["completed"]
    where = pd.MultiIndex.from_frame(frame[keys])
    for name, chosen in (
        ("redundant", kills["kill_class"] == "redundant"),
        ("surplus", kills["surplus"]),
        ("unknown", may_be_redundant(kills)),
    ):
        hit = pd.MultiIndex.from_frame(kills.loc[chosen.fillna(False).astype(bool), keys])
        frame[name] = where.isin(hit) & frame["completed"]
    frame["unknown"] &= ~frame["redundant"]
    for cost in COSTS:
        figure = rounds[f"{cost}_us"].where(frame["completed"])
        frame[f"{cost}_us"], frame[f"{cost}_rounds"] = figure.fillna(0).astype("int64"), figure.notna()
    names = list(_SUMS)
    sums = frame.groupby(["block", "boot_id"], sort=False)[names].sum().reset_index()
    counts = [
        BootCount(block=str(row["block"]), boot_id=str(row["boot_id"]), **{name: int(row[name]) for name in names})
        for row in sums.to_dict("records")
    ]
    return counts + [BootCount(block=block, boot_id="", failed=count) for block, count in given_up.items() if count]


def may_be_redundant(kills: pd.DataFrame) -> pd.Series:
    """Kills of unknown class, but for those that were needed by the declared demand: at the worst these came too early."""
    return (kills["kill_class"] == "unknown") & kills["surplus"].fillna(True).astype(bool)


def by_boot(counts: Iterable[BootCount]) -> list[BootCount]:
    """Blocks of one boot together: guests that go on from one snapshot are one boot, in whatever run."""
    merged: dict[str, BootCount] = {}
    for count in counts:
        name = count.boot_id or f"block {count.block}"
        merged[name] = _add(merged[name], count) if name in merged else count
    return list(merged.values())


def _add(one: BootCount, other: BootCount) -> BootCount:
    return msgspec.structs.replace(one, **{name: getattr(one, name) + getattr(other, name) for name in _SUMS})
