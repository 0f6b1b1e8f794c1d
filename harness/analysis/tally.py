"""Rounds and hits of an arm, boot by boot: what intervals and tests of clusters are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..spec.outcome import Outcome
from .columns import Flags, Integers, equals, flags, integers, round_keys
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
    def further_surplus_kills(self) -> int:
        """Surplus kills beyond the first of their round."""
        return self.surplus_kills - self.surplus

    @property
    def attempted(self) -> int:
        """Rounds that were begun, completed or not."""
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
    completed = equals(rounds["outcome"], Outcome.COMPLETED)
    entries = integers(rounds["oom_entries"])
    lost = integers(rounds["lost_trace_events"], null=1) + integers(rounds["missed_probes"], null=1)
    traced = completed & (entries > 0) & (lost == 0)
    sums: dict[str, NDArray[np.generic]] = {
        "completed": completed,
        "failed": ~completed,
        "traced": traced,
        "reentered": traced & (entries > 1),  # under oom_lock one is served after the other, and the first kills
        **_sums_of_kills(rounds, kills, completed),
    }
    if deadline_s is not None:
        sums |= _waits(rounds, completed, STARVED * deadline_s * 1e6)
    for cost in COSTS:
        figure = rounds[f"{cost}_us"]
        sums[f"{cost}_us"] = integers(figure) * completed
        sums[f"{cost}_rounds"] = flags(figure.notna()) & completed
    places: dict[tuple[str, str], int] = {}
    where = zip(block_names(rounds), rounds["boot_id"].fillna(rounds["trial_id"]).tolist(), strict=True)
    place = np.fromiter((places.setdefault((block, str(boot)), len(places)) for block, boot in where), dtype=np.intp)
    totals = np.zeros((len(places), len(sums)), dtype=np.int64)
    np.add.at(totals, place, np.column_stack(list(sums.values())).astype(np.int64))
    counts = [
        BootCount(block=block, boot_id=boot_id, **dict(zip(sums, row, strict=True)))
        for (block, boot_id), row in zip(places, totals.tolist(), strict=True)
    ]
    return counts + [BootCount(block=block, boot_id="", failed=count) for block, count in given_up.items() if count]


def block_names(rounds: pd.DataFrame) -> list[str]:
    """The block of each round: the column of pooled runs, or the planned boot."""
    names = rounds["block"] if "block" in rounds else rounds["boot"].astype("string")
    return [str(name) for name in names.fillna("").tolist()]


def _sums_of_kills(rounds: pd.DataFrame, kills: pd.DataFrame, completed: Flags) -> dict[str, NDArray[np.generic]]:
    """What the kills of each completed round add to the counts of its boot."""
    keys = list(round_keys(rounds))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    number = np.array([numbers[key] for key in keys], dtype=np.intp)
    number_of_kill = np.array([numbers.get(key, -1) for key in round_keys(kills)], dtype=np.intp)
    is_here = number_of_kill >= 0

    def by_round(of_kills: NDArray[np.generic]) -> Integers:
        """The sum over the kills of each round."""
        total = np.zeros(len(numbers), dtype=np.int64)
        np.add.at(total, number_of_kill[is_here], of_kills[is_here].astype(np.int64))
        return np.asarray(total[number] * completed)

    redundant = by_round(equals(kills["kill_class"], KillClass.REDUNDANT)) > 0
    surplus_kills = by_round(flags(kills["surplus"]))
    delay = kills["decision_to_choice_us"]
    return {
        "redundant": redundant,
        "surplus": surplus_kills > 0,
        "unknown": (by_round(flags(may_be_redundant(kills))) > 0) & ~redundant,
        "surplus_kills": surplus_kills,
        "decider_us": by_round(integers(delay)),
        "decider_rounds": by_round(flags(delay.notna())) > 0,
    }


def _waits(rounds: pd.DataFrame, completed: Flags, limit_us: float) -> dict[str, Flags]:
    """Completed rounds with a wait beyond the limit. The first 64 waits of each process are kept, and how long the longest of
    the others was. In a run that is older than this figure, a shorter longest wait says nothing where waits were lost and the
    round lasted longer than the limit; a run that is older still has no longest wait."""
    longest = rounds["longest_wait_us"]
    is_known = flags(longest.notna()) & completed
    starved = (integers(longest) > limit_us) & completed
    is_lost = (integers(rounds["stalls_lost"]) > 0) & flags(rounds["longest_lost_us"].isna())
    lost = is_lost & (integers(rounds["duration_us"]) > limit_us)
    return {"starved": starved, "waits_known": is_known & (starved | ~lost), "waits_lost": is_known & ~starved & lost}


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
