"""Tables of a kernel log from the columns of the compiled assembler."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ..oomlog.columns import ColumnBuffers
from ..oomlog.owner import NOBODY, Owner, owner_of
from ..oomlog.turned import Turns
from .log import LOG_KILLS, LOG_REPORTS, LOG_TABLES
from .schema import Table, printable

_OWNER_MEMCGS = {
    LOG_REPORTS.name: ("task_memcg", "oom_memcg"),
    LOG_KILLS.name: ("task_memcg", "group_memcg", "oom_memcg"),
}


def tables_of_columns(columns: dict[str, list[ColumnBuffers]], file: str, turns: Turns) -> dict[str, pa.Table]:
    """The rows as tables, as LogRows gives them, at the places that `turns` tells. A table that was not taken is left out."""
    tables = {table.name: _table(table, columns[table.name], file) for table in LOG_TABLES if table.name in columns}
    return {name: _at_their_places(table, turns) for name, table in tables.items()} if turns else tables


def _at_their_places(table: pa.Table, turns: Turns) -> pa.Table:
    if not {"line", "offset"} <= set(table.column_names):
        return table
    places = [turns.place(*place) for place in zip(table["line"].to_pylist(), table["offset"].to_pylist(), strict=True)]
    for column, name in enumerate(("line", "offset")):
        number = table.column_names.index(name)
        table = table.set_column(
            number, table.schema.field(name), pa.array([place[column] for place in places], pa.int64())
        )
    return table


def _table(table: Table, columns: Sequence[ColumnBuffers], file: str) -> pa.Table:
    schema, rows = table.arrow_schema(), columns[0].rows
    if not rows:
        return schema.empty_table()
    given, arrays = iter(columns), {}
    added = {"file", *Owner._fields} if table.name in _OWNER_MEMCGS else {"file"}
    for field in schema:
        if field.name not in added:
            arrays[field.name] = _array(next(given), field.type)
    if table.name in _OWNER_MEMCGS:
        arrays |= _owners([arrays[name].to_pylist() for name in _OWNER_MEMCGS[table.name]])
    if "file" in schema.names:
        arrays["file"] = pa.repeat(pa.scalar(printable(file), pa.string()), rows)
    return pa.table([arrays[name] for name in schema.names], schema=schema)


def _array(column: ColumnBuffers, kind: pa.DataType) -> pa.Array:
    valid = pa.py_buffer(column.valid) if column.nulls else None
    data, ends = pa.py_buffer(column.data), pa.py_buffer(column.ends)
    if pa.types.is_list(kind):
        values = pa.Array.from_buffers(kind.value_type, len(column.data) // 8, [None, data])
        return pa.Array.from_buffers(kind, column.rows, [valid, ends], column.nulls, children=[values])
    buffers = [valid, ends, data] if pa.types.is_string(kind) else [valid, data]
    return pa.Array.from_buffers(kind, column.rows, buffers, column.nulls)


def _owners(memcgs: list[list[str | None]]) -> dict[str, pa.Array]:
    """The columns of owners, by the first of a row's paths that names one."""
    rows = list(zip(*memcgs, strict=True))
    owners = {
        row: next((owner for memcg in row if (owner := owner_of(memcg)) is not NOBODY), NOBODY) for row in set(rows)
    }
    columns = zip(*map(owners.__getitem__, rows), strict=True)
    return {name: pa.array(values, pa.string()) for name, values in zip(Owner._fields, columns, strict=True)}
