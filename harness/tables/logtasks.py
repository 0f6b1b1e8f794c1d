"""Task tables as rows, and as columns: a log may hold millions of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..oomlog.records import Report
from ..oomlog.tasks import COLUMNS, TaskTable
from .log import LOG_TASKS, Row
from .schema import printable

_NEWLINE = ord("\n")


def task_rows(report: Report) -> list[Row]:
    """The task table of a report as rows of LOG_TASKS."""
    table = report.tasks
    if table is None:
        return []
    names = ["pid", *(COLUMNS.get(name, name) for name in table.columns[1:])]
    blank = dict.fromkeys(COLUMNS.values())
    return [
        {"report": report.index, "comm": comm, **blank, **dict(zip(names, values, strict=True)), "line": line}
        for values, comm, line in zip(table.values.tolist(), table.comms(), table.lines.tolist(), strict=True)
    ]


def tasks_table(reports: Iterable[Report]) -> pa.Table:
    """The task tables of many reports as one Arrow table: column by column, as there may be millions of rows."""
    found = [report for report in reports if report.tasks is not None and report.tasks.row_count]
    tables = [report.tasks for report in found if report.tasks is not None]
    schema = LOG_TASKS.arrow_schema()
    if not tables:
        return schema.empty_table()
    counts = [table.row_count for table in tables]
    arrays: dict[str, Any] = {
        "report": np.repeat([report.index for report in found], counts),
        "comm": _comms(b"".join(table.names for table in tables)),
        "line": np.concatenate([table.lines for table in tables]),
    }
    arrays |= _numbers(tables, counts)
    rows = sum(counts)
    return pa.table(
        [arrays[field.name] if field.name in arrays else pa.nulls(rows, field.type) for field in schema], schema=schema
    )


def _comms(names: bytes) -> pa.Array:
    """Names, each ended by a newline, as a column: its bytes and where each begins, no string a row."""
    try:
        names.decode("utf-8")
    except UnicodeDecodeError:
        names = printable(names.decode("utf-8", "surrogateescape")).encode()
    ends = np.flatnonzero(np.frombuffer(names, dtype=np.uint8) == _NEWLINE)
    starts = np.zeros(len(ends) + 1, dtype=np.int32)
    starts[1:] = ends - np.arange(len(ends))  # the newlines are left out
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(starts), pa.py_buffer(names.replace(b"\n", b"")))


def _numbers(tables: Sequence[TaskTable], counts: list[int]) -> dict[str, Any]:
    """The columns of numbers. Kernels differ in their columns: where a row's table has none, it is null."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for index, table in enumerate(tables):
        kinds.setdefault(table.columns, []).append(index)
    if len(kinds) == 1:
        (columns,) = kinds
        values = np.concatenate([table.values for table in tables])
        return {COLUMNS.get(name, name): values[:, position] for position, name in enumerate(columns)}
    kind_of_table = np.empty(len(tables), dtype=np.int64)
    for kind, indices in enumerate(kinds.values()):
        kind_of_table[indices] = kind
    kind_of_row = np.repeat(kind_of_table, counts)
    numbers: dict[str, Any] = {}
    absent: dict[str, Any] = {}
    for kind, (columns, indices) in enumerate(kinds.items()):
        rows = np.flatnonzero(kind_of_row == kind)
        values = np.concatenate([tables[index].values for index in indices])
        for position, name in enumerate(columns):
            column = COLUMNS.get(name, name)
            if column not in numbers:
                numbers[column] = np.zeros(len(kind_of_row), dtype=np.int64)
                absent[column] = np.ones(len(kind_of_row), dtype=bool)
            numbers[column][rows] = values[:, position]
            absent[column][rows] = False
    return {name: pa.array(values, mask=absent[name]) for name, values in numbers.items()}
