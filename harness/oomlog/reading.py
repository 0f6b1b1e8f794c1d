"""A log, from a stream of bytes to records; chunks are read side by side where that pays."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, TypeVar

from .assemble import Assembler, Output
from .chunks import CHUNK_BYTES, FilePiece, Span, read_at, split_chunks, split_file
from .kmsg import KmsgRecord
from .late_pattern import late_pattern
from .located import LocatedRecord
from .packing import PackedRecords, ReadChunk, Sequences, decode_records, pack, pack_records, unpack
from .records import Kill, KnownLosses, OtherEvent, Release, Report
from .scan import Chunk, read_and_count, read_compiled
from .turned import Extent, Turns, is_turned, may_be_turned, turn
from .workers import in_processes, in_threads

PARALLEL_BYTES = 64 << 20  # below this, starting a process costs more than it saves
_SPARSE_BYTES = 4096  # of a log for each record, or more: most of its time goes to the search
_Task = TypeVar("_Task", Chunk, Span)


class Reader:
    """Reads logs, one after the other. `missing` and `lines` grow while its output is taken."""

    def __init__(self, workers: int = 1) -> None:
        self.assembler = Assembler()
        self.lines = 0
        self.bytes = 0
        self._workers = workers
        self._turns = Turns()

    @property
    def missing(self) -> KnownLosses:
        """What the logs read so far are known to lack."""
        return self.assembler.missing

    def read(self, stream: BinaryIO, path: Path | None = None, size: int = 0) -> Iterator[Output]:
        """The records of one log, in order. Give `path` and `size` of a plain file to let workers read it themselves."""
        self.assembler.begin_file()
        self.lines = self.bytes = 0
        self._turns = Turns()
        if self._workers == 1 or 0 < size < PARALLEL_BYTES:
            results = _read_here(split_chunks(stream))
        elif path is not None:
            results = _read_file(path, self._workers)
        else:
            results = _read_stream(stream, self._workers)
        last_sequence = None
        with contextlib.closing(results):
            try:
                for found, lines, end, sequences, is_turned in results:
                    last_sequence = count_gaps(self.missing, sequences, last_sequence)
                    if is_turned:
                        self._turns.add(self.lines + 1, Extent(lines, self.bytes, end))
                    unread = len(self.missing.unread_lines)
                    for item in found:
                        yield from self._at_their_places(self.assembler.feed(item, self.lines + 1))
                    if is_turned:
                        self.missing.unread_lines[unread:] = map(self._turns.line, self.missing.unread_lines[unread:])
                    self.lines += lines
                    self.bytes = end
            except OSError:
                yield from self._at_their_places(self.assembler.close())
                raise
        yield from self._at_their_places(self.assembler.close())

    def _at_their_places(self, outputs: Iterable[Output]) -> Iterable[Output]:
        return map(self._turns.at_its_place, outputs) if self._turns else outputs


def count_gaps(missing: KnownLosses, sequences: Sequences | None, last: int | None) -> int | None:
    """Counts the numbers that are left out in a chunk, and between it and the one before, which ended with `last`."""
    if sequences is None:
        return last
    missing.sequence_gaps += sequences.gaps
    if last is not None and sequences.first > last:
        missing.sequence_gaps += sequences.first - last - 1
    return sequences.last


_KMSG = late_pattern(rb"^\d{1,9},(\d{1,18}),\d{1,18},[^;\n]*;", re.MULTILINE)


def _read(chunk: Chunk) -> ReadChunk:
    records = read_compiled(chunk)
    return _as_read(chunk, records) if records is not None else _as_found(chunk, *read_and_count(chunk))


def _as_read(chunk: Chunk, records: PackedRecords) -> ReadChunk:
    found = decode_records(records)
    if may_be_turned(records.body):
        return _as_found(chunk, found, records.lines)
    return found, records.lines, chunk.offset + chunk.end, sequences_of(chunk.data, chunk.end), False


def _as_found(chunk: Chunk, found: list[LocatedRecord], lines: int) -> ReadChunk:
    end, turned = chunk.offset + chunk.end, is_turned(found)
    if turned:
        found = turn(found, Extent(lines, chunk.offset, end))
    return found, lines, end, sequences_of(chunk.data, chunk.end), turned


def sequences_of(data: bytes, end: int) -> Sequences | None:
    """Numbers of the /dev/kmsg records of a chunk that ends there; None where it has none."""
    if not _KMSG.match(data) and not _KMSG.match(data, data.find(b"\n", 0, 1 << 16) + 1):
        return None
    numbers = [int(number) for number in _KMSG.findall(data[:end])]
    gaps = sum(b - a - 1 for a, b in pairwise(numbers) if b > a)  # a number that goes back is of another boot
    return Sequences(numbers[0], numbers[-1], gaps) if numbers else None


def read_and_pack(chunk: Chunk) -> bytes:
    """Reads a chunk that was sent."""
    if (records := read_compiled(chunk)) is not None:
        if may_be_turned(records.body):
            return pack(_as_read(chunk, records))
        return pack_records(records, chunk.offset + chunk.end, sequences_of(chunk.data, chunk.end))
    return pack(_as_found(chunk, *read_and_count(chunk)))


def read_span(path: Path, span: Span) -> bytes:
    """Reads one chunk of a plain file.

    Raises OSError when it cannot be read.
    """
    return read_and_pack(chunk_of(path, FilePiece(span, None)))


def chunk_of(path: Path, piece: FilePiece) -> Chunk:
    """A chunk of a plain file.

    Raises OSError when it cannot be read.
    """
    span, data = piece
    if data is None:
        with path.open("rb", buffering=0) as file:
            data = read_at(file.fileno(), span.offset, span.offset + span.length)
    data = data[: span.length]
    return Chunk(data, min(span.end, len(data)), span.offset, 0)  # the file may have become shorter


def _read_piece(path: Path, piece: FilePiece) -> ReadChunk:
    return _read(chunk_of(path, piece))


def _read_here(chunks: Iterable[Chunk]) -> Generator[ReadChunk, None, None]:
    yield from map(_read, chunks)


def _read_stream(stream: BinaryIO, workers: int) -> Generator[ReadChunk, None, None]:
    """Chunks in order, sent to worker processes; a short log is read here after all."""
    chunks = split_chunks(stream)
    first = list(first_of(chunks, PARALLEL_BYTES))
    is_sparse = bool(first) and _is_sparse(first[0])
    following = next(chunks, None)
    if following is None:
        yield from map(_read, first)
        return
    chunks = draining(first, following, chunks)
    if is_sparse:
        yield from in_threads(_read, chunks, workers)
    else:
        yield from map(unpack, in_processes(read_and_pack, chunks, workers))


def draining(first: list[_Task], following: _Task, rest: Iterator[_Task]) -> Iterator[_Task]:
    """All chunks; none is kept here once it is given."""
    first.reverse()
    while first:
        yield first.pop()
    yield following
    del following
    yield from rest


def _read_file(path: Path, workers: int) -> Generator[ReadChunk, None, None]:
    """Chunks in order, which workers read out of the file themselves: threads where little is in it, or processes."""
    with path.open("rb") as file:
        data = file.read(CHUNK_BYTES)
    if _is_sparse(Chunk(data, data.rfind(b"\n") + 1, 0, 0)):
        yield from in_threads(partial(_read_piece, path), split_file(path), workers)
        return
    spans = (piece.span for piece in split_file(path))
    yield from map(unpack, in_processes(partial(read_span, path), spans, workers))


def _is_sparse(chunk: Chunk) -> bool:
    """Whether a log is one that the compiled reader searches, and finds little: threads are enough, and soon there."""
    records = read_compiled(chunk)
    return records is not None and records.number * _SPARSE_BYTES < chunk.end


def first_of(chunks: Iterator[_Task], size: int) -> Iterator[_Task]:
    """Chunks, or where they stand, of so many bytes together."""
    for chunk in chunks:
        yield chunk
        size -= chunk.end
        if size <= 0:
            return


class Collected:
    """All records of a log, for logs that fit in memory."""

    def __init__(self, outputs: Iterable[Output], reader: Reader) -> None:
        self.reports: list[Report] = []
        self.kills: list[Kill] = []
        self.releases: list[Release] = []
        self.others: list[OtherEvent] = []
        for output in outputs:
            match output:
                case Report():
                    self.reports.append(output)
                case Kill():
                    self.kills.append(output)
                case Release():
                    self.releases.append(output)
                case OtherEvent():
                    self.others.append(output)
        self.missing = reader.missing


def collect(stream: BinaryIO) -> Collected:
    """Everything that a log says, at once."""
    reader = Reader()
    return Collected(reader.read(stream), reader)


def collect_kmsg(records: Iterable[KmsgRecord]) -> Collected:
    """Everything that records of /dev/kmsg say."""
    data = "".join(record.raw + "\n" for record in records).encode("utf-8", "surrogateescape")
    reader = Reader()
    found = _read(Chunk(data, len(data), 0, 0))[0]
    outputs = [output for item in found for output in reader.assembler.feed(item)]
    return Collected([*outputs, *reader.assembler.close()], reader)
