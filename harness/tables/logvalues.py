"""Records of a kernel log as rows of its tables, one record at a time."""

from __future__ import annotations

from dataclasses import asdict

from ..oomlog.located import Location
from ..oomlog.owner import NOBODY, Owner, owner_of
from ..oomlog.records import Kill, KnownLosses, OtherEvent, Release, Report
from .log import LOG_EVENTS, LOG_KILLS, LOG_RELEASES, LOG_REPORTS, LOG_ZONES, Row, Values


def _place(location: Location) -> Values:
    """Where it stands: time_s to host of the tables."""
    if location.uptime_s is not None:  # most lines
        return location.uptime_s, "uptime", location.line, location.offset, location.host or None
    return location.wall_s, location.clock or None, location.line, location.offset, location.host or None


def _owner(*memcgs: str | None) -> Owner:
    """pod_uid to runtime of the tables, by the first of these paths that names one."""
    for memcg in memcgs:
        if memcg is not None and (owner := owner_of(memcg)) is not NOBODY:
            return owner
    return NOBODY


def report_values(report: Report, file: str = "") -> Values:
    """A report as values in the order of LOG_REPORTS."""
    counters, header, missing = report.counters, report.header, report.missing_parts
    memory, memsw = counters.get("memory", (None,) * 3), counters.get("memory+swap", (None,) * 3)
    swap, kmem = counters.get("swap", (None,) * 3), counters.get("kmem", (None,) * 3)
    return (
        report.index,
        report.boot,
        *_place(report.location),
        header.comm,
        report.pid,
        report.kernel,
        header.gfp_mask,
        header.gfp_flags,
        header.order,
        header.oom_score_adj,
        report.constraint,
        report.domain,
        report.oom_memcg,
        report.task_memcg,
        *_owner(report.task_memcg, report.oom_memcg),
        report.cpuset,
        report.mems_allowed,
        report.chosen_pid,
        report.chosen_comm,
        memory[0],
        memory[1],
        memory[2],
        memsw[0],
        memsw[1],
        swap[0],
        swap[1],
        kmem[0],
        report.margin_kb,
        report.zone_margin_kb,
        report.charged_anon_kb,
        report.in_flight_kb,
        report.task_count,
        report.page_kb,
        report.total_swap_kb,
        report.free_swap_kb,
        report.outcome,
        not missing,
        ", ".join(missing) or None,
        file,
    )


def report_row(report: Report, file: str = "") -> Row:
    """A report as a row of LOG_REPORTS."""
    return LOG_REPORTS.row_of(report_values(report, file))


def kill_values(kill: Kill, file: str = "") -> Values:
    """A kill as values in the order of LOG_KILLS."""
    killed, report = kill.killed, kill.report
    return (
        kill.index,
        killed.pid,
        killed.comm,
        *_place(kill.location),
        kill.boot,
        kill.decision,
        None if report is None else report.index,
        kill.chosen_pid,
        kill.domain,
        kill.oom_memcg,
        kill.domain_source,
        kill.task_memcg,
        kill.group,
        *_owner(kill.task_memcg, kill.group, kill.oom_memcg),
        killed.total_vm_kb,
        killed.anon_rss_kb,
        killed.file_rss_kb,
        killed.shmem_rss_kb,
        killed.uid,
        killed.pgtables_kb,
        killed.oom_score_adj,
        None if report is None else report.margin_kb,
        kill.in_flight_kb,
        kill.overlap_estimated,
        kill.overlap_evidence,
        kill.earlier_kills,
        list(kill.sharing_pids),  # a line that comes too late must not change a row that was given
        killed.is_complete,
        file,
    )


def kill_row(kill: Kill, file: str = "") -> Row:
    """A kill as a row of LOG_KILLS."""
    return LOG_KILLS.row_of(kill_values(kill, file))


def release_values(release: Release, file: str = "") -> Values:
    """A release as values in the order of LOG_RELEASES."""
    reaped = release.reaped
    return (
        release.index,
        reaped.kind,
        reaped.pid,
        reaped.comm,
        *_place(release.location),
        release.boot,
        release.kill,
        reaped.anon_rss_kb,
        reaped.file_rss_kb,
        reaped.shmem_rss_kb,
        reaped.is_complete,
        file,
    )


def release_row(release: Release, file: str = "") -> Row:
    """A release as a row of LOG_RELEASES."""
    return LOG_RELEASES.row_of(release_values(release, file))


def event_values(event: OtherEvent, file: str = "") -> Values:
    """An event as values in the order of LOG_EVENTS."""
    return (
        event.kind,
        event.pid,
        event.text,
        *_place(event.location),
        event.boot,
        event.report,
        file,
    )


def event_row(event: OtherEvent, file: str = "") -> Row:
    """An event as a row of LOG_EVENTS."""
    return LOG_EVENTS.row_of(event_values(event, file))


def zone_values(report: Report) -> list[Values]:
    """The zones of a report as values in the order of LOG_ZONES."""
    return [
        (
            report.index, zone.node, zone.name, zone.free_kb, zone.min_kb, zone.low_kb, zone.high_kb, list(reserve),
            zone.highatomic_kb, zone.free_cma_kb, list(blocks.counts) if blocks is not None else None,
        )
        for zone, reserve in report.zones
        for blocks in (report.free_blocks.get((zone.node, zone.name)),)
    ]  # fmt: skip


def zone_rows(report: Report) -> list[Row]:
    """The zones of a report as rows of LOG_ZONES."""
    return [LOG_ZONES.row_of(values) for values in zone_values(report)]


def missing_row(missing: KnownLosses) -> Row:
    """What is missing, by name."""
    return asdict(missing)
