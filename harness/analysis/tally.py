"""Rounds and hits of an arm, boot by boot: what intervals and tests of clusters are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import pandas as pd

from .killclass import KillClass

COSTS = ("duration", "stall", "system")  # of a round: columns in us of the table of rounds
STARVED = 0.5  # of the round's deadline: a survivor that waited longer than that for one page was starved


class BootCount(msgspec.Struct, frozen=True, kw_only=True):
    """Rounds of one boot within one block of the plan. Counts are of rounds."""

    block: str  # boots of different arms in one block took turns: the planned boot, with its run where runs are pooled
    boot_id: str  # the cluster; empty for rounds that never came to a boot
    completed: int = 0
    redundant: int = 0  # completed ones with a redundant kill
    surplus: int = 0  # completed ones with a surplus kill
    unknown: int = 0  # completed ones with a kill of unknown class that may be redundant, and no redundant one
    failed: int = 0  # begun and not completed, or given up after all attempts
    reentered: int = 0  # completed ones that entered out_of_memory() again after the first kill
    traced: int = 0  # completed ones whose entries are in the trace
    surplus_kills: int = 0  # kills, in completed rounds
    starved: int = 0  # completed ones in which a survivor was starved, see STARVED
    waits_known: int = 0  # completed ones of which that is known
    waits_lost: int = 0  # completed ones that lasted long enough for it, and whose waits were not all kept
    # sums over the completed rounds that have the figure, and how many they are
    duration_us: int = 0
    duration_rounds: int = 0
    stall_us: int = 0
    stall_rounds: int = 0
    system_us: int = 0
    system_rounds: int = 0
    decider_us: int = 0  # from decisions to choices
    decider_rounds: int = 0

    @property
    def attempted(self) -> int:
        return self.completed + self.failed


_SUMS = tuple(name for name in BootCount.__struct_fields__ if name not in ("block", "boot_id"))


def is_warm_up(rounds: pd.DataFrame) -> pd.Series:
    """Rounds at the start of a boot, which are recorded and not counted; tables of before have none."""
    if "warm_up" not in rounds:
        return pd.Series(False, index=rounds.index)
    return rounds["warm_up"].fillna(False).astype(bool)


def counted(rounds: pd.DataFrame, kills: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rounds and kills without those of warm-up rounds."""
    warm_up = is_warm_up(rounds)
    if not warm_up.any():
        return rounds, kills
    keys = ["trial_id", "round"]
    left_out = pd.MultiIndex.from_frame(rounds.loc[warm_up, keys])
    return rounds[~warm_up], kills[~pd.MultiIndex.from_frame(kills[keys]).isin(left_out)]


def count_boots(
    rounds: pd.DataFrame, kills: pd.DataFrame, given_up: Mapping[str, int], deadline_s: float | None = None
) -> list[BootCount]:
    """One arm's and scenario's rounds by block and boot; `given_up`: rounds that never began, by block; `deadline_s`: of a
    round, where starved ones are to be counted.

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
        ("redundant", kills["kill_class"] == KillClass.REDUNDANT),
        ("surplus", kills["surplus"]),
        ("unknown", may_be_redundant(kills)),
    ):
        hit = pd.MultiIndex.from_frame(kills.loc[chosen.fillna(False).astype(bool), keys])
        frame[name] = where.isin(hit) & frame["completed"]
    frame["unknown"] &= ~frame["redundant"]
    entries = rounds["oom_entries"].fillna(0).astype("int64")
    frame["traced"] = frame["completed"] & (entries > 0) & (rounds["lost_trace_events"] + rounds["missed_probes"] == 0)
    # under oom_lock one is served after the other, and the first kills
    frame["reentered"] = frame["traced"] & (entries > 1)
    if deadline_s is not None:
        frame = frame.assign(**_waits(rounds, frame["completed"], STARVED * deadline_s * 1e6))
    else:
        frame[["starved", "waits_known", "waits_lost"]] = False
    killed = kills.assign(surplus_kills=kills["surplus"].fillna(False).astype("int64")).groupby(keys)
    of_kills = killed[["surplus_kills", "decision_to_choice_us"]].sum(min_count=1).reindex(where)
    frame["surplus_kills"] = of_kills["surplus_kills"].fillna(0).astype("int64").to_numpy() * frame["completed"]
    decider = pd.Series(of_kills["decision_to_choice_us"].to_numpy(), index=frame.index)
    figures = {cost: rounds[f"{cost}_us"] for cost in COSTS} | {"decider": decider}
    for cost, of_round in figures.items():
        figure = of_round.where(frame["completed"])
        frame[f"{cost}_us"], frame[f"{cost}_rounds"] = figure.fillna(0).astype("int64"), figure.notna()
    names = list(_SUMS)
    sums = frame.groupby(["block", "boot_id"], sort=False)[names].sum().reset_index()
    counts = [
        BootCount(block=str(row["block"]), boot_id=str(row["boot_id"]), **{name: int(row[name]) for name in names})
        for row in sums.to_dict("records")
    ]
    return counts + [BootCount(block=block, boot_id="", failed=count) for block, count in given_up.items() if count]


def _waits(rounds: pd.DataFrame, completed: pd.Series, limit_us: float) -> dict[str, pd.Series]:
    """Completed rounds with a wait beyond the limit. The first 64 waits of each process are kept: where one had more, and
    the round lasted longer than the limit, a shorter longest wait says nothing. Runs of before have no longest wait."""
    starved = (rounds["longest_wait_us"] > limit_us).fillna(False) & completed
    lost = (rounds["stalls_lost"] > 0).fillna(False) & (rounds["duration_us"] > limit_us).fillna(False)
    told = rounds["longest_wait_us"].notna() & completed
    return {
        name: values.astype(bool)
        for name, values in (
            ("starved", starved),
            ("waits_known", told & (starved | ~lost)),
            ("waits_lost", told & ~starved & lost),
        )
    }


def may_be_redundant(kills: pd.DataFrame) -> pd.Series:
    """Kills of unknown class, but for those that were needed by the declared demand: at the worst these came too early."""
    return (kills["kill_class"] == KillClass.UNKNOWN) & kills["surplus"].fillna(True).astype(bool)


def by_boot(counts: Iterable[BootCount]) -> list[BootCount]:
    """Blocks of one boot together: guests that go on from one snapshot are one boot, in whatever run."""
    merged: dict[str, BootCount] = {}
    for count in counts:
        name = count.boot_id or f"block {count.block}"
        merged[name] = _add(merged[name], count) if name in merged else count
    return list(merged.values())


def _add(count: BootCount, other: BootCount) -> BootCount:
    return msgspec.structs.replace(count, **{name: getattr(count, name) + getattr(other, name) for name in _SUMS})
