"""Bases: source trees with an identity, from which kernels are built. Arms with one base share a build tree."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from ..progress import Reporter
from ..system.paths import require_room

_VERSION = re.compile(
    r"^VERSION = (\d+)\nPATCHLEVEL = (\d+)(?:\nSUBLEVEL = (\d+)(?:\nEXTRAVERSION =[^\S\n]*(-rc\d+)?)?)?", re.MULTILINE
)


class Base(Protocol):
    """A kernel's source."""

    @property
    def name(self) -> str:
        """Name with version, for messages."""
        ...

    @property
    def version(self) -> str:
        """The kernel's series, such as 6.1."""
        ...

    @property
    def release(self) -> str:
        """The kernel's full version, such as 6.1.176 or 7.3-rc7."""
        ...

    @property
    def identity(self) -> str:
        """Content key: equal identities are equal trees."""
        ...

    @property
    def tree(self) -> Path:
        """Where the tree is, once `fetch` has returned: also the place where it is built, so that a second kernel from
        the same base is an incremental build."""
        ...

    def lock(self) -> FileLock:
        """The lock to hold while the tree is read, patched or built."""
        ...

    def fetch(self, progress: Reporter) -> None:
        """Brings the tree to the state of the identity. Call it with the lock held and no patch in the tree.

        Raises BuildError when the source is not available, HostError when there is no room.
        """
        ...


@contextlib.contextmanager
def scratch_for(tree: Path, needed_bytes: int, name: str) -> Iterator[Path]:
    """An empty directory beside the place of a tree, in which the tree is made; removed at the end.

    Raises HostError when there is no room. `name`: of the base.
    """
    require_room(tree.parent, needed_bytes, f"the tree of {name}")
    scratch = tree.with_name(f".{tree.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def put_tree(made: Path, tree: Path) -> None:
    """Moves a tree that is complete to its place."""
    made.touch()  # prune goes by the time, and an archive has times of its own
    made.rename(tree)


def makefile_version(makefile: str) -> str | None:
    """``6.1`` from a kernel's top Makefile; None if it is another one."""
    match = _VERSION.search(makefile)
    return f"{match[1]}.{match[2]}" if match else None


def makefile_release(makefile: str) -> str | None:
    """``6.1.176`` or ``7.3-rc7`` from a kernel's top Makefile; ``6.1`` where SUBLEVEL is 0; None if it is another one."""
    match = _VERSION.search(makefile)
    if match is None:
        return None
    sublevel = f".{match[3]}" if int(match[3] or 0) else ""
    return f"{match[1]}.{match[2]}{sublevel}{match[4] or ''}"
