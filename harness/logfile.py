"""Opening a log: plain, .gz, .xz or .zst, by what it holds and not by its name; or standard input."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from harness.errors import EvidenceError

STDIN = "-"
_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_JOURNAL = b"LPKSHHRH"  # systemd's journal files
_HEAD_BYTES = 64 << 10


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
        """Whether it starts like no text. Only a log without any OOM line is refused for it: a crash leaves zeros."""
        return b"\0" in self.head


@contextmanager
def open_log(name: str) -> Iterator[OpenLog]:
    """Opens a path, or standard input for ``-``.

    Raises EvidenceError when it is missing, unreadable, a directory, damaged (while it is read), or a journal file.
    """
    try:
        with _open(name) as raw, _translated(name):
            stream = _decompressed(raw)
            head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]  # type: ignore[attr-defined]
            if head.startswith(_JOURNAL):
                raise EvidenceError(
                    f"{name} is a journal file, not text",
                    f"give its text: journalctl -k -o json --file {name} | oomtrial parse -",
                )
            plain = raw is stream and name != STDIN
            yield OpenLog(name, stream, head, Path(name) if plain else None, Path(name).stat().st_size if plain else 0)
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


def _decompressed(raw: BinaryIO) -> BinaryIO:
    head = raw.peek(8)  # type: ignore[attr-defined]
    if head.startswith(_GZIP):
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=raw)), _HEAD_BYTES))
    if head.startswith(_XZ):
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, lzma.LZMAFile(raw)), _HEAD_BYTES))
    if head.startswith(_ZSTD):
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(raw, read_across_frames=True)
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, reader), _HEAD_BYTES))
    return raw


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """A damaged archive is one line, whatever library finds it."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise EvidenceError(
            f"{name} is a damaged archive: {error}", "what stands before the damage was read"
        ) from error
