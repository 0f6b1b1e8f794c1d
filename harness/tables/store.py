"""Tables on disk: Parquet, one file a table, written atomically."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import EvidenceError
from ..system.paths import write_atomically
from .schema import FACTS, FORMAT_VERSION, TABLES, Table

# Nullable, as a frame that is made of rows.
_PANDAS = {
    pa.string(): pd.StringDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def save_tables(directory: Path, frames: dict[str, pd.DataFrame]) -> None:
    """Writes each frame under its table's schema."""
    for table in (table for table in TABLES if table.name in frames):
        content = pa.Table.from_pandas(frames[table.name], schema=table.arrow_schema(), preserve_index=False)
        buffer = io.BytesIO()
        pq.write_table(content.replace_schema_metadata(table.arrow_schema().metadata), buffer, compression="zstd")
        write_atomically(directory / f"{table.name}.parquet", buffer.getvalue())


def load_table(directory: Path, table: Table) -> pd.DataFrame:
    """One table.

    Raises EvidenceError when it is missing, damaged or of a newer format.
    """
    path = directory / f"{table.name}.parquet"
    try:
        content = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise EvidenceError(
            f"cannot read {path}: {str(error).splitlines()[0]}", "rebuild it from the raw evidence"
        ) from error
    metadata = content.schema.metadata or {}
    if int(metadata.get(b"oomtrial.format", b"0")) > FORMAT_VERSION:
        raise EvidenceError(f"{path} was written by a newer oomtrial")
    columns = {
        column.name: content.column(column.name).to_pandas(types_mapper=_PANDAS.get)
        for column in table.columns
        if column.name in content.column_names
    }
    empty = table.frame([])
    return pd.DataFrame(columns, index=pd.RangeIndex(len(content))).reindex(columns=empty.columns).astype(empty.dtypes)


def load_tables(directory: Path, tables: tuple[Table, ...] = FACTS) -> dict[str, pd.DataFrame]:
    """Tables by name; by default those of facts. Raises EvidenceError as `load_table` does."""
    return {table.name: load_table(directory, table) for table in tables}
