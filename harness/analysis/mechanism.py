"""Why a kill overlaps an earlier victim: what kept the OOM killer from waiting for it.

select_bad_process() gives up, and nothing is killed, when its scan meets a victim whose memory is not back. So a kill
that was decided while an earlier victim was still there has passed that victim by:

| mechanism | the trace shows | so |
|---|---|---|
| stalled-decider | every such victim was released between the decision and the choice | the decider went on with a decision that time had overtaken: it was put to sleep meanwhile (cond_resched() in mem_cgroup_scan_tasks(), 06717a7b6c86), or its CPU was taken away |
| hidden-victim | one was not released when the next was chosen | the scan did not meet it, or did not count it: css_task_iter hides exiting tasks (7.0 and later, a72f73c4dd9b), or it was given up (MMF_OOM_SKIP) before its memory was back |
| unknown | the time of the choice is not in the trace, and the victim was released before the mark | |

The end of the scan is the choice. Where it is missing, the mark stands in as the latest time that it can have had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import pandas as pd


class Mechanism(StrEnum):
    """What the trace shows of an overlapping kill."""

    STALLED_DECIDER = "stalled-decider"
    HIDDEN_VICTIM = "hidden-victim"
    UNKNOWN = "unknown"


class MechanismCount(msgspec.Struct, frozen=True, kw_only=True):
    """Redundant kills of one mechanism, and how long their deciders took from the decision to the choice of a victim."""

    kills: int
    decision_to_choice_us_median: int | None  # None: no kill, or the trace has no choice
    decision_to_choice_us_least: int | None
    decision_to_choice_us_most: int | None


def mechanism_of(kill: Mapping[str, Any], pending: Sequence[Mapping[str, Any]]) -> Mechanism:
    """Of one kill; `pending`: the earlier victims of its domain that were not released when it was decided."""
    scanned_us = kill["decision_to_choice_us"]
    latest_choice = kill["mark_time_us"] if scanned_us is None else kill["decision_time_us"] + scanned_us
    releases = [victim["release_time_us"] for victim in pending]
    if any(release is None or release > latest_choice for release in releases):
        return Mechanism.HIDDEN_VICTIM
    return Mechanism.UNKNOWN if scanned_us is None else Mechanism.STALLED_DECIDER


def count_mechanisms(kills: pd.DataFrame) -> dict[str, MechanismCount]:
    """Of some kills of a table, each mechanism; kills of a table that has no such column are unknown."""
    mechanisms = kills["mechanism"].fillna(Mechanism.UNKNOWN)
    return {
        str(mechanism): _count(kills[mechanisms == mechanism]["decision_to_choice_us"].astype("Int64"))
        for mechanism in Mechanism
    }


def _count(delays_us: pd.Series) -> MechanismCount:
    known = delays_us.dropna()
    return MechanismCount(
        kills=len(delays_us),
        decision_to_choice_us_median=int(known.median()) if len(known) else None,
        decision_to_choice_us_least=int(known.min()) if len(known) else None,
        decision_to_choice_us_most=int(known.max()) if len(known) else None,
    )
