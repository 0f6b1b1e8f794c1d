"""A kernel log to tables: the composition behind `oomtrial parse` and `harness.parse_log`."""

from __future__ import annotations

import fnmatch
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

import pandas as pd
import pyarrow as pa
from rich.console import Console

from harness.errors import EvidenceError, UsageError
from harness.logfile import OpenLog, open_log
from harness.oomlog.assemble import Output
from harness.oomlog.infer import in_subtree
from harness.oomlog.reading import Reader
from harness.oomlog.records import Kill, Other, Release, Report
from harness.oomlog.scan import Where
from harness.oomlog.wall import iso_seconds, second_of_year
from harness.report.logjson import JsonDocument, JsonLines
from harness.report.logtable import LogTable
from harness.tables.log import (
    LOG_EVENTS,
    LOG_KILLS,
    LOG_RELEASES,
    LOG_REPORTS,
    LOG_STATS,
    LOG_ZONES,
    Row,
    event_row,
    kill_row,
    missing_row,
    release_row,
    report_row,
    tasks_table,
    totals,
    zone_rows,
)
from harness.tables.logstore import LogStore

FORMATS = ("table", "json", "jsonl", "csv", "parquet")


@dataclass
class OomLog:
    """A kernel log as DataFrames. docs/oom-log.md has every column, with unit and when it is absent."""

    reports: pd.DataFrame  # one row a printed report
    kills: pd.DataFrame  # one row a process killed
    releases: pd.DataFrame  # one row an oom_reaper line
    tasks: pd.DataFrame  # one row a row of a task table
    events: pd.DataFrame  # panics, victims that were gone, lockups
    zones: pd.DataFrame  # one row a memory zone of a report
    memory_stats: pd.DataFrame  # one row a statistic of an OOM domain
    missing: dict[str, int]  # what the log is known to lack
    totals: dict[str, dict[str, int]]  # kills, decisions and reports, as bounds


def parse_log(source: str | os.PathLike[str] | BinaryIO) -> OomLog:
    """Parses a kernel log: a path (plain, .gz, .xz, .zst), or a binary file that is open.

    Raises EvidenceError when the file is missing, unreadable, a directory, or a damaged archive. A log without any OOM
    line gives empty frames.
    """
    reader = Reader()
    outputs: list[Output]
    if isinstance(source, (str, os.PathLike)):
        with open_log(os.fspath(source)) as log:
            name, outputs = log.name, list(reader.read(log.stream))
    else:
        name, outputs = str(getattr(source, "name", "-")), list(reader.read(source))
    reports = [output for output in outputs if isinstance(output, Report)]
    kills = [output for output in outputs if isinstance(output, Kill)]

    def rows(kind: type[Any], row: Callable[[Any], Row]) -> list[Row]:
        return [{**row(output), "file": name} for output in outputs if isinstance(output, kind)]

    types = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}
    stats = [{"report": r.index, "name": key, "value": value} for r in reports for key, value in r.stats.items()]
    decisions = len({kill.decision for kill in kills})
    return OomLog(
        reports=LOG_REPORTS.frame(rows(Report, report_row)),
        kills=LOG_KILLS.frame(rows(Kill, kill_row)),
        releases=LOG_RELEASES.frame(rows(Release, release_row)),
        tasks=tasks_table(reports).to_pandas(types_mapper=types.get),
        events=LOG_EVENTS.frame(rows(Other, event_row)),
        zones=LOG_ZONES.frame([row for report in reports for row in zone_rows(report)]),
        memory_stats=LOG_STATS.frame(stats),
        missing=missing_row(reader.missing),
        totals=totals(reader.missing, len(kills), decisions, len(reports)),
    )


