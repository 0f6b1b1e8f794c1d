"""Tables of a kernel log: what `oomtrial parse` and `oomtrial.parse_log` give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from ..oomlog.located import Location
from ..oomlog.owner import NOBODY, Owner, owner_of
from ..oomlog.records import Kill, KnownLosses, OtherEvent, Release, Report
from ..oomlog.tasks import COLUMNS, TaskTable
from .schema import Column, Table, printable

Row = dict[str, Any]
Values = tuple[Any, ...]  # of a row, in the order of its table's columns: of millions, no dict each
_NEWLINE = ord("\n")

_BOOT = Column(
    "boot", "int", "", "number of the kernel's boot, from 1 in order of appearance; every file begins a new one"
)
_PLACE = (
    Column(
        "time_s", "float", "s", "timestamp of its line, on `clock`", "the line has no timestamp, or an unreadable one"
    ),
    Column(
        "clock",
        "string",
        "",
        "uptime: since boot; wall: since 1970, UTC where no zone is given; yearless: since 1 January",
        "no timestamp",
    ),
    Column("line", "int", "", "number of its line, from 1"),
    Column("offset", "int", "bytes", "offset of its line in the decompressed log"),
    Column("host", "string", "", "host named in the line", "no host in the line"),
)
_FILE = Column("file", "string", "", "log file")

_OWNER = (
    Column(
        "pod_uid",
        "string",
        "",
        "Kubernetes pod, from the path of the memcg",
        "no pod in the path, or the memcg is unknown",
    ),
    Column(
        "container_id",
        "string",
        "",
        "container ID, or the name of an LXC or libvirt machine, from the path",
        "as pod_uid",
    ),
    Column("unit", "string", "", "innermost systemd unit of the path: a service or a scope", "as pod_uid"),
    Column(
        "runtime",
        "string",
        "",
        "docker, containerd, cri-o, podman, kubernetes (a pod whose path does not name its runtime), lxc, ecs, ...",
        "as pod_uid",
    ),
)

LOG_REPORTS = Table(
    "reports",
    'one printed OOM report: "invoked oom-killer" and what follows',
    (
        Column("report", "int", "", "index, in order of appearance"),
        _BOOT,
        *_PLACE,
        Column("comm", "string", "", "name of the task that requested memory", "2.6.11 to 2.6.18, or the line is cut"),
        Column("pid", "int", "", "PID of that task", "no CPU line"),
        Column("kernel", "string", "", "release of the kernel", "no CPU line"),
        Column("gfp_mask", "int", "", "gfp mask of the failed allocation; 0 is pagefault_out_of_memory()", "cut"),
        Column("gfp_flags", "string", "", "names of the flags in gfp_mask", "to 4.5"),
        Column("order", "int", "", "order of the failed allocation: 2^order pages; -1 is SysRq-F", "2.6.11, or cut"),
        Column("oom_score_adj", "int", "", "oom_score_adj of that task", "to 2.6.35, or cut"),
        Column("constraint", "string", "", "CONSTRAINT_MEMCG, CONSTRAINT_NONE, ...", "to 4.20"),
        Column("domain", "string", "", "oom_memcg, or global", "not in the report"),
        Column("oom_memcg", "string", "", "memcg whose limit was hit", "global, or not in the report"),
        Column("task_memcg", "string", "", "memcg of the chosen process", "not in the report"),
        *_OWNER,
        Column("cpuset", "string", "", "cpuset of the task", "no CONFIG_CPUSETS"),
        Column("mems_allowed", "string", "", "NUMA nodes that the task may use", "no CONFIG_CPUSETS"),
        Column(
            "chosen_pid",
            "int",
            "",
            "PID of the process that was chosen",
            "no process was chosen, or the line is missing",
        ),
        Column("chosen_comm", "string", "", "name of that process", "as chosen_pid"),
        Column("usage_kb", "int", "kB", "memory charged to the OOM domain", "global, or the line is missing"),
        Column("limit_kb", "int", "kB", "memory.max of the OOM domain", "as usage_kb"),
        Column("failcnt", "int", "", "failed charges so far", "as usage_kb"),
        Column("memsw_usage_kb", "int", "kB", "memory+swap charged", "v2 from 5.3, or no swap accounting"),
        Column("memsw_limit_kb", "int", "kB", "limit of memory+swap", "as memsw_usage_kb"),
        Column("swap_usage_kb", "int", "kB", "swap charged", "v1, or before 5.3"),
        Column("swap_limit_kb", "int", "kB", "memory.swap.max", "as swap_usage_kb"),
        Column("kmem_usage_kb", "int", "kB", "kernel memory charged", "v2 from 5.3, or before 3.8"),
        Column(
            "margin_kb",
            "int",
            "kB",
            "room under the limit at the time of the report: limit minus usage of memory, and of memory+swap where limited",
            "global, or the lines are missing",
        ),
        Column(
            "zone_margin_kb",
            "int",
            "kB",
            "free memory above high watermark and reserve, in the best zone that the request may use; 0 or less if no block of its order is free",
            "no zone lines, no allocation (SysRq, a page fault), no zone in the report that it may use, or an unnamed policy decides",
        ),
        Column("anon_kb", "int", "kB", "anonymous memory charged to the OOM domain", "no statistics"),
        Column(
            "in_flight_kb",
            "int",
            "kB",
            "charged anonymous memory that no listed task owns; a lower bound",
            "no statistics or no whole table",
        ),
        Column("tasks", "int", "", "number of rows of the task table", "no table, or no row of it"),
        Column("page_kb", "int", "kB", "page size of the kernel, from the victim's sizes", "unknown"),
        Column("total_swap_kb", "int", "kB", "swap of the machine", "no Mem-Info"),
        Column("free_swap_kb", "int", "kB", "free swap of the machine", "no Mem-Info"),
        Column(
            "outcome",
            "string",
            "",
            "killed, skipped (the chosen process had exited), panic, no-victim, or none (not in the log)",
        ),
        Column("complete", "bool", "", "every part that a report of its kind has is there and whole"),
        Column("missing", "string", "", "missing parts, separated by commas", "complete"),
        _FILE,
    ),
)

LOG_KILLS = Table(
    "kills",
    "one process killed; a victim printed twice for one group kill is one row",
    (
        Column("kill", "int", "", "index, in order of appearance"),
        Column("pid", "int", "", "PID of the process that was killed"),
        Column("comm", "string", "", "name of the victim", "the line is cut within the name"),
        *_PLACE,
        _BOOT,
        Column("decision", "int", "", "index of the decision; the members of a group kill share one"),
        Column("report", "int", "", "index of its report", "suppressed by the rate limit, or lost"),
        Column(
            "chosen_pid",
            "int",
            "",
            "PID of the process that was chosen; it differs from pid for a sacrificed child (to 5.0), a thread, a group",
        ),
        Column("domain", "string", "", "oom_memcg, or global", "unknown"),
        Column("oom_memcg", "string", "", "memcg whose limit was hit", "global, or unknown"),
        Column("domain_source", "string", "", "known, inferred: HOW, or unknown"),
        Column(
            "task_memcg",
            "string",
            "",
            "memcg of the victim",
            "no report, or a member of a group kill that was not chosen",
        ),
        Column("group_memcg", "string", "", "memcg with memory.oom.group", "no group kill"),
        *_OWNER,
        Column("total_vm_kb", "int", "kB", "virtual memory of the victim", "to 2.6.32, or cut"),
        Column("anon_rss_kb", "int", "kB", "anonymous memory of the victim", "to 2.6.32, or cut"),
        Column("file_rss_kb", "int", "kB", "file-backed memory of the victim", "to 2.6.32, or cut"),
        Column("shmem_rss_kb", "int", "kB", "shared memory of the victim", "to 4.4, or cut"),
        Column("uid", "int", "", "UID of the victim", "to 5.3 but for Red Hat's, or cut"),
        Column("pgtables_kb", "int", "kB", "page tables of the victim", "to 5.3, or cut"),
        Column("oom_score_adj", "int", "", "oom_score_adj of the victim", "to 5.3, or cut"),
        Column("margin_kb", "int", "kB", "margin_kb of its report", "no report, or global"),
        Column(
            "in_flight_kb",
            "int",
            "kB",
            "memory that no listed task owns: from its report; where the machine ran out, memory of an earlier victim from two reports",
            "no report, or the parts are missing",
        ),
        Column("overlap_estimated", "bool", "", "estimate: came before an earlier victim's memory was free", "unknown"),
        Column("overlap_evidence", "string", "", "evidence for the estimate, or why there is none"),
        Column("earlier_kills", "list", "", "indices of the kills of the domain that may not have been released"),
        Column("sharing_pids", "list", "", "PIDs of processes killed with it because they share its memory (to 4.3)"),
        Column("complete", "bool", "", "its line is whole"),
        _FILE,
    ),
)

LOG_RELEASES = Table(
    "releases",
    "one oom_reaper line about a victim's memory",
    (
        Column("release", "int", "", "index, in order of appearance"),
        Column("kind", "string", "", "reaped, unable or giving-up"),
        Column("pid", "int", "", "PID of the victim"),
        Column("comm", "string", "", "name of the victim", "cut"),
        *_PLACE,
        _BOOT,
        Column("kill", "int", "", "index of its kill", "the kill is not in the log"),
        Column("anon_rss_kb", "int", "kB", "anonymous memory left after reaping", "kind is not reaped, or cut"),
        Column("file_rss_kb", "int", "kB", "file-backed memory left after reaping", "kind is not reaped, or cut"),
        Column("shmem_rss_kb", "int", "kB", "shared memory left after reaping", "kind is not reaped, or cut"),
        Column("complete", "bool", "", "its line is whole"),
        _FILE,
    ),
)

_TASK_UNITS = {"pages": "pages", "bytes": "bytes"}
LOG_TASKS = Table(
    "tasks",
    "one row of a task table; a page is `page_kb` of the report",
    (
        Column("report", "int", "", "index of the report"),
        Column("pid", "int", "", "PID of the task"),
        Column("comm", "string", "", "name of the task"),
        *(
            Column(
                name,
                "int",
                _TASK_UNITS.get(name.rpartition("_")[2], ""),
                f"the kernel's column {kernel}",
                "this kernel has no such column",
            )
            for kernel, name in COLUMNS.items()
        ),
        Column("line", "int", "", "number of its line, from 1"),
    ),
)

LOG_EVENTS = Table(
    "events",
    "one line that is neither a kernel OOM kill nor a release: a panic, a victim that had exited, no victim, a lockup, a kill by user space",
    (
        Column(
            "kind",
            "string",
            "",
            "skipped, panic, init-killed, no-victim, sysrq, sysrq-ignored, mm-pinned, page-fault-oom, oom-disabled, oom-enabled, purged, soft-lockup or hung-task; for a user-space OOM killer its name: systemd-oomd, earlyoom, nohang, oomd, lmkd, lowmemorykiller, kubelet, talos; told where a program reports a kill by the kernel",
        ),
        Column("pid", "int", "", "PID in the line", "none"),
        Column("text", "string", "", "text of the line"),
        *_PLACE,
        _BOOT,
        Column("report", "int", "", "index of the report that contains the line", "none"),
        _FILE,
    ),
)

LOG_ZONES = Table(
    "zones",
    "one memory zone of a global report",
    (
        Column("report", "int", "", "index of the report"),
        Column("node", "int", "", "NUMA node", "a kernel without NUMA"),
        Column("zone", "string", "", "DMA, DMA32, Normal, ..."),
        Column("free_kb", "int", "kB", "free memory"),
        Column("min_kb", "int", "kB", "minimum watermark"),
        Column("low_kb", "int", "kB", "low watermark"),
        Column("high_kb", "int", "kB", "high watermark, which the last attempt before a kill uses"),
        Column("reserve_pages", "list", "pages", "lowmem_reserve, by the requested zone"),
        Column("highatomic_kb", "int", "kB", "memory reserved for atomic requests", "not printed: to 4.19"),
        Column("free_cma_kb", "int", "kB", "free memory for movable pages only (CMA)", "no CONFIG_CMA"),
        Column("free_blocks", "list", "", "free blocks by order, from 0", "no buddy line"),
    ),
)

LOG_STATS = Table(
    "memory_stats",
    "one statistic of the OOM domain",
    (
        Column("report", "int", "", "index of the report"),
        Column("name", "string", "", "name of the statistic, as printed by the kernel"),
        Column("value", "int", "", "bytes, or a count"),
    ),
)

LOG_TABLES = (LOG_REPORTS, LOG_KILLS, LOG_RELEASES, LOG_TASKS, LOG_EVENTS, LOG_ZONES, LOG_STATS)


def _place(where: Location) -> Values:
    """The values of _PLACE."""
    if where.uptime_s is not None:  # most lines
        return where.uptime_s, "uptime", where.line, where.offset, where.host or None
    return where.wall_s, where.clock or None, where.line, where.offset, where.host or None


def _owner(*memcgs: str | None) -> Owner:
    """The values of _OWNER, by the first of these paths that names one."""
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
        *_place(report.where),
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
        *_place(kill.where),
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
        *_place(release.where),
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
        *_place(event.where),
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
            zone.highatomic_kb, zone.free_cma_kb, list(buddy.counts) if buddy is not None else None,
        )
        for zone, reserve in report.zones
        for buddy in (report.buddies.get((zone.node, zone.name)),)
    ]  # fmt: skip


def zone_rows(report: Report) -> list[Row]:
    """The zones of a report as rows of LOG_ZONES."""
    return [LOG_ZONES.row_of(values) for values in zone_values(report)]


def task_rows(report: Report) -> list[Row]:
    """The task table of a report as rows of LOG_TASKS."""
    table = report.tasks
    if table is None:
        return []
    names = ["pid", *(COLUMNS.get(name, name) for name in table.columns[1:])]
    blank = dict.fromkeys(COLUMNS.values())
    return [
        {"report": report.index, "comm": comm, **blank, **dict(zip(names, values, strict=True)), "line": line}
        for values, comm, line in zip(table.values.tolist(), table.comms(), table.lines.tolist(), strict=True)
    ]


def tasks_table(reports: Iterable[Report]) -> pa.Table:
    """The task tables of many reports as one Arrow table: column by column, as there may be millions of rows."""
    found = [report for report in reports if report.tasks is not None and report.tasks.row_count]
    tables = [report.tasks for report in found if report.tasks is not None]
    schema = LOG_TASKS.arrow_schema()
    if not tables:
        return schema.empty_table()
    counts = [table.row_count for table in tables]
    arrays: dict[str, Any] = {
        "report": np.repeat([report.index for report in found], counts),
        "comm": _comms(b"".join(table.names for table in tables)),
        "line": np.concatenate([table.lines for table in tables]),
    }
    arrays |= _numbers(tables, counts)
    rows = sum(counts)
    return pa.table(
        [arrays[field.name] if field.name in arrays else pa.nulls(rows, field.type) for field in schema], schema=schema
    )


def _comms(names: bytes) -> pa.Array:
    """Names, each ended by a newline, as a column: its bytes and where each begins, no string a row."""
    try:
        names.decode("utf-8")
    except UnicodeDecodeError:
        names = printable(names.decode("utf-8", "surrogateescape")).encode()
    ends = np.flatnonzero(np.frombuffer(names, dtype=np.uint8) == _NEWLINE)
    starts = np.zeros(len(ends) + 1, dtype=np.int32)
    starts[1:] = ends - np.arange(len(ends))  # the newlines are left out
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(starts), pa.py_buffer(names.replace(b"\n", b"")))


def _numbers(tables: Sequence[TaskTable], counts: list[int]) -> dict[str, Any]:
    """The columns of numbers. Kernels differ in their columns: where a row's table has none, it is null."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for index, table in enumerate(tables):
        kinds.setdefault(table.columns, []).append(index)
    if len(kinds) == 1:
        (columns,) = kinds
        values = np.concatenate([table.values for table in tables])
        return {COLUMNS.get(name, name): values[:, position] for position, name in enumerate(columns)}
    kind_of_table = np.empty(len(tables), dtype=np.int64)
    for kind, indices in enumerate(kinds.values()):
        kind_of_table[indices] = kind
    kind_of_row = np.repeat(kind_of_table, counts)
    numbers: dict[str, Any] = {}
    absent: dict[str, Any] = {}
    for kind, (columns, indices) in enumerate(kinds.items()):
        rows = np.flatnonzero(kind_of_row == kind)
        values = np.concatenate([tables[index].values for index in indices])
        for position, name in enumerate(columns):
            column = COLUMNS.get(name, name)
            if column not in numbers:
                numbers[column] = np.zeros(len(kind_of_row), dtype=np.int64)
                absent[column] = np.ones(len(kind_of_row), dtype=bool)
            numbers[column][rows] = values[:, position]
            absent[column][rows] = False
    return {name: pa.array(values, mask=absent[name]) for name, values in numbers.items()}


def missing_row(missing: KnownLosses) -> Row:
    """What is missing, by name."""
    return asdict(missing)
