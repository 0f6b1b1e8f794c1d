"""Tables on disk: Parquet, one file a table, written atomically."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import EvidenceError
from ..system.paths import write_atomically
from .schema import FACTS, FORMAT_VERSION, TABLES, Column, Table, nulls, pandas_type


def save_tables(directory: Path, frames: dict[str, pd.DataFrame]) -> None:
    """Writes each frame under its table's schema."""
    for table in (table for table in TABLES if table.name in frames):
        schema, frame = table.arrow_schema(), frames[table.name]
        columns = [pa.array(frame[field.name], field.type, from_pandas=True) for field in schema]
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns, schema=schema), buffer, compression="zstd")
        write_atomically(directory / f"{table.name}.parquet", buffer.getvalue())


def load_table(directory: Path, table: Table) -> pd.DataFrame:
    """One table.

    Raises EvidenceError when it is missing, damaged or of a newer format.
    """
    path = directory / f"{table.name}.parquet"
    try:
        with pq.ParquetFile(path) as file:
            content = file.read()
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, FileNotFoundError):
            missing = f"{directory.parent} has no table {table.name}"
            if (directory.parent / "trials").is_dir():
                raise EvidenceError(missing, f"oomtrial tables rebuild {directory.parent}") from error
            raise EvidenceError(
                missing, "it was exported without it, and has no raw evidence to make it from: take the run itself"
            ) from error
        raise EvidenceError(
            f"cannot read {path}: {str(error).splitlines()[0]}",
            "rebuild it from the raw evidence: oomtrial tables rebuild RUN",
        ) from error
    metadata = content.schema.metadata or {}
    if int(metadata.get(b"oomtrial.format", b"0")) > FORMAT_VERSION:
        raise EvidenceError(f"{path} was written by a newer oomtrial")
    columns = {column.name: _values(column, content) for column in table.columns}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(content)), copy=False)


def _values(column: Column, content: pa.Table) -> pd.api.extensions.ExtensionArray | pd.Series:
    """A column as a frame that is made of rows has it; null where a table of before lacks it."""
    if column.name not in content.column_names:
        return nulls(column, len(content))
    values = content.column(column.name)
    if values.type != column.arrow_type:
        values = values.cast(column.arrow_type)
    found: pd.api.extensions.ExtensionArray | pd.Series = (
        values.to_pandas() if column.type == "list" else pandas_type(column.type).__from_arrow__(values)
    )
    return found


def load_tables(directory: Path, tables: tuple[Table, ...] = FACTS) -> dict[str, pd.DataFrame]:
    """Tables by name; by default those of facts. Raises EvidenceError as `load_table` does."""
    return {table.name: load_table(directory, table) for table in tables}
