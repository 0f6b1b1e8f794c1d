"""Kills of other memcgs: on a kernel shared with other workloads, they also run out of memory while a round runs."""

from __future__ import annotations

from ..collectors.rounds import RoundEvidence, TrialEvidence
from ..oomlog.reading import Collected
from ..oomlog.records import Kill
from .witnesses import SUPERVISOR_COMM


def part_foreign(oom: Collected, round_evidence: RoundEvidence, evidence: TrialEvidence) -> list[Kill]:
    """Removes kills of other memcgs than the trial's from a round's records, and returns them.

    A victim belongs to the trial if it is a hog, or if the report says that it lived in the trial's memcg or that this memcg's limit
    was hit. Without a report, it belongs to another workload unless it has the supervisor's name.
    """
    if not evidence.is_shared:
        return []
    foreign = [kill for kill in oom.kills if not _is_ours(kill, round_evidence, evidence.memcg)]
    indices = {kill.index for kill in foreign}
    foreign_reports = {kill.report.index for kill in foreign if kill.report is not None}
    oom.kills = [kill for kill in oom.kills if kill.index not in indices]
    oom.reports = [
        report
        for report in oom.reports
        if report.index not in foreign_reports
        and (report.oom_memcg is None or _is_in(report.oom_memcg, evidence.memcg))
    ]
    oom.releases = [release for release in oom.releases if release.kill not in indices]
    return foreign


def _is_ours(kill: Kill, round_evidence: RoundEvidence, memcg: str) -> bool:
    if kill.killed.pid in round_evidence.hog_pids or kill.killed.pid in round_evidence.child_pids:
        return True
    if kill.report is None:
        return kill.killed.comm == SUPERVISOR_COMM
    return _is_in(kill.task_memcg, memcg) or _is_in(kill.report.oom_memcg, memcg)


def _is_in(path: str | None, memcg: str) -> bool:
    """The kernel prints the whole path; what the collector sees may begin further down."""
    return path is not None and bool(memcg) and memcg in path
