"""Which memcg ran out, and how full it was."""

from __future__ import annotations

import re

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record


class OomKillSummary(Record, frozen=True):
    """The one-line summary of a report."""

    constraint: str
    nodemask: str
    cpuset: str | None  # None without CONFIG_CPUSETS
    mems_allowed: str | None
    oom_memcg: str | None  # None: global, or a kernel without memcg
    is_global: bool
    task_memcg: str | None
    comm: str | None  # None: the line is cut
    pid: int | None  # the process that was chosen
    uid: int | None
    is_complete: bool

    @property
    def is_whole(self) -> bool:
        """Whether the line ends with the pid and the uid, as the kernel prints it."""
        return self.is_complete


_SUMMARY = late_pattern(
    r"oom-kill:constraint=(?P<constraint>\w+),nodemask=(?P<nodemask>\([^)]*\)|[\d,-]*?)"
    r"(?:,cpuset=(?P<cpuset>.*?),mems_allowed=(?P<mems>[\d,-]*?))?"
    r"(?:,oom_memcg=(?P<oom>/.*?)|(?P<global>,global_oom))?(?:,task_memcg=(?P<memcg>/.*?))?"
    r",task=(?P<comm>.*),pid=(?P<pid>\d{1,18}),uid=(?P<uid>\d{1,18})",
    re.DOTALL,
)
MEMCG_CONSTRAINT = "CONSTRAINT_MEMCG"  # of a memcg's limit
_LONGEST = 2100  # no record of printk is longer; the expression would take its time for a line without end
# A cut line: what stands before a comma that follows is whole.
_SUMMARY_CUT = late_pattern(
    r"oom-kill:constraint=(?P<constraint>\w+),nodemask=(?P<nodemask>\([^)]*\)|[\d,-]*)"
    r"(?:,cpuset=(?P<cpuset>.*?),mems_allowed=(?P<mems>[\d,-]*))?"
    r"(?:,oom_memcg=(?P<oom>/[^,]*)|(?P<global>,global_oom))?(?:,task_memcg=(?P<memcg>/[^,]*))?,",
    re.DOTALL,
)


@line_format(
    "summary",
    "oom-kill:constraint=C,nodemask=N[,cpuset=P,mems_allowed=L][,oom_memcg=P|,global_oom][,task_memcg=P],task=COMM,pid=N,uid=N",
    "5.0 to 6.18; RHEL 8",
    "no cpuset without CONFIG_CPUSETS, no memcg without CONFIG_MEMCG; rate-limited with the header",
)
def parse_summary(text: str) -> OomKillSummary | None:
    """The summary (dump_oom_victim(), mm/oom_kill.c, and mem_cgroup_print_oom_context(), mm/memcontrol.c)."""
    if len(text) > _LONGEST:
        return None
    text = text.rstrip()
    match = _SUMMARY.fullmatch(text)
    if match:
        return OomKillSummary(
            match["constraint"], match["nodemask"], match["cpuset"], match["mems"], match["oom"],
            match["global"] is not None, match["memcg"], match["comm"], int(match["pid"]), int(match["uid"]), True,
        )  # fmt: skip
    match = _SUMMARY_CUT.match(text)
    if not match:
        return None
    return OomKillSummary(
        match["constraint"], match["nodemask"], match["cpuset"], match["mems"], match["oom"],
        match["global"] is not None, match["memcg"], None, None, None, False,
    )  # fmt: skip


class VictimMemcg(Record, frozen=True):
    """Victim's memcg and the memcg that ran out, before there was a summary line."""

    task_memcg: str
    oom_memcg: str


_VICTIM_MEMCG = late_pattern(r"Task in (.*) killed as a result of limit of (.+)", re.DOTALL)


@line_format("memcg", "Task in TASK_MEMCG killed as a result of limit of OOM_MEMCG", "2.6.30 to 4.20")
def parse_victim_memcg(text: str) -> VictimMemcg | None:
    """Both memcgs (mem_cgroup_print_oom_info(), mm/memcontrol.c)."""
    match = _VICTIM_MEMCG.fullmatch(text.rstrip())  # copies of a terminal are padded
    return VictimMemcg(match[1], match[2]) if match else None


class LimitReached(Record, frozen=True):
    """A report without a victim."""

    oom_memcg: str


