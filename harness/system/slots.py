"""Slots for guests on this machine: which processes have one, and which wait.

A guest has a slot: a file in the cache that is locked as long as its process lives, with cores and memory in its name. A
process that was killed has lost its lock, and so its slot. Processes that may wait (workers of pytest-xdist) get a slot only when
all fit; `oomtrial run` takes one at once, and only records how many others there were.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from .locks import lock, open_lock, try_lock
from .machine import Budget, machine_budget
from .paths import cache_dir

_POLL_S = 0.1


class GuestSlot:
    """Room for one guest at a time, until it is released or this process ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def others(self) -> int:
        """How many other guests have a slot now."""
        return len(_taken(self._path))

    def release(self) -> None:
        """Gives the slot back; the next waiting process can take it. Safe to call twice."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> GuestSlot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def take_slot(vcpus: int, memory_mib: int) -> GuestSlot:
    """A slot immediately, however many others are taken."""
    directory = _directory()
    name = f"{vcpus}-{memory_mib}-{os.getpid()}-{secrets.token_hex(4)}"
    scratch = directory / f".{name}"
    descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    lock(descriptor)
    scratch.rename(directory / name)  # no other process sees it before it is locked
    return GuestSlot(directory / name, descriptor)


def wait_for_slot(
    vcpus: int, memory_mib: int, on_wait: Callable[[int], None] = lambda _: None, budget: Budget | None = None
) -> GuestSlot:
    """A slot when the budget of this machine has room, in the order of requests. `on_wait` is called once with how many others
    there are. Slots of this process do not count: it would wait for itself."""
    budget = budget or machine_budget()
    with _gate():
        told = False
        while not budget.holds(others := _taken_by_others(), vcpus, memory_mib):
            if not told:
                on_wait(len(others))
                told = True
            time.sleep(_POLL_S)
        return take_slot(vcpus, memory_mib)


def guests_of_others() -> int:
    """How many guests other processes have."""
    return len(_taken_by_others())


def is_wanted() -> bool:
    """Whether a process waits for a slot."""
    descriptor = os.open(_directory() / "gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _gate() -> Iterator[None]:
    """The lock of the first waiting process; the others queue for it."""
    descriptor = os.open(_directory() / "gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _directory() -> Path:
    directory = cache_dir() / "seats"  # as earlier versions call it, which may run beside this one
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def _taken(but: Path | None = None) -> list[tuple[int, int, int]]:
    """Slots whose process is alive: vCPUs, MiB, pid. The others are removed."""
    slots = []
    for path in _directory().glob("[0-9]*"):
        if path == but:
            continue
        with contextlib.suppress(FileNotFoundError):
            descriptor = open_lock(path)
            try:
                if try_lock(descriptor, shared=True):
                    path.unlink(missing_ok=True)
                else:
                    vcpus, memory_mib, pid, _ = path.name.split("-")
                    slots.append((int(vcpus), int(memory_mib), int(pid)))
            finally:
                os.close(descriptor)
    return slots


def _taken_by_others() -> list[tuple[int, int]]:
    return [(vcpus, memory_mib) for vcpus, memory_mib, pid in _taken() if pid != os.getpid()]
