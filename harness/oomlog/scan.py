"""Finds the lines that matter in a block of a log, and reads them; the rest is never looked at as a line.

A compiled matcher (Hyperscan) finds the words of the forms; Python reads only the lines that hold one, and the tables
and statistics that follow some of them. What is read here does not depend on what was read before, so that blocks of a
file can be read by several processes.
"""

from __future__ import annotations

import bisect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from . import domain, header, kill, killers, losses, meminfo, release, tasks
from .expand import Expanded, expand, is_document, is_encoded, without_wrapping
from .fields import fields_around, member_text, take_fields
from .found import Forged, Found, Orphans, Part, Parts, Unread, Where
from .logline import LogLine
from .origin import Origin
from .prefix import peel
from .rescue import (  # fmt: skip
    SPEAKS,
    Shape,
    clean,
    find_beginning,
    glued_text,
    is_comm,
    is_kernels,
    is_name,
    is_torn,
    line_of,
    longest,
    split_head,
    tail_of,
    tail_text,
    without_trailer,
)
from .rows import PIECES, RowReader, joined
from .words import KILL_PARSERS, PART_PARSERS, Marked, Parser, encoded, mark

# What the kernel says of itself in the words of another program.
_FROM_USER_SPACE = (losses.Dropped, killers.UserKill)
# Forms that a mailer or a terminal may have wrapped.
_WRAPPABLE = frozenset(
    (kill.parse_killed, kill.parse_chosen, kill.parse_skipped, header.parse_header, domain.parse_summary, release.parse_reaped, kill.parse_group_kill,
     domain.parse_task_in, tasks.parse_table_head, header.parse_cpuset, header.parse_cpu_line, meminfo.parse_buddy)
)  # fmt: skip
# Forms that the kernel prints in pieces (pr_cont): a record of another CPU between two of them parts them for good.
_CONTINUED = frozenset((domain.parse_summary, domain.parse_stats_head, domain.parse_task_in))
_WITH_ZONES = (tasks.TableHead, domain.StatsHead)  # heads of what stands on the lines that follow
_GROUP_TAIL = "are going to be killed due to"
_NEAR_LINES = 24  # between two pieces
_WHOLE: dict[Parser, Parser] = {kill.parse_killed: partial(kill.parse_killed, may_be_cut=False)}
_ORPHAN_BYTES = 64 << 10  # of a block that are searched for rows without a head
_FEW_BYTES, _NEWLINE = 16 << 10, ord("\n")
_JSON = (b"{", b"[", b'"')
_MEMBER = ('"', ",", "M", "\x1b")  # what a line of a record that is spread over lines begins with
_ENDED = (kill.Killed, kill.Chosen, header.Header, domain.Summary)  # lines with an end that can be told
_LONGEST_RESCUED = 64 << 10  # bytes of a line
_SHAPES = 16  # of prefixes that a block may teach
_SIZE_BYTES = 8  # before a field of journald's export format that is no text
_OTHERS = 2000  # lines of other callers and hosts between those of one table
_FOREIGN_RUN = 40  # lines of others that end a table which has no end of its own
# A line that begins a form of its own is no rest of another.
_BEGINS = re.compile(
    r"\[|Out of [mM]emory|Memory cgroup|Killed process|[Kk]ill process|oom_reaper:|oom-kill:|Tasks in |Mem-Info|CPU:|Node \d|"
    r"memory: |.* invoked oom-killer:|Task in |Call Trace"
)


class Block(NamedTuple):
    """Whole lines of a log, and a little of what follows, for lines that are wrapped."""

    data: bytes
    end: int  # lines that begin here or later belong to the next block
    offset: int  # of the first byte in the log
    line: int  # number of the first line


def read_block(block: Block, in_bulk: bool = True) -> Iterator[Found]:
    """The records of a block, in order. `in_bulk` reads clean tables with one expression; the result is the same."""
    return iter(_read(block, in_bulk)[0])


def read_and_count(block: Block) -> tuple[list[Found], int]:
    """The records of a block, and how many lines begin in it."""
    found, reader = _read(block, in_bulk=True)
    return found, reader.count_lines()


def _read(block: Block, in_bulk: bool) -> tuple[list[Found], _Reader]:
    reader = _Reader(block, in_bulk)
    if not reader.is_encoded:
        found = list(reader.read())
        if not (reader.is_encoded or reader.has_markup or reader.has_tails(found)):
            return (found, reader) if not reader.learnt else _read_again(reader)
    return _read_expanded(block, in_bulk)


