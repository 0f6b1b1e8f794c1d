"""Manifests: the files of a tree by content, to find what a copy lacks."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..errors import UsageError
from ..system.paths import cache_dir, content_key, write_atomically


class Entry(NamedTuple):
    """A file with its git blob name, so that a commit and a working tree can be compared."""

    mode: str  # 100644, 100755 or 120000
    blob: str  # git's name for the content

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == "120000"

    @property
    def is_executable(self) -> bool:
        """Whether its owner may execute it."""
        return self.mode == "100755"


Manifest = dict[str, Entry]  # by path, relative to the tree


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    """A file that was read before: as long as its stat(2) stays the same, so does its content."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    blob: str


def blob_id(content: bytes) -> str:
    """git's name for a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def link_text(root: Path, path: Path) -> str | None:
    """Target of a symbolic link in a copy of its tree; None if the copy has the linked file instead.

    A link out of the tree, or by an absolute path, would lead from the copy to the original, and so would what is written.
    Raises UsageError for one that leads to a directory outside the tree, or nowhere.
    """
    text, end = str(path.readlink()), path.resolve()
    if end.is_relative_to(root) and not text.startswith("/"):
        return text
    if end.is_file():
        return None
    if end.is_dir() and end.is_relative_to(root):
        return os.path.relpath(end, path.parent.resolve())
    reason = "a directory outside the tree" if end.is_dir() else "not a file"
    raise UsageError(f"{path} is a link to {text}, {reason}", "copy the tree: cp -aL")


def read_entries(root: Path, names: Iterable[str], on_progress: Callable[[int], None]) -> Manifest:
    """Reads the named files of a tree; a file that stat(2) says is unchanged is not read again. `root` is no link.

    Raises UsageError for a file that cannot be read.
    """
    memory = cache_dir() / "manifests" / f"{content_key(str(root))}.json"
    try:
        before = msgspec.json.decode(memory.read_bytes(), type=dict[str, _Seen])
    except (OSError, msgspec.DecodeError):
        before = {}
    seen: dict[str, _Seen] = {}
    manifest: Manifest = {}
    for done, name in enumerate(names):
        path = root / name
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                if (text := link_text(root, path)) is not None:
                    manifest[name] = Entry("120000", blob_id(os.fsencode(text)))
                    continue
                status = path.stat()
            if stat.S_ISREG(status.st_mode):
                known = before.get(name)
                look = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
                if known is None or (known.size, known.mtime_ns, known.ctime_ns, known.inode) != look:
                    known = _Seen(*look, blob_id(path.read_bytes()))
                seen[name] = known
                manifest[name] = Entry("100755" if status.st_mode & stat.S_IXUSR else "100644", known.blob)
        except FileNotFoundError:
            continue  # tracked by git, and deleted
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        if done % 1000 == 0:
            on_progress(done)
    write_atomically(memory, msgspec.json.encode(seen))
    return manifest


def _manifest_file(tree: Path) -> Path:
    return tree / ".oomtrial-manifest"


def read_manifest(tree: Path) -> Manifest:
    """The files that a copy was last made of; empty without a manifest."""
    try:
        pairs = msgspec.json.decode(_manifest_file(tree).read_bytes(), type=dict[str, tuple[str, str]])
    except (OSError, msgspec.DecodeError):
        return {}
    return {path: Entry(*pair) for path, pair in pairs.items()}


def write_manifest(tree: Path, manifest: Manifest) -> None:
    """Records what a copy was made of. Raises HostError when it cannot be written."""
    write_atomically(_manifest_file(tree), msgspec.json.encode(manifest))
