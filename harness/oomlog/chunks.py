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
_TAIL_BYTES = (64 << 10, 512 << 10)  # of a chunk that are searched first
_HEADER = b"oom-killer: gfp_mask="
_KILLED = b"illed process "


class Span(NamedTuple):
    """Where a chunk stands in its log."""

    offset: int
    length: int  # with a little of what follows
    end: int  # of the chunk itself, from `offset`


def split_chunks(stream: BinaryIO, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """Chunks of about `chunk_bytes`. Line numbers count from the chunk's own first line."""
    for span, data in _split(stream, chunk_bytes):
        yield Chunk(bytes(memoryview(data)[: span.length]), span.end, span.offset, 0)


def split_spans(path: Path, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Span]:
    """Where the chunks of a plain file stand, for whoever reads them out of it: the same as those of `split_chunks`.

    Raises OSError when it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        if not os.fstat(file.fileno()).st_size:  # nothing, or a file of /proc
            for span, _ in _split(file, chunk_bytes):
                yield span
            return
        offset = end = 0
        is_over = False
        while not is_over:
            size = os.fstat(file.fileno()).st_size
            is_over = size - end < chunk_bytes
            end = max(end, min(size, end + chunk_bytes))
            cut = 0 if is_over else _cut_of_file(file, offset, end)
            if cut:
                yield Span(offset, min(end - offset, cut + _AHEAD_BYTES), cut)
                offset += cut
        if end > offset:
            yield Span(offset, end - offset, end - offset)


def _split(stream: BinaryIO, chunk_bytes: int) -> Iterator[tuple[Span, bytearray]]:
    data, offset = bytearray(), 0
    is_over = False
    while not is_over:
        is_over = not _read_more(stream, data, chunk_bytes)
        cut = 0 if is_over else _cut(data)
        if cut:
            yield Span(offset, min(len(data), cut + _AHEAD_BYTES), cut), data
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


def _cut_of_file(file: BinaryIO, offset: int, end: int) -> int:
    """`_cut` of a part of a file. Where a header is near its end, as in most logs of reports, the rest is not read here."""
    for size in _TAIL_BYTES:
        begin = max(offset, end - size)
        tail = _read_at(file, begin, end)
        last_line = tail.rfind(b"\n", 0, max(len(tail) - _AHEAD_BYTES, 0)) + 1
        header = find_last(tail, _HEADER, last_line)
        before = tail.rfind(b"\n", 0, header) + 1 if header >= 0 else 0
        if before:
            return begin + before - offset
    return _cut(_read_at(file, offset, end))


def _read_at(file: BinaryIO, begin: int, end: int) -> bytearray:
    """So much of a file; less where it has become shorter."""
    data = bytearray(end - begin)
    file.seek(begin)
    read = 0
    while got := file.readinto(memoryview(data)[read:]):  # type: ignore[attr-defined]
        read += got
    del data[read:]
    return data


def _cut(data: bytearray) -> int:
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
