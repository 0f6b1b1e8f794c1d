"""Finds the lines that matter in a chunk of a log, and reads them; the rest is never looked at as a line.

A compiled matcher (Hyperscan) finds the words of the forms; Python reads only the lines that hold one, and the tables
and statistics that follow some of them. What is read here does not depend on what was read before, so that chunks of a
file can be read by several processes.
"""

from __future__ import annotations

import bisect
import re
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec
import numpy as np

from . import domain, header, kill, losses, meminfo, release, tasks, user_space_killers
from .compiled import CompiledChunk
from .compiled import exists as compiled_exists
from .extract import ExtractedLog, extract, is_document, is_encoded, is_folded, unwrap
from .fields import fields_around, member_text, take_fields
from .lines import decode, pieces_of
from .located import ForgedLine, LocatedRecord, Location, OrphanRows, Part, ReportParts, UnreadableLine
from .logline import LogLine
from .origin import Origin
from .packing import PackedRecords
from .prefix import peel
from .rejoin import Rejoiner
from .rows import RowReader
from .sections import Sections
from .triggers import ENCODED_DOCUMENT, KILL_PARSERS, PART_PARSERS, Parser, TriggerHit, find_triggers
from .unknown_prefixes import (
    SPEAKS,
    PrefixPattern,
    appended_line,
    clean,
    find_beginning,
    has_prefix_in_comm,
    is_comm,
    is_from_kernel,
    is_plausible_comm,
    line_of,
    longest,
    split_head,
    split_joined_lines,
    trailer_pattern,
    trailer_text,
    without_trailer,
)  # fmt: skip

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
# What the kernel says of itself in the words of another program.
_FROM_USER_SPACE = (losses.DroppedRecords, user_space_killers.UserSpaceKill)
_WITH_ZONES = (tasks.TableHead, domain.StatsHead)  # heads of what stands on the lines that follow
_ORPHAN_BYTES = 64 << 10  # of a chunk that are searched for rows without a head
_FEW_BYTES, _NEWLINE = 16 << 10, ord("\n")
_JSON = (b"{", b"[", b'"')
_MEMBER = ('"', ",", "M", "\x1b")  # what a line of a record that is spread over lines begins with
_ENDED = (
    kill.KilledLine,
    kill.ChosenVictim,
    header.Header,
    domain.OomKillSummary,
)  # lines with an end that can be told
_LONGEST_RESCUED = 64 << 10  # bytes of a line
_MOST_PATTERNS = 16  # of prefixes that a chunk may teach
_SIZE_BYTES = 8  # before a field of journald's export format that is no text


class Chunk(NamedTuple):
    """Whole lines of a log, and a little of what follows, for lines that are wrapped."""

    data: bytes
    end: int  # lines that begin here or later belong to the next chunk
    offset: int  # of the first byte in the log
    line: int  # number of the first line


def read_chunk(chunk: Chunk, in_bulk: bool = True) -> Iterator[LocatedRecord]:
    """The records of a chunk, in order. `in_bulk` reads clean tables with one expression; the result is the same."""
    return iter(_read(chunk, in_bulk)[0])


def read_and_count(chunk: Chunk) -> tuple[list[LocatedRecord], int]:
    """The records of a chunk, and how many lines begin in it."""
    found, reader = _read(chunk, in_bulk=True)
    return found, reader.count_lines()


def read_compiled(chunk: Chunk) -> PackedRecords | None:
    """What `read_and_count` gives, by the compiled reader; None where it is not there, or where the chunk needs Python."""
    if not compiled_exists():
        return None
    compiled = CompiledChunk(chunk.data, chunk.end, chunk.offset, chunk.line)
    try:
        return _read_compiled(chunk, compiled)
    finally:
        compiled.close()