def _read_again(reader: _Reader) -> tuple[list[Found], _Reader]:
    """With what the block taught of its prefixes: lines further up may have such a prefix too."""
    again = _Reader(reader.block, reader.in_bulk, tuple(reader.learnt.values()), reader.is_written)
    return list(again.read()), again


def _read_expanded(block: Block, in_bulk: bool) -> tuple[list[Found], _Reader]:
    """The records of a block that holds other documents, at the places of these."""
    written = expand(block.data, block.end)
    reader = _Reader(Block(written.data, written.end, 0, 0), in_bulk, is_written=True)
    found = list(reader.read())
    if reader.has_tails(found) or reader.has_markup:
        written = without_wrapping(written, list(reader.tails.values()), reader.has_markup)
        reader = _Reader(Block(written.data, written.end, 0, 0), in_bulk, is_written=True)
        found = list(reader.read())
    if reader.learnt:
        found, _ = _read_again(reader)
    return [_at_its_place(one, written, block) for one in found], _Reader(block, in_bulk)


def _at_its_place(found: Found, written: Expanded, block: Block) -> Found:
    where, record = found.where, found.record
    if not written.lines:
        return found
    last = len(written.lines) - 1
    number = min(where.line, last)
    # records of one line keep their order
    begin = written.offsets[number]
    within = number - bisect.bisect_left(written.offsets, begin) if written.offsets[last] >= begin else 0
    where = where.at(block.line + written.lines[number], block.offset + begin + max(within, 0))
    if isinstance(record, tasks.TaskTable):
        record = _table_at(record, written, block.line)
    elif isinstance(record, Parts):
        record = Parts(
            tuple(
                _table_at(part, written, block.line) if isinstance(part, tasks.TaskTable) else part
                for part in record.records
            )
        )
    return Found(where, record)


