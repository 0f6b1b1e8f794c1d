"""The timeline of one round: each process's life, each decision, each kill, each teardown until the release.

All times are microseconds on the trace's clock, which is the supervisor's too (CLOCK_MONOTONIC). Nothing is put on it
that was not measured on it: a report of the kernel log stands between the decision and the mark of its kill, and has no
finer time here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..analysis.killclass import KillClass
from ..analysis.tracedkill import TracedKill
from ..collectors.rounds import RoundEvidence, TrialEvidence
from ..errors import UsageError
from ..oomlog.reading import collect_kmsg
from ..oomlog.records import DEFAULT_PAGE_KB

Row = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """A size that was measured at a time between two others."""

    earliest_us: int
    latest_us: int
    size_bytes: int
    source: str  # before or after (the round), or the kill whose report says it


@dataclass(frozen=True)
class Life:
    """One process of the workload. Its growth is known where a report lists it, and when all of its memory was touched."""

    pid: int
    name: str  # as it is: it may hold anything
    start_us: int | None  # armed, waiting for its phase; None without raw evidence
    full_us: int | None  # had touched all of its memory; None: it never had
    end_us: int | None  # exited; None: alive at the end of the round, or not known
    fate: str  # killed, exited, alive at the end, or unknown
    touched_bytes: int | None
    rss: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Teardown:
    """One process killed: decided, marked, and torn down until its memory is free."""

    order: int  # in the kernel's own order, from 1
    pid: int
    name: str
    kill_class: KillClass
    decider_pid: int | None
    decider_name: str
    decision_us: int | None  # entry of out_of_memory(); None: no trace of it
    choice_us: int | None  # end of the scan for a victim; None: no trace of it, or a global OOM
    mark_us: int | None  # oom:mark_victim
    release_us: int | None  # return of exit_mmap(); None: not in this round, or lost
    margin_bytes: int | None  # room under the limit as reported; None: no report
    anon_bytes: int | None  # of the victim
    mechanism: str | None  # what kept the OOM killer from waiting for these; None: nothing to wait for, or not known
    inside: tuple[int, ...]  # kills (by order) whose teardown was not over when this one was decided

    @property
    def is_redundant(self) -> bool:
        """Whether the kill was redundant."""
        return self.kill_class == KillClass.REDUNDANT


@dataclass(frozen=True)
class Entry:
    """One entry of out_of_memory() that made no kill."""

    time_us: int
    pid: int
    name: str


@dataclass(frozen=True)
class Timeline:
    """One round. `notes` say what the evidence lacks."""

    arm: str
    scenario: str
    trial_id: str
    round: int
    outcome: str
    disagreement: str | None
    start_us: int
    origin: str  # what that is, in words
    end_us: int
    has_end: bool  # the round ended by itself; otherwise `end_us` is the last thing that was seen
    lives: tuple[Life, ...]  # the victims in the order of their kills, then the others
    teardowns: tuple[Teardown, ...]
    entries: tuple[Entry, ...]
    has_entries: bool  # entries into the OOM killer were traced
    usage: tuple[Reading, ...]  # of the memcg
    limit_bytes: int | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What `--round` takes."""
        return f"{self.trial_id}/{self.round}"

    @property
    def redundant(self) -> tuple[Teardown, ...]:
        """The redundant kills, in the order of their decisions."""
        return tuple(teardown for teardown in self.teardowns if teardown.is_redundant)

    def ms(self, time_us: int) -> float:
        """Milliseconds since the round's start."""
        return (time_us - self.start_us) / 1000

    @property
    def has_times(self) -> bool:
        """Whether anything of it was seen on the trace's clock."""
        return self.end_us > self.start_us

    def focus(self, margin: float) -> tuple[int, int]:
        """From when to when things happen, with a margin (a share of that) on both sides, within the round.

        Of a completed round, decisions to releases; of another one, everything that was seen of it.
        """
        times = [time for t in self.teardowns for time in (t.decision_us, t.mark_us, t.release_us) if time is not None]
        if self.outcome != "completed":
            times += [entry.time_us for entry in self.entries]
            times += [time for life in self.lives for time in (life.full_us, life.end_us) if time is not None]
        if not times:
            return self.start_us, max(self.end_us, self.start_us + 1000)
        room_us = max(round(margin * (max(times) - min(times))), 2000)
        return max(self.start_us, min(times) - room_us), min(self.end_us, max(times) + room_us)


def _records(frame: pd.DataFrame, trial_id: str, number: int) -> list[Row]:
    rows = frame[(frame["trial_id"] == trial_id) & (frame["round"] == number)].astype(object)
    return rows.where(rows.notna(), None).to_dict("records")  # type: ignore[return-value]


def _bytes(size_kb: int | None) -> int | None:
    return None if size_kb is None else int(size_kb) << 10


