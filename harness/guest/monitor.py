"""QEMU's monitor (QMP), through the QEMU project's own library."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from harness.errors import GuestError

_SAVE_DEADLINE_S = 120.0
_READ_DEADLINE_S = 60.0  # 0.5 s for 2 GiB of which little is used
_GONE = (QMPError, OSError, EOFError, TimeoutError)


def restoring_command(ram: Path) -> str:
    """What QEMU runs to read a snapshot (-incoming).

    It says something even if it fails at once: QEMU 7.2 waits for a first byte, and not for the end of a pipe.
    """
    return f"exec:zstd -dcq {shlex.quote(str(ram))} || echo"


@contextmanager
def monitor(socket: Path) -> Iterator[QEMUMonitorProtocol]:
    """A connection to a running QEMU.

    Raises GuestError when it does not answer, or a command fails.
    """
    qmp = QEMUMonitorProtocol(str(socket))
    try:
        qmp.connect(negotiate=True)
        qmp.settimeout(30.0)
        yield qmp
    except _GONE as error:
        raise GuestError(f"QEMU's monitor: {error or 'the connection ended'}") from error
    finally:
        with contextlib.suppress(*_GONE):
            qmp.close()


def save(socket: Path, ram: Path) -> None:
    """Stops a guest, writes its memory and devices to a file, and lets it go on.

    Raises GuestError when QEMU cannot.
    """
    with monitor(socket) as qmp:
        qmp.cmd("stop")
        try:
            qmp.cmd("migrate", uri=f"exec:zstd -1 -q > {shlex.quote(str(ram))}")
            end = time.monotonic() + _SAVE_DEADLINE_S
            while (status := _migration(qmp)) != "completed":
                if status in ("failed", "cancelled") or time.monotonic() > end:
                    raise GuestError(f"QEMU cannot save the guest: {status}")
                time.sleep(0.05)
        finally:
            qmp.cmd("cont")


def go_on(socket: Path) -> None:
    """Waits until a snapshot is read, and lets the guest go on: it was stopped when it was saved.

    Raises GuestError when QEMU cannot read it.
    """
    with monitor(socket) as qmp:
        end = time.monotonic() + _READ_DEADLINE_S
        while _run_state(qmp) == "inmigrate":
            if time.monotonic() > end:
                raise GuestError("QEMU does not come to the end of the snapshot")
            time.sleep(0.01)
        qmp.cmd("cont")


def _migration(qmp: QEMUMonitorProtocol) -> str:
    answer = qmp.cmd("query-migrate")
    return str(answer.get("status", "none")) if isinstance(answer, dict) else "none"


def _run_state(qmp: QEMUMonitorProtocol) -> str:
    answer = qmp.cmd("query-status")
    return str(answer["status"]) if isinstance(answer, dict) else "unknown"
