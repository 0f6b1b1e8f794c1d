"""The reference of a run's tables, made from the schema: `python -m harness.report.tabledocs > docs/tables.md`."""

from __future__ import annotations

from ..tables.schema import FORMAT_VERSION, TABLES
from .logdocs import table_lines

_HEAD = f"""# Tables of a run

The directory `tables/` of a run has one Parquet file per table, in format {FORMAT_VERSION} (metadata `oomtrial.format`). The schema of each file
contains the unit and meaning of every column. `oomtrial tables rebuild RUN` makes the tables again from the raw evidence, byte for byte
the same. A trial whose raw files have changed since it ended (`checksums.json`) is left out and named, unless `--accept-edited` is
given. [notebooks.md](notebooks.md) shows how to read the tables as DataFrames.

This page is generated from the code by `python -m oomtrial.report.tabledocs`; a test checks that it is current.
"""


def reference() -> str:
    """The page, as Markdown."""
    return _HEAD + "\n".join(line for table in TABLES for line in table_lines(table)) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