@dataclass(frozen=True)
class Moment:
    """A point on one of a log's clocks."""

    seconds: float
    is_uptime: bool

    @classmethod
    def read(cls, text: str) -> Moment:
        """Seconds of uptime, or an ISO date and time (UTC without a zone).

        Raises UsageError when it is neither.
        """
        try:
            return cls(float(text), True)
        except ValueError:
            pass
        seconds = iso_seconds(text)
        if seconds is None:
            raise UsageError(f"not a time: {text!r}", "write seconds of uptime, or a date such as 2026-11-23T08:00:00Z")
        return cls(seconds, False)

    def of(self, where: Where) -> float | None:
        """Where a record stands against this moment: negative before, positive after; None without that clock."""
        if self.is_uptime:
            return None if where.uptime_s is None else where.uptime_s - self.seconds
        if where.wall_s is None:
            return None
        return where.wall_s - (second_of_year(self.seconds) if where.wall_is_yearless else self.seconds)


@dataclass
class Selection:
    """What the reader asked for. `without_clock` counts records that cannot be placed in time."""

    since: Moment | None = None
    until: Moment | None = None
    memcg: str | None = None
    without_clock: int = 0

    @property
    def is_all(self) -> bool:
        return self.since is None and self.until is None and self.memcg is None

    def _in_time(self, where: Where) -> bool:
        for moment, sign in ((self.since, 1), (self.until, -1)):
            if moment is not None:
                distance = moment.of(where)
                if distance is None:
                    self.without_clock += 1
                    return False
                if distance * sign < 0:
                    return False
        return True

    def _in_memcg(self, *memcgs: str | None) -> bool:
        pattern = self.memcg
        if pattern is None:
            return True
        named = [memcg for memcg in memcgs if memcg is not None]
        return any(fnmatch.fnmatchcase(m, pattern) or in_subtree(m, pattern) for m in named)

    def takes(self, output: Output) -> bool:
        """Whether a record is asked for. A kill goes with its report, so that no index points nowhere."""
        match output:
            case Kill() if output.report is not None:
                return self.takes(output.report)
            case Kill() | Report():
                return self._in_memcg(output.domain, output.task_memcg) and self._in_time(output.where)
            case Release() | Other():
                return self.memcg is None and self._in_time(output.where)


class _Selected:
    """Renumbers what is left of a log, so that an index is a place in its array."""

    def __init__(self) -> None:
        self._reports: dict[int, int] = {}
        self._kills: dict[int, int] = {}
        self._decisions: dict[int, int] = {}
        self._releases = 0

    def renumber(self, output: Output) -> Output:
        match output:
            case Report():
                output.index = self._reports.setdefault(output.index, len(self._reports))
            case Kill():
                output.index = self._kills.setdefault(output.index, len(self._kills))
                output.decision = self._decisions.setdefault(output.decision, len(self._decisions))
                output.earlier_kills = [self._kills[k] for k in output.earlier_kills if k in self._kills]
            case Release():
                output.index, self._releases = self._releases, self._releases + 1
                output.kill = None if output.kill is None else self._kills.get(output.kill)
            case Other():
                output.report = None if output.report is None else self._reports.get(output.report)
        return output


class _Sink(Protocol):
    def add(self, output: Output, file: str) -> None: ...


@dataclass
class ParseRequest:
    """What `oomtrial parse` was asked for."""

    files: tuple[str, ...]
    format: str = "table"
    out: Path | None = None
    since: str | None = None
    until: str | None = None
    memcg: str | None = None


@dataclass
class _Counts:
    kills: int = 0
    reports: int = 0
    decisions: int = -1  # the highest; decisions are numbered in order

    def take(self, output: Output) -> None:
        if isinstance(output, Kill):
            self.kills += 1
            self.decisions = max(self.decisions, output.decision)
        elif isinstance(output, Report):
            self.reports += 1


