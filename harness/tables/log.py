"""Tables of a kernel log: what `oomtrial parse` and `oomtrial.parse_log` give."""

from __future__ import annotations

from typing import Any

from ..oomlog.tasks import COLUMNS
from .schema import Column, Table

Row = dict[str, Any]
Values = tuple[Any, ...]  # of a row, in the order of its table's columns: of millions, no dict each

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
