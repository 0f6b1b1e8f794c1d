"""Timelines as trace events, for https://ui.perfetto.dev or chrome://tracing.

Format: "Trace Event Format", the JSON object form. Each round is a process of the viewer and each process of the round
a thread of it. Times are microseconds since the round began, so that rounds of several boots stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from .timeline import Timeline
from .timelinetext import explain, heading
from .visible import visible

Event = dict[str, Any]
_OOM_THREAD = 0  # no hog has pid 0; the kernel runs one decision at a time, under oom_lock


def trace_events(timelines: Iterable[Timeline]) -> bytes:
    """The JSON file."""
    events = [event for group, timeline in enumerate(timelines, start=1) for event in _round_events(group, timeline)]
    return msgspec.json.encode({"displayTimeUnit": "ms", "traceEvents": events})


def _round_events(group: int, timeline: Timeline) -> Iterator[Event]:
    def at(time_us: int) -> int:
        return time_us - timeline.start_us

    def event(phase: str, name: str, thread: int, time_us: int, **rest: object) -> Event:
        return {"ph": phase, "name": name, "pid": group, "tid": thread, "ts": at(time_us), "cat": "oom", **rest}

    def named(kind: str, thread: int, **args: object) -> Event:
        return {"ph": "M", "name": kind, "pid": group, "tid": thread, "args": args}

    yield named("process_name", _OOM_THREAD, name=f"{visible(timeline.name)} {visible(timeline.arm)}")
    yield named("process_sort_index", _OOM_THREAD, sort_index=group)
    yield named("thread_name", _OOM_THREAD, name="out_of_memory()")
    yield named("thread_sort_index", _OOM_THREAD, sort_index=0)
    whole = {"what": heading(timeline), "clock_us": timeline.start_us, "notes": list(timeline.notes)}
    yield event("i", "round begins", _OOM_THREAD, timeline.start_us, s="p", args=whole)
    for entry in timeline.entries:
        by = {"by": f"{entry.pid} {visible(entry.name)}"}
        yield event("i", "entered, no kill", _OOM_THREAD, entry.time_us, s="t", args=by)
    if timeline.limit_bytes:
        yield event("C", "memory.max", _OOM_THREAD, timeline.start_us, args={"bytes": timeline.limit_bytes})
    for point in timeline.usage:
        # A counter has one time: that by which the value was certainly reported. The viewer holds it until the next.
        yield event("C", "usage when measured", _OOM_THREAD, point.latest_us, args={"bytes": point.size_bytes})
    victims = {teardown.pid: teardown for teardown in timeline.teardowns}
    for index, life in enumerate(timeline.lives, start=1):
        yield named("thread_name", life.pid, name=visible(life.name))
        yield named("thread_sort_index", life.pid, sort_index=index)
        victim = victims.get(life.pid)
        end_us = (victim.mark_us if victim else None) or life.end_us or timeline.end_us
        if life.start_us is not None:
            fate = {"fate": life.fate, "touched_bytes": life.touched_bytes}
            grown_us = min(life.full_us, end_us) if life.full_us is not None else end_us
            yield event("X", "alive", life.pid, life.start_us, dur=grown_us - life.start_us, args=fate)
            if grown_us < end_us:
                yield event("X", "done growing", life.pid, grown_us, dur=end_us - grown_us, args=fate)
    for teardown in timeline.teardowns:
        if teardown.mark_us is None:
            continue
        label = f"kill {teardown.order}, {teardown.kill_class}"
        args: dict[str, object] = {
            "victim": f"{teardown.pid} {visible(teardown.name)}",
            "decided by": f"{teardown.decider_pid} {visible(teardown.decider_name)}",
            "margin_bytes": teardown.margin_bytes,
            "anon_rss_bytes": teardown.anon_bytes,
            "why": explain(timeline, teardown),
            "mechanism": teardown.mechanism,
            "rss_bytes": {
                f"{life.pid} {visible(life.name)}": reading.size_bytes
                for life in timeline.lives
                for reading in life.rss
                if reading.source == f"kill {teardown.order}"
            },
        }
        if teardown.decision_us is not None:
            decided, marked = teardown.decision_us, teardown.mark_us
            yield event("X", label, _OOM_THREAD, decided, dur=marked - decided, args=args)
            if teardown.choice_us is not None:
                yield event("i", f"chosen, {label}", _OOM_THREAD, teardown.choice_us, s="t")
            flow = {"id": group * 1_000_000 + teardown.order}
            yield event("s", "kill", _OOM_THREAD, decided, **flow)
            yield event("f", "kill", teardown.pid, marked, bp="e", **flow)
        until = timeline.end_us if teardown.release_us is None else teardown.release_us
        released = {**args, "released": teardown.release_us is not None}
        yield event(
            "X", f"teardown, {label}", teardown.pid, teardown.mark_us, dur=until - teardown.mark_us, args=released
        )