def _table_at(table: tasks.TaskTable, written: Expanded, first_line: int) -> tasks.TaskTable:
    last = len(written.lines) - 1
    lines = np.array([first_line + written.lines[min(line, last)] for line in table.lines.tolist()], dtype=np.int64)
    return tasks.TaskTable(table.columns, table.cells, table.names, lines.tobytes(), table.damaged, table.foreign)


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class _Reader:
    def __init__(self, block: Block, in_bulk: bool, shapes: tuple[Shape, ...] = (), is_written: bool = False) -> None:
        self.is_written = is_written  # what other documents held is written out
        self.block, self.data, self.in_bulk, self.shapes = block, block.data, in_bulk, shapes
        self.has_markup = False  # of a page or a forum, around its lines
        self.tails: dict[str, re.Pattern[str]] = {}  # of what stands behind the texts, by their patterns
        self.tail_count = 0  # lines that had one
        self.learnt: dict[str, Shape] = {}  # of prefixes, by their patterns
        self.marked = mark(block.data, block.end)
        # whether lines of a log are within other documents, which must be written out first
        self.is_encoded = any(encoded in parsers for parsers in {marked.parsers for marked in self.marked})
        self.counted, self.line_number = 0, block.line
        self.origin: Origin | None = None  # of the last header
        self.head: Where | None = None  # of the last header
        self.parts: list[Part] = []  # of its report, not given yet
        self.part_start = 0  # of the last

    def _line_of(self, position: int) -> int:
        """Number of the line at a position; one that lies back is counted anew."""
        if position < self.counted:
            return self.line_number - self.data.count(b"\n", position, self.counted)
        if position - self.counted < _FEW_BYTES:
            self.line_number += self.data.count(b"\n", self.counted, position)
        else:  # numpy is four times as fast
            gap = np.frombuffer(self.data, np.uint8, position - self.counted, self.counted)
            self.line_number += int(np.count_nonzero(gap == _NEWLINE))
        self.counted = position
        return self.line_number

    def count_lines(self) -> int:
        """Lines that begin in the block; what `read` has counted is not counted again."""
        end = self.block.end
        lines = self._line_of(end) - self.block.line
        return lines + (end == len(self.data) and not self.data.endswith(b"\n"))

    def read(self) -> Iterator[Found]:
        used = -1  # end of what wrapped lines have taken
        data, offset = self.data, self.block.offset
        if orphans := self._orphans():
            yield orphans
        for index, marked in enumerate(self.marked):
            start, parsers = marked.start, marked.parsers
            if start <= used or not parsers:
                continue
            raw = data[start : marked.end]
            if self.origin is not None and parsers[0] in self.origin.parsers:
                part = self._read_part(index, marked, raw)
                if part is not None:
                    self.parts.append(part)
                    self.part_start = start
                    if isinstance(part, domain.Summary):
                        yield from self._take_parts(is_summary=True)
                    continue
            if self.parts:
                yield from self._take_parts()
            line = self._peel_marked(marked, raw)
            if not self.is_written and (
                ((b"=" in raw or b"<br" in raw) and is_encoded(raw))
                or (("\n" in line.text or line.is_bare) and raw.lstrip()[:1] in _JSON and is_document(raw))
            ):
                self.is_encoded = True
                return
            if not line.is_kernel:
                yield from self._user_space(marked, line)
                continue
            text = line.text
            if text[:1] == "[" and tasks.ROW_TEXT.match(text):
                continue  # a row of a table: the words are the task's name
            where = _where(line, self._line_of(start), offset + start)
            if line.dropped:
                yield Found(where, losses.Dropped(line.dropped, "printk"))
            if ("\n" in text or "#012" in text) and len(pieces := _pieces(text)) > 1:
                records = list(_of_pieces(text, pieces))
                if not records and (spoken := SPEAKS.search(raw)):
                    records.append(Unread(spoken.lastgroup or ""))
                for record in records:
                    yield Found(where, record)
                continue
            is_rescued = False
            record = parsers[0](text)
            if record is None or not record.is_whole:
                record, used = self._parse(marked, line, record)
            if (
                record is None
                or not record.is_whole
                or (isinstance(record, header.Header) and not is_name(record.comm, line))
            ):
                is_rescued = True
                record, line, used = self._rescue(marked, raw, line, record, used)
                where = _where(line, where.line, where.offset)
                if record is None:
                    continue
            if line.is_bare and self.head is not None and parsers[0] in PART_PARSERS:
                # dmesg and journalctl print the first line of a record of several with a prefix, the others with blanks
                where = self.head.at(where.line, where.offset)
            elif isinstance(record, kill.Killed) and len(record.comm or "") > 15 and (rest := glued_text(text)):
                record, is_rescued = parsers[0](text[: -len(rest)]) or record, True
            if isinstance(record, header.Header):
                self.head = where
                self.origin = None if line.is_member else Origin.of(raw, line, where)
            elif isinstance(record, _WITH_ZONES):
                record = self._with_zone(index, record, line, max(used, marked.end))
            yield Found(where, record)
            if is_rescued:
                yield from self._glued(marked, raw, where)
        if self.parts:
            yield from self._take_parts()

    def has_tails(self, found: list[Found]) -> bool:
        """Whether most lines of reports and kills have something behind their texts: one may be glued to the next."""
        if not self.tails:
            return False
        return 2 * self.tail_count > sum(isinstance(one.record, _ENDED) for one in found)

    def _glued(self, marked: Marked, raw: bytes, where: Where) -> Iterator[Found]:
        """What a line that was glued to the end of another says."""
        text = glued_text(_decode(raw)) or tail_text(_decode(raw))
        spoken = SPEAKS.search(text.encode("utf-8", "surrogateescape"))
        if spoken is None:
            return
        line = self._peel(text.lstrip())
        if not line.is_kernel:
            return
        record, _ = self._parse_attempt(marked, line)
        where = _where(line, where.line, where.offset + len(raw) - len(text.encode("utf-8", "surrogateescape")))
        yield Found(where, record if record is not None else Unread(spoken.lastgroup or ""))

    def _peel(self, text: str) -> LogLine:
        """The line without its prefix, by what is known of prefixes, or by what this log has taught."""
        line = peel(text)
        if self.shapes:
            end = longest(self.shapes, text)
            if not end and (cleaned := clean(text)) != text:
                text, end = cleaned, longest(self.shapes, cleaned)
            if end > len(text) - len(line.text):
                learnt = line_of(text[:end], text[end:])
                learnt.host = line.host if text.endswith(line.text) and learnt.wall_s is None else ""
                return learnt
        if line.is_bare and text.lstrip()[:1] in _MEMBER and (value := member_text(text)) is not None:
            line.text, line.is_bare, line.is_member = value.rstrip("\n"), False, True
        return line

    def _peel_marked(self, marked: Marked, raw: bytes) -> LogLine:
        """A line that holds a word; where it is one of a record of several lines, with what the others say."""
        text = _decode(raw)
        line = self._peel(text)
        if line.is_member:
            take_fields(fields_around(self._lines_before(marked.start), text, self._lines_after(marked.end)), line)
        elif line.is_bare and self.data.endswith(b"MESSAGE\n", 0, marked.start) and len(text) > _SIZE_BYTES:
            # journalctl -o export: a field that is no text, or has several lines, stands behind its size
            text = "MESSAGE=" + _decode(raw[_SIZE_BYTES:])
            line = LogLine(text[len("MESSAGE=") :], is_bare=False, is_member=True)
            take_fields(fields_around(self._lines_before(marked.start), text, self._lines_after(marked.end)), line)
        return line

    def _lines_before(self, start: int) -> Iterator[str]:
        while start > 0:
            begin = self.data.rfind(b"\n", 0, start - 1) + 1
            yield _decode(self.data[begin : start - 1])
            start = begin

    def _lines_after(self, end: int) -> Iterator[str]:
        while end + 1 < len(self.data):
            after = self.data.find(b"\n", end + 1)
            after = len(self.data) if after < 0 else after
            yield _decode(self.data[end + 1 : after])
            end = after

    def _rescue(self, marked: Marked, raw: bytes, line: LogLine, record: Any, used: int) -> tuple[Any, LogLine, int]:
        """What a line says that could not be read as it stands, or not whole: its prefix may be one that nobody knows.

        What was made of it so far, if nothing better is found; where nothing is, a line that speaks of a kill is `Unread`.
        """
        is_bad = isinstance(record, header.Header) and not is_name(record.comm, line)
        # a kernel's stamp is followed by its text, so the name is a long one, unless stamps or marks stand in it
        is_kept = record is not None and not (is_bad and is_torn(record.comm, line))
        text = _decode(raw) if len(raw) <= _LONGEST_RESCUED else ""
        best: tuple[Any, LogLine, int, bool] | None = None
        for attempt, is_learnt in self._attempts(text, line):
            found, end = self._parse_attempt(marked, attempt)
            if found is None or not (found.is_whole or record is None or is_bad):
                continue
            if is_bad and not (isinstance(found, header.Header) and (found.comm is not None or not is_kept)):
                continue
            if best is None or found.is_whole:
                best = found, attempt, end, is_learnt or (best is not None and best[3])
            if found.is_whole:
                break
        if best is not None:
            found, attempt, end, is_learnt = best
            if not attempt.is_kernel:
                return _forged(found), attempt, used
            self._learn(text, found, attempt, is_learnt)
            return found, attempt, max(used, end)
        if is_kept:
            return record, line, used
        spoken = SPEAKS.search(raw)
        return (Unread(spoken.lastgroup or "") if spoken else None), line, used

    def _learn(self, text: str, found: Any, line: LogLine, is_prefix: bool) -> None:
        """Keeps what the line tells of all lines of the log: what stands before their texts, and behind them."""
        if self.shapes:
            return  # they are learnt
        # behind a known stamp stands the text, whatever it looks like
        self.has_markup = self.has_markup or (clean(text) != text and peel(text).is_bare)
        if found.is_whole and (tail := tail_of(text)) and not SPEAKS.search(tail_text(text).encode("utf-8", "replace")):
            self.tail_count += 1
            if len(self.tails) < _SHAPES:
                self.tails.setdefault(tail.pattern, tail)
        place = text.find(line.text)
        if is_prefix and place > 0 and len(self.learnt) < _SHAPES and (shape := Shape.of(text[:place])) is not None:
            self.learnt.setdefault(shape.pattern, shape)

    @staticmethod
    def _attempts(text: str, line: LogLine) -> Iterator[tuple[LogLine, bool]]:
        """Other ways to read a line, likely ones first; and whether its prefix is one to learn."""
        if (short := without_trailer(line.text)) != line.text:
            yield msgspec.structs.replace(line, text=short), False
        cleaned = clean(text)
        if cleaned != text:
            again = peel(cleaned)
            yield again, False
            yield msgspec.structs.replace(again, text=without_trailer(again.text)), False
        begin = find_beginning(cleaned)
        if begin is not None:
            is_kernel = is_kernels(cleaned[:begin], text)
            if begin and is_kernel is not None:
                attempt = line_of(cleaned[:begin], cleaned[begin:])
                attempt.is_kernel = is_kernel
                yield attempt, True
                yield msgspec.structs.replace(attempt, text=without_trailer(attempt.text)), False
        elif (parts := split_head(cleaned)) is not None and (is_kernel := is_kernels(parts[0], text)) is not None:
            attempt = line_of(*parts)
            attempt.is_kernel = is_kernel
            yield attempt, False
            yield msgspec.structs.replace(attempt, text=without_trailer(attempt.text)), False

    def _parse_attempt(self, marked: Marked, line: LogLine) -> tuple[Any, int]:
        cut = None
        for parser in marked.parsers:
            record = parser(line.text)
            if record is None or (isinstance(record, header.Header) and not is_comm(record.comm)):
                continue
            if record.is_whole:
                return record, -1
            cut = cut or record
        if header.parse_header in marked.parsers and cut is None and not line.is_bare:
            cut = header.parse_bare_head(line.text)
        found, end = self._parse(marked, line, cut) if line.is_kernel else (cut, -1)
        return (None, -1) if isinstance(found, header.Header) and not is_comm(found.comm) else (found, end)

    def _take_parts(self, is_summary: bool = False) -> Iterator[Found]:
        """The parts so far. The line of a summary tells whether a kill stands next to it; of the others, bare ones do."""
        origin = self.origin
        assert origin is not None
        where = origin.where
        if is_summary or origin.is_bare:
            where = where.at(self._line_of(self.part_start), self.block.offset + self.part_start)
        yield Found(where, Parts(tuple(self.parts)))
        self.parts.clear()

    def _orphans(self) -> Found | None:
        heads = (marked.start for marked in self.marked if tasks.parse_table_head in marked.parsers)
        end = min(next(heads, _ORPHAN_BYTES), _ORPHAN_BYTES, self.block.end)
        rows = 0
        for match in tasks.ROW_SHAPE.finditer(self.data, 0, end):
            begin = self.data.rfind(b"\n", 0, match.start()) + 1
            stop = self.data.find(b"\n", match.end())
            text = self._peel(_decode(self.data[begin : stop if stop >= 0 else len(self.data)])).text
            row = tasks.ROW_TEXT.match(text)  # "pcpu-alloc: [0] 0 1 2 ..." is none
            rows += row is not None and bool(text[row.end() :].strip())
        where = Where(self.block.line, self.block.offset, None, None, False, "", "", "", None)
        return Found(where, Orphans(rows)) if rows else None

    def _read_part(self, index: int, marked: Marked, raw: bytes) -> Any:
        """A line of a report whose prefix is that of the header but for the digits: it need not be peeled."""
        origin = self.origin
        text = origin.text_of(raw) if origin is not None else None
        if origin is None or text is None:
            return None
        record = marked.parsers[0](text)
        if record is None or not record.is_whole or "#012" in text:
            return None
        if isinstance(record, _WITH_ZONES):
            return self._with_zone(index, record, origin.line, marked.end)
        return record

    def _with_zone(self, index: int, record: Any, line: LogLine, end: int) -> Any:
        """A record with the table or statistics that follow it."""
        if isinstance(record, tasks.TableHead):
            table = self._table(index, record, line, end)
            raw = self.data[self.marked[index].start : self.marked[index].end]
            # no name of a column ends with blanks or in a colour, so that of a process does not either
            return table.unpadded() if raw.rstrip(b"\r\n")[-1:].isspace() or b"\x1b" in raw else table
        return self._statistics(index, record, line, end)

    def _user_space(self, marked: Marked, line: LogLine) -> Iterator[Found]:
        where = _where(line, self._line_of(marked.start), self.block.offset + marked.start)
        for parser in marked.parsers:
            is_killer = parser is killers.parse_user_kill
            record = parser(f"{line.tag}: {line.text}" if is_killer and line.tag else line.text)
            if (forged := _forged(record)) is not None:
                yield Found(where, forged)
                return
            if isinstance(record, _FROM_USER_SPACE):
                yield Found(where, record)
                return

    def _parse(self, marked: Marked, line: LogLine, first: Any) -> tuple[Any, int]:
        """The record of a line, with the rest that it was wrapped into; and the end of what was used.

        `first` is what the first of its forms made of the line: nothing, or a record that is cut.
        """
        cut, parsers = first, marked.parsers if first is None else marked.parsers[:1]
        # of the forms of a kill a line can be but one
        for parser in () if first is not None and marked.parsers is KILL_PARSERS else marked.parsers[1:]:
            if cut is not None and parser in KILL_PARSERS:
                continue
            record = parser(line.text)
            if record is not None:
                if record.is_whole:
                    return record, -1
                cut, parsers = cut or record, (parser,)
        joinable = _joinable(parsers)
        if not joinable:
            return self._parse_fragments(marked, line, cut)
        begun = line.text
        if begun.startswith("oom-killer:") and (before := self._line_before(marked.start)).endswith(" invoked"):
            begun = f"{before} {begun}"
            if (record := _first_whole(joinable, (begun,))) is not None:
                return record, -1
        rests = []
        for rest, end in self._rests(marked, line):
            rests.append(rest)
            if (record := _first_whole(joinable, joined(begun, rests))) is not None:
                return record, end
        return self._parse_fragments(marked, line, cut)

    def _parse_fragments(self, marked: Marked, line: LogLine, cut: Any) -> tuple[Any, int]:
        """The record of a line whose other pieces stand on lines further on, or further up."""
        if line.is_bare:
            return cut, -1
        if kill.parse_group_kill in marked.parsers and line.text.lstrip().startswith(_GROUP_TAIL):
            for piece, _ in self._neighbours(marked.start, line, -1):
                if piece.startswith("Tasks in "):
                    return kill.parse_group_kill(piece + line.text), -1
        parsers = [parser for parser in marked.parsers if parser in _CONTINUED]
        text = line.text
        for piece, end in self._neighbours(marked.end, line, 1) if parsers else ():
            for parser in parsers:
                record = parser(text + piece)
                if record is not None and getattr(record, "is_complete", True):
                    return record, end if parser is domain.parse_stats_head else -1
            if piece[:1] in (",", "/"):
                text += piece
        return cut, -1

    def _neighbours(self, position: int, line: LogLine, direction: int) -> Iterator[tuple[str, int]]:
        """Texts of the same caller near a line, and where they end."""
        for _ in range(_NEAR_LINES):
            if direction > 0:
                begin, end = position + 1, self.data.find(b"\n", position + 1)
                end = len(self.data) if end < 0 else end
                position = end
            else:
                end = position - 1
                begin = position = self.data.rfind(b"\n", 0, max(end, 0)) + 1
            if begin >= len(self.data) or end <= 0:
                return
            near = self._peel(_decode(self.data[begin:end]))
            if near.is_kernel and near.caller == line.caller and not near.is_bare:
                yield near.text, end

    def _line_before(self, start: int) -> str:
        begin = self.data.rfind(b"\n", 0, max(start - 1, 0)) + 1
        return self._peel(_decode(self.data[begin : max(start - 1, 0)])).text.rstrip()

    def _rests(self, marked: Marked, line: LogLine) -> Iterator[tuple[str, int]]:
        """The following lines that may be the rest of a wrapped one: they have no prefix and begin nothing."""
        data, end = self.data, marked.end
        is_stamped = data.startswith(b"[", marked.start)
        for _ in range(PIECES - 1):
            if end + 1 >= len(data) or (is_stamped and data.startswith(b"[", end + 1)):
                break
            after = data.find(b"\n", end + 1)
            after = len(data) if after < 0 else after
            text = _decode(data[end + 1 : after])
            if is_stamped:
                text = text.strip()
            else:
                rest = self._peel(text)
                if not rest.is_bare:
                    break
                text = rest.text
            # Where lines have stamps, one without begins nothing, whatever it says: a name may hold a newline.
            if not text or (line.is_bare and _BEGINS.match(text)):
                break
            yield text.rstrip() if line.is_bare else text, after
            end = after

    def _zone(self, index: int, start: int, line: LogLine, is_row: Callable[[bytes], object]) -> tuple[int, int]:
        """The lines from `start` to the caller's next that holds a word and is no row: (begin, end)."""
        stop = self.block.end
        name = re.escape(line.caller.encode("utf-8", "surrogateescape"))
        caller = re.compile(rb"\[[ \t]*%b\]|caller=%b[;,]" % (name, name)) if name else None
        host = line.host.encode("utf-8", "surrogateescape")
        for following in range(index + 1, len(self.marked)):
            marked = self.marked[following]
            text = self.data[marked.start : marked.end]
            if marked.start <= start or host not in text or is_row(text):
                continue
            if caller is None or caller.search(text):
                stop = marked.start
                break
        return min(start + 1, stop), stop

    def _token(self, line: LogLine, raw: bytes) -> bytes | None:
        """What every line beside this one holds; None where lines must be looked at one by one."""
        if (
            line.is_member
            or raw[:1] in b"{<>|\x1b\x1e"
            or raw.startswith(b"data: {")
            or line.sequence is not None
            or raw[:6].rstrip() in (b"kern", b"kern:")
        ):
            return None
        if line.caller:
            name = re.escape(line.caller.encode("utf-8", "surrogateescape"))
            found = re.search(rb"\[[ \t]*" + name + rb"\]", raw)
            return found[0] if found else None
        token = b" %b kernel: " % line.host.encode("utf-8", "surrogateescape")
        return token if token in raw else b" kernel: " if b" kernel: " in raw else b"["

    def _table(self, index: int, head: tasks.TableHead, line: LogLine, head_end: int) -> tasks.TaskTable:
        begin, stop = self._zone(index, head_end, line, tasks.ROW_SHAPE.search)
        raw = self.data[self.marked[index].start : self.marked[index].end]
        token = self._token(line, raw)
        first_line = self._line_of(begin)
        if token is not None:
            zone = self.data[begin:stop]
            count = zone.count(b"\n") + (not zone.endswith(b"\n") and stop > begin)
            rows = tasks.bulk_rows(len(head.columns)).findall(zone) if self.in_bulk else []
            if self.in_bulk and len(rows) == count and zone.count(token) >= count:
                return tasks.build_table(head, rows, range(first_line, first_line + count))
            if self.in_bulk and (table := tasks.wrapped_table(head, raw, token, zone, first_line)) is not None:
                return table
            if (table := self._table_of_lines(head, raw, token, zone, first_line)) is not None:
                return table
        return self._table_by_lines(head, line, head_end > self.marked[index].end, begin, stop, first_line)

    @staticmethod
    def _table_of_lines(
        head: tasks.TableHead, raw: bytes, token: bytes, zone: bytes, first_line: int
    ) -> tasks.TaskTable | None:
        """A table with foreign lines, or rows that a mailer wrapped; None when a row cannot be read so."""
        is_stamped = raw.startswith(b"[")
        lines: list[bytes] = []
        numbers: list[int] = []
        wrapped: set[int] = set()
        find = tasks.bulk_rows(len(head.columns)).search
        for number, text in enumerate(zone.split(b"\n"), start=first_line):
            if is_stamped and lines and text and not text.startswith(b"[") and not find(text):
                lines[-1] += b" " + text.strip()
                wrapped.add(numbers[-1])
            elif text:
                lines.append(text)
                numbers.append(number)
        rows, places, foreign, run = [], [], 0, 0
        for text, number in zip(lines, numbers, strict=True):
            match = find(text) if token in text else None
            if match:
                if number in wrapped and b" " in match[2]:
                    return None  # a name with a blank, or one that a terminal's edge cut
                rows.append((match[1], match[2]))
                places.append(number)
                foreign, run = foreign + run, 0
            elif tasks.ROW_LIKE.search(text):
                return None
            else:
                run += 1
                if run > _FOREIGN_RUN or wrapped:
                    return None
        if not rows:
            return None
        return tasks.build_table(head, rows, places, foreign)

    def _table_by_lines(
        self, head: tasks.TableHead, line: LogLine, is_wrapped: bool, begin: int, stop: int, number: int
    ) -> tasks.TaskTable:
        reader = RowReader(head, is_wrapped)
        others = 0
        for position, end in _lines(self.data, begin, stop):
            rest = self._peel(_decode(self.data[position:end]))
            if _is_of_another(rest, line):
                others += 1
                if others > _OTHERS:
                    break
                reader.foreign += 1
            else:
                reader.take(rest, number)
            if reader.run > _FOREIGN_RUN:
                break
            number += 1
        return reader.table()

    def _statistics(self, index: int, head: domain.StatsHead, line: LogLine, head_end: int) -> domain.StatsHead:
        if head.values and "cache" in head.values:
            return head  # the one-line form
        begin, stop = self._zone(index, head_end, line, lambda _: False)
        values = dict(head.values)
        raw = self.data[self.marked[index].start : self.marked[index].end]
        token = self._token(line, raw)
        if token is not None and stop - begin < 1 << 16:
            zone = self.data[begin:stop]
            entries, count = _BULK_STATS.findall(zone) if self.in_bulk else [], zone.count(b"\n")
            # a line of several, and a record of several lines without prefixes, are read one by one
            if self.in_bulk and len(entries) == count and b"#012" not in zone:
                is_ours = line.is_bare or zone.count(token) >= count
                if is_ours or all(token in text or _PLAIN_STAT.fullmatch(text) for text in zone.split(b"\n")[:-1]):
                    names, numbers = zip(*entries, strict=True) if entries else ((), ())
                    values.update(zip(map(_stat_name, names), map(int, numbers), strict=True))
                    return domain.StatsHead(head.memcg, values)
        misses = others = 0
        for position, end in _lines(self.data, begin, stop):
            near = self.data[position:end]
            if token is not None and b"#012" not in near and (line.is_bare or token in near):
                entry = _BULK_STATS.search(near)  # as in bulk: a damaged stamp before it does no harm
                if entry:
                    values[_stat_name(entry[1])] = int(entry[2])
                    misses = 0
                    continue
            rest = self._peel(_decode(near))
            if _is_of_another(rest, line):
                others += 1
                if others > _OTHERS:
                    break
            elif found := _stat_pieces(rest.text):
                values |= found
                misses = 0
            else:
                misses += 1
                if misses > _FOREIGN_RUN:
                    break
        return domain.StatsHead(head.memcg, values)


