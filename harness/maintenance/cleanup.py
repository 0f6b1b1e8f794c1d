"""Finds what a power cut or a kill left on this machine, removes it, and reports each item.

Nothing of a live process is touched: what is being made is locked by its maker, and a lock of the kernel ends with its
holder. Runs are left alone; `oomtrial run --resume` resumes them.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..containers.memcgs import found_memcgs
from ..containers.running import API_ERRORS
from ..containers.session import abandoned_sessions, is_abandoned, remove_session
from ..errors import HostError
from ..guest.local import connect_local
from ..guest.snapshot import is_whole
from ..kernels.inventory import remove, unfinished
from ..system.aptcache import PARSED_LISTS
from ..system.locks import is_held, owner_is_alive
from ..system.paths import cache_dir
from ..system.scratch import remove_leftovers
from .tidy import Removed, gone, guest_directories, no_directories, unfinished_snapshots

# Directories from TemporaryDirectory live for minutes.
_STALE_S = 3600.0
_SCRATCH = tuple(f"oomtrial-{work}-*" for work in ("accel", "config", "dask", "diff", "dsc", "git", "patch"))


def clean() -> Iterator[Removed]:
    """Removes leftovers and yields each one as it is removed."""
    yield from no_directories()
    yield from guest_directories()
    yield from _half_written()
    yield from _snapshots()
    yield from _temporary_files()
    yield from _scratch_directories()
    yield from _in_the_engine()
    yield from _memcgs()


def _half_written() -> Iterator[Removed]:
    for leftover in unfinished():
        if remove(leftover):
            yield Removed(str(leftover.path), leftover.why)
    cache = cache_dir()
    for path in sorted(cache.glob("rootfs/.*.new")):
        lock = path.with_name(f"{path.name.removeprefix('.').removesuffix('.new')}.ext4.lock")
        yield from _alone(lock, path, "an unfinished guest image")
    for path in sorted(cache.glob("binaries/*/.*.new")):
        yield from _alone(path.parent / "lock", path, "an unfinished binary")
    for pattern, why in (
        ("apt/**/.new-*", "an unfinished download"),
        (f"apt/{PARSED_LISTS}.*", "an unfinished file of apt's"),
    ):
        for path in sorted(cache.glob(pattern)):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_S:  # neither has a lock
                    yield from gone(path, why)


def _alone(lock: Path, path: Path, why: str) -> Iterator[Removed]:
    """Removes a path, unless a process holds its lock."""
    try:
        with FileLock(lock).acquire(timeout=0):
            yield from gone(path, why)
    except Timeout:
        return


def _snapshots() -> Iterator[Removed]:
    yield from unfinished_snapshots()
    root = cache_dir() / "snapshots"
    for path in sorted(root.glob("[!.]*")):
        if path.is_dir() and not is_whole(path):
            yield from _alone(Path(f"{path}.lock"), path, "an incomplete snapshot")


def _temporary_files() -> Iterator[Removed]:
    """Of harness.system.paths.write_atomically: .NAME.PID.tmp."""
    for directory in ("accel", "binaries/*", "kernels/*", "manifests", "rootfs", "snapshots", "trees"):
        for path in sorted(cache_dir().glob(f"{directory}/.*.tmp")):
            pid = path.name.split(".")[-2]
            if pid.isdigit() and not owner_is_alive(int(pid), path):
                yield from gone(path, f"a file that process {pid} left unfinished")


def _scratch_directories() -> Iterator[Removed]:
    for path in remove_leftovers():
        yield Removed(str(path), "the evidence of a block whose worker is gone; another one has run it, or will")
    root = Path(tempfile.gettempdir())
    for pattern in _SCRATCH:
        for path in sorted(root.glob(pattern)):
            with suppress(OSError):
                status = path.lstat()
                is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
                if is_ours and not is_held(path) and time.time() - status.st_mtime > _STALE_S:
                    yield from gone(path, "a temporary directory unused for an hour")


def _memcgs() -> Iterator[Removed]:
    for left in found_memcgs():
        with suppress(OSError):
            is_stale = not left.session and time.time() - left.path.stat().st_mtime > _STALE_S
            if (is_stale or (left.session and is_abandoned(left.session))) and left.remove():
                yield Removed(str(left.path), "an empty memcg of tests whose process is gone")


def _in_the_engine() -> Iterator[Removed]:
    try:
        client = connect_local(deadline_s=5)
    except HostError:
        return  # no engine, nothing in it
    try:
        for session in sorted(abandoned_sessions(client)):
            description = f"containers, volumes and images of session {session} in the local engine"
            if left := remove_session(client, session):
                description = f"{description}, except {', '.join(left)}"
            yield Removed(description, "their harness is gone")
    except API_ERRORS:
        return
    finally:
        client.close()
