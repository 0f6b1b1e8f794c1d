"""From a trial's evidence to rows of facts. Nothing is judged here but the witnesses."""

from __future__ import annotations

from typing import Any

from ..collectors.rounds import RoundEvidence, TrialEvidence
from ..oomlog.events import TROUBLE
from ..oomlog.reading import Collected, collect_kmsg
from ..oomlog.records import Kill, Report
from ..spec.outcome import Outcome
from ..spec.scenario import Scenario
from .details import counter_rows, task_rows, trace_rows, trial_row
from .foreign import part_foreign
from .schema import TABLES
from .stalls import next_progress_ns, union_us
from .traced import RELEASES, named, traced_facts
from .waits import jain, longest_lost_us, survivors_waits_us
from .witnesses import SUPERVISOR_COMM, Witnesses

Row = dict[str, Any]
_SIGKILL = 9
_LEFT_BEHIND = 0.1  # of its anonymous memory, at most, by a victim that was reaped


def trial_rows(evidence: TrialEvidence, scenario: Scenario, kept: range | None = None) -> dict[str, list[Row]]:
    """Rows of all tables but runs, for one trial; `kept`: the rounds that count, all by default."""
    record = evidence.record
    rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    rows["trials"].append(trial_row(record, evidence.boot_id))
    for number in range(record.first_round, record.first_round + record.rounds) if kept is None else kept:
        round_evidence = evidence.rounds.get(number)
        if round_evidence is None or not round_evidence.armed:
            continue  # never begun; the run's summary counts it as not run
        location = {
            "arm": record.arm,
            "scenario": record.scenario,
            "trial_id": record.trial_id,
            "boot": record.boot,
            "round": number,
        }
        oom = collect_kmsg(round_evidence.kmsg)
        foreign = part_foreign(oom, round_evidence, evidence)
        kills = _kill_rows(round_evidence, oom, scenario)
        facts = {"boot_id": evidence.boot_id, "warm_up": record.is_warm_up(number), "foreign_kills": len(foreign)}
        rows["rounds"].append({**location, **facts, **_round_row(evidence, round_evidence, oom, kills)})
        rows["kills"] += [{**location, **row} for row in kills]
        rows["reports"] += [{**location, **_report_row(report)} for report in oom.reports]
        before, after = (evidence.snapshots.get((number, when), {}) for when in ("before", "after"))
        for name, details in (
            ("foreign_kills", list(map(_kill_facts, foreign))),
            ("releases", _release_rows(round_evidence, oom)),
            ("tasks", [row for report in oom.reports for row in task_rows(report)]),
            ("memory_events", counter_rows(before, after)),
            ("trace_events", trace_rows(round_evidence.trace)),
        ):
            rows[name] += [{**location, **row} for row in details]
    return rows


def _outcome(evidence: TrialEvidence, round_evidence: RoundEvidence, witnesses: Witnesses) -> str:
    """A round is lost until proved otherwise; without an end of its own it shares its trial's. One whose kernel log has a
    hole is completed only if every kill that the memcg counted is there all the same."""
    if round_evidence.end is None:
        return evidence.record.outcome if evidence.record.outcome != Outcome.COMPLETED else Outcome.LOST
    if round_evidence.end.hung or round_evidence.end.stuck:
        return Outcome.HUNG
    is_whole = round_evidence.is_finished and round_evidence.kmsg_marked
    if not is_whole and evidence.record.outcome in (Outcome.LOST, Outcome.PANICKED):
        return evidence.record.outcome  # it came to its end, but records of it were lost with the guest
    has_kills = witnesses.kmsg_complete or (round_evidence.kmsg_marked and len(witnesses.kmsg) == witnesses.oom_kill)
    return Outcome.COMPLETED if round_evidence.end.recorded and has_kills else Outcome.HARNESS_ERROR


