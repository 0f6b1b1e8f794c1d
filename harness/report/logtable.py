"""A kernel log on the terminal: what it shows, what it lacks, and each kill."""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.oomlog.assemble import Output
from harness.oomlog.found import Where
from harness.oomlog.records import Kill, Missing, Report
from harness.report.killwords import VERDICTS, domain_of, megabytes_of, victim_of
from harness.report.visible import visible
from harness.units import format_count

_SHOWN = 200

_ENDS = {
    "none": "cut, or without an end",
    "no-victim": "without a victim to choose",
    "skipped": "whose victim was gone",
}
# What is missing, in words; the reader need not know the names of the fields.
_LOSSES = (
    ("suppressed_reports", "reports kept back by the kernel's rate limit (their kills are printed all the same)"),
    ("kills_without_report", "kills without a report: domain and margin are inferred or unknown"),
    ("dropped_records", "records dropped by printk or journald: each may have been a kill"),
    ("sequence_gaps", "records missing from /dev/kmsg: each may have been a kill"),
    ("dropped_by_syslog", "messages of user space dropped by rsyslog"),
    ("releases_without_kill", "victims reaped without a kill in the log"),
    ("partial_kills", "lines of kills cut"),
    ("partial_reports", "reports without all their parts"),
    ("damaged_rows", "rows of task tables unreadable"),
    ("duplicate_lines", "records pasted twice, counted once"),
    ("forged_kills", "lines of user space that look like a kill, not counted"),
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
            self._outcomes[output.outcome] += 1
            self._boots.add(output.boot)

    def finish(self, totals: dict[str, Any], missing: Missing, is_whole: bool = True) -> None:
        """Prints the summary and the kills."""
        for file, kills in groupby(self._kills, key=lambda entry: entry[1]):
            if len(self._files) > 1:
                self._console.print(Text(visible(file), style="bold"))
            self._console.print(self._table([kill for kill, _ in kills]))
        if self._kills:
            hidden = totals["kills"]["printed"] - len(self._kills)
            if hidden:
                self._console.print(f"{hidden} kills before these are not shown; --format csv gives them all")
            self._console.print()
        for line in self._summary(totals, missing, is_whole):
            self._console.print(line, highlight=False)

    def _summary(self, totals: dict[str, Any], missing: Missing, is_whole: bool) -> list[Text]:
        kills, reports = totals["kills"], totals["reports"]
        head = (
            f"{format_count(kills['printed'], 'kill')} in {format_count(totals['decisions']['printed'], 'decision')}, "
            f"{format_count(reports['printed'], 'report')}, {format_count(len(self._boots), 'boot')}"
        )
        lines = [Text(head, style="bold")]
        if kills["at_least"] != kills["printed"] or kills["at_most"] != kills["at_least"]:
            more = f"at least {kills['at_least']}"
            if kills["at_most"] != kills["at_least"]:
                more = f"between {kills['at_least']} and {kills['at_most']}"
            lines.append(Text(f"  in truth {more}: see what is missing"))
        if kills["printed"]:
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
        losses = [(getattr(missing, name), words) for name, words in _LOSSES if getattr(missing, name)]
        if losses:
            lines.append(Text("missing or left out" + ("" if is_whole else ", of the whole log") + ":"))
            lines += [
                Text(f"  {number} {words.replace('s ', ' ', 1) if number == 1 else words}") for number, words in losses
            ]
        return lines

    def _table(self, kills: list[Kill]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        many_boots = len({kill.boot for kill in kills}) > 1
        for name, right in (("line", True), ("time", True), ("boot", True), ("domain", False), ("victim", False), ("MB", True), ("margin kB", True), ("flight kB", True), ("overlap", False), ("why", False)):  # fmt: skip
            if name != "boot" or many_boots:
                table.add_column(
                    name, justify="right" if right else "left", overflow="fold", no_wrap=name in ("line", "time", "MB")
                )
        for kill in kills:
            report = kill.report
            verdict, style = VERDICTS[kill.overlap_estimated]
            cells: list[Text | str] = [str(kill.where.line), _time(kill.where)]
            if many_boots:
                cells.append(str(kill.boot))
            cells += [
                Text(domain_of(kill)),
                Text(victim_of(kill)),
                megabytes_of(kill),
                _kb(report.margin_kb if report else None),
                _kb(kill.in_flight_kb),
                Text(verdict, style=style),
                Text(visible(kill.overlap_evidence), style="dim"),
            ]
            table.add_row(*cells)
        return table


def _time(where: Where) -> str:
    if where.time_s is None:
        return ""
    if where.clock == "uptime":
        return f"{where.time_s:.3f}"
    moment = datetime.fromtimestamp(where.time_s + (946684800 if where.wall_is_yearless else 0), UTC)
    return moment.strftime("%b %e %H:%M:%S" if where.wall_is_yearless else "%Y-%m-%d %H:%M:%S")


def _kb(size_kb: int | None) -> str:
    return "" if size_kb is None else str(size_kb)