def _forged(record: Any) -> Forged | None:
    if isinstance(record, kill.Killed):
        return Forged("kill")
    return Forged("head") if isinstance(record, (header.Header, domain.Summary)) else None


def _first_whole(parsers: tuple[Parser, ...], texts: Iterable[str]) -> Any:
    for text in texts:
        for parser in parsers:
            record = parser(text)
            if record is not None and record.is_whole:
                return record
    return None


@lru_cache(1024)
def _joinable(parsers: tuple[Parser, ...]) -> tuple[Parser, ...]:
    """Those of forms that may be wrapped."""
    return tuple(_WHOLE.get(parser, parser) for parser in parsers if parser in _WRAPPABLE)


def _is_of_another(rest: LogLine, line: LogLine) -> bool:
    """Whether a line is of another caller or host, or of user space: between the lines of one report it counts not."""
    if not rest.is_kernel or (rest.host and rest.host != line.host):
        return True
    return bool(line.caller and rest.caller and rest.caller != line.caller)


_BULK_STATS = re.compile(rb"(?<![^ \t\]:\n])([a-z]\w*+) (\d{1,18}+)\r?$", re.MULTILINE)
_PLAIN_STAT = re.compile(
    rb"[ \t]*+[a-z]\w*+ \d{1,18}+\r?"
)  # without a prefix: of the record that began with the head's line


