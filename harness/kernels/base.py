"""What kernels are built from: a tree with an identity. Arms of one base share a build tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from ..progress import Reporter

_VERSION = re.compile(
    r"^VERSION = (\d+)\nPATCHLEVEL = (\d+)(?:\nSUBLEVEL = (\d+)(?:\nEXTRAVERSION =[^\S\n]*(-rc\d+)?)?)?", re.MULTILINE
)


class Base(Protocol):
    """A kernel's source."""

    @property
    def name(self) -> str:
        """In words, with its version."""
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
        """Of the content: equal identities are equal trees."""
        ...

    @property
    def tree(self) -> Path:
        """Where the tree is, once `fetch` has returned: also the place where it is built, so that a second kernel from
        the same base is an incremental build."""
        ...

    def lock(self) -> FileLock:
        """To be held while the tree is read, patched or built."""
        ...

    def fetch(self, progress: Reporter) -> None:
        """Makes the tree what the identity says. Call it with the lock held and no patch in the tree.

        Raises BuildError when the source cannot be had, HostError when there is no room.
        """
        ...


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