_LIMIT_REACHED = late_pattern(r"Memory limit reached of cgroup (.+)", re.DOTALL)


@line_format("memcg", "Memory limit reached of cgroup OOM_MEMCG", "4.4 to 4.20", "no victim was chosen")
def parse_limit_reached(text: str) -> LimitReached | None:
    """The memcg that ran out when there is no victim (mem_cgroup_print_oom_info(), mm/memcontrol.c)."""
    match = _LIMIT_REACHED.fullmatch(text.rstrip())
    return LimitReached(match[1]) if match else None


class Usage(Record, frozen=True):
    """A counter of the OOM domain and its limit when the report was printed."""

    counter: str  # memory, memory+swap, kmem or swap
    usage_kb: int
    limit_kb: int
    failcnt: int | None  # None: the line is cut

    @property
    def is_complete(self) -> bool:
        """Whether the line has its last field, failcnt."""
        return self.failcnt is not None

    @property
    def is_whole(self) -> bool:
        """As `is_complete`: what a wrapped line lacks stands on the next one."""
        return self.is_complete


_USAGE = late_pattern(
    r"(memory|memory\+swap|kmem|swap): usage (\d{1,18})kB, limit (\d{1,18})kB(?:, failcnt (\d{1,18}))?"
)


@line_format("memcg", "memory: usage NkB, limit NkB, failcnt N", "2.6.30 to 6.18")
@line_format("memcg", "memory+swap: usage NkB, limit NkB, failcnt N", "2.6.30 to 5.2 on v1 and v2, later on v1")
@line_format("memcg", "kmem: usage NkB, limit NkB, failcnt N", "3.8 to 6.18", "from 5.3 on v1 only")
@line_format("memcg", "swap: usage NkB, limit NkB, failcnt N", "5.3 to 6.18", "v2 only")
def parse_usage(text: str) -> Usage | None:
    """One counter (mem_cgroup_print_oom_meminfo(), mm/memcontrol.c)."""
    match = _USAGE.match(text)
    if not match:
        return None
    return Usage(match[1], int(match[2]), int(match[3]), None if match[4] is None else int(match[4]))


class StatsHead(Record, frozen=True):
    """Memory statistics of a memcg, or their beginning."""

    memcg: str
    values: dict[str, int]  # bytes or counts, by the kernel's names; empty when they follow


_STATS = late_pattern(r"Memory cgroup stats for (.*?):(?:\s*(.*))?", re.DOTALL)
LARGEST_STAT = (1 << 63) - 1  # as tables have it; a damaged line may say more
_STATS_KB = late_pattern(r"(\w+):(\d{1,18})KB")
STAT = late_pattern(r"([a-z]\w*) (\d{1,18})")


@line_format("memcg", "Memory cgroup stats for MEMCG: cache:NKB rss:NKB ...", "3.9 to 5.2", "one line per descendant")
@line_format(
    "memcg",
    "Memory cgroup stats for MEMCG: and lines NAME VALUE",
    "5.3 to 6.18",
    "one record of many lines to 6.1, one record per line from 6.5",
)
def parse_stats_head(text: str) -> StatsHead | None:
    """Statistics of a memcg (memory_stat_format(), mm/memcontrol.c); sizes in bytes."""
    match = _STATS.fullmatch(text)
    if not match:
        return None
    rest = match[2] or ""
    values = {name: min(int(value) << 10, LARGEST_STAT) for name, value in _STATS_KB.findall(rest)}
    return StatsHead(match[1], values or {name: int(value) for name, value in STAT.findall(rest)})


class Protection(Record, frozen=True):
    """memory.min and memory.low of the OOM domain in effect (mm/memcontrol.c, 6.19 and later)."""

    min_kb: int
    low_kb: int


_PROTECTION = late_pattern(r"Memory cgroup min protection (\d{1,18})kB -- low protection (\d{1,18})kB")


@line_format(
    "memcg",
    "Memory cgroup min protection NkB -- low protection NkB",
    "6.19 to 7.3",
    "its first version multiplied by PAGE_SIZE twice: kept as printed",
)
def parse_protection(text: str) -> Protection | None:
    """memory.min and memory.low in effect (mm/memcontrol.c)."""
    match = _PROTECTION.fullmatch(text.rstrip())
    return Protection(int(match[1]), int(match[2])) if match else None
