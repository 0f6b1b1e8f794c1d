"""Locks that the kernel drops when their process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_CLOCK_SLACK_S = 60.0  # a clock that was set meanwhile


def open_lock(path: Path) -> int:
    """A descriptor of a file or directory, to be locked. The lock ends when it is closed in this process and in every process that inherited it."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Locks what a descriptor stands for; waits until it can. A file system without such locks has none."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """`lock` without waiting: False when another process holds it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks of directories
        pass
    return True


def hold(directory: Path) -> int:
    """Marks a directory as in use, until the descriptor is closed or this process has ended, however it ends."""
    descriptor = open_lock(directory)
    try_lock(descriptor)
    return descriptor


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """`hold` for a block."""
    descriptor = hold(directory)
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(directory: Path) -> bool:
    """Whether a process marks a directory as in use."""
    try:
        descriptor = open_lock(directory)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def owner_is_alive(pid: int, path: Path) -> bool:
    """Whether the process with this id can be the one that made a path: after a boot, ids are reused."""
    try:
        return psutil.Process(pid).create_time() <= path.lstat().st_mtime + _CLOCK_SLACK_S
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.Error:
        return True
