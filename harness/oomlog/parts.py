"""How a part is put into its report. The first of its kind counts, as a second is another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .domain import (
    LARGEST_STAT,
    MEMCG_CONSTRAINT,
    LimitReached,
    OomKillSummary,
    Protection,
    StatsHead,
    Usage,
    VictimMemcg,
)
from .header import CpuLine, Cpuset
from .meminfo import FreeBlocks, LowmemReserve, PageCounts, RamPages, Swap, Zone
from .records import Report
from .tasks import TaskTable


def _take_usage(report: Report, usage: Usage) -> None:
    report.counters.setdefault(usage.counter, (usage.usage_kb, usage.limit_kb, usage.failcnt))


def _take_victim_memcg(report: Report, victim: VictimMemcg) -> None:
    report.oom_memcg = report.oom_memcg or victim.oom_memcg
    report.task_memcg = report.task_memcg or victim.task_memcg


def _take_limit_reached(report: Report, reached: LimitReached) -> None:
    report.oom_memcg = report.oom_memcg or reached.oom_memcg


def _take_tasks(report: Report, table: TaskTable) -> None:
    report.tasks = report.tasks or table


def _take_cpu_line(report: Report, line: CpuLine) -> None:
    if report.pid is None and (report.header.comm is None or line.comm.strip() == report.header.comm.strip()):
        report.pid, report.kernel = line.pid, line.kernel or report.kernel


def _take_cpuset(report: Report, cpuset: Cpuset) -> None:
    report.cpuset, report.mems_allowed = cpuset.cpuset, cpuset.mems_allowed


def _take_zone(report: Report, zone: Zone) -> None:
    report.zones.append((zone, ()))
    report.is_global = True if report.is_global is None and not report.counters else report.is_global


def _take_lowmem_reserve(report: Report, reserve: LowmemReserve) -> None:
    if report.zones and not report.zones[-1][1]:
        report.zones[-1] = (report.zones[-1][0], reserve.pages)


def _take_free_blocks(report: Report, blocks: FreeBlocks) -> None:
    report.free_blocks.setdefault((blocks.node, blocks.zone), blocks)


def _take_page_counts(report: Report, counts: PageCounts) -> None:
    report.page_count_lines.append(counts)


def _take_swap(report: Report, swap: Swap) -> None:
    if swap.kind == "Free":
        report.free_swap_kb = swap.kb
    else:
        report.total_swap_kb = swap.kb


def _take_ram_pages(report: Report, ram: RamPages) -> None:
    report.ram_pages = ram.pages


def _take_protection(report: Report, protection: Protection) -> None:
    report.min_kb, report.low_kb = protection.min_kb, protection.low_kb


def _take_summary(report: Report, summary: OomKillSummary) -> None:
    if report.has_summary:
        return
    report.has_summary, report.summary_is_cut = True, not summary.is_complete
    report.constraint = summary.constraint
    report.oom_memcg = summary.oom_memcg
    report.task_memcg = summary.task_memcg
    report.cpuset, report.mems_allowed = summary.cpuset, summary.mems_allowed
    report.nodemask = summary.nodemask
    report.chosen_pid, report.chosen_comm = summary.pid, summary.comm
    if summary.oom_memcg is not None:
        report.is_global = False
    elif summary.is_global or summary.is_complete:
        # without CONFIG_MEMCG nothing says global_oom; of a memcg's limit the path may be left out by whoever retyped it
        report.is_global = summary.is_global or not (report.counters or summary.constraint == MEMCG_CONSTRAINT)


def _take_stats(report: Report, stats: StatsHead) -> None:
    """From 3.9 to 5.2 there is a line for every descendant: sizes add up to the domain's."""
    if "cache" in stats.values and "rss" in stats.values and "anon" not in stats.values:
        for name, value in stats.values.items():
            report.stats[name] = min(report.stats.get(name, 0) + value, LARGEST_STAT)
    elif not report.stats:
        report.stats = dict(stats.values)
    if report.oom_memcg is None and stats.memcg and not report.has_summary:
        report.oom_memcg = stats.memcg


FILL: dict[type, Callable[[Report, Any], None]] = {
    Usage: _take_usage,
    OomKillSummary: _take_summary,
    VictimMemcg: _take_victim_memcg,
    LimitReached: _take_limit_reached,
    StatsHead: _take_stats,
    Protection: _take_protection,
    TaskTable: _take_tasks,
    CpuLine: _take_cpu_line,
    Cpuset: _take_cpuset,
    Zone: _take_zone,
    LowmemReserve: _take_lowmem_reserve,
    FreeBlocks: _take_free_blocks,
    PageCounts: _take_page_counts,
    Swap: _take_swap,
    RamPages: _take_ram_pages,
}


def opens(part: Any) -> bool:
    """Whether a part is of an OOM report and nothing else, so that there is one though its header is not in the log."""
    if type(part) is TaskTable:
        return bool(part.row_count)
    return type(part) in _OPENING


_OPENING = (VictimMemcg, LimitReached, Usage, StatsHead, OomKillSummary)
