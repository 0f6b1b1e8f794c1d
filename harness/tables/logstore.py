"""Tables of a kernel log as files, written while the log is read: memory does not grow with it."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ..oomlog.assemble import Output
from .log import LOG_TABLES
from .logrows import LogRows
from .schema import Table

_GROUP_BYTES = (
    4 << 20
)  # of a row group of Parquet, as Arrow has it: what waits is memory, and a group takes 40 µs for each column
# Columns that hardly ever fall: differences are small, and a dictionary of their values takes time and saves nothing.
_GROWING = frozenset({"report", "kill", "decision", "line", "offset"})
_AHEAD = 4  # groups that wait to be written


class LogStore:
    """Writes the tables into a directory that exists; each file appears under its name when it is whole."""

    def __init__(self, directory: Path, suffix: str) -> None:
        self._directory, self._suffix = directory, suffix
        self._open: Callable[[Path, pa.Schema], Any] = _open_parquet if suffix == "parquet" else _open_csv
        self._writers: dict[str, Any] = {}
        # Arrow writes without the interpreter's lock, so records are put together meanwhile
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._written: deque[Future[None]] = deque()
        self._rows = LogRows()
        self._waiting: dict[str, list[pa.Table]] = {table.name: [] for table in LOG_TABLES}
        self._waiting_bytes = dict.fromkeys(self._waiting, 0)

    def add(self, output: Output, file: str) -> None:
        """Takes one record of the log."""
        self._rows.add(output, file)
        if self._rows.is_large:
            self.add_tables(self._rows.take())

    def add_tables(self, tables: dict[str, pa.Table]) -> None:
        """Takes rows as tables, in the order of the log."""
        for table in LOG_TABLES:
            part = tables[table.name]
            self._waiting[table.name].append(part)
            self._waiting_bytes[table.name] += part.get_total_buffer_size()
            if self._waiting_bytes[table.name] >= _GROUP_BYTES:
                self._write(table)

    def _write(self, table: Table) -> None:
        parts = list(self._waiting[table.name])
        self._waiting[table.name].clear()
        self._waiting_bytes[table.name] = 0
        self._written.append(self._writing.submit(self._write_group, table, parts))
        while len(self._written) > _AHEAD:
            self._written.popleft().result()

    def _write_group(self, table: Table, parts: list[pa.Table]) -> None:
        content = pa.concat_tables(parts).combine_chunks()
        if table.name not in self._writers:
            self._writers[table.name] = self._open(self._part(table), content.schema)
        self._writers[table.name].write_table(content)

    def _wait(self) -> None:
        """Until all is written."""
        while self._written:
            self._written.popleft().result()

    def _part(self, table: Table) -> Path:
        return self._directory / f".{table.name}.{self._suffix}.part"

    def close(self) -> None:
        """Writes the rest."""
        self.add_tables(self._rows.take())
        self._wait()
        for table in LOG_TABLES:
            if self._waiting[table.name] or table.name not in self._writers:
                self._write(table)
        self._wait()
        self._writing.shutdown()
        for table in LOG_TABLES:
            self._writers[table.name].close()
            self._part(table).replace(self._directory / f"{table.name}.{self._suffix}")

    def discard(self) -> None:
        """Removes what is not whole."""
        self._writing.shutdown(cancel_futures=True)
        for table in LOG_TABLES:
            if table.name in self._writers:
                self._writers[table.name].close()
            self._part(table).unlink(missing_ok=True)


def _open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    growing = [field.name for field in schema if field.name in _GROWING]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        # the path of a list's values in the file, as the list has no values of its own
        use_dictionary=[
            f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
            for field in schema
            if field.name not in _GROWING
        ],
        column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
        write_statistics=[field.name for field in schema if not pa.types.is_string(field.type)],
    )


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
