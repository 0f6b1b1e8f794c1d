"""The task table: its columns come from its own header line, never from a version."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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


class TableHead(Record, frozen=True):
    """The columns of a table, pid first, the name left out."""

    columns: tuple[str, ...]
    is_complete: bool

    @property
    def is_whole(self) -> bool:
        """Whether the line ends with `name`, and every column is known."""
        return self.is_complete


_HEAD = late_pattern(r"\[ *pid *\] +(uid +tgid +total_vm .*)", re.DOTALL)


@line_format("task table", "[ pid ] uid tgid total_vm rss cpu oom_adj name", "2.6.25 to 2.6.35")
@line_format("task table", "[ pid ] uid tgid total_vm rss cpu oom_adj oom_score_adj name", "2.6.36 to 3.5; RHEL 6")
@line_format("task table", "[ pid ] uid tgid total_vm rss nr_ptes swapents oom_score_adj name", "3.6 to 3.19; RHEL 7")
@line_format("task table", "[ pid ] uid tgid total_vm rss nr_ptes nr_pmds swapents oom_score_adj name", "4.0 to 4.14")
@line_format(
    "task table",
    "[ pid ] uid tgid total_vm rss pgtables_bytes swapents oom_score_adj name",
    "4.15 to 6.7",
    "from 4.19 after the line Tasks state (memory values in pages):",
)
@line_format(
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


def _numbers(data: bytes) -> npt.NDArray[np.int64]:
    import numpy as np  # 70 ms, which whoever only carries tables does not need

    return np.frombuffer(data, dtype=np.int64)


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
        return _numbers(self.cells).reshape(-1, len(self.columns))

    @property
    def lines(self) -> npt.NDArray[np.int64]:
        """Number of each row's line."""
        return _numbers(self.places)

    @property
    def row_count(self) -> int:
        """Number of rows that could be read."""
        return len(self.places) // _CELL_BYTES

    def column(self, name: str) -> npt.NDArray[np.int64] | None:
        """A column by the kernel's name, or None where this kernel has none."""
        if name not in self.columns:
            return None
        return _numbers(self.cells)[self.columns.index(name) :: len(self.columns)]

    @property
    def pids(self) -> npt.NDArray[np.int64]:
        """The first column."""
        return _numbers(self.cells)[:: len(self.columns)]

    def shifted(self, lines: int) -> TaskTable:
        """The same with so much added to the numbers of the lines."""
        places = (self.lines + lines).tobytes()
        return TaskTable(self.columns, self.cells, self.names, places, self.damaged, self.foreign)

    def unpadded(self) -> TaskTable:
        """The same, of a log whose lines end with blanks or colours."""
        names = _PADDING.sub(b"\n", self.names)
        return TaskTable(self.columns, self.cells, names, self.places, self.damaged, self.foreign)

    def comms(self) -> list[str]:
        """Names of the processes, in the order of the rows; bytes that are no UTF-8 become surrogates."""
        return self.names.decode("utf-8", "surrogateescape").split("\n")[:-1]


_PADDING = late_pattern(rb"(?:[ \t\r]|\x1b\[[\d;:]*[mK])+\n")
_NUMBER = r"\d{1,18}+"


@cache
def bulk_rows(columns: int) -> re.Pattern[bytes]:
    """Finds the rows of a table of so many numeric columns in a chunk of lines: the numbers (``12]  0  12 ...``), and the name."""
    return re.compile((rf"\[ *+({_NUMBER}\]" + rf" ++-?{_NUMBER}" * (columns - 1) + r") ([^\r\n]*+)").encode())


@cache
def _one_row(columns: int) -> re.Pattern[str]:
    return re.compile(rf"\[ *+({_NUMBER})\](" + rf" ++-?{_NUMBER}" * (columns - 1) + r") (.*)", re.DOTALL)


ROW_BEGUN = late_pattern(r"\[ *\d+\]")
ROW_LIKE = late_pattern(rb"\[ *\d+\](?: |$)")
# As many numbers as there are, then the name. Possessive it would be `{6,}+`, which matches too little for a group before
# Python 3.11.5 (gh-106052).
ROW_TEXT = late_pattern(r"\[ *\d+\](?: +-?\d+){6,} (?! *-?\d)")
ROW_SHAPE = late_pattern(ROW_TEXT.pattern.encode())


def parse_task_row(text: str, columns: int) -> tuple[list[int], str] | None:
    """Numbers, pid first, and name of one row."""
    match = _one_row(columns).fullmatch(text)
    return ([int(match[1]), *map(int, match[2].split())], match[3]) if match else None


def build_table(
    head: TableHead, rows: Sequence[tuple[bytes, bytes]], lines: Sequence[int], foreign: int = 0
) -> TaskTable:
    """A table of what `bulk_rows` found."""
    if not rows:
        return TaskTable(head.columns, b"", b"", b"", 0, foreign)
    import numpy as np

    numbers, names = zip(*rows, strict=True)
    text = b" ".join(numbers).replace(b"]", b"").decode("ascii")
    cells = np.fromstring(text, dtype=np.int64, sep=" ")
    places = array("q", lines)
    return TaskTable(head.columns, cells.tobytes(), b"\n".join((*names, b"")), places.tobytes(), 0, foreign)


_WRAP = late_pattern(rb"\n(?=[^\[])")


def wrapped_table(head: TableHead, raw: bytes, token: bytes, zone: bytes, first_line: int) -> TaskTable | None:
    """A table whose rows a mailer wrapped, and nothing else: each begins with a stamp, the rest of it with none.

    None where a line is anything else, or a name has a blank: it may have been cut there.
    """
    if not (raw.startswith(b"[") and zone.startswith(b"[") and zone.endswith(b"\n")):
        return None
    lines = zone.split(b"\n")
    del lines[-1]
    if b"" in lines or list(map(bytes.strip, lines)) != lines:
        return None  # blanks at a joint: which of them are the text's is for the careful reader
    begun = [number for number, line in enumerate(lines) if line.startswith(b"[")]
    if b"[" in b"".join([line for line in lines if not line.startswith(b"[")]):
        return None
    if token != b"[" and not all(token in lines[number] for number in begun):
        return None
    rows = bulk_rows(len(head.columns)).findall(_WRAP.sub(b" ", zone))
    if len(rows) != len(begun) or b" " in b"".join([name for _, name in rows]):
        return None
    return build_table(head, rows, [first_line + number for number in begun])
