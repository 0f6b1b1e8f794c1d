"""Paths: the package's data files, the user's cache, free space on its disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import platformdirs

from ..errors import HostError
from .signals import deferred

_PACKAGE = Path(__file__).resolve().parents[1]


def data_dir(name: str) -> Path:
    """The directory ``workloads`` or ``containers``: in the wheel, or beside the package in a checkout."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def cache_dir() -> Path:
    """Kernels, guest images and binaries, each under a key of its content. ``OOMTRIAL_CACHE`` overrides it.

    Raises HostError for a path that no record could hold.
    """
    override = os.environ.get("OOMTRIAL_CACHE")
    path = Path(override).absolute() if override else platformdirs.user_cache_path("oomtrial")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise HostError(
            f"the path of the cache, {str(path)!r}, is not UTF-8", "set OOMTRIAL_CACHE to a UTF-8 path"
        ) from None
    return path


def content_key(*parts: str | bytes) -> str:
    """A key of 16 hex digits over the parts, each with its length, so that no two splits collide."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:16]


_OTHER_CACHE = "set OOMTRIAL_CACHE to a directory on another disk"


def require_room(directory: Path, need_bytes: int, purpose: str, elsewhere: str = _OTHER_CACHE) -> None:
    """Raises HostError when the file system of a directory has less free room than is needed. `elsewhere`: how it is placed on
    another disk."""
    existing = directory
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < need_bytes:
        raise HostError(
            f"{purpose} needs {need_bytes >> 20} MiB in {directory}, {free >> 20} MiB are free",
            f"make room there, or {elsewhere}",
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file; a reader sees the old content or the new one, never a part. Synced to the disk before it gets its name.
    Ctrl-C comes after it, so that no temporary file is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with deferred():
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave the new name with no content
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise HostError(f"cannot write {path}: {error.strerror}") from error