def round_timeline(
    tables: dict[str, pd.DataFrame], trial_id: str, number: int, evidence: TrialEvidence | None
) -> Timeline:
    """The timeline of a round, from the run's tables and its trial's raw evidence.

    Without raw evidence it has the victims alone, and no entry without a kill. Raises UsageError when there is no such
    round.
    """
    rows = _records(tables["rounds"], trial_id, number)
    if not rows:
        raise UsageError(f"no round {trial_id}/{number} in this run", "write TRIAL/ROUND, such as 001-1/3")
    row = rows[0]
    kills = sorted(_records(tables["kills"], trial_id, number), key=lambda kill: kill["order"])
    reports = {report["report"]: report for report in _records(tables["reports"], trial_id, number)}
    raw = evidence.rounds.get(number) if evidence else None
    names = {kill["pid"]: kill["comm"] or "" for kill in kills} | (_hog_names(raw) if raw else {})
    teardowns = _teardowns(kills, names)
    entries = _entries(raw, teardowns, names) if raw else ()
    lives = _lives(raw, teardowns, names, _listed(raw, kills) if raw else {})
    start_us, end_us, has_end = _span(raw, lives, teardowns, entries)
    usage, unplaced = _usage(evidence, number, kills, reports, start_us, end_us)
    limits = [limit for report in reports.values() if (limit := _bytes(report["limit_kb"]))]
    if not limits and evidence and (limit := evidence.snapshots.get((0, "before"), {}).get("memory.max")):
        limits = [limit]
    return Timeline(
        arm=row["arm"],
        scenario=row["scenario"],
        trial_id=trial_id,
        round=number,
        outcome=row["outcome"],
        disagreement=row["witness_disagreement"],
        start_us=start_us,
        origin="the round began" if raw and raw.start else "the first event that is known",
        end_us=end_us,
        has_end=has_end,
        lives=lives,
        teardowns=teardowns,
        entries=entries,
        has_entries=raw is not None and any(event.name == "oom_entry" for event in raw.trace),
        usage=usage,
        limit_bytes=min(limits, default=None),
        notes=tuple(_notes(row, raw, teardowns, unplaced)),
    )


def _hog_names(raw: RoundEvidence) -> dict[int, str]:
    return {pid: raw.hog_ends[hog].name for pid, hog in raw.hog_pids.items() if hog in raw.hog_ends}


def _teardowns(kills: list[Row], names: dict[int, str]) -> tuple[Teardown, ...]:
    return tuple(
        Teardown(
            order=kill["order"],
            pid=kill["pid"],
            name=names[kill["pid"]],
            kill_class=KillClass(kill["kill_class"] or KillClass.UNKNOWN),
            decider_pid=kill["decider_pid"],
            decider_name=names.get(kill["decider_pid"], ""),
            decision_us=kill["decision_time_us"],
            choice_us=_sum(kill["decision_time_us"], kill["decision_to_choice_us"]),
            mark_us=kill["mark_time_us"],
            release_us=kill["release_time_us"],
            margin_bytes=_bytes(kill["margin_kb"]),
            anon_bytes=_bytes(kill["anon_rss_kb"]),
            mechanism=kill["mechanism"],
            inside=_inside(kill, kills[:index]) if kill["overlapping"] else (),
        )
        for index, kill in enumerate(kills)
    )


def _sum(time_us: int | None, later_us: int | None) -> int | None:
    return None if time_us is None or later_us is None else time_us + later_us


def _inside(kill: Row, earlier: list[Row]) -> tuple[int, ...]:
    """Which earlier victims of its domain were not released; that one was, `overlapping` says."""
    this, decided_us = TracedKill.of(kill), kill["decision_time_us"]
    others = [(row["order"], TracedKill.of(row)) for row in earlier]
    return tuple(
        order
        for order, other in others
        if this.domain in ("0x0", other.domain) and not other.has_decision_of(this) and other.is_held(decided_us)
    )


def _entries(raw: RoundEvidence, teardowns: tuple[Teardown, ...], names: dict[int, str]) -> tuple[Entry, ...]:
    decisions = {(teardown.decider_pid, teardown.decision_us) for teardown in teardowns}
    return tuple(
        Entry(event.time_us, event.pid, names.get(event.pid, event.comm))
        for event in raw.trace
        if event.name == "oom_entry" and (event.pid, event.time_us) not in decisions
    )


def _listed(raw: RoundEvidence, kills: list[Row]) -> dict[int, list[Reading]]:
    """What the task tables of the reports say of each process, by pid."""
    kill_of = {kill["report"]: kill for kill in reversed(kills)}
    readings: dict[int, list[Reading]] = {}
    for report in collect_kmsg(raw.kmsg).reports:
        kill, rss_pages = kill_of.get(report.index), report.tasks.column("rss") if report.tasks else None
        if report.tasks is None or rss_pages is None or kill is None:
            continue
        earliest_us, latest_us = kill["decision_time_us"], kill["mark_time_us"]
        if earliest_us is None or latest_us is None:
            continue
        for pid, pages in zip(report.tasks.values[:, 0].tolist(), rss_pages.tolist(), strict=True):
            size_bytes = pages * (report.page_kb or DEFAULT_PAGE_KB) << 10
            readings.setdefault(pid, []).append(Reading(earliest_us, latest_us, size_bytes, f"kill {kill['order']}"))
    return readings


