"""Which boot of which host a record is of, and whether it is a copy of one that is there already."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from .events import Boot
from .infer import DomainInference
from .kill import AlreadyExitingVictim, ChosenVictim, KilledLine
from .located import Location
from .records import Kill, Report

_REBOOT_BACKSTEP_S = 1.0  # a kernel's stamps that go back further are of another boot
_WALL_BACK_S = 2 * 3600.0  # a wall clock goes back an hour in autumn
_YEAR_TURN_S = 300 * 86400.0
_DUPLICATE_LINES = 1000  # how far apart a paste and its copy may stand
_MOST_KILLS = 512  # kills that wait for a release, and that a later one is held against; a bound for logs without time


@dataclass(slots=True)
class GroupKillInProgress:
    """A group kill (memory.oom.group, mem_cgroup_print_oom_group(), mm/memcontrol.c) whose members are still being printed."""

    memcg: str
    chosen_pid: int | None
    decision: int
    report: Report | None
    last_time_s: float | None
    pids: set[int]
    kills: list[Kill] = field(default_factory=list)
    gap_s: float = 0.0  # between its first two lines


@dataclass(slots=True)
class PrintContext:
    """What one task is printing; without callers in the log, what the kernel is printing."""

    report: Report | None = None  # no kill of it yet
    last_line: int = 0
    chosen: ChosenVictim | None = None
    chosen_location: Location | None = None  # of a choice whose kill is not there yet
    is_copy: bool = False  # what follows is a report that was pasted twice
    last_kill: Kill | None = None
    skipped: AlreadyExitingVictim | None = None
    group: GroupKillInProgress | None = None


@dataclass(slots=True)
class BootState:
    """What is known of one boot of a host so far."""

    number: int
    boot_id: str = ""
    last_uptime_s: float | None = None
    last_wall_s: float | None = None
    last_sequence: int | None = None
    is_fresh: bool = True
    contexts: dict[str, PrintContext] = field(default_factory=dict)
    recent_kills: deque[Kill] = field(default_factory=lambda: deque(maxlen=_MOST_KILLS))
    recent_lines: deque[tuple[int, tuple[Any, ...]]] = field(default_factory=deque)  # line, key
    recent_keys: dict[tuple[Any, ...], int] = field(default_factory=dict)
    domains: DomainInference = field(default_factory=DomainInference)
    kernel: str | None = None
    banner: tuple[Location, str] | None = None  # the kernel's first line
    last_estimated: Kill | None = None


class Boots:
    """The boots of the hosts of a log."""

    def __init__(self, end: Callable[[BootState], None]) -> None:
        """`end` is called with a boot that another follows."""
        self._end = end
        self.count = 0
        self._hosts: dict[str, BootState] = {}
        self._host = ""  # the last that a line named

    def states(self) -> Iterable[BootState]:
        """The last boot of each host."""
        return self._hosts.values()

    def forget(self) -> None:
        """What follows is another log: of another machine, or another boot, for all that is known."""
        self._hosts.clear()
        self._host = ""

    def find(self, host: str) -> BootState | None:
        """The boot of the host that a line is taken to be of."""
        return self._hosts.get(self.host_of(host))

    def host_of(self, host: str) -> str:
        """The host that a line is taken to be of: lines that name none are of the host of the lines before, or after."""
        if host == self._host or host in self._hosts:
            self._host = host or self._host
            return host if host in self._hosts else self._host
        if not host:
            return self._host
        if not self._host and "" in self._hosts:
            self._hosts[host] = self._hosts.pop("")
        self._host = host
        return host

    def boot_of(self, location: Location, record: Any) -> BootState | None:
        """The boot that a record belongs to, or None for a copy of a record that is there already."""
        host = location.host
        boot = self._hosts.get(host) if host == self._host else None
        if boot is None:
            host = self.host_of(host)
            boot = self._hosts.get(host)
        if boot is None:
            boot = self._hosts[host] = self._new_boot()
        is_boot = isinstance(record, Boot)
        if is_boot:
            if (
                record.release is not None
                and boot.banner is not None
                and _is_same_banner(boot, location, record.release)
            ):
                return None
            is_other = not boot.is_fresh or (boot.banner is not None and record.release is not None)
            if is_other or (record.boot_id and record.boot_id != boot.boot_id):
                boot = self._next_boot(host, boot, record.boot_id) if is_other else boot
                boot.boot_id = record.boot_id
            if record.release is not None:
                boot.banner = location, record.release
        elif location.boot_id and boot.boot_id and location.boot_id != boot.boot_id:
            boot = self._next_boot(host, boot, location.boot_id)
        boot.boot_id = boot.boot_id or location.boot_id
        key = None if is_boot else _duplicate_key(location, record)
        if key is not None and self._is_duplicate(boot, location, key, record):
            return None
        if not is_boot and self._goes_back(boot, location):
            boot = self._next_boot(host, boot, location.boot_id)
        boot.is_fresh = is_boot
        uptime_s = location.uptime_s
        if uptime_s is not None:
            boot.last_uptime_s = max(uptime_s, boot.last_uptime_s or 0.0)
        if location.wall_s is not None:
            boot.last_wall_s = location.wall_s
        if location.sequence is not None:
            boot.last_sequence = location.sequence
        if key is not None:
            lines, keys, line = boot.recent_lines, boot.recent_keys, location.line
            lines.append((line, key))
            keys[key] = line
            while lines[0][0] < line - _DUPLICATE_LINES:
                before, old = lines.popleft()
                if keys.get(old) == before:
                    del keys[old]
        return boot

    def _next_boot(self, host: str, boot: BootState, boot_id: str) -> BootState:
        self._end(boot)
        new = self._hosts[host] = self._new_boot(boot_id)
        return new

    def _new_boot(self, boot_id: str = "") -> BootState:
        self.count += 1
        return BootState(self.count, boot_id)

    @staticmethod
    def _goes_back(boot: BootState, location: Location) -> bool:
        if location.uptime_s is not None:
            return boot.last_uptime_s is not None and location.uptime_s < boot.last_uptime_s - _REBOOT_BACKSTEP_S
        if location.wall_s is None or boot.last_wall_s is None or boot.last_uptime_s is not None:
            return False
        back = boot.last_wall_s - location.wall_s
        return back > _WALL_BACK_S and not (location.wall_is_yearless and back > _YEAR_TURN_S)

    @staticmethod
    def _is_duplicate(boot: BootState, location: Location, key: tuple[Any, ...], record: Any) -> bool:
        """A record that stood a little above with the same stamp: log and copy were pasted into one file."""
        before = boot.recent_keys.get(key)
        if before is None or location.line - before > _DUPLICATE_LINES:
            return False
        if isinstance(record, KilledLine):
            return True  # nobody is killed twice, sizes and microsecond alike
        return (
            location.uptime_s is not None and boot.last_uptime_s is not None and location.uptime_s <= boot.last_uptime_s
        )


def _duplicate_key(location: Location, record: Any) -> tuple[Any, ...] | None:
    """What makes a record the same as another; None for records without a stamp, or with one that is no number and equals nothing."""
    time_s = location.time_s
    if time_s is None or isnan(time_s):
        return None
    if isinstance(record, KilledLine):
        return (time_s, location.sequence, record)
    return (
        time_s,
        location.sequence,
        location.caller,
        type(record),
        getattr(record, "pid", None),
        getattr(record, "comm", None),
    )


def _is_same_banner(boot: BootState, location: Location, release: str) -> bool:
    """Whether a kernel's first line is a copy of the last one: uptime is 0 in all of them."""
    assert boot.banner is not None
    before, was = boot.banner
    if was != release or (location.uptime_s, location.wall_s) != (before.uptime_s, before.wall_s):
        return False
    near = location.line - before.line <= (_DUPLICATE_LINES if location.wall_s is not None and boot.is_fresh else 1)
    return near and location.time_s is not None
