"""Parses logs into tables, for `oomtrial parse`. It does not need pandas."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
from rich.console import Console

from ..errors import EvidenceError, HostError, UsageError
from ..oomlog.assemble import Output
from ..oomlog.column_reader import ColumnReader
from ..oomlog.columns import exists as columns_exist
from ..oomlog.reading import Reader
from ..oomlog.records import Kill, KnownLosses
from ..system.machine import machine_budget
from ..tables.log import LOG_KILLS, Row
from ..tables.logcolumns import tables_of_columns
from ..tables.logrows import LogCounts
from ..tables.logstore import LogStore, csv_bytes
from ..tables.logtotals import LogTotals, totals_of
from ..tables.logvalues import kill_row
from ..units import format_count
from .files import STDIN, OpenLog, open_log
from .filter import LogFilter, Renumbering, TimeBound

_SHOWN_LINES = 12


@dataclass
class _Result:
    """What all logs together say."""

    missing: KnownLosses
    counts: LogCounts
    boots: int

    @property
    def totals(self) -> LogTotals:
        return totals_of(self.missing, self.counts.kills, self.counts.decisions + 1, self.counts.reports)


class _Progress(Protocol):
    """How much of a log was read."""

    lines: int
    bytes: int


class _Sink(Protocol):
    def add(self, output: Output, file: str) -> None: ...


@dataclass
class ParseRequest:
    """The parameters of `oomtrial parse`."""

    files: tuple[str, ...]
    format: str = "table"
    out: Path | None = None
    since: str | None = None
    until: str | None = None
    memcg: str | None = None
    explain: str | None = None  # a pid, a container, a pod, a unit or a memcg


def parse_files(request: ParseRequest, console: Console, say: Callable[[str], None]) -> bool:
    """Parses logs and writes the result. `say` gets a line for each log without OOM lines, or that cannot be read.

    Returns whether every log could be read. What the others say is written all the same.

    Raises UsageError for options that do not fit together, EvidenceError when the output cannot be written or the only
    log cannot be read.
    """
    selection = LogFilter(
        TimeBound.read(request.since) if request.since else None,
        TimeBound.read(request.until) if request.until else None,
        request.memcg,
    )
    if request.files.count(STDIN) > 1:
        raise UsageError("standard input is named twice", "it can be read only once")
    if request.format == "table" and request.out is not None:
        raise UsageError("--out needs a file format", "add --format parquet, csv, json or jsonl")
    if request.explain is not None and request.format != "table":
        raise UsageError("--explain prints text only", "leave --format out")
    if request.format == "parquet" and request.out is None:
        raise UsageError("parquet needs a directory", "add --out DIR")
    _keep_pandas_out()
    gc.disable()  # millions of records, and no cycle among them: looking for one takes a quarter of the time
    with ExitStack() as stack:
        sink, finish = _open_sink(request, console, stack)
        parser: _PythonParser | _CompiledParser
        if isinstance(sink, LogStore) and selection.is_all and columns_exist():
            parser = _CompiledParser(sink, say)
            stack.callback(parser.reader.close)
        else:
            parser = _PythonParser(sink, selection, say)
        errors = parser.parse_all(request.files)
        if len(errors) == len(request.files) and not parser.result.counts.records:
            last_error = errors.pop()
            _say_errors(errors, say)
            raise last_error
        _say_errors(errors, say)
        if selection.without_clock:
            say(
                f"{selection.without_clock} records have no timestamp on the clock of --since or --until, and were left out"
            )
        finish(parser.result)
    return not errors


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        del path, target
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _keep_pandas_out() -> None:
    """Arrow imports pandas with the first array that it makes, where there is one (pandas-shim.pxi): a third of the
    time of a short log, and 45 MB. Arrow looks only once; a later request for a frame still works.
    """
    if "pandas" not in sys.modules:
        finder = _NoPandas()
        sys.meta_path.insert(0, finder)
        pa.array([0])
        sys.meta_path.remove(finder)


def _say_errors(errors: Iterable[EvidenceError], say: Callable[[str], None]) -> None:
    for error in errors:
        say(str(error))


def _cores() -> int:
    return machine_budget().cores


def _read_all(
    files: Iterable[str], read: Callable[[OpenLog], bool], reader: _Progress, say: Callable[[str], None]
) -> list[EvidenceError]:
    """Reads all files, one after the other; returns why some could not be read, or not to their end."""
    errors = []
    for name in files:
        try:
            with open_log(name) as log:
                any_output = read(log)
            if not any_output:
                _say_nothing_found(log, reader, say)
        except EvidenceError as error:
            errors.append(error)
    return errors


class _PythonParser:
    """Logs, one after the other, into a sink."""

    def __init__(self, sink: _Sink, selection: LogFilter, say: Callable[[str], None]) -> None:
        self._sink, self._selection, self._say = sink, selection, say
        self._selected = Renumbering()
        self.reader, self.counts = Reader(workers=_cores()), LogCounts()

    @property
    def result(self) -> _Result:
        return _Result(self.reader.missing, self.counts, self.reader.assembler.boots)

    def parse_all(self, files: Iterable[str]) -> list[EvidenceError]:
        return _read_all(files, self._read, self.reader, self._say)

    def _read(self, log: OpenLog) -> bool:
        any_output, known = False, len(self.reader.missing.unread_lines)
        for output in self.reader.read(log.stream, log.plain_path, log.size_bytes):
            any_output = True
            if not self._selection.is_all:
                if not self._selection.matches(output):
                    continue
                output = self._selected.apply(output)
            self.counts.take(output)
            self._sink.add(output, log.name)
        return _say_unread(log, self.reader.missing.unread_lines[known:], self._say) or any_output


class _CompiledParser:
    """The same into files of tables, with nothing left out, by compiled code."""

    def __init__(self, store: LogStore, say: Callable[[str], None]) -> None:
        self.store, self._say = store, say
        self.reader = ColumnReader(workers=_cores())

    @property
    def result(self) -> _Result:
        return _Result(self.reader.missing, LogCounts(*self.reader.counts), self.reader.boots)

    def parse_all(self, files: Iterable[str]) -> list[EvidenceError]:
        return _read_all(files, self._read, self.reader, self._say)

    def _read(self, log: OpenLog) -> bool:
        before, known = self.reader.counts.records, len(self.reader.missing.unread_lines)
        for rows in self.reader.read(log.stream, log.plain_path):
            self.store.add_tables(tables_of_columns(rows, log.name, self.reader.turns))
        return (
            _say_unread(log, self.reader.missing.unread_lines[known:], self._say) or self.reader.counts.records > before
        )


def _say_unread(log: OpenLog, lines: list[int], say: Callable[[str], None]) -> bool:
    """Whether there are lines that mention a kill and could not be read; it says so."""
    if lines:
        speak = "line mentions" if len(lines) == 1 else "lines mention"
        shown = ", ".join(map(str, lines[:_SHOWN_LINES])) + (" and more" if len(lines) > _SHOWN_LINES else "")
        say(f"{_words_of(log)}: {len(lines)} {speak} a kill or a report and could not be read: {shown}")
    return bool(lines)


def _say_nothing_found(log: OpenLog, reader: _Progress, say: Callable[[str], None]) -> None:
    if not reader.bytes:
        say(f"{_words_of(log)} is empty")
    elif log.looks_binary:
        raise EvidenceError(f"{_words_of(log)} is binary and has no OOM line", "give the kernel log as text")
    else:
        say(f"{_words_of(log)}: no OOM line in {format_count(reader.lines, 'line')}")


def _words_of(log: OpenLog) -> str:
    return "standard input" if log.name == STDIN else log.name


def _container_names() -> dict[str, str]:
    """Names of the local engine's containers; a log of another machine names none of them, as IDs are unique."""
    # the engine's client takes half a second to import
    from ..containers.names import names_of
    from ..containers.running import API_ERRORS
    from ..guest.local import connect_local

    with contextlib.suppress(HostError, *API_ERRORS):
        return names_of(connect_local())
    return {}


