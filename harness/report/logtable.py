"""A kernel log on the terminal: what it shows, what it lacks, and each kill."""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..oomlog.assemble import Output
from ..oomlog.located import Location
from ..oomlog.records import Kill, KnownLosses, OtherEvent, Report
from ..oomlog.user_space_killers import KILLERS, REPORTED
from ..tables.logtotals import LogTotals
from ..units import format_count
from .killwords import VERDICTS, domain_of, mib_of, victim_of
from .lines import print_table
from .visible import visible

_SHOWN = 200
_SHOWN_EVENTS = 40
_SHOWN_LINES = 12  # numbers of lines that could not be read
# Events that a reader of kills looks for; the others are in the table of events.
_EVENTS = {
    "no-victim": "no killable process",
    "panic": "panic",
    "init-killed": "init was killed",
    "sysrq": "manual (SysRq-F)",
    "sysrq-ignored": "manual (SysRq-F), without effect",
    "skipped": "the chosen process was already exiting",
    "oom-disabled": "the OOM killer was disabled",
}

_ENDS = {
    "none": "cut or without an end",
    "no-victim": "without a killable process",
    "skipped": "whose victim had already exited",
}
# What is missing, in words; the reader need not know the names of the fields. What follows the noun fits one and many.
_LOSSES = (
    ("suppressed_reports", "report", " suppressed by the kernel's rate limit (kills are printed nevertheless)"),
    ("unended_reports", "report", " whose end is not in the log: each may have been a kill"),
    ("kills_without_report", "kill", " without a report: domain and margin are inferred or unknown"),
    ("dropped_records", "record", " dropped by printk or journald: each may have been a kill"),
    ("sequence_gaps", "record", " missing from /dev/kmsg: each may have been a kill"),
    ("dropped_by_syslog", "message", " of user space dropped by rsyslog"),
    ("releases_without_kill", "reaped victim", " whose kill is not in the log"),
    ("partial_kills", "incomplete kill line", ""),
    ("partial_reports", "incomplete report", ""),
    ("damaged_rows", "unreadable row", " of task tables"),
    ("duplicate_lines", "duplicate record", ", counted once"),
    ("forged_kills", "line", " written by user space in the form of a kill, not counted"),
    ("forged_heads", "line", " written by user space in the form of a report's head or summary, not counted"),
)


