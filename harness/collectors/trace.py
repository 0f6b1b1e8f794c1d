"""Lines of the trace instance, read back as typed events.

Format (Documentation/trace/ftrace.rst, with record-tgid): ``comm-pid (tgid) [cpu] flags time: event: fields``.
The clock is mono: one clock for all CPUs, in microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE = re.compile(r"\s*(.{1,16})-(\d+)\s+\(\s*(\d+|-+)\) \[(\d+)\] \S+\s+(\d+)\.(\d{6}): (\w+): (.*)", re.DOTALL)
_PID = re.compile(r"\bpid=(\d+)")
_MEMCG = re.compile(r"\bmemcg=(0x[0-9a-f]+)")
_LOST = re.compile(r"CPU:\d+ \[LOST (\d+) EVENTS\]")


@dataclass(frozen=True)
class TraceEvent:
    """One event: the running task, the time, the event and its fields."""

    comm: str
    pid: int  # of the running thread, in the initial pid namespace
    tgid: int | None  # None where the kernel did not know it
    cpu: int
    time_us: int
    name: str
    fields: str

    @property
    def subject_pid(self) -> int | None:
        """The ``pid=`` field: the victim of mark_victim, the process of sched_process_exit."""
        match = _PID.search(self.fields)
        return int(match[1]) if match else None

    @property
    def memcg(self) -> int | None:
        """The OOM domain of oom_entry: address of its memcg, 0 for global OOM."""
        match = _MEMCG.search(self.fields)
        return int(match[1], 16) if match else None


def parse_trace_line(line: str) -> TraceEvent | None:
    """One event, or None if the line is not an event."""
    match = _LINE.fullmatch(line)
    if not match:
        return None
    tgid = int(match[3]) if match[3].isdigit() else None
    return TraceEvent(
        match[1].lstrip(),
        int(match[2]),
        tgid,
        int(match[4]),
        int(match[5]) * 1_000_000 + int(match[6]),
        match[7],
        match[8],
    )


def parse_trace(lines: Iterable[str]) -> Iterator[TraceEvent]:
    """Events in the order of their time; lines that are no event are skipped (`count_lost` reads the losses)."""
    return (event for line in lines if (event := parse_trace_line(line)))


def count_lost(lines: Iterable[str]) -> int:
    """Number of events that the trace reports as lost."""
    return sum(int(match[1]) for line in lines if (match := _LOST.match(line)))
