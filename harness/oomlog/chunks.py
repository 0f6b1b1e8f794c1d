"""A log as chunks of whole lines, cut where no report is torn apart."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .compiled import find_last
from .scan import Chunk

CHUNK_BYTES = 2 << 20
_LARGEST_BYTES = 32 << 20  # a report of 300,000 tasks; a longer one is cut, and marked partial
_AHEAD_BYTES = 8 << 10  # of the next chunk, for lines that are wrapped
_TAIL_BYTES = 128 << 10  # of a chunk of a file that are searched first
_HEADER = b"oom-killer: gfp_mask="
_KILLED = b"illed process "


class Span(NamedTuple):
    """Where a chunk stands in its log."""

    offset: int
    length: int  # with a little of what follows
    end: int  # of the chunk itself, from `offset`


class FilePiece(NamedTuple):
    """A chunk of a plain file."""

    span: Span
    data: bytes | None  # of it and more, where it was read to find its end


def split_chunks(stream: BinaryIO, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """Chunks of about `chunk_bytes`. Line numbers count from the chunk's own first line."""
    for span, data in _split(stream, chunk_bytes):
        yield Chunk(bytes(memoryview(data)[: span.length]), span.end, span.offset, 0)


def split_file(path: Path, chunk_bytes: int = CHUNK_BYTES) -> Iterator[FilePiece]:
    """The chunks of a plain file, the same as those of `split_chunks`. Most of a log of reports is left to be read by
    others; where few headers are, a chunk must be read to be cut, and is not read again.

    Raises OSError when it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        if not os.fstat(file.fileno()).st_size:  # nothing, or a file of /proc
            for span, all_data in _split(file, chunk_bytes):
                yield FilePiece(span, bytes(all_data))
            return
        offset = end = 0
        is_over = False
        while not is_over:
            size = os.fstat(file.fileno()).st_size
            is_over = size - end < chunk_bytes
            end = max(end, min(size, end + chunk_bytes))
            cut, data = (0, None) if is_over else _cut_of_file(file.fileno(), offset, end)
            if cut:
                yield FilePiece(Span(offset, _length(end - offset, cut), cut), data)
                offset += cut
            del data
        if end > offset:
            yield FilePiece(Span(offset, end - offset, end - offset), None)


def _split(stream: BinaryIO, chunk_bytes: int) -> Iterator[tuple[Span, bytearray]]:
    data, offset = bytearray(), 0
    is_over = False
    while not is_over:
        is_over = not _read_more(stream, data, chunk_bytes)
        cut = 0 if is_over else _cut(data)
        if cut:
            yield Span(offset, _length(len(data), cut), cut), data
            del data[:cut]
            offset += cut
    if data:
        yield Span(offset, len(data), len(data)), data


def _read_more(stream: BinaryIO, data: bytearray, size: int) -> bool:
    """Appends so many bytes. False at the end: a pipe gives what it has, which is no end.

    Raises BlockingIOError for a stream that does not wait.
    """
    end = len(data) + size
    while len(data) < end:
        more = stream.read(end - len(data))
        if more is None:
            raise BlockingIOError(errno.EAGAIN, "the stream has nothing now and does not wait")
        if not more:
            return False
        data += more
    return True


def _length(size: int, cut: int) -> int:
    """Of a chunk and a little of what follows: all there is, where a part of it would have to be copied for little."""
    return size if size <= cut + 2 * _AHEAD_BYTES else cut + _AHEAD_BYTES


def _cut_of_file(file: int, offset: int, end: int) -> tuple[int, bytes | None]:
    """`_cut` of a part of a file, and that part. Where a header is near its end, as in most logs of reports, the rest is
    not read here.
    """
    begin = max(offset, end - _TAIL_BYTES)
    tail = read_at(file, begin, end)
    last_line = tail.rfind(b"\n", 0, max(len(tail) - _AHEAD_BYTES, 0)) + 1
    header = find_last(tail, _HEADER, last_line)
    before = tail.rfind(b"\n", 0, header) + 1 if header >= 0 else 0
    if before:
        return begin + before - offset, None
    data = read_at(file, offset, end)
    return _cut(data), data


def read_at(file: int, begin: int, end: int) -> bytes:
    """So much of a file, by its descriptor; less where it has become shorter."""
    data = os.pread(file, end - begin, begin)
    while len(data) < end - begin and (more := os.pread(file, end - begin - len(data), begin + len(data))):
        data += more
    return data


def _cut(data: bytes | bytearray) -> int:
    """Where to end a chunk: before the last header, as its report may go on; else after the last line."""
    if len(data) <= _AHEAD_BYTES:
        return 0
    last_line = data.rfind(b"\n", 0, len(data) - _AHEAD_BYTES) + 1
    header = find_last(data, _HEADER, last_line)
    if header < 0:
        return last_line or (len(data) if len(data) >= _LARGEST_BYTES else 0)
    before = data.rfind(b"\n", 0, header) + 1
    if before > 0:
        return before
    # The only report stands at the beginning: wait for its end.
    is_over = data.find(_KILLED, header, last_line) >= 0
    return last_line if is_over or len(data) >= _LARGEST_BYTES else 0
