"""Where `oomtrial parse` puts what it reads: the terminal, a document, files of tables."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from ..errors import HostError
from ..oomlog.assemble import Output
from ..oomlog.column_reader import Rows
from ..oomlog.columns import KILLS, TABLES
from ..oomlog.records import Kill, KnownLosses
from ..oomlog.turned import Turns
from ..tables.logtotals import LogCounts, LogTotals, totals_of
from .arrow import import_meanwhile, keep_pandas_out

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from ..tables.log import Row
    from ..tables.logstore import LogStore


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


@dataclass
class ParseResult:
    """What all logs together say."""

    missing: KnownLosses
    counts: LogCounts
    boots: int

    @property
    def totals(self) -> LogTotals:
        """Totals, as bounds."""
        return totals_of(self.missing, self.counts.kills, self.counts.decisions + 1, self.counts.reports)


class Sink(Protocol):
    """Takes records, in the order of the log."""

    def add(self, output: Output, file: str) -> None:
        """Takes one record of a file."""
        ...


Finish = Callable[[ParseResult], None]


class ColumnSink(Protocol):
    """Takes rows of the compiled assembler, in the order of the log. Arrow is imported while the log is searched."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it wants."""
        ...

    def add(self, rows: Rows, file: str, turns: Turns) -> None:
        """Takes rows; `turns` tells the places of a log that is the other way round."""
        ...


class TableFiles:
    """All tables of a log as files."""

    tables = TABLES

    def __init__(self, directory: Path, suffix: str) -> None:
        """Raises HostError when the directory cannot be made."""
        self._directory, self._suffix = directory, suffix
        _make_directory(directory)
        self._importing = import_meanwhile()
        self._is_open = False

    @cached_property
    def _store(self) -> LogStore:
        self._importing.join()
        from ..tables.logstore import LogStore

        self._is_open = True
        return LogStore(self._directory, self._suffix)

    def add(self, rows: Rows, file: str, turns: Turns) -> None:
        """As in ColumnSink."""
        store = self._store
        from ..tables.logcolumns import tables_of_columns

        store.add_tables(tables_of_columns(rows, file, turns))

    def finish(self) -> None:
        """Writes the rest; each file appears under its name."""
        self._store.close()
        _say_path(self._directory)

    def discard(self) -> None:
        """Removes what is not whole."""
        self._importing.join()
        if self._is_open:
            self._store.discard()


class KillsOnStdout:
    """The kills alone as CSV, for a pipe."""

    tables = (KILLS,)

    def __init__(self) -> None:
        self._importing = import_meanwhile()
        self._has_header = False

    def add(self, rows: Rows, file: str, turns: Turns) -> None:
        """As in ColumnSink."""
        self._importing.join()
        from ..tables.logcolumns import tables_of_columns

        kills = tables_of_columns(rows, file, turns)[KILLS]
        if kills.num_rows:
            self._write(kills)

    def _write(self, kills: pa.Table) -> None:
        from ..tables.logstore import csv_bytes

        sys.stdout.buffer.write(csv_bytes(kills, with_header=not self._has_header))
        self._has_header = True

    def finish(self) -> None:
        """Writes the header, where there was no kill."""
        self._importing.join()
        from ..tables.log import LOG_KILLS

        if not self._has_header:
            self._write(LOG_KILLS.arrow_schema().empty_table())

    def discard(self) -> None:
        """Waits for the import; what was printed stays."""
        self._importing.join()


def open_sink(request: ParseRequest, console: Callable[[], Console], stack: ExitStack) -> tuple[Sink, Finish]:
    """What takes the records, and what is called at the end.

    Raises HostError when the output cannot be written.
    """
    # each is imported where it is used: together they take a tenth of the time of a short log
    if request.explain is not None:
        from ..report.logexplain import LogExplain

        explain = LogExplain(console(), request.explain, _container_names())
        return explain, lambda result: explain.finish(result.totals, result.missing)
    if request.format == "table":
        from ..report.logtable import LogTable

        table = LogTable(console())
        is_whole = not (request.since or request.until or request.memcg)
        return table, lambda result: table.finish(result.totals, result.missing, is_whole)
    keep_pandas_out()
    if request.out is None and request.format == "csv":
        return _csv_to_stdout()
    if request.format in ("csv", "parquet"):
        assert request.out is not None
        return _open_store(request.out, request.format, stack)
    from ..report.logjson import JsonDocument, JsonLines, LogFooter

    out, keep = _open_output(request, stack)
    sink = JsonDocument(out) if request.format == "json" else JsonLines(out)
    stack.callback(sink.close)

    def finish_json(result: ParseResult) -> None:
        sink.finish(LogFooter(result.missing, result.totals, result.boots, list(request.files)))
        keep()

    return sink, finish_json


def _open_store(directory: Path, suffix: str, stack: ExitStack) -> tuple[Sink, Finish]:
    from ..tables.logstore import LogStore

    _make_directory(directory)
    store = LogStore(directory, suffix)
    stack.callback(store.discard)

    def finish(result: ParseResult) -> None:
        del result
        store.close()
        _say_path(directory)

    return store, finish


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"cannot write to {directory}: {error.strerror}") from error


def _say_path(path: Path) -> None:
    print(path, flush=True)


def _open_output(request: ParseRequest, stack: ExitStack) -> tuple[IO[bytes], Callable[[], None]]:
    """The output file, and what renames it when it is complete."""
    if request.out is None:
        return sys.stdout.buffer, lambda: None
    path = request.out / f"oomlog.{request.format}"
    part = path.with_name(f".{path.name}.part")

    def keep() -> None:
        part.replace(path)
        _say_path(path)

    _make_directory(request.out)
    try:
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
            from ..tables.logvalues import kill_row

            self._rows.append(kill_row(output, file))
            if len(self._rows) >= 10_000:
                self.flush()

    def flush(self) -> None:
        from ..tables.log import LOG_KILLS
        from ..tables.logstore import csv_bytes

        sys.stdout.buffer.write(csv_bytes(LOG_KILLS.arrow_table(self._rows), self._is_first))
        self._rows.clear()
        self._is_first = False


def _csv_to_stdout() -> tuple[Sink, Finish]:
    sink = _CsvKills()

    def finish(result: ParseResult) -> None:
        del result
        sink.flush()

    return sink, finish


def _container_names() -> dict[str, str]:
    """Names of the local engine's containers; a log of another machine names none of them, as IDs are unique."""
    # the engine's client takes half a second to import
    from ..containers.names import names_of
    from ..containers.running import API_ERRORS
    from ..guest.local import connect_local

    with contextlib.suppress(HostError, *API_ERRORS):
        return names_of(connect_local())
    return {}
