"""Rows beside the facts: the run, its trials, and what was printed, counted and traced in each round."""

from __future__ import annotations

from typing import Any

from ..collectors.files import TrialRecord
from ..collectors.memcg import MemcgCounters
from ..collectors.trace import TraceEvent
from ..oomlog.records import Report
from ..oomlog.tasks import COLUMNS

Row = dict[str, Any]
_COUNTED = ("memory.events", "memory.current", "memory.swap.current", "memory.pressure", "cpu.stat")


def trial_row(record: TrialRecord, boot_id: str | None) -> Row:
    """A row of the table trials."""
    names = (
        "arm", "scenario", "trial_id", "boot", "block", "token", "first_round", "rounds", "rounds_begun",
        "warm_up", "outcome",
        "reason", "started", "guest_start_s", "containers_start_s", "rounds_s",
        "host_steal_share", "host_others_share",
    )  # fmt: skip
    return {name: getattr(record, name) for name in names} | {"boot_id": boot_id}


def task_rows(report: Report) -> list[Row]:
    """Rows of the table tasks."""
    table = report.tasks
    if table is None:
        return []
    names = ["pid", *(COLUMNS[name] for name in table.columns[1:] if name in COLUMNS)]
    kept = [0, *(place for place, name in enumerate(table.columns) if place and name in COLUMNS)]
    return [
        {"report": report.index, "comm": comm} | dict(zip(names, values, strict=True))
        for comm, values in zip(table.comms(), table.values[:, kept].tolist(), strict=True)
    ]


def counter_rows(before: MemcgCounters, after: MemcgCounters) -> list[Row]:
    """Rows of the table memory_events."""
    rows = []
    for name in dict.fromkeys((*before, *after)):
        file, _, key = name.partition(" ")
        if file in _COUNTED:
            rows.append({"file": file, "key": key or None, "before": before.get(name), "after": after.get(name)})
    return rows


def trace_rows(events: list[TraceEvent]) -> list[Row]:
    """Rows of the table trace_events."""
    return [
        {
            "time_us": event.time_us,
            "cpu": event.cpu,
            "comm": event.comm,
            "pid": event.pid,
            "tgid": event.tgid,
            "event": event.name,
            "subject_pid": event.subject_pid,
            "fields": event.fields,
        }
        for event in events
    ]