class LogTable:
    """Collects what is shown; the last kills only, when there are many."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kills: deque[tuple[Kill, str]] = deque(maxlen=_SHOWN)
        self._files: set[str] = set()
        self._verdicts: Counter[bool | None] = Counter()
        self._sources: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._events: deque[tuple[Location, str]] = deque(maxlen=_SHOWN_EVENTS)
        self._user_kills: Counter[str] = Counter()
        self._told: deque[tuple[Location, str]] = deque(maxlen=_SHOWN_EVENTS)
        self._told_count = 0
        self._event_count = self._by_hand = self._page_faults = 0
        self._boots: set[int] = set()

    def add(self, output: Output, file: str) -> None:
        """Takes one record of the log."""
        if isinstance(output, Kill):
            self._kills.append((output, Path(file).name))
            self._files.add(file)
            self._verdicts[output.overlap_estimated] += 1
            self._sources[output.domain_source.partition(":")[0]] += 1
            self._boots.add(output.boot)
        elif isinstance(output, Report):
            self._by_hand += output.header.order is not None and output.header.order < 0
            self._page_faults += output.header.gfp_mask == 0
            if output.outcome == "none" and output.chosen_pid is not None:
                name = f"{output.chosen_pid} {visible(output.chosen_comm or '')}".rstrip()
                self._event(output.location, f"{name} was chosen; its kill is not in the log")
            self._outcomes[output.outcome] += 1
            self._boots.add(output.boot)

        elif isinstance(output, OtherEvent) and output.kind in KILLERS:
            self._user_kills[output.kind] += 1
            self._event(output.location, f"in user space: {visible(output.text)}")
            self._boots.add(output.boot)
        elif isinstance(output, OtherEvent) and output.kind == REPORTED:
            self._told.append((output.location, visible(output.text)))
            self._told_count += 1
        elif isinstance(output, OtherEvent) and output.kind in _EVENTS:
            self._event(output.location, f"{_EVENTS[output.kind]}: {visible(output.text)}")
            self._boots.add(output.boot)

    def _event(self, location: Location, text: str) -> None:
        self._events.append((location, text))
        self._event_count += 1

    def finish(self, totals: LogTotals, missing: KnownLosses, is_whole: bool = True) -> None:
        """Prints the summary and the kills."""
        for file, kills in groupby(self._kills, key=lambda entry: entry[1]):
            if len(self._files) > 1:
                self._console.print(Text(visible(file), style="bold"))
            print_table(self._console, self._table([kill for kill, _ in kills]))
        if self._kills:
            hidden = totals.kills.printed - len(self._kills)
            if hidden:
                self._console.print(f"{hidden} kills before these are not shown; --format csv gives them all")
            self._console.print()
        for line in self._summary(totals, missing, is_whole):
            self._console.print(line, highlight=False, soft_wrap=True)

    def _summary(self, totals: LogTotals, missing: KnownLosses, is_whole: bool) -> list[Text]:
        kills, reports = totals.kills, totals.reports
        head = (
            f"{format_count(kills.printed, 'kill')} in {format_count(totals.decisions.printed, 'decision')}, "
            f"{format_count(reports.printed, 'report')}, {format_count(len(self._boots), 'boot')}"
        )
        lines = [Text(head, style="bold")]
        if kills.at_least != kills.printed or kills.at_most != kills.at_least:
            more = f"at least {kills.at_least}"
            if kills.at_most != kills.at_least:
                more = f"between {kills.at_least} and {kills.at_most}"
            lines.append(Text(f"  true number {more}: see what is missing"))
        if kills.printed:
            verdicts = ", ".join(f"{self._verdicts[key]} {VERDICTS[key][0]}" for key in (True, False, None))
            lines.append(Text(f"  before an earlier victim's memory was free (estimated): {verdicts}"))
            sources = ", ".join(
                f"{n} {name}" for name, n in sorted(self._sources.items(), key=lambda s: s[0] != "known")
            )
            lines.append(Text(f"  OOM domain: {sources}"))
        unended = {name: n for name, n in self._outcomes.items() if name != "killed"}
        if unended:
            ends = ", ".join(f"{number} {_ENDS.get(name, name)}" for name, number in sorted(unended.items()))
            lines.append(Text(f"  reports without a kill: {ends}"))
        if self._told and not kills.printed:
            lines.append(
                Text(
                    f"  {format_count(self._told_count, 'line')} of programs report{'s' * (self._told_count == 1)} a kill by the kernel, whose own lines are not in "
                    "this log: read the kernel's log (journalctl -k) of that time"
                )
            )
            lines += [Text(f"    line {location.line}  {_time(location)}  {text}") for location, text in self._told]
        lines += self._notes()
        losses = [
            f"{format_count(number, noun)}{rest}" for name, noun, rest in _LOSSES if (number := getattr(missing, name))
        ]
        if losses or missing.unread_lines:
            lines.append(Text("missing or left out" + ("" if is_whole else ", of the whole log") + ":"))
            lines += [Text(f"  {words}") for words in losses]
        for number, words in ((missing.unread_kills, "a kill"), (missing.unread_heads, "a report")):
            if number:
                lines.append(
                    Text(
                        f"  {format_count(number, 'line')} that mention{'s' * (number == 1)} {words} could not be read"
                    )
                )
        if missing.unread_lines:
            numbers = ", ".join(map(str, missing.unread_lines[:_SHOWN_LINES]))
            if len(missing.unread_lines) > _SHOWN_LINES:
                numbers += " and more"
            lines.append(Text(f"    line {numbers}"))
        return lines

    def _notes(self) -> list[Text]:
        lines = []
        if self._user_kills:
            by = ", ".join(f"{number} of {name}" for name, number in self._user_kills.most_common())
            lines.append(Text(f"  kills by user-space OOM killers, which are not kernel OOM kills: {by}"))
        if self._by_hand:
            lines.append(
                Text(f"  {format_count(self._by_hand, 'report')} requested manually (SysRq-F): memory was not short")
            )
        if self._page_faults:
            lines.append(
                Text(
                    f"  {format_count(self._page_faults, 'report')} of a page fault (gfp_mask 0): a fault failed after a kill in a memcg or "
                    "elsewhere; free memory is not evidence"
                )
            )
        if self._events:
            lines.append(Text("events without a kill by the kernel:"))
            hidden = self._event_count - len(self._events)
            if hidden:
                lines.append(Text(f"  {hidden} before these are not shown"))
            lines += [
                Text(f"  line {location.line}  {_time(location)}  {text}".replace("    ", "  "))
                for location, text in self._events
            ]
        return lines

    def _table(self, kills: list[Kill]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        many_boots = len({kill.boot for kill in kills}) > 1
        for name, right in (("line", True), ("time", True), ("boot", True), ("domain", False), ("victim", False), ("MiB", True), ("margin kB", True), ("flight kB", True), ("overlap", False), ("why", False)):  # fmt: skip
            if name != "boot" or many_boots:
                table.add_column(
                    name, justify="right" if right else "left", overflow="fold", no_wrap=name in ("line", "time", "MiB")
                )
        for kill in kills:
            report = kill.report
            verdict, style = VERDICTS[kill.overlap_estimated]
            cells: list[Text | str] = [str(kill.location.line), _time(kill.location)]
            if many_boots:
                cells.append(str(kill.boot))
            cells += [
                Text(domain_of(kill)),
                Text(victim_of(kill)),
                mib_of(kill),
                _kb(report.margin_kb if report else None),
                _kb(kill.in_flight_kb),
                Text(verdict, style=style),
                Text(visible(kill.overlap_evidence), style="dim"),
            ]
            table.add_row(*cells)
        return table


def _time(location: Location) -> str:
    if location.time_s is None:
        return ""
    if location.clock == "uptime":
        return f"{location.time_s:.3f}"
    moment = datetime.fromtimestamp(location.time_s + (946684800 if location.wall_is_yearless else 0), UTC)
    return moment.strftime("%b %e %H:%M:%S" if location.wall_is_yearless else "%Y-%m-%d %H:%M:%S")


def _kb(size_kb: int | None) -> str:
    return "" if size_kb is None else str(size_kb)
