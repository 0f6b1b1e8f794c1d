"""What a log says, as records: reports, kills, releases, other events, and what is known to be missing.

A log without an oracle never says that a kill was redundant: it says whether an overlap is to be believed, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from .header import Header
from .kill import KilledLine
from .located import Location
from .meminfo import FreeBlocks, PageCounts, Zone
from .release import Reaped
from .tasks import TaskTable
from .watermark import FreeBlocksByZone, Zones, ZoneView, request_room_kb, zone_views

DEFAULT_PAGE_KB = 4
_UNLIMITED_KB = 1 << 50  # PAGE_COUNTER_MAX in kB is 2^53 with 4 kB pages; a "limit" up there is none


_Value = TypeVar("_Value")


class _once(Generic[_Value]):  # noqa: N801
    """functools.cached_property without the lock that it takes to 3.11: that costs more than what is computed here."""

    def __init__(self, compute: Callable[[Any], _Value]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        del owner
        self._name = name

    def __get__(self, record: Any, owner: type | None = None) -> _Value:
        del owner
        value = record.__dict__[self._name] = self._compute(record)
        return value


class Report(Struct, dict=True):
    """One printed OOM report; what it lacks is None. What is derived is computed once: ask when it is closed."""

    index: int
    boot: int
    location: Location  # of its header
    header: Header
    pid: int | None = None  # of the task that asked for memory
    kernel: str | None = None  # release
    constraint: str | None = None  # CONSTRAINT_MEMCG, ...; 5.0 and later
    oom_memcg: str | None = None
    task_memcg: str | None = None  # of the chosen process
    is_global: bool | None = None  # None: the report does not say
    cpuset: str | None = None
    mems_allowed: str | None = None
    chosen_pid: int | None = None
    chosen_comm: str | None = None
    counters: dict[str, tuple[int, int, int | None]] = field(default_factory=dict)  # usage kB, limit kB, failcnt
    stats: dict[str, int] = field(default_factory=dict)  # memory statistics of the OOM domain
    zones: list[tuple[Zone, tuple[int, ...]]] = field(default_factory=list)  # with their lowmem_reserve, pages
    free_blocks: dict[tuple[int | None, str], FreeBlocks] = field(default_factory=dict)  # by node and zone
    page_count_lines: list[PageCounts] = field(default_factory=list)
    nodemask: str | None = None  # of the memory policy; None: the report does not say
    tasks: TaskTable | None = None
    page_kb: int | None = None  # of the kernel; None: not to be told from this report
    has_summary: bool = False
    summary_is_cut: bool = False
    outcome: str = "none"  # killed, skipped, panic, no-victim, or none: the log does not say
    is_closed: bool = False
    free_swap_kb: int | None = None
    total_swap_kb: int | None = None
    ram_pages: int | None = None
    min_kb: int | None = None  # memory.min and memory.low in effect, 6.19 and later
    low_kb: int | None = None

    @property
    def domain(self) -> str | None:
        """The memcg that ran out, "global", or None where the report does not say."""
        return self.oom_memcg or ("global" if self.is_global else None)

    @property
    def is_memcg(self) -> bool | None:
        """Whether a memcg ran out rather than the machine; None: the report does not say."""
        if self.is_global is not None:
            return not self.is_global
        return True if self.oom_memcg or self.counters else None

    @property
    def usage_kb(self) -> int | None:
        """Usage of the OOM domain's memory counter, in kB; None: not in the report."""
        return self.counters["memory"][0] if "memory" in self.counters else None

    @property
    def limit_kb(self) -> int | None:
        """Limit of the OOM domain's memory counter, in kB; None: not in the report."""
        return self.counters["memory"][1] if "memory" in self.counters else None

    @_once
    def margin_kb(self) -> int | None:
        """Room under the limit: of memory, and of memory+swap where that is limited too (mem_cgroup_margin())."""
        rooms = [
            limit - usage
            for name in ("memory", "memory+swap")
            for usage, limit, _ in [self.counters.get(name, (0, _UNLIMITED_KB, None))]
            if limit < _UNLIMITED_KB
        ]
        return min(rooms) if rooms and "memory" in self.counters else None

    @property
    def kmem_margin_kb(self) -> int | None:
        """Room under the limit of kernel memory, which v1 has apart; None without such a limit."""
        usage, limit, _ = self.counters.get("kmem", (0, _UNLIMITED_KB, None))
        return limit - usage if limit < _UNLIMITED_KB else None

    @_once
    def zone_margin_kb(self) -> int | None:
        """Free memory above the high watermark in the best zone that the request may use (__alloc_pages_may_oom())."""
        return request_room_kb(*self._request())

    def zone_views(self) -> list[ZoneView]:
        """The zones as the request behind the report sees them."""
        return zone_views(*self._request())

    def _request(self) -> tuple[int | None, int | None, Zones, FreeBlocksByZone, int, str | None, str | None]:
        header, page_kb = self.header, self.page_kb or DEFAULT_PAGE_KB
        return header.gfp_mask, header.order, self.zones, self.free_blocks, page_kb, self.mems_allowed, self.nodemask

    @_once
    def charged_anon_kb(self) -> int | None:
        """Anonymous memory charged to the OOM domain: v2 `anon`, v1 `total_rss` or the sum of `rss`."""
        if "cache" in self.stats and self.stats.get("swap"):
            return None  # v1's rss counts pages on their way to swap, which no task maps
        for name in ("anon", "total_rss", "rss"):
            if name in self.stats:
                return self.stats[name] >> 10
        return None

    def task_sum_kb(self, *columns: str) -> int | None:
        """Sum of the first of these columns that the table has."""
        if self.tasks is None:
            return None
        for name in columns:
            if (column := self.tasks.column(name)) is not None:
                return int(column.sum()) * (self.page_kb or DEFAULT_PAGE_KB)
        return None

    @_once
    def page_counts(self) -> dict[str, int]:
        """Pages of the machine: active_anon, unevictable, shmem, ... The first line of a kind counts."""
        found: dict[str, int] = {}
        for line in self.page_count_lines:
            found = {**line.pages, **found}
        return found

    @property
    def task_count(self) -> int | None:
        """Rows of the task table; None where all of them are left out, as a search for a word does: no report lists nobody."""
        return None if self.tasks is None or not self.tasks.row_count else self.tasks.row_count

    @_once
    def has_whole_table(self) -> bool:
        """Whether the task table is whole for all that can be told: a search for a word leaves some of its rows."""
        table = self.tasks
        if table is None or table.damaged or not table.row_count:
            return False
        pid, comm = self.chosen_pid, self.chosen_comm
        return pid is None or pid in table.pids or comm in table.comms()

    @_once
    def in_flight_kb(self) -> int | None:
        """Charged anonymous memory that no listed task owns: it belongs to tasks on their way out.

        Before 6.8 the table has only `rss`, so this is a lower bound; pages shared by tasks make it one too.
        """
        charged, owned = self.charged_anon_kb, self.task_sum_kb("rss_anon", "rss")
        if charged is None or owned is None or not self.has_whole_table:
            return None
        return max(0, charged - owned)

    @_once
    def missing_parts(self) -> tuple[str, ...]:
        """Parts that a report of its kind has, and this one lacks."""
        parts = []
        if not self.header.is_complete:
            parts.append("header")
        if self.is_memcg and "memory" not in self.counters:
            parts.append("usage")
        if self.is_memcg is None:
            parts.append("domain")
        if self.is_global and not self.zones:
            parts.append("zones")
        if self.tasks is None or not (self.tasks.row_count or self.tasks.damaged):
            parts.append("tasks")
        elif self.tasks.damaged:
            parts.append("rows")
        if self.summary_is_cut:
            parts.append("summary")
        if self.outcome == "none":
            parts.append("outcome")
        return tuple(parts)

    @property
    def is_complete(self) -> bool:
        """Whether the report has every part that one of its kind has."""
        return not self.missing_parts