@lru_cache(4096)
def _stat_name(name: bytes) -> str:
    """One string for each name: they are few, and sent between processes often."""
    return name.decode()


def _stat_pieces(text: str) -> dict[str, int] | None:
    """Statistics of one line, or of a record of many (to 6.1); None when the line is another's."""
    matches = [domain.STAT.fullmatch(piece.strip()) for piece in _pieces(text)]
    found = {sys.intern(match[1]): int(match[2]) for match in matches if match}
    return found if matches and len(found) == len(matches) else None


def _lines(data: bytes, begin: int, stop: int) -> Iterator[tuple[int, int]]:
    while begin < stop:
        end = data.find(b"\n", begin, stop)
        end = stop if end < 0 else end
        yield begin, end
        begin = end + 1


def _where(line: LogLine, number: int, offset: int) -> Where:
    return Where(
        number, offset, line.uptime_s, line.wall_s, line.wall_is_yearless, line.caller, line.host, line.boot_id, line.sequence
    )  # fmt: skip


def _pieces(text: str) -> list[str]:
    """The lines of a record that holds several: rsyslog writes a newline as #012, JSON and /dev/kmsg keep it."""
    if "\n" not in text and "#012" not in text:
        return [text]
    return [piece for piece in re.split(r"\n|#012", text) if piece]


