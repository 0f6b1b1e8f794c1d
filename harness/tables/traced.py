"""What the trace says of one kill: when it was decided, chosen, marked and over, and when its victim's memory was back.

In one call of out_of_memory(), under oom_lock:

    oom_entry ... scan_end (the victim is chosen) ... scan_end (the report's task table) ... mark_victim ... oom_return

The scans are calls of mem_cgroup_scan_tasks(). A global OOM chooses without it, and a kernel may lack the probe: the
time of the choice is then not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..collectors.rounds import RoundEvidence
from ..collectors.trace import TraceEvent

# The return of exit_mmap(), or on a kernel without kprobe events the tracepoint at its end.
RELEASES = ("mm_release", "exit_mmap")
# On 7.x a process can be marked between its sched_process_exit and its exit_mm(); before the mark, only the last thread's counts.
_GROUP_DEAD = "group_dead=true"


def named(events: Sequence[TraceEvent], *names: str) -> list[TraceEvent]:
    """The events of these names, in order."""
    return [event for event in events if event.name in names]


def traced_facts(
    round_evidence: RoundEvidence,
    mark: TraceEvent | None,
    sharers: frozenset[int] = frozenset(),
    reaped: bool = False,
    readers: frozenset[int] = frozenset(),
) -> dict[str, Any]:
    """Times of a kill, as columns of the table of kills. The decision is the entry of out_of_memory() by the task that then
    marks the victim.

    `sharers`: processes that run on the victim's mm; `reaped`: the kernel log says that the oom_reaper had its memory;
    `readers`: processes that read the victim's memory, and no other one's.
    """
    if mark is None:
        return {}
    own = [event for event in round_evidence.trace if event.pid == mark.pid]
    row: dict[str, Any] = {"decider_pid": mark.pid, "mark_time_us": mark.time_us}
    row |= _release(round_evidence.trace, mark, sharers, reaped, readers)
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


def _release(
    trace: Sequence[TraceEvent], mark: TraceEvent, sharers: frozenset[int], reaped: bool, readers: frozenset[int]
) -> dict[str, int | str | None]:
    """When a victim's memory was back, by what, and when the last of its threads exited.

    The exit_mmap() of its mm is the last one that the process, or a sharer, runs: earlier ones are of an mm that was half
    made when the kill came, in fork() or execve(). An mm that another process pins (a reader of /proc/PID/smaps holds its
    mm_users) is torn down by that process: seen if it is one of the readers, else there is an exit without a release.

    The oom_reaper gives the memory back only of an mm that nobody was tearing down by then. Else what is left sits in the
    other's mmu_gather, rss is 0 all the same, and the memory is charged until exit_mmap() returns: seen on 6.1, where the
    margin was still 0 147 ms after the reaping.
    """
    tasks = sharers | {mark.subject_pid}
    # the pid of a mark may be a thread's
    victims = tasks | {event.tgid for event in trace if event.pid in tasks and event.tgid is not None}
    later = [event for event in trace if event.time_us >= mark.time_us]
    own = [e for e in named(later, *RELEASES) if e.tgid in victims or e.pid in victims]
    torn_down = own or [e for e in _torn_down_alive(trace, readers) if e.time_us >= mark.time_us]
    exits = [
        e.time_us
        for e in named(trace, "sched_process_exit")
        if (e.tgid in victims or e.subject_pid in victims) and (e.time_us >= mark.time_us or _GROUP_DEAD in e.fields)
    ]
    # A reaping that was cut short has a finish, too: the next attempt follows.
    finished = [e.time_us for e in named(later, "finish_task_reaping") if e.subject_pid == mark.subject_pid]
    reaped_us = finished[-1] if reaped and finished else None
    release_us = torn_down[-1].time_us if torn_down else None
    taker = torn_down[-1].pid if torn_down else None
    begun = [e.time_us for e in named(later, "mm_exit") if e.pid == taker or (taker is None and e.tgid in victims)]
    if not own and release_us is not None:
        begun = [time_us for time_us in begun if time_us <= release_us]  # later ones are of the reader's own mm
    # without the time at which exit_mmap() began, its return is what is known
    is_reapers = reaped_us is not None and (begun[-1] > reaped_us if begun else release_us is None)
    return {
        "release_time_us": reaped_us if is_reapers else release_us,
        "released_by": "oom_reaper" if is_reapers else "exit_mmap" if release_us is not None else None,
        "reaped_time_us": reaped_us,
        "exit_time_us": exits[-1] if exits else None,
    }


def _torn_down_alive(trace: Sequence[TraceEvent], readers: frozenset[int]) -> list[TraceEvent]:
    """The ends of exit_mmap() that a reader ran for an mm that is not its own. Its own goes when it exits: on 7.x after its
    sched_process_exit, earlier right before it."""
    torn_down = list[TraceEvent]()
    for pid in readers:
        ends = [event for event in named(trace, *RELEASES) if event.pid == pid]
        exited = next((e.time_us for e in named(trace, "sched_process_exit") if e.pid == pid), None)
        alive = [event for event in ends if exited is None or event.time_us <= exited]
        own_is_last = exited is not None and len(alive) == len(ends)
        torn_down += alive[:-1] if own_is_last else alive
    return sorted(torn_down, key=lambda event: event.time_us)


def _first(events: Sequence[TraceEvent], not_before_us: int) -> TraceEvent | None:
    return next((event for event in events if event.time_us >= not_before_us), None)
