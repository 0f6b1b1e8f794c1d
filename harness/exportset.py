"""A results set: the tables of a run and its record, without raw evidence and without the machine's paths.

The tables tasks and trace_events are left out: they are ten times as large as all the others.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec

from harness.errors import EvidenceError, UsageError
from harness.rundir import RUN_FILE, read_run, write_run
from harness.tables.schema import TABLES, TASKS, TRACE_EVENTS
from harness.tables.store import load_tables

# Large, and made anew from raw evidence only: ten times as much as all the others.
_LEFT_OUT = (TASKS, TRACE_EVENTS)
_DIRECTORIES = re.compile(r"(?<![\w.-])/(?:[^/\s:=@+]+/)+")  # of an absolute path; its last name stays


def export_set(run: Path, directory: Path) -> list[str]:
    """Writes the set. Returns the texts of the record that lost a path's directories.

    Raises UsageError when the directory holds a run, EvidenceError when the run or a table is missing or damaged, or the
    set cannot be written.
    """
    if (directory / RUN_FILE).exists():
        raise UsageError(f"{directory} already holds a run", "choose another directory")
    record = read_run(run)
    load_tables(run / "tables")
    stripped: list[str] = []

    def strip(text: str) -> str:
        short = _DIRECTORIES.sub("", text)
        if short != text:
            stripped.append(text)
        return short

    kernels = [
        msgspec.structs.replace(
            kernel,
            image=strip(kernel.image),
            initrd=strip(kernel.initrd),
            own_config=[strip(path) for path in kernel.own_config],
        )
        for kernel in record.kernels
    ]
    record = msgspec.structs.replace(record, command=[strip(word) for word in record.command], kernels=kernels)
    try:
        (directory / "tables").mkdir(parents=True, exist_ok=True)
        for path in sorted((run / "tables").glob("*.parquet")):
            if path.stem in {table.name for table in TABLES if table not in _LEFT_OUT}:
                shutil.copyfile(path, directory / "tables" / path.name)
        write_run(directory, record)
    except OSError as error:
        raise EvidenceError(f"cannot write to {directory}: {error.strerror}") from error
    return stripped
