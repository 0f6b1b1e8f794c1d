"""Opening a log: plain, .gz, .xz or .zst, UTF-8 or UTF-16, by what it holds and not by its name; or standard input."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from ..errors import EvidenceError

STDIN = "-"
_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_JOURNAL = b"LPKSHHRH"  # systemd's journal files
_HEAD_BYTES = 64 << 10
_WRITE_BYTES = 32 << 10  # asked of the allocator at a time


@dataclass(frozen=True)
class OpenLog:
    """A log that is open for reading."""

    name: str
    stream: BinaryIO
    head: bytes  # its first bytes, decompressed
    plain_path: Path | None  # where others may read it too; None when compressed or no file
    size_bytes: int  # of the plain file; 0 when unknown

    @property
    def looks_binary(self) -> bool:
        """Whether it does not start like text. Only a log without any OOM line is refused for it: a crash leaves zeros."""
        return b"\0" in self.head


@contextmanager
def open_log(name: str) -> Iterator[OpenLog]:
    """Opens a path, or standard input for ``-``.

    Raises EvidenceError when it is missing, unreadable, a directory, damaged (while it is read), or a journal file.
    """
    try:
        with _open(name) as raw:
            stream, archive = _decompressed(raw)
            head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]  # type: ignore[attr-defined]
            if head.startswith(_JOURNAL):
                raise EvidenceError(
                    f"{name} is a journal file, not text",
                    f"convert it to text: journalctl -k -o json --file {name} | oomtrial parse -",
                )
            status = Path(name).stat() if archive is None and name != STDIN else None
            plain = status is not None and stat.S_ISREG(status.st_mode)  # a pipe can be read but once
            yield OpenLog(name, stream, head, Path(name) if plain else None, status.st_size if status and plain else 0)
            if archive is not None and archive.damage is not None:
                raise EvidenceError(
                    f"{name} is a damaged archive: {archive.damage}", "the part before the damage was read"
                )
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise EvidenceError(f"cannot read {name}: {error.strerror or error}") from error


def _open(name: str) -> BinaryIO:
    if name == STDIN:
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer), _HEAD_BYTES))
    mode = Path(name).stat().st_mode
    if stat.S_ISDIR(mode):
        raise EvidenceError(f"{name} is a directory", "name the files in it")
    return Path(name).open("rb", buffering=_HEAD_BYTES)


_DAMAGE = (gzip.BadGzipFile, EOFError, lzma.LZMAError, zstandard.ZstdError, zlib.error)


class _Zstd:
    """Decompresses zstd frames. zstandard's stream_reader takes the end of a file that was cut off for the end of the log."""

    # What it becomes is held in memory: zeros are 30,000 times as much (4 bytes for a block of 128 KiB).
    _FEED_BYTES = 1 << 10

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._frame: Any = None  # that is under way
        self._data = b""  # not decompressed yet
        self._left = io.BytesIO()  # not asked for yet

    def read1(self, size: int) -> bytes:
        """Raises EOFError at an end within a frame, ZstdError for data that is no frame."""
        while not (given := self._left.read(size)):
            data = self._data or self._raw.read1(self._FEED_BYTES)  # type: ignore[attr-defined]
            if not data:
                if self._frame is not None:
                    raise EOFError("it ends within a frame")
                return b""
            if self._frame is None:
                self._frame = self._decompressor.decompressobj(write_size=_WRITE_BYTES)
            self._left, self._data = io.BytesIO(self._frame.decompress(data)), b""
            if self._frame.eof:
                self._data, self._frame = self._frame.unused_data, None
        return given


class _Archive(io.RawIOBase):
    """Content of an archive up to its end, or up to where it is damaged."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.damage: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.damage is not None:
            return 0
        try:
            # read1: read() loops, and what it has when it comes to the damage is lost
            data = self._inner.read1(len(buffer))
        except _DAMAGE as error:
            self.damage = error
            return 0
        buffer[: len(data)] = data
        return len(data)


class _Utf16(io.RawIOBase):
    """A text of PowerShell as UTF-8: `wsl dmesg > FILE` writes UTF-16."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        self._left = io.BytesIO()  # not asked for yet

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not (given := self._left.read(len(buffer))):
            data = self._raw.read1(_WRITE_BYTES)  # type: ignore[attr-defined]
            self._left = io.BytesIO(self._decoder.decode(data, final=not data).encode("utf-8", "replace"))
            if not data and not (given := self._left.read(len(buffer))):
                return 0
            if given:
                break
        buffer[: len(given)] = given
        return len(given)


def _decompressed(raw: BinaryIO) -> tuple[BinaryIO, _Archive | None]:
    head = raw.peek(8)  # type: ignore[attr-defined]
    if head.startswith(_UTF_16):
        return cast(BinaryIO, io.BufferedReader(_Utf16(raw), _HEAD_BYTES)), _Archive(raw)
    if head.startswith(_GZIP):
        archive = _Archive(gzip.GzipFile(fileobj=raw))
    elif head.startswith(_XZ):
        archive = _Archive(lzma.LZMAFile(raw))  # noqa: SIM115 - closed with `raw`
    elif head.startswith(_ZSTD):
        archive = _Archive(_Zstd(raw))
    else:
        return raw, None
    return cast(BinaryIO, io.BufferedReader(archive, _HEAD_BYTES)), archive