def parse_files(request: ParseRequest, console: Console, say: Callable[[str], None]) -> bool:
    """Parses logs and writes what they say. `say` gets a line for each log that says nothing, or cannot be read.

    Returns whether every log could be read. What the others say is written all the same.

    Raises UsageError for options that do not fit together, EvidenceError when the output cannot be written or the only
    log cannot be read.
    """
    selection = Selection(
        Moment.read(request.since) if request.since else None,
        Moment.read(request.until) if request.until else None,
        request.memcg,
    )
    if request.format == "parquet" and request.out is None:
        raise UsageError("parquet needs a directory", "add --out DIR")
    gc.disable()  # millions of records, and no cycle among them: looking for one takes a quarter of the time
    reader = Reader(workers=_cores())
    counts, errors = _Counts(), list[EvidenceError]()
    with ExitStack() as stack:
        sink, finish = _open_sink(request, console, stack)
        for output, file in _read_all(request.files, reader, selection, say, errors):
            counts.take(output)
            sink.add(output, file)
        if errors and len(request.files) == 1:
            raise errors[0]
        for error in errors:
            say(str(error))
        if selection.without_clock:
            say(
                f"{selection.without_clock} records have no stamp on the clock of --since or --until, and were left out"
            )
        finish(reader, counts)
    return not errors


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _read_all(
    files: Iterable[str],
    reader: Reader,
    selection: Selection,
    say: Callable[[str], None],
    errors: list[EvidenceError],
) -> Iterator[tuple[Output, str]]:
    selected = _Selected()
    for name in files:
        try:
            with open_log(name) as log:
                any_output = False
                for output in reader.read(log.stream, log.plain_path, log.size_bytes):
                    any_output = True
                    if selection.is_all:
                        yield output, name
                    elif selection.takes(output):
                        yield selected.renumber(output), name
                if not any_output:
                    _say_nothing_found(log, reader, say)
        except EvidenceError as error:
            errors.append(error)


def _say_nothing_found(log: OpenLog, reader: Reader, say: Callable[[str], None]) -> None:
    if not reader.bytes:
        say(f"{log.name} is empty")
    elif log.looks_binary:
        raise EvidenceError(f"{log.name} is binary, and no OOM line is in it", "give the kernel log as text")
    else:
        say(f"{log.name}: no OOM line in {reader.lines} lines")


_Finish = Callable[[Reader, _Counts], None]


def _open_sink(request: ParseRequest, console: Console, stack: ExitStack) -> tuple[_Sink, _Finish]:
    if request.format == "table":
        table = LogTable(console)
        return table, lambda reader, counts: table.finish(_totals(reader, counts), reader.missing)
    if request.out is None and request.format == "csv":
        return _csv_to_stdout()
    if request.format in ("csv", "parquet"):
        assert request.out is not None
        store = LogStore(request.out, request.format)
        stack.callback(store.discard)
        directory = request.out

        def finish(reader: Reader, counts: _Counts) -> None:
            store.close()
            console.print(f"{directory}", highlight=False, soft_wrap=True)
            del reader, counts

        return store, finish
    out = _open_output(request, stack)
    sink = JsonDocument(out) if request.format == "json" else JsonLines(out)
    stack.callback(sink.close)
    return sink, lambda reader, counts: sink.finish(
        {
            "missing": missing_row(reader.missing),
            "totals": _totals(reader, counts),
            "boots": reader.assembler.boots,
            "files": list(request.files),
        }
    )


def _totals(reader: Reader, counts: _Counts) -> dict[str, Any]:
    return totals(reader.missing, counts.kills, counts.decisions + 1, counts.reports)


def _open_output(request: ParseRequest, stack: ExitStack) -> IO[bytes]:
    if request.out is None:
        return sys.stdout.buffer
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        return stack.enter_context((request.out / f"oomlog.{request.format}").open("wb"))
    except OSError as error:
        raise EvidenceError(f"cannot write to {request.out}: {error.strerror}") from error


class _CsvKills:
    """The kills alone, for a pipe."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._is_first = True

    def add(self, output: Output, file: str) -> None:
        if isinstance(output, Kill):
            self._rows.append({**kill_row(output), "file": file})
            if len(self._rows) >= 10_000:
                self.flush()

    def flush(self) -> None:
        frame = LOG_KILLS.frame(self._rows)
        sys.stdout.write(frame.to_csv(index=False, header=self._is_first))
        self._rows.clear()
        self._is_first = False


def _csv_to_stdout() -> tuple[_Sink, _Finish]:
    sink = _CsvKills()

    def finish(reader: Reader, counts: _Counts) -> None:
        del reader, counts
        sink.flush()

    return sink, finish
