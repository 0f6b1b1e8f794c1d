"""From records of lines to reports, kills and releases: a state machine that is fed in the order of the log.

oom_lock keeps two reports of one kernel from being printed at once (mm/oom_kill.c), but lines of others come between,
and where the log names callers (CONFIG_PRINTK_CALLER) a report's lines are those of its caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .domain import LimitReached, Protection, StatsHead, Summary, TaskIn, Usage
from .events import Boot, Event
from .found import Forged, Found, Orphans, Parts, Unread, Where
from .header import CpuLine, Cpuset, Header
from .infer import KNOWN, DomainMemory
from .kill import Chosen, GroupKill, Killed, Sharing, Skipped, is_memcg
from .killers import UserKill
from .losses import KERNEL_DROPS, Dropped, Suppressed
from .meminfo import Buddy, Lists, Ram, Reserve, Swap, Zone
from .overlap import WINDOW_S, copy_estimate, estimate
from .records import Kill, Missing, Other, Release, Report
from .release import Reaped
from .tasks import TaskTable

Output = Report | Kill | Release | Other

_BACK_S = 1.0  # a kernel's stamps that go back further are of another boot
_WALL_BACK_S = 2 * 3600.0  # a wall clock goes back an hour in autumn
_YEAR_TURN_S = 300 * 86400.0
_DUPLICATE_LINES = 1000  # how far apart a paste and its copy may stand
_GROUP_GAP_S = 0.25  # between two kills of one group; more where the console is slow, as its first lines tell
_GROUP_GAPS = 5
_REPORT_AGE_S = 60.0  # between a header and its kill, on the slowest console
_SAME_PLACE_LINES = 3  # a kill so near its summary belongs to it, whatever pid a thread of it had
_PENDING = 512  # kills that wait for a release, and that a later one is held against; a bound for logs without time
_SHOWN_LINES = 100
_CALLERS = 1024  # tasks whose last lines are remembered


@dataclass(slots=True)
class _Group:
    memcg: str
    chosen_pid: int | None
    decision: int
    report: Report | None
    last_time_s: float | None
    pids: set[int]
    kills: list[Kill] = field(default_factory=list)
    gap_s: float = 0.0  # between its first two lines


@dataclass(slots=True)
class _Caller:
    """What one task is printing; without callers in the log, what the kernel is printing."""

    report: Report | None = None  # no kill of it yet
    last_line: int = 0
    chosen: Chosen | None = None
    chosen_where: Where | None = None  # of a choice whose kill is not there yet
    is_copy: bool = False  # what follows is a report that was pasted twice
    last_kill: Kill | None = None
    skipped: Skipped | None = None
    group: _Group | None = None


@dataclass(slots=True)
class _Boot:
    number: int
    boot_id: str = ""
    last_uptime_s: float | None = None
    last_wall_s: float | None = None
    last_sequence: int | None = None
    is_fresh: bool = True
    callers: dict[str, _Caller] = field(default_factory=dict)
    recent: deque[Kill] = field(default_factory=lambda: deque(maxlen=_PENDING))
    seen: deque[tuple[int, tuple[Any, ...]]] = field(default_factory=deque)  # line, key
    seen_keys: dict[tuple[Any, ...], int] = field(default_factory=dict)
    domains: DomainMemory = field(default_factory=DomainMemory)
    kernel: str | None = None
    banner: tuple[Where, str] | None = None  # the kernel's first line
    judged: Kill | None = None  # the last


class Assembler:
    """Feed it what `read_block` finds, in order; it gives what is settled. `close` gives the rest."""

    def __init__(self) -> None:
        self.missing = Missing()
        self.boots = 0
        self._hosts: dict[str, _Boot] = {}
        self._reports: deque[Report] = deque()
        self._kills: deque[tuple[Kill, _Boot]] = deque()
        self._releases = self._decisions = self._report_count = self._kill_count = 0
        self._out: deque[Release | Other] = deque()
        self._host = ""  # the last that a line named

    def begin_file(self) -> None:
        """What follows is another log: of another machine, or another boot, for all that is known."""
        self._end_choices()
        self._hosts.clear()
        self._host = ""

    def feed(self, found: Found, line_base: int = 0) -> Iterable[Output]:
        """Takes one record; gives the outputs that it settled. `line_base` is added to its line number."""
        where = found.where
        record: Any = found.record
        is_part = type(record) in _FILL
        if is_part or type(record) is Parts:  # most records; they neither begin a boot nor settle anything
            boot = self._hosts.get(self._host_of(where.host))
            caller = boot.callers.get(where.caller) if boot else None
            report = caller.report if caller else None
            if caller is not None:
                caller.last_line = where.line + line_base
            for part in (record,) if is_part else record.records:
                if report is None and (caller is None or not caller.is_copy) and _opens(part):
                    report = self._headless(boot if not is_part else None, where, part, line_base)
                    caller = None
                if report is not None:
                    self._fill(report, part, line_base)
            return ()
        if isinstance(record, Forged):
            self.missing.forged_kills += record.kind == "kill"
            self.missing.forged_heads += record.kind != "kill"
            return ()
        if isinstance(record, Dropped):
            self._drop(record)
            return ()
        if isinstance(record, Unread):
            self._unread(record, where.line + line_base)
            return ()
        if isinstance(record, Orphans):
            self.missing.damaged_rows += record.rows
            return ()
        where = where.at(where.line + line_base, where.offset) if line_base else where
        boot = self._boot_of(where, record)
        if boot is None:
            self.missing.duplicate_lines += 1
            if isinstance(record, Header) and (boot := self._hosts.get(self._host_of(where.host))) is not None:
                caller = self._caller_of(boot, where)
                self._close_report(caller, "none")
                caller.is_copy = True
            return ()
        self._take(boot, where, record)
        return self._settle(where) if self._can_settle(where) else ()

    def _host_of(self, host: str) -> str:
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

    def _headless(self, boot: _Boot | None, where: Where, part: Any, line_base: int) -> Report | None:
        """A report whose beginning is not in the log: it has what follows. None for a copy of one.

        `boot` is given where parts of a report are left after its end, as another's kill was taken for it.
        """
        if line_base:
            where = where.at(where.line + line_base, where.offset)
        boot = boot or self._boot_of(where, part)
        if boot is None:
            self.missing.duplicate_lines += 1
            return None
        report = self._new_report(boot, where, _NO_HEADER)
        self._close_report(self._caller_of(boot, where), "none")
        boot.callers[where.caller] = _Caller(report=report, last_line=where.line)
        return report

    def _new_report(self, boot: _Boot, where: Where, head: Header) -> Report:
        report = Report(self._report_count, boot.number, where, head, kernel=boot.kernel, nodemask=head.nodemask)
        self._report_count += 1
        self._reports.append(report)
        return report

    def _end_choices(self) -> None:
        """Processes that were chosen, and whose kill is not in the log: a report of each says so."""
        for boot in self._hosts.values():
            for caller in boot.callers.values():
                self._end_choice(boot, caller)

    def _end_choice(self, boot: _Boot, caller: _Caller) -> None:
        chosen, where = caller.chosen, caller.chosen_where
        caller.chosen = caller.chosen_where = None
        if chosen is None or where is None:
            return
        report = self._new_report(boot, where, _NO_HEADER)
        report.chosen_pid, report.chosen_comm = chosen.pid, chosen.comm
        report.is_global = True if is_memcg(chosen.message) is False else None
        report.is_closed = True

    def _fill(self, report: Report, part: Any, line_base: int) -> None:
        if type(part) is TaskTable:
            part = part.shifted(line_base)
            self.missing.damaged_rows += part.damaged
        _FILL[type(part)](report, part)

    def close(self) -> Iterator[Output]:
        """The outputs that still waited for more of the log."""
        self._end_choices()
        yield from self._settle(None)

    # boots

    def _boot_of(self, where: Where, record: Any) -> _Boot | None:
        """The boot that a record belongs to, or None for a copy of a record that is there already."""
        host = self._host_of(where.host)
        boot = self._hosts.get(host)
        if boot is None:
            boot = self._hosts[host] = self._new_boot()
        if isinstance(record, Boot):
            if record.release is not None and boot.banner is not None and _is_same_banner(boot, where, record.release):
                return None
            is_other = not boot.is_fresh or (boot.banner is not None and record.release is not None)
            if is_other or (record.boot_id and record.boot_id != boot.boot_id):
                boot = self._next_boot(host, boot, record.boot_id) if is_other else boot
                boot.boot_id = record.boot_id
            if record.release is not None:
                boot.banner = where, record.release
        elif where.boot_id and boot.boot_id and where.boot_id != boot.boot_id:
            boot = self._next_boot(host, boot, where.boot_id)
        boot.boot_id = boot.boot_id or where.boot_id
        key = _key(where, record)
        if key is not None and self._is_duplicate(boot, where, key, record):
            return None
        if not isinstance(record, Boot) and self._goes_back(boot, where):
            boot = self._next_boot(host, boot, where.boot_id)
        boot.is_fresh = isinstance(record, Boot)
        if where.uptime_s is not None:
            boot.last_uptime_s = max(where.uptime_s, boot.last_uptime_s or 0.0)
        if where.wall_s is not None:
            boot.last_wall_s = where.wall_s
        if where.sequence is not None:
            boot.last_sequence = where.sequence
        if key is not None:
            boot.seen.append((where.line, key))
            boot.seen_keys[key] = where.line
            while boot.seen and boot.seen[0][0] < where.line - _DUPLICATE_LINES:
                line, old = boot.seen.popleft()
                if boot.seen_keys.get(old) == line:
                    del boot.seen_keys[old]
        return boot

    def _next_boot(self, host: str, boot: _Boot, boot_id: str) -> _Boot:
        for caller in boot.callers.values():
            self._end_choice(boot, caller)
        new = self._hosts[host] = self._new_boot(boot_id)
        return new

    def _new_boot(self, boot_id: str = "") -> _Boot:
        self.boots += 1
        return _Boot(self.boots, boot_id)

    @staticmethod
    def _goes_back(boot: _Boot, where: Where) -> bool:
        if where.uptime_s is not None:
            return boot.last_uptime_s is not None and where.uptime_s < boot.last_uptime_s - _BACK_S
        if where.wall_s is None or boot.last_wall_s is None or boot.last_uptime_s is not None:
            return False
        back = boot.last_wall_s - where.wall_s
        return back > _WALL_BACK_S and not (where.wall_is_yearless and back > _YEAR_TURN_S)

    @staticmethod
    def _is_duplicate(boot: _Boot, where: Where, key: tuple[Any, ...], record: Any) -> bool:
        """A record that stood a little above with the same stamp: log and copy were pasted into one file."""
        before = boot.seen_keys.get(key)
        if before is None or where.line - before > _DUPLICATE_LINES:
            return False
        if isinstance(record, Killed):
            return True  # nobody is killed twice, sizes and microsecond alike
        return where.uptime_s is not None and boot.last_uptime_s is not None and where.uptime_s <= boot.last_uptime_s

    # records

    def _drop(self, record: Dropped) -> None:
        if record.by in KERNEL_DROPS:
            self.missing.dropped_records += record.records
        else:
            self.missing.dropped_by_syslog += record.records

    def _unread(self, record: Unread, line: int) -> None:
        if record.kind == "kill":
            self.missing.unread_kills += 1
        else:
            self.missing.unread_heads += 1
        if len(self.missing.unread_lines) < _SHOWN_LINES:
            self.missing.unread_lines.append(line)

    def _take(self, boot: _Boot, where: Where, record: Any) -> None:
        caller = self._caller_of(boot, where)
        match record:
            case Header():
                self._header(boot, caller, where, record)
            case Killed():
                self._killed(boot, caller, where, record)
            case Reaped():
                self._reaped(boot, where, record)
            case GroupKill():
                self._group_kill(boot, caller, where, record)
            case Chosen():
                self._end_choice(boot, caller)
                caller.chosen, caller.chosen_where = record, where if caller.report is None else None
                if caller.report:
                    caller.report.chosen_pid, caller.report.chosen_comm = record.pid, record.comm
            case Skipped():
                caller.skipped = record
                self._other(boot, where, "skipped", record.pid, f"{record.pid} ({record.comm})", caller.report)
                self._close_report(caller, "skipped")
            case Sharing():
                if caller.last_kill:
                    caller.last_kill.sharing_pids.append(record.pid)
            case Suppressed():
                self.missing.suppressed_reports += record.reports
            case Event():
                self._other(boot, where, record.kind, record.pid, record.text, caller.report)
                if record.kind in ("panic", "no-victim"):
                    self._close_report(caller, record.kind)
            case UserKill():
                self._other(boot, where, record.by, record.pid, record.text, None)
            case Boot():
                boot.kernel = record.release
            case _:
                pass
        caller.last_line = where.line

    def _caller_of(self, boot: _Boot, where: Where) -> _Caller:
        caller = boot.callers.get(where.caller)
        if caller is None:
            if len(boot.callers) >= _CALLERS:
                old = boot.callers.pop(next(iter(boot.callers)))
                self._end_choice(boot, old)
                self._close_report(old, "none")
            caller = boot.callers[where.caller] = _Caller()
        return caller

    def _other(self, boot: _Boot, where: Where, kind: str, pid: int | None, text: str, report: Report | None) -> None:
        self._out.append(Other(boot.number, where, kind, pid, text, report.index if report else None))

    def _header(self, boot: _Boot, caller: _Caller, where: Where, record: Header) -> None:
        self._end_choice(boot, caller)
        self._close_report(caller, "none")
        report = self._new_report(boot, where, record)
        boot.callers[where.caller] = _Caller(report=report, last_line=where.line)

    def _close_report(self, caller: _Caller, outcome: str) -> None:
        if caller.report is not None and not caller.report.is_closed:
            caller.report.outcome = outcome
            caller.report.is_closed = True
        caller.report = None

    def _killed(self, boot: _Boot, caller: _Caller, where: Where, killed: Killed) -> None:
        group = self._group_of(caller, where, killed)
        if group is not None:
            if killed.pid == group.chosen_pid:
                group.chosen_pid = None  # the chosen victim is printed twice: once chosen, once as a member
                if caller.last_kill is not None:
                    caller.last_kill.reprints += 1
                return
            group.pids.add(killed.pid)
            group.last_time_s = where.time_s
            kill = self._new_kill(boot, where, killed, group.decision, group.report, caller.last_kill)
            kill.group = group.memcg
        else:
            caller.group = None
            report = self._report_of(caller, where, killed)
            chosen = caller.chosen
            kill = self._new_kill(boot, where, killed, self._decisions, report, None)
            self._decisions += 1
            if chosen is not None:
                kill.chosen_pid, kill.message = chosen.pid, kill.message or chosen.message
            if report is not None:
                kill.chosen_pid = report.chosen_pid if report.chosen_pid is not None else kill.chosen_pid
                kill.task_memcg = report.task_memcg
                if report.is_global is None and is_memcg(kill.message) is False:
                    report.is_global = True  # the message says so where the report is cut
                _learn_page_size(report, killed)
                self._close_report(caller, "killed")
        caller.chosen = caller.chosen_where = caller.skipped = None
        caller.is_copy = False
        caller.last_kill = kill
        boot.domains.settle(kill)
        if group is not None:
            group.kills.append(kill)
            _share_domain(group.kills)
        boot.recent.append(kill)
        self._kills.append((kill, boot))

    def _new_kill(
        self, boot: _Boot, where: Where, killed: Killed, decision: int, report: Report | None, chosen: Kill | None
    ) -> Kill:
        kill = Kill(self._kill_count, boot.number, where, killed, decision, report, killed.pid, message=killed.message)
        self._kill_count += 1
        if chosen is not None:
            kill.chosen_pid = chosen.chosen_pid
        self.missing.kills_without_report += report is None
        self.missing.partial_kills += not killed.is_complete
        return kill

    @staticmethod
    def _group_of(caller: _Caller, where: Where, killed: Killed) -> _Group | None:
        """The group kill that a kill is part of, by the same caller and at once."""
        group = caller.group
        if group is None or killed.pid in group.pids or is_memcg(killed.message) is False:
            return None
        if where.time_s is None or group.last_time_s is None:
            return group
        gap_s = where.time_s - group.last_time_s
        if gap_s > max(_GROUP_GAP_S, _GROUP_GAPS * group.gap_s) and (where.uptime_s is not None or gap_s > 1):
            return None  # a stamp of whole seconds may step by one between two lines
        return group

    @staticmethod
    def _report_of(caller: _Caller, where: Where, killed: Killed) -> Report | None:
        """The open report that this kill ends; None when the log shows that it is another's."""
        report = caller.report
        if report is None or report.is_closed:
            return None
        began, now = report.where.time_s, where.time_s
        if began is not None and now is not None and now - began > _REPORT_AGE_S:
            return None
        if report.header is _NO_HEADER and report.chosen_pid not in (None, killed.pid) and killed.message:
            return None  # a summary alone, and another's kill
        by_message = is_memcg(killed.message or (caller.chosen.message if caller.chosen else ""))
        if by_message is not None and report.is_memcg is not None and by_message != report.is_memcg:
            return None
        if report.has_summary and killed.message and report.chosen_pid not in (None, killed.pid):
            # From 5.1 children are not sacrificed, so another pid is another decision's, or the main thread's.
            near = where.line - caller.last_line <= _SAME_PLACE_LINES
            return report if near else None
        return report

    def _group_kill(self, boot: _Boot, caller: _Caller, where: Where, record: GroupKill) -> None:
        """What follows is one decision with the kill before it, which a group before it may have claimed."""
        chosen = caller.last_kill if caller.skipped is None else None
        if (
            chosen is not None
            and chosen.group is not None
            and caller.group is not None
            and chosen.decision == caller.group.decision
        ):
            if (
                caller.group.memcg == record.memcg
                and chosen.killed.pid in caller.group.pids
                and caller.chosen is None
                and _is_copy(caller, where)
            ):
                return
            self.missing.kills_without_report += chosen.report is not None
            chosen.decision, chosen.report, chosen.chosen_pid = self._decisions, None, chosen.killed.pid
            self._decisions += 1
        if chosen is not None:
            chosen.group = record.memcg
            if chosen.report is None:
                boot.domains.settle(
                    chosen
                )  # the group's memcg tells more, and what was taken from the group before is off
            caller.group = _Group(
                record.memcg, chosen.killed.pid, chosen.decision, chosen.report, where.time_s, set(), [chosen]
            )
            if where.time_s is not None and chosen.where.time_s is not None:
                caller.group.gap_s = max(0.0, where.time_s - chosen.where.time_s)
            return
        pid = caller.skipped.pid if caller.skipped else None
        caller.group = _Group(record.memcg, pid, self._decisions, caller.report, where.time_s, set())
        self._decisions += 1

    def _reaped(self, boot: _Boot, where: Where, record: Reaped) -> None:
        kill = next((k for k in reversed(boot.recent) if k.killed.pid == record.pid), None)
        release = Release(self._releases, boot.number, where, record, kill.index if kill else None)
        self._releases += 1
        if kill is not None:
            kill.released.append(release)
        else:
            self.missing.releases_without_kill += 1
        self._out.append(release)

    # output

    def _can_settle(self, now: Where) -> bool:
        return bool(
            (self._out and self._is_placed(self._out[0]))
            or (self._reports and self._is_over(self._reports[0], now))
            or (self._kills and self._is_old(self._kills[0][0], now))
        )

    def _settle(self, now: Where | None) -> Iterator[Output]:
        """Reports that are over, kills whose releases can no more be printed, and what speaks of these: in this order,

        so that whoever reads them one by one knows what an index means.
        """
        while self._reports and (now is None or self._is_over(self._reports[0], now)):
            report = self._reports.popleft()
            report.is_closed = True
            self.missing.partial_reports += not report.is_complete
            self.missing.unended_reports += report.outcome == "none"
            yield report
        while self._kills and (now is None or self._is_old(self._kills[0][0], now)):
            kill, boot = self._kills.popleft()
            if boot.judged is not None and boot.judged.decision == kill.decision:
                copy_estimate(boot.judged, kill)  # members of one group decision never overlap one another
            else:
                estimate(kill, boot.recent, bool(self.missing.dropped_records or self.missing.sequence_gaps))
                boot.judged = kill
            yield kill
        while self._out and (now is None or self._is_placed(self._out[0])):
            yield self._out.popleft()

    def _is_placed(self, output: Release | Other) -> bool:
        """Whether what it speaks of was given."""
        if isinstance(output, Release):
            return output.kill is None or not self._kills or output.kill < self._kills[0][0].index
        return output.report is None or not self._reports or output.report < self._reports[0].index

    def _is_over(self, report: Report, now: Where) -> bool:
        if report.is_closed or max(len(self._reports), len(self._kills), len(self._out)) > _PENDING:
            return True
        began, time_s = report.where.time_s, now.time_s
        return (
            began is not None
            and time_s is not None
            and report.where.host == now.host
            and not 0 <= time_s - began <= _REPORT_AGE_S
        )

    def _is_old(self, kill: Kill, now: Where) -> bool:
        if kill.report is not None and self._reports and kill.report.index >= self._reports[0].index:
            return False
        if max(len(self._kills), len(self._out)) > _PENDING:
            return True
        then, time_s = kill.where.time_s, now.time_s
        return (
            then is not None
            and time_s is not None
            and kill.where.host == now.host
            and not 0 <= time_s - then <= WINDOW_S
        )


