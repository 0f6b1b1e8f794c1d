"""Rounds worth a picture: with a redundant kill, with witnesses that disagree, or not completed; not more than a cap."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ..analysis.killclass import KillClass

_KINDS = ("redundant kill", "witnesses disagree", "not completed")


@dataclass(frozen=True)
class Pick:
    """One round to draw, and why."""

    trial_id: str
    round: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class Picks:
    """The rounds to draw, by arm, and how many there are of each kind."""

    drawn: tuple[Pick, ...]
    found: dict[str, int]
    interesting: frozenset[tuple[str, int]]  # all rounds of these kinds
    were_asked_for: bool = False  # a person named them

    @property
    def left_out(self) -> int:
        """Interesting rounds that are not drawn."""
        return len(self.interesting - {(pick.trial_id, pick.round) for pick in self.drawn})


def pick_rounds(arms: list[str], rounds: pd.DataFrame, kills: pd.DataFrame, cap: int) -> Picks:
    """Arms and kinds take turns, the first rounds first; an arm without any gives one ordinary round, for contrast."""
    at = rounds.set_index(["trial_id", "round"])
    redundant = kills.loc[kills["kill_class"] == KillClass.REDUNDANT, ["trial_id", "round"]]
    kinds = pd.DataFrame(
        {
            "redundant kill": at.index.isin(pd.MultiIndex.from_frame(redundant)),
            "witnesses disagree": at["witness_disagreement"].notna().to_numpy(dtype=bool),
            "not completed": (at["outcome"] != "completed").to_numpy(dtype=bool),
        },
        index=at.index,
    )
    interesting = kinds[kinds.any(axis=1)]
    arm_of = at["arm"].loc[interesting.index].to_numpy()
    queues = [list(interesting.index[(arm_of == arm) & interesting[kind]]) for arm in arms for kind in _KINDS]
    chosen: dict[tuple[str, int], None] = {}
    while any(queues) and len(chosen) < cap:
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < cap:
                chosen[queue.pop(0)] = None
    picks = []
    for arm in arms:
        mine = [where for where in interesting.index[arm_of == arm] if where in chosen]
        picks += [Pick(where[0], where[1], tuple(kind for kind in _KINDS if kinds.loc[where, kind])) for where in mine]
        if not (arm_of == arm).any() and (at["arm"] == arm).any():
            trial_id, number = at.index[at["arm"] == arm][0]
            picks.append(Pick(trial_id, number, ("for contrast: this arm has no such round",)))
    counts = {kind: int(kinds[kind].sum()) for kind in _KINDS}
    return Picks(tuple(picks), counts, frozenset(interesting.index))
