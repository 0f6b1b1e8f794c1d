"""The four witnesses of a round, reconciled by what each one really counts.

| witness | counts |
|---|---|
| kmsg | "Killed process" records |
| memory.events oom_kill | the same calls of __oom_kill_process() |
| oom:mark_victim | each victim marked, once; also a task that is dying already and was not killed |
| supervisor | hogs dead by SIGKILL, its own clean-up apart |

Expected where neither memory.oom.group nor a shared mm is in play: kmsg and oom_kill count alike; each kmsg victim is
marked; the hogs among the kmsg victims are the ones that the supervisor saw die, and any other hog that it saw die was
marked without a kill (task_will_free_mem, mm/oom_kill.c).
With memory.oom.group kmsg and oom_kill both count the chosen victim again. Processes that share the victim's mm are killed
without a record (__oom_kill_process()): a hog may die because a child of its own was the victim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SUPERVISOR_COMM = "hog-supervisor"  # workloads/hog/supervise.c


@dataclass(frozen=True)
class Witnesses:
    """What each witness saw, by pid in the initial pid namespace."""

    kmsg: tuple[int, ...]
    oom_kill: int | None
    marks: frozenset[int]
    supervisor: frozenset[int] | None  # None: the round has no end
    hogs: frozenset[int]
    trace_complete: bool
    kmsg_complete: bool
    children: Mapping[int, int] = field(default_factory=dict)  # processes that hogs forked -> their hog
    reprints: int = 0  # records of a group decision that name its chosen victim again

    @property
    def can_be_checked(self) -> bool:
        """Whether all four are complete, so that a difference between them is a disagreement."""
        return self.oom_kill is not None and self.supervisor is not None and self.trace_complete and self.kmsg_complete

    @property
    def silent_marks(self) -> frozenset[int]:
        """Pids that the kernel marked as victims and whose kill the kernel log does not report."""
        return self.marks - frozenset(self.kmsg)

    def disagreement(self) -> str | None:
        """Who departs from the expected relation, or None."""
        if not self.can_be_checked or self.supervisor is None:
            return None
        departures = []
        killed = frozenset(self.kmsg)
        if len(self.kmsg) != self.oom_kill:
            departures.append(f"kmsg has {len(self.kmsg)} kills, memory.events {self.oom_kill}")
        if len(killed) + self.reprints != len(self.kmsg):
            departures.append("kmsg names a victim twice")
        if unmarked := killed - self.marks:
            departures.append(f"trace does not mark {_pids(unmarked)} that kmsg names")
        if alive := (killed & self.hogs) - self.supervisor:
            departures.append(f"supervisor does not see {_pids(alive)} die that kmsg names")
        with_children = {self.children[pid] for pid in (killed | self.marks) & self.children.keys()}
        if unexplained := self.supervisor - killed - self.marks - with_children:
            departures.append(f"supervisor sees {_pids(unexplained)} die by SIGKILL that neither kmsg nor trace names")
        return "; ".join(departures) or None


def _pids(pids: frozenset[int]) -> str:
    return "pid " + ", ".join(map(str, sorted(pids)))
