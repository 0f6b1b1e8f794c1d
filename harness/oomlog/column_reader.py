"""A log, from a stream of bytes to columns of tables, where the compiled assembler is there: no record becomes an object."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from .chunks import FilePiece, Span, split_chunks, split_file
from .columns import TABLES, ColumnAssembler, ColumnBuffers, Counts, encode_records
from .packing import PackedRecords, Sequences, decode_records
from .reading import PARALLEL_BYTES, chunk_of, count_gaps, draining, first_of, sequences_of
from .records import KnownLosses
from .scan import Chunk, read_and_count, read_compiled
from .turned import Extent, Turns, is_turned, may_be_turned, turn
from .workers import in_processes, in_threads

_Task = TypeVar("_Task", Chunk, Span)
Rows = dict[str, list[ColumnBuffers]]  # by table


class _ChunkResult(NamedTuple):
    """What stands in a chunk."""

    records: PackedRecords
    end: int  # of the chunk in the log
    sequences: Sequences | None
    is_compiled: bool  # nothing of it was read by Python as a whole
    is_turned: bool  # the newest line is its first


class ColumnReader:
    """Reads logs, one after the other, as `Reader` does. `lines` and `bytes` grow while its rows are taken."""

    def __init__(self, workers: int = 1, tables: Container[str] = TABLES) -> None:
        """It gives the rows of these tables. Raises MemoryError."""
        self._assembler = ColumnAssembler()
        self.lines = self.bytes = 0
        self._workers, self._tables = workers, tables
        self._gaps = KnownLosses()  # counted in Python
        self._unread: dict[int, int] = {}  # true numbers of lines that could not be read, by their places in the list
        self.turns = Turns()  # of the log that is read: places in its rows are to be looked up there

    def close(self) -> None:
        """It gives back its memory."""
        self._assembler.close()

    @property
    def missing(self) -> KnownLosses:
        """What the logs read so far are known to lack."""
        missing = self._assembler.missing
        for place, line in self._unread.items():
            missing.unread_lines[place] = line
        return missing

    @property
    def counts(self) -> Counts:
        """How much there was of what so far."""
        return self._assembler.counts

    @property
    def boots(self) -> int:
        """How many boots there were so far."""
        return self._assembler.boots

    def read(self, stream: BinaryIO, path: Path | None = None) -> Iterator[Rows]:
        """The rows of one log, in order, some at a time. Give `path` of a plain file to let workers read it themselves."""
        self._assembler.begin_file()
        self.lines = self.bytes = 0
        self.turns = Turns()
        results = _read_stream(stream, self._workers) if path is None else _read_file(path, self._workers)
        last_sequence = None
        with contextlib.closing(results):
            try:
                for records, end, sequences, _, turned in results:
                    last_sequence = count_gaps(self._gaps, sequences, last_sequence)
                    known = len(self._assembler.missing.unread_lines) if turned else 0
                    self._assembler.feed(records, self.lines + 1, self._gaps.sequence_gaps)
                    if turned:
                        self._take_turn(Extent(records.lines, self.bytes, end), known)
                    self.lines += records.lines
                    self.bytes = end
                    if self._assembler.is_large:
                        yield self._assembler.take(self._tables)
            except OSError:
                yield self._last()
                raise
        yield self._last()

    def _take_turn(self, extent: Extent, known: int) -> None:
        self.turns.add(self.lines + 1, extent)
        for place, line in enumerate(self._assembler.missing.unread_lines[known:], known):
            self._unread[place] = self.turns.line(line)

    def _last(self) -> Rows:
        self._assembler.end_file()
        return self._assembler.take(self._tables)


def _read(chunk: Chunk) -> _ChunkResult:
    end = chunk.offset + chunk.end
    records = read_compiled(chunk)
    is_compiled, turned = records is not None, False
    if records is None or may_be_turned(records.body):
        found, lines = read_and_count(chunk) if records is None else (decode_records(records), records.lines)
        if turned := is_turned(found):
            found = turn(found, Extent(lines, chunk.offset, end))
        records = encode_records(found, lines)
    return _ChunkResult(records, end, sequences_of(chunk.data, chunk.end), is_compiled, turned)


def _read_piece(path: Path, piece: FilePiece) -> _ChunkResult:
    return _read(chunk_of(path, piece))


def _read_span(path: Path, span: Span) -> _ChunkResult:
    return _read_piece(path, FilePiece(span, None))


# The first chunk tells whether compiled code reads a log: threads are enough then.


def _read_stream(stream: BinaryIO, workers: int) -> Generator[_ChunkResult, None, None]:
    """What each chunk holds, in order."""
    chunks = split_chunks(stream)
    for found in map(_read, chunks):
        yield found
        if workers > 1:
            yield from (in_threads if found.is_compiled else _in_processes)(_read, chunks, workers)


def _read_file(path: Path, workers: int) -> Generator[_ChunkResult, None, None]:
    pieces = split_file(path)
    for found in map(partial(_read_piece, path), pieces):
        yield found
        if workers == 1:
            continue
        if found.is_compiled:
            yield from in_threads(partial(_read_piece, path), pieces, workers)
        else:
            yield from _in_processes(partial(_read_span, path), (piece.span for piece in pieces), workers)


def _in_processes(
    read: Callable[[_Task], _ChunkResult], tasks: Iterator[_Task], workers: int
) -> Generator[_ChunkResult, None, None]:
    """By processes, where there is enough left of a log."""
    few = list(first_of(tasks, PARALLEL_BYTES))
    following = next(tasks, None)
    if following is None:
        yield from map(read, few)
    else:
        yield from in_processes(read, draining(few, following, tasks), workers)
