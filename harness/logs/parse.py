"""Parses logs into tables, for `oomtrial parse`. It does not need pandas."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from ..errors import EvidenceError, UsageError
from ..oomlog.column_reader import ColumnReader
from ..oomlog.columns import exists as columns_exist
from ..oomlog.reading import Reader
from ..system.machine import machine_budget
from ..tables.logtotals import LogCounts
from ..units import format_count
from .files import STDIN, OpenLog, open_log
from .filter import LogFilter, Renumbering, TimeBound
from .sinks import ColumnSink, Finish, KillsOnStdout, ParseRequest, ParseResult, Sink, TableFiles, open_sink

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ParseRequest", "parse_files"]

_SHOWN_LINES = 12


class _Progress(Protocol):
    """How much of a log was read."""

    lines: int
    bytes: int


def parse_files(request: ParseRequest, console: Callable[[], Console], say: Callable[[str], None]) -> bool:
    """Parses logs and writes the result. `say` gets a line for each log without OOM lines, or that cannot be read;
    `console` is made only where the result is for people.

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
    gc.disable()  # millions of records, and no cycle among them: looking for one takes a quarter of the time
    with ExitStack() as stack:
        parser, finish = _open_parser(request, selection, console, say, stack)
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


def _open_parser(
    request: ParseRequest,
    selection: LogFilter,
    console: Callable[[], Console],
    say: Callable[[str], None],
    stack: ExitStack,
) -> tuple[_PythonParser | _CompiledParser, Finish]:
    if request.format in ("csv", "parquet") and selection.is_all and columns_exist():
        columns = KillsOnStdout() if request.out is None else TableFiles(request.out, request.format)
        stack.callback(columns.discard)
        compiled = _CompiledParser(columns, say)
        stack.callback(compiled.reader.close)
        return compiled, lambda _: columns.finish()
    sink, finish = open_sink(request, console, stack)
    return _PythonParser(sink, selection, say), finish


class _PythonParser:
    """Logs, one after the other, into a sink."""

    def __init__(self, sink: Sink, selection: LogFilter, say: Callable[[str], None]) -> None:
        self._sink, self._selection, self._say = sink, selection, say
        self._selected = Renumbering()
        self.reader, self.counts = Reader(workers=_cores()), LogCounts()

    @property
    def result(self) -> ParseResult:
        return ParseResult(self.reader.missing, self.counts, self.reader.assembler.boots)

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
    """The same into tables, with no record left out, by compiled code."""

    def __init__(self, sink: ColumnSink, say: Callable[[str], None]) -> None:
        self._sink, self._say = sink, say
        self.reader = ColumnReader(workers=_cores(), tables=sink.tables)

    @property
    def result(self) -> ParseResult:
        return ParseResult(self.reader.missing, LogCounts(*self.reader.counts), self.reader.boots)

    def parse_all(self, files: Iterable[str]) -> list[EvidenceError]:
        return _read_all(files, self._read, self.reader, self._say)

    def _read(self, log: OpenLog) -> bool:
        before, known = self.reader.counts.records, len(self.reader.missing.unread_lines)
        for rows in self.reader.read(log.stream, log.plain_path):
            self._sink.add(rows, log.name, self.reader.turns)
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