def _read_compiled(chunk: Chunk, compiled: CompiledChunk) -> PackedRecords | None:
    reader, state = _Reader(chunk, True, compiled=compiled), compiled.state
    if reader.is_encoded:
        return None
    pieces, count, ended = [], 0, 0
    if orphans := reader.orphans():
        pieces.append(_encoder.encode(orphans))
        count += 1
    while compiled.read():
        reader.import_state(compiled)
        head = reader.head
        found = list(reader.read_hit(state.index))
        if reader.is_encoded or reader.has_markup or reader.learnt:
            return None
        try:
            if reader.parts:
                part = reader.parts.pop()
                compiled.add_part(_encoder.encode(part), is_summary=isinstance(part, domain.OomKillSummary))
            else:
                compiled.end_parts()
            pieces.append(compiled.records())
            pieces.extend(map(_encoder.encode, found))
        except (UnicodeEncodeError, OverflowError):  # bytes that are no UTF-8, numbers of more than 64 bits
            return None
        count += state.n_records + len(found)
        ended += state.n_ended + sum(isinstance(one.record, _ENDED) for one in found)
        if reader.head is not head:
            reader.export_header(compiled)
        state.consumed_to = reader.consumed_to
        state.index += 1
    pieces.append(compiled.records())
    count, ended = count + state.n_records, ended + state.n_ended
    if 2 * reader.trailer_count > ended:
        return None
    return PackedRecords(b"".join(pieces), count, state.lines)


_encoder = msgspec.msgpack.Encoder()


def _read(chunk: Chunk, in_bulk: bool) -> tuple[list[LocatedRecord], _Reader]:
    reader = _Reader(chunk, in_bulk)
    if not reader.is_encoded:
        found = list(reader.read())
        if not (reader.is_encoded or reader.has_markup or reader.has_trailers(found)):
            return (found, reader) if not reader.learnt else _read_again(reader)
    return _read_extracted(chunk, in_bulk)


def _read_again(reader: _Reader) -> tuple[list[LocatedRecord], _Reader]:
    """With what the chunk taught of its prefixes: lines further up may have such a prefix too."""
    again = _Reader(reader.chunk, reader.in_bulk, tuple(reader.learnt.values()), reader.is_extracted)
    return list(again.read()), again


def _read_extracted(chunk: Chunk, in_bulk: bool) -> tuple[list[LocatedRecord], _Reader]:
    """The records of a chunk that holds other documents, at the places of these."""
    extracted = extract(chunk.data, chunk.end)
    reader = _Reader(Chunk(extracted.data, extracted.end, 0, 0), in_bulk, is_extracted=True)
    found = list(reader.read())
    if reader.has_trailers(found) or reader.has_markup:
        extracted = unwrap(extracted, list(reader.trailers.values()), reader.has_markup)
        reader = _Reader(Chunk(extracted.data, extracted.end, 0, 0), in_bulk, is_extracted=True)
        found = list(reader.read())
    if reader.learnt:
        found, _ = _read_again(reader)
    return [_relocated(one, extracted, chunk) for one in found], _Reader(chunk, in_bulk)


def _relocated(found: LocatedRecord, extracted: ExtractedLog, chunk: Chunk) -> LocatedRecord:
    location, record = found.location, found.record
    if not extracted.lines:
        return found
    last = len(extracted.lines) - 1
    number = min(location.line, last)
    # records of one line keep their order
    begin = extracted.offsets[number]
    within = number - bisect.bisect_left(extracted.offsets, begin) if extracted.offsets[last] >= begin else 0
    location = location.at(chunk.line + extracted.lines[number], chunk.offset + begin + max(within, 0))
    if isinstance(record, tasks.TaskTable):
        record = _relocated_table(record, extracted, chunk.line)
    elif isinstance(record, ReportParts):
        record = ReportParts(
            tuple(
                _relocated_table(part, extracted, chunk.line) if isinstance(part, tasks.TaskTable) else part
                for part in record.records
            )
        )
    return LocatedRecord(location, record)


def _relocated_table(table: tasks.TaskTable, extracted: ExtractedLog, first_line: int) -> tasks.TaskTable:
    last = len(extracted.lines) - 1
    lines = np.array([first_line + extracted.lines[min(line, last)] for line in table.lines.tolist()], dtype=np.int64)
    return tasks.TaskTable(table.columns, table.cells, table.names, lines.tobytes(), table.damaged, table.foreign)


