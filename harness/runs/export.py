"""A results set: the tables of a run and its record, without raw evidence and without the machine's paths.

The tables tasks and trace_events are left out: they are ten times as large as all the others.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pandas as pd

from ..errors import HostError, UsageError
from ..spec.kernel import parse_kernel_spec
from ..tables.schema import FOREIGN_KILLS, TABLES, TASKS, TRACE_EVENTS, Table
from ..tables.store import load_tables, save_tables
from .record import RUN_FILE, RunRecord, read_run, write_run
from .redact import PathRedactor

_KEPT = tuple(table for table in TABLES if table not in (TASKS, TRACE_EVENTS))
# The text of a scenario makes its version, and the guest's command line names devices of the guest.
_VERBATIM = ("scenarios", "append")
# Columns that may name what a person typed; the others come from the kernel.
_COLUMNS = ("arm", "reason")


def export_set(run: Path, directory: Path) -> list[str]:
    """Writes the set. Returns the paths that lost their directories, each once.

    An arm that is named after a path (``tree:/home/me/linux``) is named after its last part (``tree:linux``), in the
    record and in the tables.

    Raises UsageError when the directory holds a run, EvidenceError when the run or a table is missing or damaged, HostError when
    the set cannot be written.
    """
    if (directory / RUN_FILE).exists():
        raise UsageError(f"{directory} already holds a run", "choose another directory")
    record = read_run(run)
    frames = load_tables(run / "tables", _tables_of(run))
    names = _short_names(record)
    shortened = _shorten_record(record, names)
    for frame in frames.values():
        _shorten_frame(frame, names)
    try:
        (directory / "tables").mkdir(parents=True, exist_ok=True)
        save_tables(directory / "tables", frames)
        write_run(directory, shortened)
        if (
            run / "kernels"
        ).is_dir():  # patches, configs and changes of trees: without them nobody can build these kernels
            shutil.copytree(run / "kernels", directory / "kernels", dirs_exist_ok=True)
    except OSError as error:
        raise HostError(f"cannot write to {directory}: {error.strerror}") from error
    return names.shortened


def _tables_of(run: Path) -> tuple[Table, ...]:
    """The tables to export. A set that was exported before there was a table of foreign kills has none to pass on."""
    has_none = not (run / "trials").is_dir() and not (run / "tables" / f"{FOREIGN_KILLS.name}.parquet").exists()
    return tuple(table for table in _KEPT if not (has_none and table is FOREIGN_KILLS))


def _short_names(record: RunRecord) -> PathRedactor:
    """Every path that the record is known to name, whatever characters it has."""
    names = PathRedactor()
    for kernel in record.kernels:
        spec = parse_kernel_spec(kernel.spec)
        paths = [path for path in spec.patches if "/" in path]
        if spec.kind in ("tree", "image"):
            paths.append(spec.argument)
            names.add(str(spec.path.absolute()), str(spec.path.resolve()), like=spec.argument)
        for path in [*paths, kernel.image, kernel.initrd, *kernel.user_fragments]:
            names.add(path)
            # in a spec these are written twice
            names.add(path.replace("+", "++").replace("@", "@@"), like=path)
    for option, word in zip(record.command, record.command[1:], strict=False):
        if option in ("--out", "--config", "--scenario", "--resume") and "/" in word:
            names.add(word)
    return names


def _shorten_record(record: RunRecord, names: PathRedactor) -> RunRecord:
    fields = msgspec.to_builtins(record)
    short = {key: value if key in _VERBATIM else names.within(value) for key, value in fields.items()}
    for place, option in enumerate(record.command[:-1]):
        if option == "--append":
            short["command"][place + 1] = record.command[place + 1]
    return msgspec.convert(short, RunRecord)


def _shorten_frame(frame: pd.DataFrame, names: PathRedactor) -> None:
    for column in _COLUMNS:
        if column in frame:
            changed = {text: names.within(text) for text in frame[column].dropna().unique()}
            frame[column] = frame[column].replace({old: new for old, new in changed.items() if old != new})
