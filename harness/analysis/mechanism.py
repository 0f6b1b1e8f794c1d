"""Why a kill overlaps an earlier victim: what kept the OOM killer from waiting for it.

select_bad_process() gives up, and nothing is killed, when its scan meets a victim whose memory is not back. So a kill
that was decided while an earlier victim was still there has passed that victim by:

| mechanism | the trace shows | so |
|---|---|---|
| stalled-decider | every such victim was released between the decision and the choice | the decider went on with a decision that time had overtaken: it was put to sleep meanwhile (cond_resched() in mem_cgroup_scan_tasks(), 06717a7b6c86), or its CPU was taken away |
| hidden-victim | one was not released when the next was chosen, nor reaped | the scan did not meet it, or it did not count: css_task_iter hides exiting tasks (7.0 and later, a72f73c4dd9b) |
| given-up-victim | one was not released by then, and any such had been reaped | the kernel had given it up (MMF_OOM_SKIP), though its memory was not back |
| unknown | none of these for certain: the time of the choice is not in the trace, or a victim had exited and its release is not | |

The end of the scan is the choice. Where it is missing, it lies between the decision and the mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
import pandas as pd

from .columns import equals, known
from .tracedkill import TracedKill


class Mechanism(StrEnum):
    """What the trace shows of an overlapping kill."""

    STALLED_DECIDER = "stalled-decider"
    HIDDEN_VICTIM = "hidden-victim"
    GIVEN_UP_VICTIM = "given-up-victim"
    UNKNOWN = "unknown"


class MechanismCount(msgspec.Struct, frozen=True, kw_only=True):
    """Redundant kills of one mechanism, and how long their deciders took from the decision to the choice of a victim."""

    kills: int
    decision_to_choice_us_median: int | None  # None: no kill, or the trace has no choice
    decision_to_choice_us_least: int | None
    decision_to_choice_us_most: int | None


def mechanism_of(kill: TracedKill, pending: Sequence[TracedKill]) -> Mechanism:
    """The mechanism of a kill whose decision the trace shows; `pending`: the earlier victims of its domain that were not
    released when it was decided."""
    assert kill.decision_us is not None
    earliest_choice = latest_choice = kill.decision_us + (kill.choice_after_us or 0)
    if kill.choice_after_us is None:
        assert kill.mark_us is not None  # a decision is found by the mark of its kill
        latest_choice = kill.mark_us
    mechanisms = {_passed(victim, earliest_choice, latest_choice) for victim in pending}
    if Mechanism.HIDDEN_VICTIM in mechanisms:
        return Mechanism.HIDDEN_VICTIM
    if Mechanism.UNKNOWN in mechanisms or not mechanisms:
        return Mechanism.UNKNOWN
    return Mechanism.GIVEN_UP_VICTIM if Mechanism.GIVEN_UP_VICTIM in mechanisms else Mechanism.STALLED_DECIDER


def _passed(victim: TracedKill, earliest_choice: int, latest_choice: int) -> Mechanism:
    """How one victim was passed by: what would be the mechanism if there were no other."""
    held = victim.is_held(latest_choice)
    if held is None:
        return Mechanism.UNKNOWN
    if not held:
        return Mechanism.STALLED_DECIDER if earliest_choice == latest_choice else Mechanism.UNKNOWN
    if victim.reaped_us is None or victim.reaped_us > latest_choice:
        return Mechanism.HIDDEN_VICTIM
    return Mechanism.GIVEN_UP_VICTIM if victim.reaped_us <= earliest_choice else Mechanism.UNKNOWN


COLUMNS = ("mechanism", "decision_to_choice_us")  # of the table of kills, that are counted


def count_mechanisms(kills: pd.DataFrame) -> dict[str, MechanismCount]:
    """Of some kills of a table, each mechanism; kills of a table that has no such column are unknown."""
    mechanisms = kills["mechanism"].fillna(Mechanism.UNKNOWN)
    delays = kills["decision_to_choice_us"]
    return {str(mechanism): _count(delays[equals(mechanisms, mechanism)]) for mechanism in Mechanism}


def _count(delays: pd.Series) -> MechanismCount:
    delays_us = known(delays)
    return MechanismCount(
        kills=len(delays),
        decision_to_choice_us_median=int(np.median(delays_us)) if len(delays_us) else None,
        decision_to_choice_us_least=int(np.min(delays_us)) if len(delays_us) else None,
        decision_to_choice_us_most=int(np.max(delays_us)) if len(delays_us) else None,
    )
