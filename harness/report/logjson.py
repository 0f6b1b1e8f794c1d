"""A kernel log as JSON: one document, or one object a line."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import ExitStack
from typing import IO, Any

import msgspec

from ..oomlog.assemble import Output
from ..oomlog.records import Kill, KnownLosses, OtherEvent, Release, Report
from ..tables.log import Row
from ..tables.logtasks import task_rows
from ..tables.logtotals import LogTotals
from ..tables.logvalues import event_row, kill_row, release_row, report_row, zone_rows

_ARRAYS = ("reports", "kills", "releases", "tasks", "events")
_IN_MEMORY_BYTES = 8 << 20


def encode(row: Any) -> bytes:
    """JSON; a byte that is no UTF-8 is a lone surrogate, as Python's json writes and reads it (U+DC80 to U+DCFF)."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":")).encode("ascii")


def _rows(output: Output, file: str) -> list[tuple[str, Row]]:
    match output:
        case Report():
            zones = [{key: value for key, value in row.items() if key != "report"} for row in zone_rows(output)]
            row = {**report_row(output, file), "memory_stats": output.stats, "zones": zones}
            return [("reports", row), *(("tasks", task) for task in task_rows(output))]
        case Kill():
            return [("kills", kill_row(output, file))]
        case Release():
            return [("releases", release_row(output, file))]
        case OtherEvent():
            return [("events", event_row(output, file))]


class LogFooter(msgspec.Struct, frozen=True):
    """What follows the records."""

    missing: KnownLosses
    totals: LogTotals
    boots: int
    files: list[str]

    def values(self) -> dict[str, Any]:
        """As builtin types: names of files may hold bytes that are no UTF-8."""
        return dict(msgspec.to_builtins(self))


class JsonDocument:
    """One document with an array for each table; arrays wait in files when they grow large."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._stack = ExitStack()
        self._arrays = {
            name: self._stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115
            for name in _ARRAYS
        }

    def add(self, output: Output, file: str) -> None:
        """Takes one record of the log."""
        for name, row in _rows(output, file):
            array = self._arrays[name]
            array.write(b",\n " if array.tell() else b"\n ")
            array.write(encode(row))

    def finish(self, footer: LogFooter) -> None:
        """Writes the document."""
        self._out.write(b"{")
        for name, array in self._arrays.items():
            is_empty = not array.tell()
            array.seek(0)
            self._out.write(f'"{name}": ['.encode())
            shutil.copyfileobj(array, self._out)
            self._out.write(b"],\n" if is_empty else b"\n],\n")
        self._out.write(
            b",\n".join(encode(key) + b": " + encode(value) for key, value in footer.values().items()) + b"}\n"
        )
        self._out.flush()

    def close(self) -> None:
        """Removes the temporary files. The output stays open."""
        self._stack.close()


class JsonLines:
    """One object a line; `type` names its table."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def add(self, output: Output, file: str) -> None:
        """Takes one record of the log."""
        for name, row in _rows(output, file):
            self._out.write(encode({"type": name.removesuffix("s"), **row}) + b"\n")

    def finish(self, footer: LogFooter) -> None:
        """Writes the last lines: what is missing, and totals."""
        values = footer.values()
        for key in ("missing", "totals"):
            self._out.write(encode({"type": key, **values[key]}) + b"\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing: the output is the caller's."""
