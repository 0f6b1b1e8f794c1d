"""What the trace says of one kill: when it was decided, chosen, marked and over, and when its victim's memory was back.

In one call of out_of_memory(), under oom_lock:

    oom_entry ... scan_end (the victim is chosen) ... scan_end (the report's task table) ... mark_victim ... oom_return

The scans are calls of mem_cgroup_scan_tasks(). A global OOM chooses without it, and a kernel may lack the probe: the
time of the choice is then not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.collectors.rounds import RoundEvidence
from harness.collectors.trace import TraceEvent

# The return of exit_mmap(), or on a kernel without kprobe events the tracepoint at its end.
RELEASES = ("mm_release", "exit_mmap")


def named(events: Sequence[TraceEvent], *names: str) -> list[TraceEvent]:
    """The events of these names, in order."""
    return [event for event in events if event.name in names]


def traced_facts(found: RoundEvidence, mark: TraceEvent | None, hog: int | None) -> dict[str, Any]:
    """Times of a kill, as columns of the table of kills. The decision is the entry of out_of_memory() by the task that then
    marks the victim.

    An mm that processes of one hog share is released by the last of them.
    """
    if mark is None:
        return {}
    sharers = {pid for pid, owner in (found.hog_pids | found.child_pids).items() if hog is not None and owner == hog}
    victims = {mark.subject_pid} | (sharers if found.child_pids else set())
    released = [e for e in named(found.trace, *RELEASES) if e.tgid in victims or e.pid in victims]
    release = _first(released, mark.time_us)
    own = [event for event in found.trace if event.pid == mark.pid]
    row: dict[str, Any] = {
        "decider_pid": mark.pid,
        "mark_time_us": mark.time_us,
        "release_time_us": release.time_us if release else None,
    }
    if returned := _first(named(own, "oom_return"), mark.time_us):
        row["mark_to_return_us"] = returned.time_us - mark.time_us
    entries = [event for event in named(own, "oom_entry") if event.time_us <= mark.time_us]
    if entries:
        decision = entries[-1]
        row |= {
            "decision_time_us": decision.time_us,
            "domain": None if decision.memcg is None else hex(decision.memcg),
        }
        chosen = _first(named(own, "scan_end"), decision.time_us)
        if decision.memcg != 0 and chosen is not None and chosen.time_us <= mark.time_us:
            row["decision_to_choice_us"] = chosen.time_us - decision.time_us
            row["choice_to_mark_us"] = mark.time_us - chosen.time_us
    return row


def _first(events: Sequence[TraceEvent], not_before_us: int) -> TraceEvent | None:
    return next((event for event in events if event.time_us >= not_before_us), None)