def _of_pieces(whole: str, pieces: list[str]) -> Iterator[Any]:
    """Records of a record of many lines. A kill counts only at its beginning: a process name may hold a newline."""
    for parser in (*KILL_PARSERS, header.parse_header, domain.parse_summary, release.parse_reaped):
        record = parser(whole)
        if record is not None and getattr(record, "is_complete", True):
            yield record
            return
    stats: domain.StatsHead | None = domain.parse_stats_head(pieces[0])
    loose: dict[str, int] = {}
    reader: RowReader | None = None
    for number, piece in enumerate(pieces):
        text = piece.strip(" \t")
        if match := domain.STAT.fullmatch(text):
            (stats.values if stats else loose)[match[1]] = int(match[2])
        elif head := tasks.parse_table_head(text):
            reader = RowReader(head)
        elif reader is not None and tasks.ROW_BEGUN.match(text):
            reader.take(LogLine(text), number)
        else:
            parsers: tuple[Parser, ...] = _PIECE_PARSERS if number else (*_PIECE_PARSERS, *KILL_PARSERS)
            yield from (record for parser in parsers if (record := parser(text)) is not None)
    if stats:
        yield stats
    elif loose:
        yield domain.StatsHead("", loose)
    if reader is not None:
        yield reader.table()


_PIECE_PARSERS: tuple[Parser, ...] = (
    domain.parse_usage, domain.parse_task_in, meminfo.parse_zone, meminfo.parse_reserve, meminfo.parse_buddy, meminfo.parse_lists,
    meminfo.parse_swap, meminfo.parse_ram,
)  # fmt: skip
