"""Snapshots of guests: memory and devices of a guest whose Docker API answers, and what is needed to restore it.

A boot has one with the engine prepared, for any scenario, and one for each scenario with its containers started.

A restored guest is the boot that was saved: the same boot_id, page layout and ASLR. To the statistics both are one boot.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock

from ..errors import GuestError, HostError
from ..system.locks import hold, lock, open_lock, try_lock
from ..system.paths import cache_dir, content_key, require_room, write_atomically
from ..system.sealed import Seal, seal_of, sync
from .certs import NAMES as CERTIFICATES

FORMAT = "5"
KEEP_BYTES = 8 << 30  # of all snapshots; beyond it the ones that were not used for longest go
_RAM, _WHOLE, _CALIBRATION, _NEW = "ram.zst", "whole", "calibration.jsonl", ".new-"
_PEMS = tuple(f"{name}.pem" for name in CERTIFICATES)


@dataclass(frozen=True)
class Snapshot:
    """The snapshot of one boot, saved or to be saved."""

    directory: Path

    @classmethod
    def of_boot(cls, boot: int, *parts: str) -> Snapshot:
        """The snapshot of boot number `boot` of a guest that `parts` determine."""
        return cls(cache_dir() / "snapshots" / f"{content_key(FORMAT, *parts)}-{boot}")

    @property
    def ram(self) -> Path:
        """The migration stream of QEMU, compressed by zstd."""
        return self.directory / _RAM

    @property
    def exists(self) -> bool:
        """Whether it is complete: its record, which is written last, can be read. `use` verifies the record."""
        return self._seals() is not None

    @property
    def calibration(self) -> bytes | None:
        """What a trial in this guest measured when it found that its scenario's demand fits its kernel; None where no trial has."""
        try:
            return (self.directory / _CALIBRATION).read_bytes()
        except OSError:
            return None

    def keep_calibration(self, lines: bytes) -> None:
        """Keeps it, for later trials."""
        if self.exists:
            with contextlib.suppress(HostError):  # the disk is full: they calibrate again
                write_atomically(self.directory / _CALIBRATION, lines)

    def _seals(self) -> dict[str, Seal] | None:
        try:
            seals = msgspec.json.decode((self.directory / _WHOLE).read_bytes(), type=dict[str, Seal])
        except (OSError, msgspec.DecodeError):
            return None
        return seals if seals.keys() == {_RAM, *_PEMS} else None

    def lock(self) -> FileLock:
        """Held by the process that saves it, so that concurrent workers do not save it twice."""
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(f"{self.directory}.lock")

    @contextlib.contextmanager
    def use(self, private: Path) -> Iterator[None]:
        """Copies the certificates into a guest's private directory. No process removes the snapshot until the block ends.

        Raises GuestError when something of it is not what it was: with less memory QEMU would wait for the rest, and with
        other certificates no client could connect.
        """
        try:
            descriptor = open_lock(self.directory)
        except OSError as error:
            raise GuestError(f"the snapshot {self.directory.name} is gone") from error
        try:
            lock(descriptor, shared=True)
            self._take(private)
            yield
        finally:
            os.close(descriptor)

    def _take(self, private: Path) -> None:
        seals = self._seals()
        if seals is None:
            raise GuestError(f"the snapshot {self.directory.name} is gone")
        for name, seal in seals.items():
            if not seal.fits(self.directory / name):
                raise GuestError(f"the snapshot {self.directory.name} is damaged: {name} has changed")
        for name in _PEMS:
            shutil.copy(self.directory / name, private)
        os.utime(self.directory / _WHOLE)  # room is made by the time of the last use

    @contextlib.contextmanager
    def writing(self, private: Path, need_bytes: int) -> Iterator[Path]:
        """A scratch directory for the memory; it becomes the snapshot at the end.

        Raises HostError when there is no room.
        """
        root = self.directory.parent
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(root)
        require_room(root, need_bytes, "a snapshot of a guest")
        scratch = Path(tempfile.mkdtemp(prefix=_NEW, dir=root))
        held = hold(scratch)
        try:
            yield scratch / _RAM
            for name in _PEMS:
                shutil.copy(private / name, scratch)
            seals = {name: seal_of(scratch / name) for name in (_RAM, *_PEMS)}
            for name in seals:
                sync(scratch / name)
            write_atomically(scratch / _WHOLE, msgspec.json.encode(seals))
            sync(scratch)
            self.discard()
            scratch.rename(self.directory)
            sync(root)
        finally:
            os.close(held)
            shutil.rmtree(scratch, ignore_errors=True)

    def discard(self) -> None:
        """Removes it, so that a cold boot saves a new one. It disappears as a whole: no process sees a part of it."""
        grave = self.directory.with_name(f"{_NEW}{self.directory.name}-{secrets.token_hex(4)}")
        with contextlib.suppress(FileNotFoundError):
            self.directory.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def discard_if_unused(self) -> bool:
        """The same, unless a guest is using it."""
        try:
            descriptor = open_lock(self.directory)
        except OSError:
            return True
        try:
            is_unused = try_lock(descriptor)
            if is_unused:
                self.discard()
        finally:
            os.close(descriptor)
        return is_unused


def is_whole(directory: Path) -> bool:
    """Whether a directory of the cache is a snapshot, and not a part of one."""
    return Snapshot(directory).exists


def _make_room(root: Path) -> None:
    """Removes the least recently used snapshots until the rest is small enough; not those in use."""
    snapshots: list[tuple[int, int, Path]] = []
    for whole in root.glob(f"[!.]*/{_WHOLE}"):
        with contextlib.suppress(FileNotFoundError):  # another process makes room, too
            size = sum(path.stat().st_size for path in whole.parent.iterdir())
            snapshots.append((whole.stat().st_mtime_ns, size, whole.parent))
    total = 0
    for _, size, directory in sorted(snapshots, reverse=True):
        total += size
        if total > KEEP_BYTES:
            Snapshot(directory).discard_if_unused()
