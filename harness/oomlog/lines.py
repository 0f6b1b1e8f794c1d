"""One function a line form, its expression above it, with the kernel versions it holds for.

Sources are mm/oom_kill.c and mm/memcontrol.c of the versions named. A function returns None when its line is another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Process names may hold anything, brackets and digits included: what follows the name anchors the match, and the
# name takes as much as it can.
_INVOKED = re.compile(
    r"(.{1,16}) invoked oom-killer: gfp_mask=(0x[0-9a-f]+)(?:\(([^)]*)\))?, order=(-?\d+), oom_score_adj=(-?\d+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Invoked:
    """The header of a report."""

    comm: str
    gfp_mask: int
    order: int
    oom_score_adj: int


def parse_invoked(text: str) -> Invoked | None:
    """``COMM invoked oom-killer: ...``; 5.0 to 6.18 (no nodemask)."""
    match = _INVOKED.fullmatch(text)
    return Invoked(match[1], int(match[2], 16), int(match[4]), int(match[5])) if match else None


_USAGE = re.compile(r"memory: usage (\d+)kB, limit (\d+)kB, failcnt (\d+)")


@dataclass(frozen=True)
class Usage:
    """Charge and limit of the OOM domain when the report was printed."""

    usage_kb: int
    limit_kb: int
    failcnt: int


def parse_usage(text: str) -> Usage | None:
    """``memory: usage ...kB, limit ...kB, failcnt ...``; 2.6.30 to 6.18."""
    match = _USAGE.fullmatch(text)
    return Usage(*map(int, match.groups())) if match else None


_SUMMARY = re.compile(
    r"oom-kill:constraint=(\w+),nodemask=([^,]*)(?:,cpuset=(.*?),mems_allowed=([^,]*))?"
    r"(?:,oom_memcg=(.*?)|,(global_oom))?(?:,task_memcg=(.*?))?,task=(.*),pid=(\d+),uid=(\d+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Summary:
    """The one-line summary of a report."""

    constraint: str
    oom_memcg: str | None  # None with global_oom
    task_memcg: str | None
    task: str
    pid: int
    uid: int


def parse_summary(text: str) -> Summary | None:
    """``oom-kill:constraint=...``; 5.0 to 6.18."""
    match = _SUMMARY.fullmatch(text)
    if not match:
        return None
    return Summary(match[1], match[5], match[7], match[8], int(match[9]), int(match[10]))


_KILLED = re.compile(
    r"(Memory cgroup out of memory|Out of memory(?: \(oom_kill_allocating_task\))?): Killed process (\d+) \((.*)\) "
    r"total-vm:(\d+)kB, anon-rss:(\d+)kB, file-rss:(\d+)kB, shmem-rss:(\d+)kB, UID:(\d+) pgtables:(\d+)kB oom_score_adj:(-?\d+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Killed:
    """One process killed."""

    message: str
    pid: int
    comm: str
    total_vm_kb: int
    anon_rss_kb: int
    file_rss_kb: int
    shmem_rss_kb: int
    uid: int
    pgtables_kb: int
    oom_score_adj: int


def parse_killed(text: str) -> Killed | None:
    """``...: Killed process PID (COMM) total-vm:... oom_score_adj:...``; 5.4 to 6.18. Never rate-limited."""
    match = _KILLED.fullmatch(text)
    return Killed(match[1], int(match[2]), match[3], *map(int, match.groups()[3:])) if match else None


_REAPED = re.compile(
    r"oom_reaper: reaped process (\d+) \((.*)\), now anon-rss:(\d+)kB, file-rss:(\d+)kB, shmem-rss:(\d+)kB", re.DOTALL
)


@dataclass(frozen=True)
class Reaped:
    """The oom_reaper's word about a victim; absent when the victim exits within 2 s (5.18 and later)."""

    pid: int
    comm: str
    anon_rss_kb: int
    file_rss_kb: int
    shmem_rss_kb: int


def parse_reaped(text: str) -> Reaped | None:
    """``oom_reaper: reaped process ...``; 4.8 to 6.18."""
    match = _REAPED.fullmatch(text)
    return Reaped(int(match[1]), match[2], *map(int, match.groups()[2:])) if match else None


_SUPPRESSED = re.compile(r"oom_kill_process: (\d+) callbacks suppressed")


def parse_suppressed(text: str) -> int | None:
    """Reports that the rate limit (10 in 5 s, 3.4 and later) kept back. Kills are never kept back."""
    match = _SUPPRESSED.fullmatch(text)
    return int(match[1]) if match else None


_TROUBLE = re.compile(r"watchdog: BUG: soft lockup|INFO: task .* blocked for more than \d+ seconds")


def parse_trouble(text: str) -> str | None:
    """A soft lockup or hung task line; 4.4 to 6.18."""
    return text if _TROUBLE.match(text) else None