def _is_copy(caller: _Caller, where: Where) -> bool:
    """A group's head pasted twice."""
    group = caller.group
    return (
        group is not None
        and where.time_s is not None
        and group.last_time_s is not None
        and where.time_s < group.last_time_s
    )


def _key(where: Where, record: Any) -> tuple[Any, ...] | None:
    """What makes a record the same as another; None for records without a stamp."""
    if where.time_s is None or isinstance(record, Boot):
        return None
    if isinstance(record, Killed):
        return (where.time_s, where.sequence, record)
    return (
        where.time_s,
        where.sequence,
        where.caller,
        type(record),
        getattr(record, "pid", None),
        getattr(record, "comm", None),
    )


_NO_HEADER = Header(None, None, None, None, None, None, False)


def _opens(part: Any) -> bool:
    """Whether a part is of an OOM report and nothing else, so that there is one though its header is not in the log."""
    if type(part) is TaskTable:
        return bool(part.row_count)
    return type(part) in _OPENING


_OPENING = (TaskIn, LimitReached, Usage, StatsHead, Summary)


def _is_same_banner(boot: _Boot, where: Where, release: str) -> bool:
    """Whether a kernel's first line is a copy of the last one: uptime is 0 in all of them."""
    assert boot.banner is not None
    before, was = boot.banner
    if was != release or (where.uptime_s, where.wall_s) != (before.uptime_s, before.wall_s):
        return False
    near = where.line - before.line <= (_DUPLICATE_LINES if where.wall_s is not None and boot.is_fresh else 1)
    return near and where.time_s is not None


