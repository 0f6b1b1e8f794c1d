"""Finds the lines that matter in a chunk of a log, and reads them; the rest is never looked at as a line.

A compiled matcher (Hyperscan) finds the words of the forms; Python reads only the lines that hold one, and the tables
and statistics that follow some of them. What is read here does not depend on what was read before, so that chunks of a
file can be read by several processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from . import domain, header, kill, losses, tasks, user_space_killers
from .compiled import CompiledChunk
from .compiled import exists as compiled_exists
from .extract import extract, is_document, is_encoded, is_folded, unwrap
from .fields import fields_around, take_fields
from .line_counter import LineCounter
from .lines import decode, pieces_of
from .located import ForgedLine, LocatedRecord, Location, OrphanRows, Part, ReportParts, UnreadableLine
from .logline import LogLine
from .multiline import read_pieces
from .origin import Origin
from .packing import PackedRecords
from .peeler import Peeler
from .rejoin import Rejoiner
from .relocation import relocated
from .rescuer import ENDED, LONGEST_RESCUED, Rescuer, forged
from .sections import Sections
from .triggers import ENCODED_DOCUMENT, PART_PARSERS, TriggerHit, find_triggers
from .unknown_prefixes import SPEAKS, PrefixPattern, appended_line, is_plausible_comm, split_joined_lines, trailer_text

# What the kernel says of itself in the words of another program.
_FROM_USER_SPACE = (losses.DroppedRecords, user_space_killers.UserSpaceKill)
_WITH_ZONES = (tasks.TableHead, domain.StatsHead)  # heads of what stands on the lines that follow
_ORPHAN_BYTES = 64 << 10  # of a chunk that are searched for rows without a head
_JSON = (b"{", b"[", b'"')
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
        if reader.is_encoded or reader.rescuer.has_markup or reader.rescuer.learnt:
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
        ended += state.n_ended + sum(isinstance(one.record, ENDED) for one in found)
        if reader.head is not head:
            reader.export_header(compiled)
        state.consumed_to = reader.consumed_to
        state.index += 1
    pieces.append(compiled.records())
    count, ended = count + state.n_records, ended + state.n_ended
    if 2 * reader.rescuer.trailer_count > ended:
        return None
    return PackedRecords(b"".join(pieces), count, state.lines)


_encoder = msgspec.msgpack.Encoder()


def _read(chunk: Chunk, in_bulk: bool) -> tuple[list[LocatedRecord], _Reader]:
    reader = _Reader(chunk, in_bulk)
    if not reader.is_encoded:
        found = list(reader.read())
        if not (reader.is_encoded or reader.rescuer.has_markup or reader.rescuer.has_trailers(found)):
            return (found, reader) if not reader.rescuer.learnt else _read_again(reader)
    return _read_extracted(chunk, in_bulk)


def _read_again(reader: _Reader) -> tuple[list[LocatedRecord], _Reader]:
    """With what the chunk taught of its prefixes: lines further up may have such a prefix too."""
    again = _Reader(reader.chunk, reader.in_bulk, tuple(reader.rescuer.learnt.values()), reader.is_extracted)
    return list(again.read()), again


def _read_extracted(chunk: Chunk, in_bulk: bool) -> tuple[list[LocatedRecord], _Reader]:
    """The records of a chunk that holds other documents, at the places of these."""
    extracted = extract(chunk.data, chunk.end)
    reader = _Reader(Chunk(extracted.data, extracted.end, 0, 0), in_bulk, is_extracted=True)
    found = list(reader.read())
    if reader.rescuer.has_trailers(found) or reader.rescuer.has_markup:
        extracted = unwrap(extracted, list(reader.rescuer.trailers.values()), reader.rescuer.has_markup)
        reader = _Reader(Chunk(extracted.data, extracted.end, 0, 0), in_bulk, is_extracted=True)
        found = list(reader.read())
    if reader.rescuer.learnt:
        found, _ = _read_again(reader)
    return [relocated(one, extracted, chunk.line, chunk.offset) for one in found], _Reader(chunk, in_bulk)


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
        self.chunk, self.data, self.in_bulk = chunk, chunk.data, in_bulk
        self.trigger_hits: list[TriggerHit] | CompiledChunk
        self.is_compiled = compiled is not None
        # whether lines of a log are within other documents, from which they must be extracted first
        if compiled is not None:
            self.trigger_hits, self.is_encoded = compiled, bool(compiled.state.is_encoded)
        else:
            self.trigger_hits = find_triggers(chunk.data, chunk.end)
            parsers = {hit.parsers for hit in self.trigger_hits}
            self.is_encoded = not is_extracted and any(ENCODED_DOCUMENT in each for each in parsers)
        # None of these knows the reader: a cycle would keep the chunk for ever, as nobody looks for cycles while logs are read.
        self.counter, peeler = LineCounter(chunk.data, chunk.line), Peeler(prefix_patterns)
        self._line_of, self._peel = self.counter.line_of, peeler.peel
        self.sections = Sections(chunk.data, chunk.end, self.trigger_hits, peeler.peel, self.counter.line_of, in_bulk)
        self.rejoiner = Rejoiner(chunk.data, peeler.peel)
        self.rescuer = Rescuer(peeler, self.rejoiner)
        self.consumed_to = -1  # end of what wrapped lines have taken
        self.origin: Origin | None = None  # of the last header
        self.head: Location | None = None  # of the last header
        self.parts: list[Part] = []  # of its report, not given yet
        self.part_start = 0  # of the last

    def import_state(self, compiled: CompiledChunk) -> None:
        """Takes what the compiled reader has learnt: the next line and its number, and the header before it."""
        state = compiled.state
        self.counter.skip_to(compiled[state.index].start, state.line_number)
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
                # the compiled reader has the parts before a summary
                if isinstance(part, domain.OomKillSummary) and not self.is_compiled:
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
            records = list(read_pieces(text, pieces))
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
            if not self.is_extracted and len(split_joined_lines(decode(raw[:LONGEST_RESCUED]))) > 1:
                self.is_encoded = True
                return
            is_rescued = True
            record, line, self.consumed_to = self.rescuer.rescue(hit, raw, line, record, self.consumed_to)
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

    def _read_appended(self, hit: TriggerHit, raw: bytes, location: Location) -> Iterator[LocatedRecord]:
        """What a line that was glued to the end of another says."""
        text = appended_line(decode(raw)) or trailer_text(decode(raw))
        spoken = SPEAKS.search(text.encode("utf-8", "surrogateescape"))
        if spoken is None:
            return
        line = self._peel(text.lstrip())
        if not line.is_kernel:
            return
        record, _ = self.rescuer.parse_attempt(hit, line)
        location = _location(
            line, location.line, location.offset + len(raw) - len(text.encode("utf-8", "surrogateescape"))
        )
        yield LocatedRecord(location, record if record is not None else UnreadableLine(spoken.lastgroup or ""))

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
            if (forgery := forged(record)) is not None:
                yield LocatedRecord(location, forgery)
                return
            if isinstance(record, _FROM_USER_SPACE):
                yield LocatedRecord(location, record)
                return
            is_read = is_read or record is not None
        if not is_read and (spoken := SPEAKS.search(raw)):
            yield LocatedRecord(location, ForgedLine("kill" if spoken.lastgroup == "kill" else "head"))


def _location(line: LogLine, number: int, offset: int) -> Location:
    return Location(
        number, offset, line.uptime_s, line.wall_s, line.wall_is_yearless, line.caller, line.host, line.boot_id, line.sequence
    )  # fmt: skip
