"""Locks that the kernel drops when their process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_CLOCK_SLACK_S = 60.0  # a clock that was set meanwhile


def hold(directory: Path) -> int:
    """Marks a directory as in use, until the descriptor is closed or this process has ended, however it ends."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # a file system without locks of directories
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    """Whether somebody marks a directory as in use."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def owner_is_alive(pid: int, path: Path) -> bool:
    """Whether the process of this id can be the one that made a path: after a boot, ids are given out anew."""
    try:
        return psutil.Process(pid).create_time() <= path.lstat().st_mtime + _CLOCK_SLACK_S
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.Error:
        return True
