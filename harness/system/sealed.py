"""Files of the cache that are what they were when they were made: each with its hash, in .NAME.seal beside it.

A look at size, times and inode is enough as long as all are the same; else the content is hashed. A file without a seal, of a
maker that was cut off or of an older oomtrial, is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from ..errors import HostError
from .paths import write_atomically


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file was."""

    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    def looks_like(self, path: Path) -> bool:
        """Whether stat(2) says that nobody has written to a file since."""
        return _look(path) == (self.size, self.mtime_ns, self.ctime_ns, self.inode)

    def has_content_of(self, path: Path) -> bool:
        """Whether a file's content, all of which is read, is what it was."""
        return path.is_file() and path.stat().st_size == self.size and _hash(path) == self.sha256

    def fits(self, path: Path) -> bool:
        """Whether a file is what it was; it is read where it does not look so."""
        return self.looks_like(path) or self.has_content_of(path)


def seal_of(path: Path) -> Seal:
    """Reads a file."""
    return Seal(_hash(path), *_require_look(path))


def put_seal(path: Path) -> None:
    """To be called when a file is whole, and on the disk."""
    write_atomically(_seal_file(path), msgspec.json.encode(seal_of(path)))


def is_intact(path: Path, *, deep: bool = False) -> bool:
    """Whether a sealed file is what it was. `deep`: its content, however it looks."""
    seal = _read_seal(path)
    if seal is None or not path.is_file():
        return False
    if deep:
        return seal.has_content_of(path)
    if seal.looks_like(path):
        return True
    if not seal.has_content_of(path):
        return False
    with contextlib.suppress(HostError):  # a cache that is only read
        put_seal(path)  # it was moved or copied
    return True


def _seal_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.seal")


def _read_seal(path: Path) -> Seal | None:
    try:
        return msgspec.json.decode(_seal_file(path).read_bytes(), type=Seal)
    except (OSError, msgspec.DecodeError):
        return None


def _look(path: Path) -> tuple[int, int, int, int] | None:
    try:
        return _require_look(path)
    except OSError:
        return None


def _require_look(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Has a file, or the names in a directory, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
