"""Products of make in a tree: a record of size, times and inode says whether they can be reused, not their age."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..system.paths import write_atomically

# Whatever kbuild makes has its command beside it, in .NAME.cmd; these are products without it, too, and no kernel has sources
# that are called so.
_SUFFIXES = (".o", ".a", ".so")


class _Look(msgspec.Struct, frozen=True, array_like=True):
    """stat(2) of a file. If none of it changed, the content did not."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def _record(tree: Path) -> Path:
    return tree / ".oomtrial-products"


def _marker(tree: Path) -> Path:
    """File that exists from before make until its products are recorded."""
    return tree / ".oomtrial-building"


def is_first_build(tree: Path) -> bool:
    """Whether no products are recorded, so that make has everything to compile."""
    return not _record(tree).exists()


def begin_products(tree: Path) -> None:
    """Call it before make."""
    write_atomically(_marker(tree), b"")  # on the disk before the first object is


def note_products(tree: Path) -> None:
    """Records the products. Call it when make has ended by itself, with or without success: its products are complete."""
    products = {os.path.relpath(entry.path, tree): _look(entry) for entry in _products(tree)}
    write_atomically(_record(tree), msgspec.json.encode(products))
    _marker(tree).unlink(missing_ok=True)


def remove_doubtful(tree: Path) -> None:
    """Removes products that the next make must not consider up to date.

    That is what is not in the record just as it is: of a make that was cut off an object may be half written, or made of other
    sources, and a disk may damage one. Everything where the clock was set back: patched files would look older than the
    objects made before.
    """
    try:
        known = msgspec.json.decode(_record(tree).read_bytes(), type=dict[str, _Look])
    except (OSError, msgspec.DecodeError):
        known = {}
    if not known and not _marker(tree).exists():
        return  # the first build
    is_set_back = any(look.mtime_ns > time.time_ns() for look in known.values())
    for entry in list(_products(tree)):
        if is_set_back or known.get(os.path.relpath(entry.path, tree)) != _look(entry):
            Path(entry.path).unlink()
    _marker(tree).unlink(missing_ok=True)


def _look(entry: os.DirEntry[str]) -> _Look:
    status = entry.stat(follow_symlinks=False)
    return _Look(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _products(tree: Path) -> Iterator[os.DirEntry[str]]:
    pending = [str(tree)]
    while pending:
        with os.scandir(pending.pop()) as directory:
            entries = list(directory)
        names = {entry.name for entry in entries}
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif entry.name.endswith(_SUFFIXES) or f".{entry.name}.cmd" in names:
                yield entry