class Kill(Struct):
    """One process killed by a decision of the OOM killer."""

    index: int
    boot: int
    location: Location
    killed: KilledLine
    decision: int
    report: Report | None  # None: kept back by the rate limit, or lost
    chosen_pid: int
    oom_memcg: str | None = None
    is_global: bool | None = None
    domain_source: str = "unknown"  # known, inferred (how), unknown
    task_memcg: str | None = None
    group: str | None = None  # memcg of a memory.oom.group kill
    message: str = ""  # of its line, or of the line before it, to 5.0
    sharing_pids: list[int] = field(default_factory=list)  # killed with it as they share its memory, to 4.3
    released: list[Release] = field(default_factory=list)
    overlap_estimated: bool | None = None
    overlap_evidence: str = ""
    global_in_flight_kb: int | None = (
        None  # at least so much of earlier victims' memory is nobody's: of a machine that ran out
    )
    reprints: int = 0  # a chosen victim is printed again as a member of its group
    earlier_kills: list[int] = field(default_factory=list)  # of the domain and perhaps not released at the decision

    @property
    def domain(self) -> str | None:
        """The memcg that ran out, "global", or None."""
        return self.oom_memcg or ("global" if self.is_global else None)

    @property
    def in_flight_kb(self) -> int | None:
        """Memory that no listed task owns, as its report shows it, or its report and the one before."""
        return (
            self.global_in_flight_kb
            if self.report is None or self.global_in_flight_kb is not None
            else self.report.in_flight_kb
        )


class Release(Struct):
    """What the log says of a victim's memory after its kill."""

    index: int
    boot: int
    location: Location
    reaped: Reaped
    kill: int | None  # None: its kill is not in the log


class OtherEvent(Struct):
    """An event that is no kill and no release."""

    boot: int
    location: Location
    kind: str
    pid: int | None
    text: str
    report: int | None = None


@dataclass(slots=True)
class KnownLosses:
    """What the log is known to lack, and what was left out of the count and why."""

    suppressed_reports: int = 0  # suppressed by the rate limit; their kills are printed nevertheless
    dropped_records: int = 0  # lost by printk or journald: each may have been a kill
    dropped_by_syslog: int = 0  # lost by rsyslog, of user space
    sequence_gaps: int = 0  # records of /dev/kmsg that are not there
    kills_without_report: int = 0
    partial_kills: int = 0
    partial_reports: int = 0
    unended_reports: int = 0  # their end is not in the log: each may have been a kill
    damaged_rows: int = 0  # of task tables
    duplicate_lines: int = 0  # records pasted twice, dropped
    forged_kills: int = 0  # lines of user space that look like a kill, dropped
    unread_kills: int = 0  # lines that mention a kill and could not be read: each may have been one
    unread_heads: int = 0  # lines that mention a report and could not be read: heads and summaries
    unread_lines: list[int] = dataclass_field(default_factory=list)  # numbers of these lines, the first hundred
    forged_heads: int = 0  # lines of user space that look like a report's head or summary, dropped
    releases_without_kill: int = 0  # victims whose kill is not in the log: it begins too late, or lost it

    @property
    def kills_at_most(self) -> bool:
        """Whether nothing is known to be missing that may have been a kill."""
        return not (self.dropped_records or self.sequence_gaps or self.releases_without_kill)
