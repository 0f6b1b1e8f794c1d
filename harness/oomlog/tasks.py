"""The task table: its columns come from its own header line, never from a version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from harness.oomlog.forms import form
from harness.oomlog.record import Record

# The kernel's column -> ours, with the unit in the name. Pages are of the kernel's page size.
COLUMNS = {
    "uid": "uid",
    "tgid": "tgid",
    "total_vm": "total_vm_pages",
    "rss": "rss_pages",
    "rss_anon": "rss_anon_pages",
    "rss_file": "rss_file_pages",
    "rss_shmem": "rss_shmem_pages",
    "nr_ptes": "nr_ptes",
    "nr_pmds": "nr_pmds",
    "pgtables_bytes": "pgtables_bytes",
    "swapents": "swapents",
    "cpu": "cpu",
    "oom_adj": "oom_adj",
    "oom_score_adj": "oom_score_adj",
}


_CELL_BYTES = 8
_NO_CELLS = np.empty(0, dtype=np.int64)


class TableHead(Record, frozen=True):
    """The columns of a table, pid first, the name left out."""

    columns: tuple[str, ...]
    is_complete: bool

    @property
    def is_whole(self) -> bool:
        return self.is_complete


_HEAD = re.compile(r"\[ *pid *\] +(uid +tgid +total_vm .*)", re.DOTALL)


@form("task table", "[ pid ] uid tgid total_vm rss cpu oom_adj name", "2.6.25 to 2.6.35")
@form("task table", "[ pid ] uid tgid total_vm rss cpu oom_adj oom_score_adj name", "2.6.36 to 3.5; RHEL 6")
@form("task table", "[ pid ] uid tgid total_vm rss nr_ptes swapents oom_score_adj name", "3.6 to 3.19; RHEL 7")
@form("task table", "[ pid ] uid tgid total_vm rss nr_ptes nr_pmds swapents oom_score_adj name", "4.0 to 4.14")
@form(
    "task table",
    "[ pid ] uid tgid total_vm rss pgtables_bytes swapents oom_score_adj name",
    "4.15 to 6.7",
    "from 4.19 after the line Tasks state (memory values in pages):",
)
@form(
    "task table",
    "[ pid ] uid tgid total_vm rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
    "6.8 to 6.18",
)
def parse_table_head(text: str) -> TableHead | None:
    """The head of a task table (dump_tasks(), mm/oom_kill.c). Any columns are taken, in any order."""
    match = _HEAD.fullmatch(text.strip())
    if not match:
        return None
    names = match[1].split()
    whole = names[-1] == "name"
    columns = names[:-1] if whole else names
    # A column that is not known may be new, or half of a name that was wrapped: the reader tries the rest of it first.
    return TableHead(("pid", *columns), whole and all(name in COLUMNS for name in columns))


class TaskTable(Record, frozen=True):
    """The rows of a table: one array a table, not one object a row, as a report may list ten thousand tasks."""

    columns: tuple[str, ...]  # the kernel's names, pid first
    cells: bytes  # `values`, as 64-bit numbers one after the other
    names: bytes  # of the processes, each ended by a newline
    places: bytes  # `lines`, as 64-bit numbers
    damaged: int  # rows that could not be read
    foreign: int  # lines of others between the rows

    @property
    def values(self) -> npt.NDArray[np.int64]:
        """(rows, columns)"""
        return np.frombuffer(self.cells, dtype=np.int64).reshape(-1, len(self.columns))

    @property
    def lines(self) -> npt.NDArray[np.int64]:
        """Number of each row's line."""
        return np.frombuffer(self.places, dtype=np.int64)

    @property
    def row_count(self) -> int:
        return len(self.places) // _CELL_BYTES

    def column(self, name: str) -> npt.NDArray[np.int64] | None:
        """A column by the kernel's name, or None where this kernel has none."""
        return self.values[:, self.columns.index(name)] if name in self.columns else None

    def shifted(self, lines: int) -> TaskTable:
        """The same with so much added to the numbers of the lines."""
        places = (self.lines + lines).tobytes()
        return TaskTable(self.columns, self.cells, self.names, places, self.damaged, self.foreign)

    def comms(self) -> list[str]:
        return self.names.decode("utf-8", "surrogateescape").split("\n")[:-1]


def _row_pattern(columns: int) -> str:
    return r"\[ *+(\d{1,18}+)\](" + " ++-?\\d{1,18}+" * (columns - 1) + r") "


@cache
def bulk_rows(columns: int) -> re.Pattern[bytes]:
    """Finds the rows of a table of so many numeric columns in a block of lines: pid, other numbers, name."""
    return re.compile((_row_pattern(columns) + r"([^\r\n]*+)").encode())


@cache
def _one_row(columns: int) -> re.Pattern[str]:
    return re.compile(_row_pattern(columns) + "(.*)", re.DOTALL)


ROW_BEGUN = re.compile(r"\[ *\d+\]")
ROW_LIKE = re.compile(rb"\[ *\d+\](?: |$)")
ROW_TEXT = re.compile(r"\[ *\d+\](?: +-?\d+){6,}+ ")
ROW_SHAPE = re.compile(ROW_TEXT.pattern.encode())


def parse_task_row(text: str, columns: int) -> tuple[list[int], str] | None:
    """Numbers, pid first, and name of one row."""
    match = _one_row(columns).fullmatch(text)
    return ([int(match[1]), *map(int, match[2].split())], match[3]) if match else None


def build_table(
    head: TableHead, pids: list[bytes], numbers: list[bytes], names: list[bytes], lines: Sequence[int],
    damaged: int, foreign: int,
) -> TaskTable:  # fmt: skip
    """A table of rows whose text is given column by column."""
    text = b" ".join([pid + rest for pid, rest in zip(pids, numbers, strict=True)])
    values = np.fromstring(text.decode("ascii"), dtype=np.int64, sep=" ") if text else _NO_CELLS
    places = np.arange(lines.start, lines.stop) if isinstance(lines, range) else np.array(lines, dtype=np.int64)
    return TaskTable(head.columns, values.tobytes(), b"\n".join([*names, b""]), places.tobytes(), damaged, foreign)
