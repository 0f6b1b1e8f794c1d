"""Classes of kills.

| class | surplus | overlapping |
|---|---|---|
| redundant | yes | yes |
| fruitless | yes | no |
| premature | no | yes |
| necessary | no | no |
| collateral | any: the victim is none of the workload's hogs | |
| unknown | evidence missing | |

overlapping: out_of_memory() was entered before an earlier victim of the same OOM domain was released (the return of
exit_mmap() for its mm, or the end of its reaping). Unknown once it has exited without a release: somebody pins its mm. The invariant is that of the 2006 patch "mm: avoid unnecessary OOM kills".
surplus: the declared demand of all hogs not killed before, the victim included, and what killed ones left behind,
already fitted under every limit that holds the victim. Null where the scenario declares no demand; no kill is redundant there.
mechanism: what kept the kernel from waiting for that victim (harness/analysis/mechanism.py).
With memory.oom.group a decision kills many: what was alive is asked once a decision, and each of its kills shares the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd

from ..spec.scenario import Scenario
from ..tables.schema import KILLS
from .killclass import KillClass
from .mechanism import mechanism_of
from .tracedkill import TracedKill

_CLASS = {
    (True, True): KillClass.REDUNDANT,
    (True, False): KillClass.FRUITLESS,
    (False, True): KillClass.PREMATURE,
    (False, False): KillClass.NECESSARY,
}
_ROUND = ["arm", "scenario", "trial_id", "round"]
_GLOBAL = "0x0"


def classify(kills: pd.DataFrame, rounds: pd.DataFrame, scenarios: Mapping[str, Scenario]) -> pd.DataFrame:
    """Kills with `overlapping`, `surplus`, `kill_class` and `mechanism` filled in. Evidence that is missing gives null and unknown."""
    incomplete = rounds[(rounds["lost_trace_events"] > 0) | (rounds["missed_probes"] > 0)]
    lossy = set(incomplete[_ROUND].itertuples(index=False, name=None))
    # Sorted and converted once, not round by round.
    ordered = kills.sort_values([*_ROUND, "order"]).astype(object)
    records: list[dict[str, Any]] = ordered.where(ordered.notna(), None).to_dict("records")  # type: ignore[assignment]
    where = itemgetter(*_ROUND)
    rows: list[dict[str, Any]] = []
    for round_, group in groupby(records, key=where):
        rows += _classify_round(list(group), scenarios[round_[1]], traced=round_ not in lossy)
    return KILLS.frame(rows)


def _classify_round(kills: list[dict[str, Any]], scenario: Scenario, traced: bool) -> list[dict[str, Any]]:
    alive = set(range(len(scenario.hogs)))
    surplus: bool | None = None
    decided: TracedKill | None = None  # the first kill of the decision
    seen = [TracedKill.of(kill) for kill in kills]
    for index, (row, kill) in enumerate(zip(kills, seen, strict=True)):
        pending = _pending(kill, seen[:index], traced, scenario)
        overlapping = None if pending is None else bool(pending)
        if decided is None or not kill.has_decision_of(decided):
            surplus = _fits(scenario, alive, kill.hog)
            decided = kill if kill.decision_us is not None else None
        if kill.hog is None:
            kill_class = KillClass.COLLATERAL
        elif overlapping is None or surplus is None:
            kill_class = KillClass.UNKNOWN
        else:
            kill_class = _CLASS[surplus, overlapping]
        mechanism = str(mechanism_of(kill, pending)) if pending else None
        row |= {"overlapping": overlapping, "surplus": surplus, "kill_class": str(kill_class), "mechanism": mechanism}
        if kill.hog is not None:
            alive.discard(kill.hog)
    return kills


def _fits(scenario: Scenario, alive: set[int], victim: int | None) -> bool | None:
    """None: nobody knows, or the victim is no hog."""
    return scenario.demand_fits(alive, victim) if scenario.has_oracle and victim is not None else None


def _pending(kill: TracedKill, earlier: list[TracedKill], traced: bool, scenario: Scenario) -> list[TracedKill] | None:
    """The earlier victims that could have helped and were not released when this kill was decided. None: the evidence does
    not say whether there is one."""
    if not earlier:
        return []
    decided_us = kill.decision_us
    if decided_us is None or not traced:
        return None
    pending, is_known = [], True
    for victim in earlier:
        if victim.has_decision_of(kill):
            continue  # members of one group decision
        if victim.mark_us is None:
            is_known = False
        elif kill.domain in (_GLOBAL, victim.domain):
            held = victim.is_held(decided_us)
            if held:
                pending.append(victim)
            is_known &= held is not None
        elif not _far_apart(kill, victim, scenario):
            is_known = False  # another domain: whether it lies below this one, the trace does not say
    return pending if pending or is_known else None


def _far_apart(kill: TracedKill, victim: TracedKill, scenario: Scenario) -> bool:
    """Whether the victim's memory could not have helped, as its memcg is not below this kill's domain."""
    if kill.hog is None or victim.hog is None:
        return False
    return scenario.domains_differ(kill.hog, victim.hog) is True