def _share_domain(kills: list[Kill]) -> None:
    """One decision has one domain: what is known of any of its kills. The last of them is new."""
    first, new = kills[0], kills[-1]
    if (new.oom_memcg, new.is_global, new.domain_source) == (first.oom_memcg, first.is_global, first.domain_source):
        return
    best = next((kill for kill in kills if kill.domain_source == KNOWN), None)
    best = best or next((kill for kill in kills if kill.domain is not None), kills[0])
    for kill in kills:
        if kill is not best and (kill.domain, kill.domain_source) != (best.domain, best.domain_source):
            kill.oom_memcg, kill.is_global, kill.domain_source = best.oom_memcg, best.is_global, best.domain_source


def _learn_page_size(report: Report, killed: Killed) -> None:
    """The kernel's page size, from the victim's size in the table (pages) and in the kill (kB)."""
    table = report.tasks
    if table is None or not killed.total_vm_kb:
        return
    pids, sizes = table.column("pid"), table.column("total_vm")
    if pids is None or sizes is None:
        return
    for size in sizes[pids == killed.pid].tolist():
        if (
            size
            and killed.total_vm_kb % size == 0
            and (page_kb := killed.total_vm_kb // size) in (4, 8, 16, 32, 64, 256)
        ):
            report.page_kb = page_kb


# How a part is put into its report. The first of its kind counts, as a second is another's.


def _take_usage(report: Report, usage: Usage) -> None:
    report.counters.setdefault(usage.counter, (usage.usage_kb, usage.limit_kb, usage.failcnt))


def _take_task_in(report: Report, task_in: TaskIn) -> None:
    report.oom_memcg = report.oom_memcg or task_in.oom_memcg
    report.task_memcg = report.task_memcg or task_in.task_memcg


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


def _take_reserve(report: Report, reserve: Reserve) -> None:
    if report.zones and not report.zones[-1][1]:
        report.zones[-1] = (report.zones[-1][0], reserve.pages)


def _take_buddy(report: Report, buddy: Buddy) -> None:
    report.buddies.setdefault((buddy.node, buddy.zone), buddy)


def _take_lists(report: Report, lists: Lists) -> None:
    report.list_lines.append(lists)


def _take_swap(report: Report, swap: Swap) -> None:
    if swap.kind == "Free":
        report.free_swap_kb = swap.kb
    else:
        report.total_swap_kb = swap.kb


def _take_ram(report: Report, ram: Ram) -> None:
    report.ram_pages = ram.pages


def _take_protection(report: Report, protection: Protection) -> None:
    report.min_kb, report.low_kb = protection.min_kb, protection.low_kb


def _take_summary(report: Report, summary: Summary) -> None:
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
        report.is_global = summary.is_global or not report.counters  # without CONFIG_MEMCG nothing says global_oom


def _take_stats(report: Report, stats: StatsHead) -> None:
    """From 3.9 to 5.2 there is a line for every descendant: sizes add up to the domain's."""
    if "cache" in stats.values and "rss" in stats.values and "anon" not in stats.values:
        for name, value in stats.values.items():
            report.stats[name] = report.stats.get(name, 0) + value
    elif not report.stats:
        report.stats = dict(stats.values)
    if report.oom_memcg is None and stats.memcg and not report.has_summary:
        report.oom_memcg = stats.memcg


_FILL: dict[type, Callable[[Report, Any], None]] = {
    Usage: _take_usage,
    Summary: _take_summary,
    TaskIn: _take_task_in,
    LimitReached: _take_limit_reached,
    StatsHead: _take_stats,
    Protection: _take_protection,
    TaskTable: _take_tasks,
    CpuLine: _take_cpu_line,
    Cpuset: _take_cpuset,
    Zone: _take_zone,
    Reserve: _take_reserve,
    Buddy: _take_buddy,
    Lists: _take_lists,
    Swap: _take_swap,
    Ram: _take_ram,
}
