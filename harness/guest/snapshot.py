"""Snapshots of guests: memory and devices of a guest whose Docker API answers, and what is needed to go on from it.

A boot has one with the engine prepared, for any scenario, and one for each scenario with its containers started.

A restored guest is the boot that was saved: the same boot_id, page layout and ASLR. To the statistics both are one boot.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from harness.errors import GuestError
from harness.guest.certs import NAMES as CERTIFICATES
from harness.paths import cache_dir, content_key, hold, require_room

FORMAT = "4"
KEEP_BYTES = 8 << 30  # of all snapshots; beyond it the ones that were not used for longest go
_RAM, _WHOLE = "ram.zst", "whole"


@dataclass(frozen=True)
class Snapshot:
    """Where the snapshot of one boot is, or will be."""

    directory: Path

    @classmethod
    def of_boot(cls, boot: int, *parts: str) -> Snapshot:
        """The snapshot of the boot of this number, of a guest that `parts` determine."""
        return cls(cache_dir() / "snapshots" / f"{content_key(FORMAT, *parts)}-{boot}")

    @property
    def ram(self) -> Path:
        """The migration stream of QEMU, compressed by zstd."""
        return self.directory / _RAM

    @property
    def is_there(self) -> bool:
        """Whether it is whole: that, with the size of its memory in bytes, is written last."""
        return (self.directory / _WHOLE).is_file()

    def lock(self) -> FileLock:
        """Held by whoever makes it, so that workers side by side do not make it twice."""
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(f"{self.directory}.lock")

    def use(self, private: Path) -> None:
        """Copies the certificates into a guest's private directory, and notes that the snapshot is in use.

        Raises GuestError when its memory is not as long as it was: QEMU would wait for the rest of it.
        """
        wanted, found = int((self.directory / _WHOLE).read_text()), self.ram.stat().st_size
        if wanted != found:
            raise GuestError(f"the snapshot {self.directory.name} is damaged: {found} of {wanted} bytes are there")
        for name in CERTIFICATES:
            shutil.copy(self.directory / f"{name}.pem", private)
        (self.directory / _WHOLE).touch()

    @contextlib.contextmanager
    def writing(self, private: Path, need_bytes: int) -> Iterator[Path]:
        """A scratch directory for the memory; afterwards it is the snapshot.

        Raises HostError when there is no room.
        """
        root = self.directory.parent
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(root)
        require_room(root, need_bytes, "a snapshot of a guest")
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
        held = hold(scratch)
        try:
            yield scratch / _RAM
            for name in CERTIFICATES:
                shutil.copy(private / f"{name}.pem", scratch)
            (scratch / _WHOLE).write_text(str((scratch / _RAM).stat().st_size))
            self.discard()
            scratch.rename(self.directory)
        finally:
            os.close(held)
            shutil.rmtree(scratch, ignore_errors=True)

    def discard(self) -> None:
        """Removes it, so that a cold boot makes it anew."""
        shutil.rmtree(self.directory, ignore_errors=True)


def is_whole(directory: Path) -> bool:
    """Whether a directory of the cache is a snapshot, and not a part of one."""
    return Snapshot(directory).is_there


def _make_room(root: Path) -> None:
    """Removes the snapshots that were not used for longest, until the rest is small enough."""
    found = sorted(root.glob(f"*/{_WHOLE}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    total = 0
    for whole in found:
        total += sum(path.stat().st_size for path in whole.parent.iterdir())
        if total > KEEP_BYTES:
            Snapshot(whole.parent).discard()
            Path(f"{whole.parent}.lock").unlink(missing_ok=True)
