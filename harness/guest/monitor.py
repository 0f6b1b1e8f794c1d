"""QEMU's monitor (QMP), through the QEMU project's own library.

Its event loop runs in its own thread, and every wait for it has a deadline: signals go to the main thread, and an event loop
that a KeyboardInterrupt leaves in the middle does not finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

from qemu.qmp import QMPClient, QMPError

from ..errors import GuestError

_SAVE_DEADLINE_S = 120.0
_WRITE_DEADLINE_S = 10.0
_READ_DEADLINE_S = 60.0  # 0.5 s for 2 GiB of which little is used
_ANSWER_S = 30.0  # for one command
_CLOSE_S = 2.0
_GONE = (QMPError, OSError, EOFError, TimeoutError)

_Talk = Callable[[QMPClient], Awaitable[None]]

logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())  # errors come as exceptions


def restoring_command(ram: Path) -> str:
    """The command by which QEMU reads a snapshot (-incoming); QEMU runs it in a shell.

    It prints a byte even if it fails at once: QEMU 7.2 waits for a first byte, not for the end of a pipe.
    """
    return f"exec:zstd -dcq {shlex.quote(str(ram))} || echo"


def save(socket: Path, ram: Path) -> None:
    """Stops a guest, writes its memory and devices to a file, and resumes it. The file gets its name once it is complete.

    Raises GuestError when QEMU cannot.
    """
    _converse(socket, lambda qmp: _save(qmp, ram))


def go_on(socket: Path) -> None:
    """Waits until a snapshot is read, and resumes the guest, which was stopped when it was saved.

    Raises GuestError when QEMU cannot read it.
    """
    _converse(socket, _go_on)


async def _save(qmp: QMPClient, ram: Path) -> None:
    part, whole = (shlex.quote(f"{ram}{end}") for end in (".part", ""))
    await _command(qmp, "stop")
    try:
        await _command(qmp, "migrate", uri=f"exec:zstd -1 -q > {part} && mv {part} {whole}")
        end = time.monotonic() + _SAVE_DEADLINE_S
        while (status := await _status(qmp, "query-migrate")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > end:
                raise GuestError(f"QEMU cannot save the guest: {status}")
            await asyncio.sleep(0.05)
        # QEMU has written all of it before zstd has: at most what a pipe holds is left
        end = time.monotonic() + _WRITE_DEADLINE_S
        while not ram.exists():
            if time.monotonic() > end:
                raise GuestError("QEMU cannot save the guest: zstd did not write all of it")
            await asyncio.sleep(0.05)
    finally:
        await _command(qmp, "cont")


async def _go_on(qmp: QMPClient) -> None:
    end = time.monotonic() + _READ_DEADLINE_S
    while await _status(qmp, "query-status") == "inmigrate":
        if time.monotonic() > end:
            raise GuestError("QEMU did not finish reading the snapshot")
        await asyncio.sleep(0.01)
    await _command(qmp, "cont")


async def _command(qmp: QMPClient, name: str, **arguments: object) -> object:
    return await asyncio.wait_for(qmp.execute(name, arguments), _ANSWER_S)


async def _status(qmp: QMPClient, query: str) -> str:
    answer = await _command(qmp, query)
    return str(answer.get("status", "none")) if isinstance(answer, dict) else "none"


def _converse(socket: Path, talk: _Talk) -> None:
    """Connects, talks and closes.

    Raises GuestError when QEMU does not answer, or a command fails. A signal leaves at once; the conversation then ends
    with QEMU, or at its deadline.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            asyncio.run(_connected(socket, talk))
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="qmp", daemon=True).start()
    try:
        done.result()
    except _GONE as error:
        reason = str(error) or ("it does not answer" if isinstance(error, TimeoutError) else "the connection ended")
        raise GuestError(f"QEMU's monitor: {reason}") from error


@contextlib.contextmanager
def _short(socket: Path) -> Iterator[str]:
    """A name for a socket that fits into sun_path (108 bytes, unix(7)), however long its path is."""
    directory = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{socket.name}"
    finally:
        os.close(directory)


async def _connected(socket: Path, talk: _Talk) -> None:
    qmp = QMPClient()
    with _short(socket) as name:
        await asyncio.wait_for(qmp.connect(name), _ANSWER_S)
    try:
        await talk(qmp)
    finally:
        with contextlib.suppress(*_GONE):
            await asyncio.wait_for(qmp.disconnect(), _CLOSE_S)
