"""Memcgs that tests make above their containers (harness/pytest_plugin/watcher.py), and what of them a killed process left.

The watcher removes them at its end. One that was killed, or whose engine was, leaves them: empty, and kept by the kernel until
the machine boots again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_TOKEN = re.compile(r"[0-9a-f]{8}x\d+x\d+x[0-9a-f]{8}")


def token_of(session: str) -> str:
    """The name of a session's memcgs: a dash is a level in systemd's names of slices."""
    return session.replace("-", "x")


@dataclass(frozen=True)
class Left:
    """A memcg above the containers of one token."""

    path: Path
    session: str  # whose it is; empty where it does not say

    def remove(self) -> bool:
        """Removes what is empty of it. Returns whether all of it is gone.

        Raises PermissionError where this user may not.
        """
        directories = sorted((path for path in self.path.rglob("*") if path.is_dir()), reverse=True)
        for path in (*directories, self.path):
            try:
                path.rmdir()  # the kernel refuses one that holds a process or another memcg
            except PermissionError:
                raise
            except OSError:
                continue
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()
        return not self.path.exists()


def found_memcgs(root: Path | None = None) -> Iterator[Left]:
    """Those of every token, used or not, on each hierarchy of cgroup v1 or on that of v2."""
    root = root or _CGROUPS
    for hierarchy in (root, *sorted(path for path in root.glob("*") if path.is_dir())):
        for parent, prefix, suffix in (("oomtrial", "", ""), ("oomtrial.slice", "oomtrial-", ".slice")):
            for path in sorted((hierarchy / parent).glob(f"{prefix}*{suffix}")):
                if path.is_dir():
                    token = path.name.removeprefix(prefix).removesuffix(suffix)
                    yield Left(path, token.replace("x", "-") if _TOKEN.fullmatch(token) else "")


def remove_memcgs(is_abandoned: Callable[[str], bool]) -> Iterator[str]:
    """Removes those of sessions whose process is gone, and says what it did or may not do."""
    for left in found_memcgs():
        if left.session and is_abandoned(left.session):
            try:
                if left.remove():
                    yield f"removed the empty memcg {left.path}, which a killed oomtrial left"
            except PermissionError:
                yield f"a killed oomtrial left the empty memcg {left.path}; sudo oomtrial doctor --clean removes it"