def _witnesses(evidence: TrialEvidence, round_evidence: RoundEvidence, oom: Collected) -> Witnesses:
    pid_of = {hog: pid for pid, hog in round_evidence.hog_pids.items()}
    supervisor = None
    if round_evidence.end is not None:
        dead = (
            end for end in round_evidence.hog_ends.values() if end.dead and end.signal == _SIGKILL and not end.cleanup
        )
        supervisor = frozenset(pid_of.get(end.hog, -end.hog - 1) for end in dead)
    marks = frozenset(
        pid for event in named(round_evidence.trace, "mark_victim") if (pid := event.subject_pid) is not None
    )
    if evidence.is_shared:
        marks &= (
            round_evidence.hog_pids.keys() | round_evidence.child_pids.keys() | {kill.killed.pid for kill in oom.kills}
        )
    return Witnesses(
        kmsg=tuple(kill.killed.pid for kill in oom.kills for _ in range(1 + kill.reprints)),
        oom_kill=evidence.counter_growth(round_evidence.number, "memory.events oom_kill"),
        marks=marks,
        supervisor=supervisor,
        hogs=frozenset(round_evidence.hog_pids),
        children={pid: pid_of[hog] for pid, hog in round_evidence.child_pids.items() if hog in pid_of},
        reprints=sum(kill.reprints for kill in oom.kills),
        trace_complete=round_evidence.trace_marked
        and not round_evidence.lost_trace_events
        and not evidence.marks_missing,
        kmsg_complete=round_evidence.kmsg_marked and not round_evidence.lost_kmsg_records,
    )


def _round_row(evidence: TrialEvidence, round_evidence: RoundEvidence, oom: Collected, kills: list[Row]) -> Row:
    witnesses = _witnesses(evidence, round_evidence, oom)
    ends = round_evidence.hog_ends.values()
    duration = None
    if round_evidence.start and round_evidence.end:
        duration = (round_evidence.end.time_ns - round_evidence.start.time_ns) // 1000
    return {
        "outcome": _outcome(evidence, round_evidence, witnesses),
        "hogs": len(round_evidence.hog_pids),
        "kmsg_kills": len(witnesses.kmsg),
        "oom_kill": witnesses.oom_kill,
        "trace_marks": len(witnesses.marks),
        "supervisor_kills": None if witnesses.supervisor is None else len(witnesses.supervisor),
        "cleanup_kills": None if round_evidence.end is None else sum(end.cleanup for end in ends),
        "silent_marks": len(witnesses.silent_marks),
        "witness_disagreement": witnesses.disagreement(),
        "witnesses_checked": witnesses.can_be_checked,
        "reports": len(oom.reports),
        "suppressed_reports": oom.missing.suppressed_reports,
        "oom_entries": len(named(round_evidence.trace, "oom_entry")),
        "memory_events_oom": evidence.counter_growth(round_evidence.number, "memory.events oom"),
        "lost_kmsg_records": round_evidence.lost_kmsg_records,
        "lost_trace_events": round_evidence.lost_trace_events,
        "missed_probes": round_evidence.missed_probes,
        "forged_kills": oom.missing.forged_kills,
        "trouble_lines": sum(other.kind in TROUBLE for other in oom.others),
        "supervisor_invoked": any(report.header.comm == SUPERVISOR_COMM for report in oom.reports),
        "baseline_clean": round_evidence.baseline_clean,
        "duration_us": duration,
        "memory_full_us": evidence.counter_growth(round_evidence.number, "memory.pressure full"),
        "system_us": evidence.counter_growth(round_evidence.number, "cpu.stat system_usec"),
        **_stall_facts(round_evidence, kills),
    }