def _lives(
    raw: RoundEvidence | None,
    teardowns: tuple[Teardown, ...],
    names: dict[int, str],
    rss: dict[int, list[Reading]],
) -> tuple[Life, ...]:
    order = {teardown.pid: teardown.order for teardown in teardowns}
    if raw is None:
        return tuple(Life(t.pid, t.name, None, None, None, "killed", None) for t in teardowns)
    exits = {
        pid: event.time_us
        for event in raw.trace
        if event.name == "sched_process_exit" and (pid := event.subject_pid) is not None
    }
    start_us = raw.start.time_ns // 1000 if raw.start else None
    lives = []
    for pid, hog in raw.hog_pids.items():
        end = raw.hog_ends.get(hog)
        end_us, fate = exits.get(pid), "killed" if pid in order else "unknown"
        if end is not None:
            if end.cleanup or not end.dead:
                end_us, fate = None, "alive at the end"
            else:
                fate = "killed" if pid in order or end.signal == 9 else "exited"
                end_us = end_us or (end.dead_ns // 1000 or None)
        full_us = end.full_ns // 1000 if end and end.full_ns else None
        name = names.get(pid, f"hog {hog}")
        touched_bytes = end.touched_bytes if end else None
        lives.append(Life(pid, name, start_us, full_us, end_us, fate, touched_bytes, tuple(rss.get(pid, ()))))
    for teardown in teardowns:
        if teardown.pid not in raw.hog_pids:
            lives.append(Life(teardown.pid, teardown.name, None, None, exits.get(teardown.pid), "killed", None))
    return tuple(sorted(lives, key=lambda life: (order.get(life.pid, len(order) + 1), life.pid)))


def _span(
    raw: RoundEvidence | None, lives: tuple[Life, ...], teardowns: tuple[Teardown, ...], entries: tuple[Entry, ...]
) -> tuple[int, int, bool]:
    seen = [time for t in teardowns for time in (t.decision_us, t.mark_us, t.release_us) if time is not None]
    seen += [entry.time_us for entry in entries]
    seen += [time for life in lives for time in (life.full_us, life.end_us) if time is not None]
    start = raw.start.time_ns // 1000 if raw and raw.start else min(seen, default=0)
    end = raw.end.time_ns // 1000 if raw and raw.end else None
    # A victim may be reaped by the supervisor after it has read the clock for the round's end.
    return min([start, *seen]), max([start if end is None else end, *seen]), end is not None


def _usage(
    evidence: TrialEvidence | None,
    number: int,
    kills: list[Row],
    reports: dict[int, Row],
    start_us: int,
    end_us: int,
) -> tuple[tuple[Reading, ...], int]:
    """Usage where evidence has it, and the number of reports that nothing puts on the trace's clock."""
    usage, placed = [], set()
    for when, time_us in (("before", start_us), ("after", end_us)):
        snapshot = evidence.snapshots.get((number, when), {}) if evidence else {}
        if (value := snapshot.get("memory.current")) is not None:
            usage.append(Reading(time_us, time_us, value, when))
    for kill in kills:
        report = reports.get(kill["report"])
        usage_bytes = _bytes(report["usage_kb"]) if report else None
        if report is None or usage_bytes is None or kill["decision_time_us"] is None or kill["mark_time_us"] is None:
            continue
        if report["report"] not in placed:
            placed.add(report["report"])
            usage.append(Reading(kill["decision_time_us"], kill["mark_time_us"], usage_bytes, f"kill {kill['order']}"))
    return tuple(sorted(usage, key=lambda point: (point.earliest_us, point.latest_us))), len(reports) - len(placed)


def _notes(row: Row, raw: RoundEvidence | None, teardowns: tuple[Teardown, ...], unplaced: int) -> list[str]:
    notes = []
    if raw is None:
        notes.append("no raw evidence: other processes and entries without a kill are not shown")
    else:
        if raw.end is None:
            notes.append("the round has no end: its last known event is shown as its end")
        if not raw.trace_marked:
            notes.append("the trace lacks a marker of this round")
    losses = Counter(
        {
            "records of the kernel log": row["lost_kmsg_records"] or 0,
            "events of the trace": row["lost_trace_events"] or 0,
            "probe hits": row["missed_probes"] or 0,
        }
    )
    notes += [f"lost: {count} {kind}" for kind, count in losses.items() if count]
    if untraced := sum(teardown.mark_us is None for teardown in teardowns):
        notes.append(f"{untraced} kills without a trace have no known time")
    if unreleased := sum(t.mark_us is not None and t.release_us is None for t in teardowns):
        notes.append(f"{unreleased} kills without a release in this round")
    if unplaced:
        notes.append(f"{unplaced} reports without a traced kill have no known time")
    if row.get("silent_marks"):
        notes.append(f"{row['silent_marks']} victims marked without a kill: they were dying already")
    return notes