_Finish = Callable[[_Result], None]


def _open_sink(request: ParseRequest, console: Console, stack: ExitStack) -> tuple[_Sink, _Finish]:
    # each is imported where it is used: together they take a tenth of the time of a short log
    if request.explain is not None:
        from ..report.logexplain import LogExplain

        explain = LogExplain(console, request.explain, _container_names())
        return explain, lambda result: explain.finish(result.totals, result.missing)
    if request.format == "table":
        from ..report.logtable import LogTable

        table = LogTable(console)
        is_whole = not (request.since or request.until or request.memcg)
        return table, lambda result: table.finish(result.totals, result.missing, is_whole)
    if request.out is None and request.format == "csv":
        return _csv_to_stdout()
    if request.format in ("csv", "parquet"):
        assert request.out is not None
        store = LogStore(request.out, request.format)
        stack.callback(store.discard)
        directory = request.out

        def finish(result: _Result) -> None:
            store.close()
            console.print(f"{directory}", highlight=False, soft_wrap=True)
            del result

        return store, finish
    from ..report.logjson import JsonDocument, JsonLines, LogFooter

    out, keep = _open_output(request, console, stack)
    sink = JsonDocument(out) if request.format == "json" else JsonLines(out)
    stack.callback(sink.close)

    def finish_json(result: _Result) -> None:
        sink.finish(LogFooter(result.missing, result.totals, result.boots, list(request.files)))
        keep()

    return sink, finish_json


def _open_output(request: ParseRequest, console: Console, stack: ExitStack) -> tuple[IO[bytes], Callable[[], None]]:
    """The output file, and what renames it when it is complete."""
    if request.out is None:
        return sys.stdout.buffer, lambda: None
    path = request.out / f"oomlog.{request.format}"
    part = path.with_name(f".{path.name}.part")

    def keep() -> None:
        part.replace(path)
        console.print(f"{path}", highlight=False, soft_wrap=True)

    try:
        request.out.mkdir(parents=True, exist_ok=True)
        stack.callback(part.unlink, missing_ok=True)
        return stack.enter_context(part.open("wb")), keep
    except OSError as error:
        raise HostError(f"cannot write to {request.out}: {error.strerror}") from error


class _CsvKills:
    """The kills alone, for a pipe."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._is_first = True

    def add(self, output: Output, file: str) -> None:
        if isinstance(output, Kill):
            self._rows.append(kill_row(output, file))
            if len(self._rows) >= 10_000:
                self.flush()

    def flush(self) -> None:
        sys.stdout.buffer.write(csv_bytes(LOG_KILLS.arrow_table(self._rows), self._is_first))
        self._rows.clear()
        self._is_first = False


def _csv_to_stdout() -> tuple[_Sink, _Finish]:
    sink = _CsvKills()

    def finish(result: _Result) -> None:
        del result
        sink.flush()

    return sink, finish