def _stall_facts(round_evidence: RoundEvidence, kills: list[Row]) -> Row:
    if round_evidence.end is None:
        return {}
    spans = [
        (row["decision_time_us"], row["decision_time_us"] + row["stall_us"])
        for row in kills
        if row.get("stall_us") is not None
    ]
    ends = round_evidence.hog_ends.values()
    waits = [
        (start // 1000, end // 1000) for hog in ends if hog.cleanup or not hog.dead for start, end, _ in hog.stalls
    ]
    survivors = survivors_waits_us(ends)
    return {
        "stall_us": None if any(row.get("decision_time_us") is None for row in kills) else union_us(spans),
        "waited_us": union_us(waits),
        "longest_wait_us": max((longest for longest, _ in survivors), default=0),
        "waits_jain": jain(together for _, together in survivors),
        "stall_system_us": sum(system_ns for end in ends for *_, system_ns in end.stalls) // 1000,
        "stalls_lost": sum(end.stalls_lost for end in ends),
        "longest_lost_us": longest_lost_us(ends),
        "failed_hogs": sum(end.failed != 0 for end in ends),
    }


def _kill_rows(round_evidence: RoundEvidence, oom: Collected, scenario: Scenario) -> list[Row]:
    marks = {event.subject_pid: event for event in reversed(named(round_evidence.trace, "mark_victim"))}
    # The kernel's own order: of marking, which happens under oom_lock; the log has the same order.
    kills = sorted(
        oom.kills,
        key=lambda kill: (mark.time_us if (mark := marks.get(kill.killed.pid)) else 0, kill.location.sequence or 0),
    )
    if any(kill.killed.pid not in marks for kill in kills):
        kills = sorted(oom.kills, key=lambda kill: kill.location.sequence or 0)
    reaped = _reaped_pids(oom)
    rows = []
    for order, kill in enumerate(kills, start=1):
        pid = kill.killed.pid
        hog = round_evidence.hog_pids.get(pid, round_evidence.child_pids.get(pid))
        sharers, readers = frozenset[int](), frozenset[int]()
        if hog is not None:
            readers = frozenset(pid for pid, owner in round_evidence.hog_pids.items() if hog == scenario.read_by(owner))
        if hog is not None and scenario.hogs[hog].shares_mm:
            sharers = frozenset(
                pid for pid, owner in (round_evidence.hog_pids | round_evidence.child_pids).items() if owner == hog
            )
        facts = traced_facts(round_evidence, marks.get(pid), sharers, pid in reaped, readers)
        row = {"order": order, **_kill_facts(kill), **facts}
        if hog is not None:
            row |= {"hog": hog, "demand_bytes": scenario.hogs[hog].demand_bytes}
        if (decided := row.get("decision_time_us")) is not None:
            progress_ns = next_progress_ns(round_evidence.hog_ends.values(), decided * 1000)
            row["stall_us"] = None if progress_ns is None else max(0, progress_ns // 1000 - decided)
        rows.append(row)
    return rows


def _reaped_pids(oom: Collected) -> set[int]:
    """Victims whose memory the oom_reaper had. Before 5.17 it left alone what is locked."""
    left_kb = {
        release.reaped.pid: release.reaped.anon_rss_kb or 0
        for release in oom.releases
        if release.reaped.kind == "reaped"
    }
    had_kb = {kill.killed.pid: kill.killed.anon_rss_kb or 0 for kill in oom.kills}
    return {pid for pid, left in left_kb.items() if left <= _LEFT_BEHIND * had_kb.get(pid, 0)}


def _time_us(uptime_s: float | None) -> int | None:
    return None if uptime_s is None else round(uptime_s * 1e6)


def _kill_facts(kill: Kill) -> Row:
    killed, report = kill.killed, kill.report
    return {
        "pid": killed.pid,
        "comm": killed.comm,
        "kmsg_sequence": kill.location.sequence,
        "kmsg_time_us": _time_us(kill.location.uptime_s),
        "report": report.index if report else None,
        "oom_memcg": report.oom_memcg if report else None,
        "task_memcg": report.task_memcg if report else None,
        "margin_kb": report.margin_kb if report else None,
        "total_vm_kb": killed.total_vm_kb,
        "anon_rss_kb": killed.anon_rss_kb,
        "file_rss_kb": killed.file_rss_kb,
        "shmem_rss_kb": killed.shmem_rss_kb,
        "oom_score_adj": killed.oom_score_adj,
        "overlap_estimated": kill.overlap_estimated,
        "overlap_evidence": kill.overlap_evidence or None,
    }


def _report_row(report: Report) -> Row:
    return {
        "report": report.index,
        "kmsg_sequence": report.location.sequence,
        "kmsg_time_us": _time_us(report.location.uptime_s),
        "comm": report.header.comm,
        "gfp_mask": report.header.gfp_mask,
        "order": report.header.order,
        "usage_kb": report.usage_kb,
        "limit_kb": report.limit_kb,
        "failcnt": report.counters["memory"][2] if "memory" in report.counters else None,
        "margin_kb": report.margin_kb,
        "constraint": report.constraint,
        "oom_memcg": report.oom_memcg,
        "victim_pid": report.chosen_pid,
        "complete": report.is_complete,
    }


def _release_rows(round_evidence: RoundEvidence, oom: Collected) -> list[Row]:
    rows: list[Row] = []
    for event in named(round_evidence.trace, *RELEASES):
        pid = event.tgid if event.tgid is not None else event.pid
        if pid in round_evidence.hog_pids:
            rows.append({"pid": pid, "kind": "exit_mmap", "time_us": event.time_us})
    for release in oom.releases:
        if release.reaped.kind == "reaped":
            rows.append(
                {
                    "pid": release.reaped.pid,
                    "kind": "oom_reaper",
                    "time_us": _time_us(release.location.uptime_s),
                    "anon_rss_kb": release.reaped.anon_rss_kb,
                }
            )
    return rows
