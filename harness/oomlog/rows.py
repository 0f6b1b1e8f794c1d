"""Rows of a task table, line by line: foreign lines are passed over, wrapped rows put together."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator

from . import tasks
from .late_pattern import late_pattern
from .logline import LogLine

PIECES = 4  # lines that one line was wrapped into
# A stamp may be damaged ("[15180329.new] [22944] ...") where the row is not.
_ROW_AFTER_STAMP = late_pattern(r"(?:\[[^\]]*\] ?(?=\[ *\d+\] ))?(?=\[ *\d+\])")


_WIDTHS = frozenset((80, 100, 120, 132, 160, 200, 240))  # of terminals


def is_hard_wrap(width: int, next_width: int) -> bool:
    """Whether a terminal broke a line, where it was full, by the bytes of its first two pieces. A mailer's lines have other lengths."""
    return width in _WIDTHS or width == next_width


def joined(text: str, rests: list[str], is_hard: bool = False) -> Iterator[str]:
    """The text with its rests: a terminal wraps within words, a mailer at blanks and drops them."""
    if not rests:
        yield text
        return
    # The summary has no blanks but in names.
    order = ("", " ") if is_hard or text.startswith("oom-kill:") else (" ", "")
    text = text.rstrip()
    if len(rests) == 1:
        yield text + order[0] + rests[0]
        yield text + order[1] + rests[0]
        return
    for joints in itertools.product(order, repeat=len(rests)):
        yield text + "".join(joint + rest for joint, rest in zip(joints, rests, strict=True))


class RowReader:
    """Rows of a table, line by line: foreign lines are passed over, wrapped rows put together."""

    def __init__(self, head: tasks.TableHead, is_wrapped: bool = False) -> None:
        self.head, self.width, self.is_wrapped = head, len(head.columns), is_wrapped
        self.rows: list[tuple[list[int], str]] = []
        self.lines: list[int] = []
        self.pending: list[str] = []
        self.pending_line = 0
        self.damaged = self.foreign = self.foreign_run = 0

    def skip_foreign_line(self) -> None:
        """Counts a line that is no row. Lines behind the last row are not counted in the table."""
        self.foreign += 1
        self.foreign_run += 1

    def add_line(self, line: LogLine, number: int) -> None:
        """Takes the next line, without its prefix: a row, the rest of a wrapped one, or a foreign line. `number` is its number in the log."""
        row = _ROW_AFTER_STAMP.match(line.text)
        if row:
            self._drop_pending()
            self.foreign_run = 0
            self.pending, self.pending_line = [line.text[row.end() :]], number
            self._try_parse_pending()
        elif self.pending and line.is_bare and line.text and len(self.pending) < PIECES:
            self.pending.append(line.text)
            self._try_parse_pending()
        elif (
            self.is_wrapped
            and self.rows
            and line.is_bare
            and line.text
            and not self.foreign_run
            and " " not in line.text
        ):
            numbers, name = self.rows[-1]
            self.rows[-1] = (numbers, name + line.text)  # a terminal's edge cut the name
        else:
            self.skip_foreign_line()

    def _try_parse_pending(self) -> None:
        for text in joined(self.pending[0], self.pending[1:]):
            row = tasks.parse_task_row(text, self.width)
            if row:
                self.rows.append(row)
                self.lines.append(self.pending_line)
                self.pending = []
                return

    def _drop_pending(self) -> None:
        self.damaged += bool(self.pending)
        self.pending = []

    def table(self) -> tasks.TaskTable:
        """The table of the rows so far. A row that is still incomplete counts as damaged."""
        self._drop_pending()
        values = array("q", itertools.chain.from_iterable(numbers for numbers, _ in self.rows))
        names = "".join(name.replace("\n", " ") + "\n" for _, name in self.rows).encode("utf-8", "surrogateescape")
        return tasks.TaskTable(
            self.head.columns, values.tobytes(), names, array("q", self.lines).tobytes(), self.damaged,
            self.foreign - min(self.foreign_run, self.foreign),
        )  # fmt: skip
