"""Removes before every run what would be in its way. Separate from the full clean-up, which imports Docker's client."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import HostError
from ..system.locks import is_held, owner_is_alive
from ..system.paths import cache_dir

_BEGUN_S = 60.0
_DIRECTORIES = (
    "accel", "apt", "binaries", "guests", "kernels", "logs", "manifests", "rootfs", "seats", "snapshots", "trees",
)  # fmt: skip


@dataclass(frozen=True)
class Removed:
    """One removed item, and why."""

    what: str
    why: str


def tidy() -> Iterator[Removed]:
    """Cleans up before every run: a cache that can be written to, without the keys of guests that are gone."""
    yield from no_directories()
    yield from guest_directories()
    yield from unfinished_snapshots(_BEGUN_S)


def no_directories() -> Iterator[Removed]:
    """Removes files in the place of cache directories. Raises HostError when the cache itself is not a directory."""
    cache = cache_dir()
    if cache.exists() and not cache.is_dir():
        raise HostError(f"{cache} is not a directory", "remove it, or set OOMTRIAL_CACHE to another one")
    for name in _DIRECTORIES:
        path = cache / name
        if (path.exists() or path.is_symlink()) and not path.is_dir():
            yield from gone(path, "it is in the place of a cache directory")


def gone(path: Path, why: str) -> Iterator[Removed]:
    """Removes a path; silent if another process was faster, or it cannot be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    if not path.exists():
        yield Removed(str(path), why)


def guest_directories() -> Iterator[Removed]:
    """Removes the private directories, keys among them, of guests whose harness is gone."""
    for path in sorted((cache_dir() / "guests").glob("guest-*-*")):
        pid = path.name.split("-")[1]
        if pid.isdigit() and not owner_is_alive(int(pid), path) and not is_held(path):
            yield from gone(path, f"private directory of a guest whose harness, process {pid}, is gone")


def unfinished_snapshots(age_s: float = 0.0) -> Iterator[Removed]:
    """Removes snapshots that nobody is making. `age_s`: the least age; one that was begun a moment ago is about to be held."""
    for path in sorted((cache_dir() / "snapshots").glob(".new-*")):
        with suppress(FileNotFoundError):
            if not is_held(path) and time.time() - path.stat().st_mtime >= age_s:
                yield from gone(path, "an unfinished snapshot")
