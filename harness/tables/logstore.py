"""Tables of a kernel log as files, written while the log is read: memory does not grow with it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from harness.errors import EvidenceError
from harness.oomlog.assemble import Output
from harness.oomlog.records import Kill, Other, Release, Report
from harness.tables.log import (
    LOG_EVENTS,
    LOG_KILLS,
    LOG_RELEASES,
    LOG_REPORTS,
    LOG_STATS,
    LOG_TABLES,
    LOG_TASKS,
    LOG_ZONES,
    Row,
    event_row,
    kill_row,
    release_row,
    report_row,
    tasks_table,
    zone_rows,
)
from harness.tables.schema import Table

_ROWS, _TASK_ROWS = 1 << 12, 1 << 18  # before they are written: a row is an object, tasks are arrays


class LogStore:
    """Writes the tables into a directory; each file appears under its name when it is whole."""

    def __init__(self, directory: Path, suffix: str) -> None:
        """Raises EvidenceError when the directory cannot be made."""
        self._directory, self._suffix = directory, suffix
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvidenceError(f"cannot write to {directory}: {error.strerror}") from error
        self._open: Callable[[Path, pa.Schema], Any] = _open_parquet if suffix == "parquet" else _open_csv
        self._writers: dict[str, Any] = {}
        self._rows: dict[str, list[Row]] = {table.name: [] for table in LOG_TABLES}
        self._reports: list[Report] = []
        self._stats: tuple[list[int], list[str], list[int]] = ([], [], [])
        self._pending = self._pending_tasks = 0

    def add(self, output: Output, file: str) -> None:
        """Takes one record of the log."""
        match output:
            case Report():
                self._put(LOG_REPORTS, report_row(output, file))
                for row in zone_rows(output):
                    self._put(LOG_ZONES, row)
                if output.tasks is not None:
                    self._reports.append(output)
                    self._pending_tasks += output.tasks.row_count
                self._stats[0].extend([output.index] * len(output.stats))
                self._stats[1].extend(output.stats)
                self._stats[2].extend(output.stats.values())
            case Kill():
                self._put(LOG_KILLS, kill_row(output, file))
            case Release():
                self._put(LOG_RELEASES, release_row(output, file))
            case Other():
                self._put(LOG_EVENTS, event_row(output, file))
        if self._pending >= _ROWS or self._pending_tasks >= _TASK_ROWS:
            self._flush()

    def _put(self, table: Table, row: Row) -> None:
        self._rows[table.name].append(row)
        self._pending += 1

    def _flush(self) -> None:
        for table in LOG_TABLES:
            if table is LOG_TASKS:
                content = tasks_table(self._reports)
            elif table is LOG_STATS:
                content = pa.table(
                    list(map(pa.array, self._stats)) if self._stats[0] else [[], [], []],
                    schema=LOG_STATS.arrow_schema(),
                )
            else:
                content = table.arrow_table(self._rows[table.name])
            self._write(table, content)
            self._rows[table.name].clear()
        self._reports.clear()
        self._stats = ([], [], [])
        self._pending = self._pending_tasks = 0

    def _write(self, table: Table, content: pa.Table) -> None:
        if table.name not in self._writers:
            self._writers[table.name] = self._open(self._part(table), content.schema)
        self._writers[table.name].write_table(content)

    def _part(self, table: Table) -> Path:
        return self._directory / f".{table.name}.{self._suffix}.part"

    def close(self) -> None:
        """Writes the rest."""
        self._flush()
        for table in LOG_TABLES:
            self._writers[table.name].close()
            self._part(table).replace(self._directory / f"{table.name}.{self._suffix}")

    def discard(self) -> None:
        """Removes what is not whole."""
        for table in LOG_TABLES:
            if table.name in self._writers:
                self._writers[table.name].close()
            self._part(table).unlink(missing_ok=True)


def _open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)


def _flat(content: pa.Table) -> pa.Table:
    """Lists as numbers with blanks between, as CSV has none."""
    schema = _flat_schema(content.schema)
    columns = [
        pa.array([None if v is None else " ".join(map(str, v)) for v in column.to_pylist()], pa.string())
        if pa.types.is_list(column.type)
        else column
        for column in content.columns
    ]
    return pa.table(columns, schema=schema)


def _flat_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, pa.string()) if pa.types.is_list(f.type) else f for f in schema])


def csv_bytes(content: pa.Table, with_header: bool) -> bytes:
    """A table as CSV."""
    buffer = io.BytesIO()
    pa_csv.write_csv(_flat(content), buffer, pa_csv.WriteOptions(include_header=with_header))
    return buffer.getvalue()


class _CsvWriter:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pa_csv.CSVWriter(path, _flat_schema(schema))

    def write_table(self, content: pa.Table) -> None:
        self._writer.write_table(_flat(content))

    def close(self) -> None:
        self._writer.close()


def _open_csv(path: Path, schema: pa.Schema) -> _CsvWriter:
    return _CsvWriter(path, schema)
