"""The reference of a run's tables, made from the schema: `python -m harness.report.tabledocs > docs/tables.md`."""

from __future__ import annotations

from ..tables.schema import FORMAT_VERSION, TABLES
from .logdocs import table_lines

_HEAD = f"""# Tables of a run

Made from the code by `python -m harness.report.tabledocs`; a test keeps it true. One Parquet file a table in `tables/`, of format
{FORMAT_VERSION} (metadata `oomtrial.format`; unit and meaning stand with each column). `oomtrial tables rebuild RUN` makes them anew from the raw
evidence, byte for byte the same; a trial whose raw files are not what they were when it ended (`checksums.json`) is left out
and named, unless `--accept-edited` is given. [notebooks.md](notebooks.md) says how to read them as DataFrames.
"""


def reference() -> str:
    """The page, as Markdown."""
    return _HEAD + "\n".join(line for table in TABLES for line in table_lines(table)) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