def _weak(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A method of an object that is alive whenever this is called, and that this does not keep alive."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        bound = reference()
        assert bound is not None
        return bound(*arguments, **options)

    return call


class _Reader:
    def __init__(
        self,
        chunk: Chunk,
        in_bulk: bool,
        prefix_patterns: tuple[PrefixPattern, ...] = (),
        is_extracted: bool = False,
        compiled: CompiledChunk | None = None,
    ) -> None:
        self.is_extracted = is_extracted  # the chunk is what `extract` made of another
        self.chunk, self.data, self.in_bulk, self.prefix_patterns = chunk, chunk.data, in_bulk, prefix_patterns
        self.has_markup = False  # of a page or a forum, around its lines
        self.trailers: dict[str, re.Pattern[str]] = {}  # of what stands behind the texts, by their patterns
        self.trailer_count = 0  # lines that had one
        self.learnt: dict[str, PrefixPattern] = {}  # of prefixes, by their patterns
        self.trigger_hits: list[TriggerHit] | CompiledChunk
        self.is_compiled = compiled is not None
        # whether lines of a log are within other documents, from which they must be extracted first
        if compiled is not None:
            self.trigger_hits, self.is_encoded = compiled, bool(compiled.state.is_encoded)
        else:
            self.trigger_hits = find_triggers(chunk.data, chunk.end)
            parsers = {hit.parsers for hit in self.trigger_hits}
            self.is_encoded = not is_extracted and any(ENCODED_DOCUMENT in each for each in parsers)
        # Weakly: a cycle would keep the chunk for ever, as nobody looks for cycles while logs are read.
        peel, line_of = _weak(self._peel), _weak(self._line_of)
        self.sections = Sections(chunk.data, chunk.end, self.trigger_hits, peel, line_of, in_bulk)
        self.rejoiner = Rejoiner(chunk.data, peel)
        self.consumed_to = -1  # end of what wrapped lines have taken
        self.counted, self.line_number = 0, chunk.line
        self.origin: Origin | None = None  # of the last header
        self.head: Location | None = None  # of the last header
        self.parts: list[Part] = []  # of its report, not given yet
        self.part_start = 0  # of the last

    def import_state(self, compiled: CompiledChunk) -> None:
        """Takes what the compiled reader has learnt: the next line and its number, and the header before it."""
        state = compiled.state
        self.counted, self.line_number = compiled[state.index].start, state.line_number
        self.consumed_to = state.consumed_to
        if state.header >= 0:
            hit = compiled[state.header]
            raw = self.data[hit.start : hit.end]
            line = self._peel(decode(raw))
            self.head = _location(line, state.header_line, self.chunk.offset + hit.start)
            self.origin = Origin.of(raw, line, self.head)
            state.header = -1

    def export_header(self, compiled: CompiledChunk) -> None:
        """Gives the compiled reader the header that was read here."""
        assert self.head is not None
        location, origin = self.head, self.origin
        tail = _encoder.encode(location.at(0, 0))[3:]  # behind the array's head, line and offset
        if origin is None:
            compiled.set_header(tail, b"", b"", b"", 0, 0, has_origin=False, is_bare=False)
            return
        compiled.set_header(
            tail, origin.masked, origin.caller, origin.host, location.line, location.offset, has_origin=True, is_bare=origin.is_bare
        )  # fmt: skip

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
        """Lines that begin in the chunk; what `read` has counted is not counted again."""
        end = self.chunk.end
        lines = self._line_of(end) - self.chunk.line
        return lines + (0 < end == len(self.data) and not self.data.endswith(b"\n"))

    def read(self) -> Iterator[LocatedRecord]:
        if orphans := self.orphans():
            yield orphans
        for index in range(len(self.trigger_hits)):
            yield from self.read_hit(index)
            if self.is_encoded:
                return
        if self.parts:
            yield from self.take_parts()

    def read_hit(self, index: int) -> Iterator[LocatedRecord]:
        """What one line that holds a word says, and what follows it. `is_encoded` is set where it cannot be read so."""
        data, offset, hit = self.data, self.chunk.offset, self.trigger_hits[index]
        start, parsers = hit.start, hit.parsers
        if start <= self.consumed_to or not parsers:
            return
        raw = data[start : hit.end]
        if self.origin is not None and parsers[0] in self.origin.parsers:
            part = self._read_part(index, hit, raw)
            if part is not None:
                self.parts.append(part)
                self.part_start = start
                if (
                    isinstance(part, domain.OomKillSummary) and not self.is_compiled
                ):  # that reader has the parts before it
                    yield from self.take_parts(is_summary=True)
                return
        if self.parts:
            yield from self.take_parts()
        line = self._peel_hit(hit, raw)
        if not self.is_extracted and (
            ((b"=" in raw or b"<br" in raw) and is_encoded(raw))
            or (line.is_bare and is_folded(raw))
            or (("\n" in line.text or line.is_bare) and raw.lstrip()[:1] in _JSON and is_document(raw))
        ):
            self.is_encoded = True
            return
        if not line.is_kernel:
            yield from self._user_space(hit, line, raw)
            return
        text = line.text
        if text[:1] == "[" and tasks.ROW_TEXT.match(text):
            return  # a row of a table: the words are the task's name
        location = _location(line, self._line_of(start), offset + start)
        if line.dropped:
            yield LocatedRecord(location, losses.DroppedRecords(line.dropped, "printk"))
        if ("\n" in text or "#012" in text) and len(pieces := pieces_of(text)) > 1:
            records = list(_read_pieces(text, pieces))
            if not records and (spoken := SPEAKS.search(raw)):
                records.append(UnreadableLine(spoken.lastgroup or ""))
            for record in records:
                yield LocatedRecord(location, record)
            return
        is_rescued = False
        record = parsers[0](text)
        if record is None or not record.is_whole:
            record, self.consumed_to = self.rejoiner.parse(hit, line, record)
        if (
            record is None
            or not record.is_whole
            or (isinstance(record, header.Header) and not is_plausible_comm(record.comm, line))
        ):
            if not self.is_extracted and len(split_joined_lines(decode(raw[:_LONGEST_RESCUED]))) > 1:
                self.is_encoded = True
                return
            is_rescued = True
            record, line, self.consumed_to = self._rescue(hit, raw, line, record, self.consumed_to)
            location = _location(line, location.line, location.offset)
            if record is None:
                return
        if line.is_bare and self.head is not None and parsers[0] in PART_PARSERS:
            # dmesg and journalctl print the first line of a record of several with a prefix, the others with blanks
            location = self.head.at(location.line, location.offset)
        elif isinstance(record, kill.KilledLine) and len(record.comm or "") > 15 and (rest := appended_line(text)):
            record, is_rescued = parsers[0](text[: -len(rest)]) or record, True
        if isinstance(record, header.Header):
            self.head = location
            self.origin = None if line.is_member else Origin.of(raw, line, location)
        elif isinstance(record, _WITH_ZONES):
            record = self.sections.read(index, record, line, max(self.consumed_to, hit.end))
        yield LocatedRecord(location, record)
        if is_rescued:
            yield from self._read_appended(hit, raw, location)

    def has_trailers(self, found: list[LocatedRecord]) -> bool:
        """Whether most lines of reports and kills have something behind their texts: one may be glued to the next."""
        if not self.trailers:
            return False
        return 2 * self.trailer_count > sum(isinstance(one.record, _ENDED) for one in found)

    def _read_appended(self, hit: TriggerHit, raw: bytes, location: Location) -> Iterator[LocatedRecord]:
        """What a line that was glued to the end of another says."""
        text = appended_line(decode(raw)) or trailer_text(decode(raw))
        spoken = SPEAKS.search(text.encode("utf-8", "surrogateescape"))
        if spoken is None:
            return
        line = self._peel(text.lstrip())
        if not line.is_kernel:
            return
        record, _ = self._parse_attempt(hit, line)
        location = _location(
            line, location.line, location.offset + len(raw) - len(text.encode("utf-8", "surrogateescape"))
        )
        yield LocatedRecord(location, record if record is not None else UnreadableLine(spoken.lastgroup or ""))

    def _peel(self, text: str) -> LogLine:
        """The line without its prefix, by what is known of prefixes, or by what this log has taught."""
        line = peel(text)
        if self.prefix_patterns:
            end = longest(self.prefix_patterns, text)
            if not end and (cleaned := clean(text)) != text:
                text, end = cleaned, longest(self.prefix_patterns, cleaned)
            if end > len(text) - len(line.text):
                learnt = line_of(text[:end], text[end:])
                learnt.host = line.host if text.endswith(line.text) and learnt.wall_s is None else ""
                return learnt
        if line.is_bare and text.lstrip()[:1] in _MEMBER and (value := member_text(text)) is not None:
            line.text, line.is_bare, line.is_member = value.rstrip("\n"), False, True
        return line

    def _peel_hit(self, hit: TriggerHit, raw: bytes) -> LogLine:
        """A line that holds a word; where it is one of a record of several lines, with what the others say."""
        text = decode(raw)
        line = self._peel(text)
        if line.is_member:
            take_fields(fields_around(self._lines_before(hit.start), text, self._lines_after(hit.end)), line)
        elif line.is_bare and self.data.endswith(b"MESSAGE\n", 0, hit.start) and len(text) > _SIZE_BYTES:
            # journalctl -o export: a field that is no text, or has several lines, stands behind its size
            text = "MESSAGE=" + decode(raw[_SIZE_BYTES:])
            line = LogLine(text[len("MESSAGE=") :], is_bare=False, is_member=True)
            take_fields(fields_around(self._lines_before(hit.start), text, self._lines_after(hit.end)), line)
        return line

    def _lines_before(self, start: int) -> Iterator[str]:
        while start > 0:
            begin = self.data.rfind(b"\n", 0, start - 1) + 1
            yield decode(self.data[begin : start - 1])
            start = begin

    def _lines_after(self, end: int) -> Iterator[str]:
        while end + 1 < len(self.data):
            after = self.data.find(b"\n", end + 1)
            after = len(self.data) if after < 0 else after
            yield decode(self.data[end + 1 : after])
            end = after

    def _rescue(
        self, hit: TriggerHit, raw: bytes, line: LogLine, record: Any, consumed_to: int
    ) -> tuple[Any, LogLine, int]:
        """What a line says that could not be read as it stands, or not whole: its prefix may be one that nobody knows.

        What was made of it so far, if nothing better is found; where nothing is, a line that speaks of a kill is an `UnreadableLine`.
        """
        is_bad = isinstance(record, header.Header) and not is_plausible_comm(record.comm, line)
        # a kernel's stamp is followed by its text, so the name is a long one, unless stamps or marks stand in it
        is_kept = record is not None and not (is_bad and has_prefix_in_comm(record.comm, line))
        text = decode(raw) if len(raw) <= _LONGEST_RESCUED else ""
        best: tuple[Any, LogLine, int, bool] | None = None
        for attempt, is_learnt in self._attempts(text, line):
            found, end = self._parse_attempt(hit, attempt)
            if found is None or not (found.is_whole or record is None or is_bad):
                continue
            if is_bad and not (isinstance(found, header.Header) and (found.comm is not None or not is_kept)):
                continue
            if not is_bad and _has_name(record) and not _has_name(found):
                continue  # the head of 2.6.18, without a name, behind a name that was read
            if best is None or found.is_whole:
                best = found, attempt, end, is_learnt or (best is not None and best[3])
            if found.is_whole:
                break
        if best is not None:
            found, attempt, end, is_learnt = best
            if not attempt.is_kernel:
                return _forged(found), attempt, consumed_to
            self._learn(text, found, attempt, is_learnt)
            return found, attempt, max(consumed_to, end)
        if is_kept:
            return record, line, consumed_to
        spoken = SPEAKS.search(raw)
        return (UnreadableLine(spoken.lastgroup or "") if spoken else None), line, consumed_to

    def _learn(self, text: str, found: Any, line: LogLine, is_prefix: bool) -> None:
        """Keeps what the line tells of all lines of the log: what stands before their texts, and behind them."""
        if self.prefix_patterns:
            return  # they are learnt
        # behind a known stamp stands the text, whatever it looks like
        self.has_markup = self.has_markup or (clean(text) != text and peel(text).is_bare)
        if (
            found.is_whole
            and (trailer := trailer_pattern(text))
            and not SPEAKS.search(trailer_text(text).encode("utf-8", "replace"))
        ):
            self.trailer_count += 1
            if len(self.trailers) < _MOST_PATTERNS:
                self.trailers.setdefault(trailer.pattern, trailer)
        place = text.find(line.text)
        if (
            is_prefix
            and place > 0
            and len(self.learnt) < _MOST_PATTERNS
            and (pattern := PrefixPattern.from_prefix(text[:place])) is not None
        ):
            self.learnt.setdefault(pattern.pattern, pattern)

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
            is_kernel = is_from_kernel(cleaned[:begin], text)
            if begin and is_kernel is not None:
                attempt = line_of(cleaned[:begin], cleaned[begin:])
                attempt.is_kernel = is_kernel
                yield attempt, True
                yield msgspec.structs.replace(attempt, text=without_trailer(attempt.text)), False
        elif (parts := split_head(cleaned)) is not None and (is_kernel := is_from_kernel(parts[0], text)) is not None:
            attempt = line_of(*parts)
            attempt.is_kernel = is_kernel
            yield attempt, False
            yield msgspec.structs.replace(attempt, text=without_trailer(attempt.text)), False

    def _parse_attempt(self, hit: TriggerHit, line: LogLine) -> tuple[Any, int]:
        cut = None
        for parser in hit.parsers:
            record = parser(line.text)
            if record is None or (isinstance(record, header.Header) and not is_comm(record.comm)):
                continue
            if record.is_whole:
                return record, -1
            cut = cut or record
        if header.parse_header in hit.parsers and cut is None and not line.is_bare:
            cut = header.parse_bare_head(line.text)
        found, end = self.rejoiner.parse(hit, line, cut) if line.is_kernel else (cut, -1)
        return (None, -1) if isinstance(found, header.Header) and not is_comm(found.comm) else (found, end)

    def take_parts(self, is_summary: bool = False) -> Iterator[LocatedRecord]:
        """The parts so far. The line of a summary tells whether a kill stands next to it; of the others, bare ones do."""
        origin = self.origin
        assert origin is not None
        location = origin.location
        if is_summary or origin.is_bare:
            location = location.at(self._line_of(self.part_start), self.chunk.offset + self.part_start)
        yield LocatedRecord(location, ReportParts(tuple(self.parts)))
        self.parts.clear()

    def orphans(self) -> LocatedRecord | None:
        end = min(self._first_table(), _ORPHAN_BYTES, self.chunk.end)
        rows = 0
        for match in tasks.ROW_SHAPE.finditer(self.data, 0, end):
            begin = self.data.rfind(b"\n", 0, match.start()) + 1
            stop = self.data.find(b"\n", match.end())
            text = self._peel(decode(self.data[begin : stop if stop >= 0 else len(self.data)])).text
            row = tasks.ROW_TEXT.match(text)  # "pcpu-alloc: [0] 0 1 2 ..." is none
            rows += row is not None and bool(text[row.end() :].strip())
        location = Location(self.chunk.line, self.chunk.offset, None, None, False, "", "", "", None)
        return LocatedRecord(location, OrphanRows(rows)) if rows else None

    def _first_table(self) -> int:
        if isinstance(self.trigger_hits, CompiledChunk):
            first = self.trigger_hits.state.first_table
            return first if first >= 0 else _ORPHAN_BYTES
        heads = (hit.start for hit in self.trigger_hits if tasks.parse_table_head in hit.parsers)
        return next(heads, _ORPHAN_BYTES)

    def _read_part(self, index: int, hit: TriggerHit, raw: bytes) -> Any:
        """A line of a report whose prefix is that of the header but for the digits: it need not be peeled."""
        origin = self.origin
        text = origin.text_of(raw) if origin is not None else None
        if origin is None or text is None:
            return None
        record = hit.parsers[0](text)
        if record is None or not record.is_whole or "#012" in text:
            return None
        if isinstance(record, _WITH_ZONES):
            return self.sections.read(index, record, origin.line, hit.end)
        return record

    def _user_space(self, hit: TriggerHit, line: LogLine, raw: bytes) -> Iterator[LocatedRecord]:
        is_read = False
        location = _location(line, self._line_of(hit.start), self.chunk.offset + hit.start)
        for parser in hit.parsers:
            is_killer = parser is user_space_killers.parse_user_space_kill
            record = parser(f"{line.tag}: {line.text}" if is_killer and line.tag else line.text)
            if (forged := _forged(record)) is not None:
                yield LocatedRecord(location, forged)
                return
            if isinstance(record, _FROM_USER_SPACE):
                yield LocatedRecord(location, record)
                return
            is_read = is_read or record is not None
        if not is_read and (spoken := SPEAKS.search(raw)):
            yield LocatedRecord(location, ForgedLine("kill" if spoken.lastgroup == "kill" else "head"))


def _forged(record: Any) -> ForgedLine | None:
    if isinstance(record, kill.KilledLine):
        return ForgedLine("kill")
    return ForgedLine("head") if isinstance(record, (header.Header, domain.OomKillSummary)) else None


def _has_name(record: Any) -> bool:
    return isinstance(record, header.Header) and record.comm is not None


def _location(line: LogLine, number: int, offset: int) -> Location:
    return Location(
        number, offset, line.uptime_s, line.wall_s, line.wall_is_yearless, line.caller, line.host, line.boot_id, line.sequence
    )  # fmt: skip


def _read_pieces(whole: str, pieces: list[str]) -> Iterator[Any]:
    """Records of a record of many lines. A kill counts only at its beginning, as a process name may hold a newline, or behind
    the choice of its process: node-problem-detector makes one event of both.
    """
    for parser in (*KILL_PARSERS, header.parse_header, domain.parse_summary, release.parse_reaped):
        record = parser(whole)
        if record is not None and getattr(record, "is_complete", True):
            yield record
            return
    stats: domain.StatsHead | None = domain.parse_stats_head(pieces[0])
    loose: dict[str, int] = {}
    reader: RowReader | None = None
    may_kill = True
    for number, piece in enumerate(pieces):
        text = piece.strip(" \t")
        if match := domain.STAT.fullmatch(text):
            (stats.values if stats else loose)[match[1]] = int(match[2])
        elif head := tasks.parse_table_head(text):
            reader = RowReader(head)
        elif reader is not None and tasks.ROW_BEGUN.match(text):
            reader.add_line(LogLine(text), number)
        else:
            parsers: tuple[Parser, ...] = (*_PIECE_PARSERS, *KILL_PARSERS) if may_kill else _PIECE_PARSERS
            records = [record for parser in parsers if (record := parser(text)) is not None]
            may_kill = any(isinstance(record, kill.ChosenVictim) for record in records)
            yield from records
            continue
        may_kill = False
    if stats:
        yield stats
    elif loose:
        yield domain.StatsHead("", loose)
    if reader is not None:
        yield reader.table()


_PIECE_PARSERS: tuple[Parser, ...] = (
    domain.parse_usage, domain.parse_victim_memcg, meminfo.parse_zone, meminfo.parse_lowmem_reserve, meminfo.parse_free_blocks, meminfo.parse_page_counts,
    meminfo.parse_swap, meminfo.parse_ram_pages,
)  # fmt: skip
