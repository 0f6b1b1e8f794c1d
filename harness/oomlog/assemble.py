"""From records of lines to reports, kills and releases: a state machine that is fed in the order of the log.

oom_lock keeps two reports of one kernel from being printed at once (mm/oom_kill.c), but lines of others come between,
and where the log names callers (CONFIG_PRINTK_CALLER) a report's lines are those of its caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from .boots import Boots, BootState, GroupKillInProgress, PrintContext
from .events import Boot, Event
from .header import Header
from .infer import KNOWN
from .kill import AlreadyExitingVictim, ChosenVictim, GroupKill, KilledLine, SharedMmKill, is_memcg
from .located import ForgedLine, LocatedRecord, Location, OrphanRows, ReportParts, UnreadableLine
from .losses import KERNEL_DROPS, DroppedRecords, RateLimitedReports
from .overlap import WINDOW_S, copy_estimate, estimate
from .parts import FILL, opens
from .records import Kill, KnownLosses, OtherEvent, Release, Report
from .release import Reaped
from .tasks import TaskTable
from .user_space_killers import UserSpaceKill

Output = Report | Kill | Release | OtherEvent

_GROUP_GAP_S = 0.25  # between two kills of one group; more where the console is slow, as its first lines tell
_GROUP_GAPS = 5
_REPORT_AGE_S = 60.0  # between a header and its kill, on the slowest console
_SAME_PLACE_LINES = 3  # a kill so near its summary belongs to it, whatever pid a thread of it had
_PENDING = 512  # kills that wait for a release, and that a later one is held against; a bound for logs without time
_SHOWN_LINES = 100
_MOST_CONTEXTS = 1024  # tasks whose last lines are remembered


class Assembler:
    """Feed it what `read_chunk` finds, in order; it gives what is settled. `close` gives the rest."""

    def __init__(self) -> None:
        self.missing = KnownLosses()
        self._boots = Boots(self._end_boot)
        self._reports: deque[Report] = deque()
        self._kills: deque[tuple[Kill, BootState]] = deque()
        self._releases = self._decisions = self._report_count = self._kill_count = 0
        self._out: deque[Release | OtherEvent] = deque()

    @property
    def boots(self) -> int:
        """How many there were."""
        return self._boots.count

    def begin_file(self) -> None:
        """What follows is another log: of another machine, or another boot, for all that is known."""
        self._end_choices()
        self._boots.forget()

    def feed(self, found: LocatedRecord, line_base: int = 0) -> Iterable[Output]:
        """Takes one record; gives the outputs that it settled. `line_base` is added to its line number."""
        location = found.location
        record: Any = found.record
        is_part = type(record) in FILL
        if is_part or type(record) is ReportParts:  # most records; they neither begin a boot nor settle anything
            boot = self._boots.find(location.host)
            context = boot.contexts.get(location.caller) if boot else None
            report = context.report if context else None
            if context is not None:
                context.last_line = location.line + line_base
            for part in (record,) if is_part else record.records:
                if report is None and (context is None or not context.is_copy) and opens(part):
                    report = self._headless(boot if not is_part else None, location, part, line_base)
                    context = None
                if report is not None:
                    self._fill(report, part, line_base)
            return ()
        if type(record) in _NO_EVENTS:
            self._count(record, location.line + line_base)
            return ()
        location = location.at(location.line + line_base, location.offset) if line_base else location
        boot = self._boots.boot_of(location, record)
        if boot is None:
            self.missing.duplicate_lines += 1
            if isinstance(record, Header) and (boot := self._boots.find(location.host)) is not None:
                context = self._context_of(boot, location)
                self._close_report(context, "none")
                context.is_copy = True
            return ()
        self._take(boot, location, record)
        return self._settle(location)

    def _headless(self, boot: BootState | None, location: Location, part: Any, line_base: int) -> Report | None:
        """A report whose beginning is not in the log: it has what follows. None for a copy of one.

        `boot` is given where parts of a report are left after its end, as another's kill was taken for it.
        """
        if line_base:
            location = location.at(location.line + line_base, location.offset)
        boot = boot or self._boots.boot_of(location, part)
        if boot is None:
            self.missing.duplicate_lines += 1
            return None
        report = self._new_report(boot, location, _NO_HEADER)
        self._close_report(self._context_of(boot, location), "none")
        boot.contexts[location.caller] = PrintContext(report=report, last_line=location.line)
        return report

    def _new_report(self, boot: BootState, location: Location, head: Header) -> Report:
        report = Report(self._report_count, boot.number, location, head, kernel=boot.kernel, nodemask=head.nodemask)
        self._report_count += 1
        self._reports.append(report)
        return report

    def _end_choices(self) -> None:
        """Processes that were chosen, and whose kill is not in the log: a report of each says so."""
        for boot in self._boots.states():
            self._end_boot(boot)

    def _end_boot(self, boot: BootState) -> None:
        for context in boot.contexts.values():
            self._end_choice(boot, context)

    def _end_choice(self, boot: BootState, context: PrintContext) -> None:
        chosen, location = context.chosen, context.chosen_location
        context.chosen = context.chosen_location = None
        if chosen is None or location is None:
            return
        report = self._new_report(boot, location, _NO_HEADER)
        report.chosen_pid, report.chosen_comm = chosen.pid, chosen.comm
        report.is_global = True if is_memcg(chosen.message) is False else None
        report.is_closed = True

    def _fill(self, report: Report, part: Any, line_base: int) -> None:
        if type(part) is TaskTable:
            part = part.shifted(line_base)
            self.missing.damaged_rows += part.damaged
        FILL[type(part)](report, part)

    def close(self) -> Iterator[Output]:
        """The outputs that still waited for more of the log."""
        self._end_choices()
        yield from self._settle(None)

    # records

    def _count(self, record: Any, line: int) -> None:
        """Takes a record that is of no boot and no report, but only counts."""
        match record:
            case ForgedLine():
                self.missing.forged_kills += record.kind == "kill"
                self.missing.forged_heads += record.kind != "kill"
            case DroppedRecords():
                self._drop(record)
            case UnreadableLine():
                self._unread(record, line)
            case OrphanRows():
                self.missing.damaged_rows += record.rows

    def _drop(self, record: DroppedRecords) -> None:
        if record.by in KERNEL_DROPS:
            self.missing.dropped_records += record.records
        else:
            self.missing.dropped_by_syslog += record.records

    def _unread(self, record: UnreadableLine, line: int) -> None:
        if record.kind == "kill":
            self.missing.unread_kills += 1
        else:
            self.missing.unread_heads += 1
        if len(self.missing.unread_lines) < _SHOWN_LINES:
            self.missing.unread_lines.append(line)

    def _take(self, boot: BootState, location: Location, record: Any) -> None:
        context = self._context_of(boot, location)
        match record:
            case Header():
                self._header(boot, context, location, record)
            case KilledLine():
                self._killed(boot, context, location, record)
            case Reaped():
                self._reaped(boot, location, record)
            case GroupKill():
                self._group_kill(boot, context, location, record)
            case ChosenVictim():
                self._end_choice(boot, context)
                context.chosen, context.chosen_location = record, location if context.report is None else None
                if context.report:
                    context.report.chosen_pid, context.report.chosen_comm = record.pid, record.comm
            case AlreadyExitingVictim():
                context.skipped = record
                self._other(boot, location, "skipped", record.pid, f"{record.pid} ({record.comm})", context.report)
                self._close_report(context, "skipped")
            case SharedMmKill():
                if context.last_kill:
                    context.last_kill.sharing_pids.append(record.pid)
            case RateLimitedReports():
                self.missing.suppressed_reports += record.reports
            case Event():
                self._other(boot, location, record.kind, record.pid, record.text, context.report)
                if record.kind in ("panic", "no-victim"):
                    self._close_report(context, record.kind)
            case UserSpaceKill():
                self._other(boot, location, record.by, record.pid, record.text, None)
            case Boot():
                boot.kernel = record.release
            case _:
                pass
        context.last_line = location.line

    def _context_of(self, boot: BootState, location: Location) -> PrintContext:
        context = boot.contexts.get(location.caller)
        if context is None:
            if len(boot.contexts) >= _MOST_CONTEXTS:
                old = boot.contexts.pop(next(iter(boot.contexts)))
                self._end_choice(boot, old)
                self._close_report(old, "none")
            context = boot.contexts[location.caller] = PrintContext()
        return context

    def _other(
        self, boot: BootState, location: Location, kind: str, pid: int | None, text: str, report: Report | None
    ) -> None:
        self._out.append(OtherEvent(boot.number, location, kind, pid, text, report.index if report else None))

    def _header(self, boot: BootState, context: PrintContext, location: Location, record: Header) -> None:
        self._end_choice(boot, context)
        self._close_report(context, "none")
        report = self._new_report(boot, location, record)
        boot.contexts[location.caller] = PrintContext(report=report, last_line=location.line)

    def _close_report(self, context: PrintContext, outcome: str) -> None:
        if context.report is not None and not context.report.is_closed:
            context.report.outcome = outcome
            context.report.is_closed = True
        context.report = None

    def _killed(self, boot: BootState, context: PrintContext, location: Location, killed: KilledLine) -> None:
        group = self._group_of(context, location, killed)
        if group is not None:
            if killed.pid == group.chosen_pid:
                group.chosen_pid = None  # the chosen victim is printed twice: once chosen, once as a member
                if context.last_kill is not None:
                    context.last_kill.reprints += 1
                return
            group.pids.add(killed.pid)
            group.last_time_s = location.time_s
            kill = self._new_kill(boot, location, killed, group.decision, group.report, context.last_kill)
            kill.group = group.memcg
        else:
            context.group = None
            report = self._report_of(context, location, killed)
            chosen = context.chosen
            kill = self._new_kill(boot, location, killed, self._decisions, report, None)
            self._decisions += 1
            if chosen is not None:
                kill.chosen_pid, kill.message = chosen.pid, kill.message or chosen.message
            if report is not None:
                kill.chosen_pid = report.chosen_pid if report.chosen_pid is not None else kill.chosen_pid
                kill.task_memcg = report.task_memcg
                if report.is_global is None and is_memcg(kill.message) is False:
                    report.is_global = True  # the message says so where the report is cut
                _learn_page_size(report, killed)
                self._close_report(context, "killed")
        context.chosen = context.chosen_location = context.skipped = None
        context.is_copy = False
        context.last_kill = kill
        boot.domains.assign_domain(kill)
        if group is not None:
            group.kills.append(kill)
            _share_domain(group.kills)
        boot.recent_kills.append(kill)
        self._kills.append((kill, boot))

    def _new_kill(
        self,
        boot: BootState,
        location: Location,
        killed: KilledLine,
        decision: int,
        report: Report | None,
        chosen: Kill | None,
    ) -> Kill:
        kill = Kill(
            self._kill_count, boot.number, location, killed, decision, report, killed.pid, message=killed.message
        )
        self._kill_count += 1
        if chosen is not None:
            kill.chosen_pid = chosen.chosen_pid
        self.missing.kills_without_report += report is None
        self.missing.partial_kills += not killed.is_complete
        return kill

    @staticmethod
    def _group_of(context: PrintContext, location: Location, killed: KilledLine) -> GroupKillInProgress | None:
        """The group kill that a kill is part of, by the same caller and at once."""
        group = context.group
        if group is None or killed.pid in group.pids or is_memcg(killed.message) is False:
            return None
        if location.time_s is None or group.last_time_s is None:
            return group
        gap_s = location.time_s - group.last_time_s
        if gap_s > max(_GROUP_GAP_S, _GROUP_GAPS * group.gap_s) and (location.uptime_s is not None or gap_s > 1):
            return None  # a stamp of whole seconds may step by one between two lines
        return group

    @staticmethod
    def _report_of(context: PrintContext, location: Location, killed: KilledLine) -> Report | None:
        """The open report that this kill ends; None when the log shows that it is another's."""
        report = context.report
        if report is None or report.is_closed:
            return None
        began, now = report.location.time_s, location.time_s
        if began is not None and now is not None and now - began > _REPORT_AGE_S:
            return None
        if report.header is _NO_HEADER and report.chosen_pid not in (None, killed.pid) and killed.message:
            return None  # a summary alone, and another's kill
        by_message = is_memcg(killed.message or (context.chosen.message if context.chosen else ""))
        if by_message is not None and report.is_memcg is not None and by_message != report.is_memcg:
            return None
        if report.has_summary and killed.message and report.chosen_pid not in (None, killed.pid):
            # From 5.1 children are not sacrificed, so another pid is another decision's, or the main thread's.
            near = location.line - context.last_line <= _SAME_PLACE_LINES
            return report if near else None
        return report

    def _group_kill(self, boot: BootState, context: PrintContext, location: Location, record: GroupKill) -> None:
        """What follows is one decision with the kill before it, which a group before it may have claimed."""
        chosen = context.last_kill if context.skipped is None else None
        if (
            chosen is not None
            and chosen.group is not None
            and context.group is not None
            and chosen.decision == context.group.decision
        ):
            if (
                context.group.memcg == record.memcg
                and chosen.killed.pid in context.group.pids
                and context.chosen is None
                and _is_copy(context, location)
            ):
                return
            self.missing.kills_without_report += chosen.report is not None
            chosen.decision, chosen.report, chosen.chosen_pid = self._decisions, None, chosen.killed.pid
            self._decisions += 1
        if chosen is not None:
            chosen.group = record.memcg
            if chosen.report is None:
                boot.domains.assign_domain(
                    chosen
                )  # the group's memcg tells more, and what was taken from the group before is off
            context.group = GroupKillInProgress(
                record.memcg, chosen.killed.pid, chosen.decision, chosen.report, location.time_s, set(), [chosen]
            )
            if location.time_s is not None and chosen.location.time_s is not None:
                context.group.gap_s = max(0.0, location.time_s - chosen.location.time_s)
            return
        pid = context.skipped.pid if context.skipped else None
        context.group = GroupKillInProgress(record.memcg, pid, self._decisions, context.report, location.time_s, set())
        self._decisions += 1

    def _reaped(self, boot: BootState, location: Location, record: Reaped) -> None:
        kill = next((k for k in reversed(boot.recent_kills) if k.killed.pid == record.pid), None)
        release = Release(self._releases, boot.number, location, record, kill.index if kill else None)
        self._releases += 1
        if kill is not None:
            kill.released.append(release)
        else:
            self.missing.releases_without_kill += 1
        self._out.append(release)

    # output

    def _settle(self, now: Location | None) -> list[Output]:
        """Reports that are over, kills whose releases can no more be printed, and what speaks of these: in this order,

        so that whoever reads them one by one knows what an index means.
        """
        given: list[Output] = []
        reports, kills, out = self._reports, self._kills, self._out
        time_s = None if now is None else now.time_s
        while reports and (now is None or reports[0].is_closed or self._is_over(reports[0], now, time_s)):
            report = reports.popleft()
            report.is_closed = True
            self.missing.partial_reports += not report.is_complete
            self.missing.unended_reports += report.outcome == "none"
            given.append(report)
        while kills and (now is None or self._is_old(kills[0][0], now, time_s)):
            kill, boot = kills.popleft()
            if boot.last_estimated is not None and boot.last_estimated.decision == kill.decision:
                copy_estimate(boot.last_estimated, kill)  # members of one group decision never overlap one another
            else:
                estimate(kill, boot.recent_kills, bool(self.missing.dropped_records or self.missing.sequence_gaps))
                boot.last_estimated = kill
            given.append(kill)
        while out and (now is None or self._is_placed(out[0])):
            given.append(out.popleft())
        return given

    def _is_placed(self, output: Release | OtherEvent) -> bool:
        """Whether what it speaks of was given."""
        if isinstance(output, Release):
            return output.kill is None or not self._kills or output.kill < self._kills[0][0].index
        return output.report is None or not self._reports or output.report < self._reports[0].index

    def _is_over(self, report: Report, now: Location, time_s: float | None) -> bool:
        """Whether nothing more of a report that is not closed can come: `time_s` is the time of `now`."""
        if len(self._reports) > _PENDING or len(self._kills) > _PENDING or len(self._out) > _PENDING:
            return True
        began = report.location.time_s
        return (
            began is not None
            and time_s is not None
            and report.location.host == now.host
            and not 0 <= time_s - began <= _REPORT_AGE_S
        )

    def _is_old(self, kill: Kill, now: Location, time_s: float | None) -> bool:
        """The same of the releases of a kill."""
        if kill.report is not None and self._reports and kill.report.index >= self._reports[0].index:
            return False
        if len(self._kills) > _PENDING or len(self._out) > _PENDING:
            return True
        then = kill.location.time_s
        return (
            then is not None
            and time_s is not None
            and kill.location.host == now.host
            and not 0 <= time_s - then <= WINDOW_S
        )


def _is_copy(context: PrintContext, location: Location) -> bool:
    """A group's head pasted twice."""
    group = context.group
    return (
        group is not None
        and location.time_s is not None
        and group.last_time_s is not None
        and location.time_s < group.last_time_s
    )


_NO_EVENTS = frozenset((ForgedLine, DroppedRecords, UnreadableLine, OrphanRows))
_NO_HEADER = Header(None, None, None, None, None, None, False)


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


def _learn_page_size(report: Report, killed: KilledLine) -> None:
    """The kernel's page size, from the victim's size in the table (pages) and in the kill (kB)."""
    table = report.tasks
    sizes = None if table is None else table.column("total_vm")
    if table is None or sizes is None or not killed.total_vm_kb:
        return
    for size in sizes[table.pids == killed.pid].tolist():
        if (
            size
            and killed.total_vm_kb % size == 0
            and (page_kb := killed.total_vm_kb // size) in (4, 8, 16, 32, 64, 256)
        ):
            report.page_kb = page_kb
