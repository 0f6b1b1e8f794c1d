"""Engines of kernels: the local one, or one in a guest; one guest at a time in a process, and only when there is room."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker

from ..collectors.files import CONSOLE_FILE
from ..containers.images import plan_image
from ..containers.memcgs import token_of
from ..containers.running import (
    API_ERRORS,
    COLLECTOR,
    LABEL,
    SESSION,
    WAKE,
    WATCHER,
    FollowedContainer,
    find_container,
)
from ..containers.session import Session
from ..errors import GuestError
from ..experiment.experiment import Experiment
from ..experiment.guests import TrialGuests
from ..experiment.request import Request
from ..guest.local import connect_local, engine_of, require_host_arm
from ..guest.machine import Guest
from ..progress import Reporter
from ..spec.arm import name_arms
from ..spec.machine import Accel
from ..system.machine import machine_budget
from ..system.slots import GuestSlot, is_wanted, wait_for_slot
from .watcher import Watcher

HOST = "host"
_AWAKE_DEADLINE_S = 60.0
_ANY_SCENARIO = "one-big-many-small"  # a request names one; an engine needs none


@dataclass(frozen=True)
class GuestSize:
    """What a guest gets."""

    vcpus: int
    memory_mib: int
    accel: Accel


class KernelEngine:
    """A running Docker Engine on the kernel under test."""

    def __init__(self, kernel: str, client: docker.DockerClient, guest: Guest | None, session: Session | None) -> None:
        """`guest`: None for the local engine, where a session takes away what was made."""
        self.kernel, self.client, self.guest, self._session = kernel, client, guest, session
        # in the names of all that a test makes there; of memcgs it tells whose they are
        self.token = token_of(session.id) if session else secrets.token_hex(6)
        self.references: dict[str, str] = {}  # images that were brought there, by what they were made of
        self.loaded: list[str] = []  # those under names of their own that were not there before
        self.numbers = itertools.count(1)  # of its containers
        self._watcher: Watcher | None = None

    @property
    def watcher(self) -> Watcher:
        """What sees its OOM killer; started when it is first asked for.

        Raises HostError when the engine or its kernel log does not let it.
        """
        if self._watcher is None:
            image = plan_image(WATCHER)
            if self._session is not None:
                image = self._session.own_images({WATCHER: image})[WATCHER]
            self._watcher = Watcher.start(self.client, self.token, image, self.labels(WATCHER))
        return self._watcher

    def repository(self, key: str) -> str:
        """Name of an image that is made here, by the key of its content."""
        return f"oomtrial/own-{key}" + (f"-{self._session.id}" if self._session else "")

    def labels(self, role: str) -> dict[str, str]:
        """Labels of a container that oomtrial creates."""
        return {LABEL: role} | ({SESSION: self._session.id} if self._session else {})

    def close(self) -> None:
        """Takes away what was made there. A guest is thrown away whole."""
        if self._session is None:
            return
        with self._session:
            if self._watcher is not None:
                self._watcher.stop()
            for reference in self.loaded:
                with contextlib.suppress(*API_ERRORS):
                    self.client.images.remove(reference)
        self.client.close()


class Engines:
    """The engines of one process. `say` receives progress messages."""

    def __init__(
        self, machine: GuestSize, scratch: Path, showing: Callable[[], contextlib.AbstractContextManager[None]]
    ):
        """`showing`: within it what a person should see at once is printed."""
        self.machine, self._scratch, self.showing = machine, scratch, showing
        self._local: KernelEngine | None = None
        self._guest: tuple[KernelEngine, contextlib.ExitStack] | None = None

    def open(self, kernel: str) -> KernelEngine:
        """The engine of a kernel; a guest of another kernel ends first.

        Raises OomtrialError when there is none, saying how to get one.
        """
        if kernel == HOST:
            if self._local is None:
                client = connect_local()
                require_host_arm(engine_of(client))
                self._local = KernelEngine(HOST, client, None, Session(client, self._say))
            return self._local
        if self._guest is not None and (self._guest[0].kernel != kernel or not _is_well(self._guest[0])):
            self.close_guest()
        if self._guest is None:
            self._guest = self._start(kernel)
        return self._guest[0]

    def _start(self, kernel: str) -> tuple[KernelEngine, contextlib.ExitStack]:
        with contextlib.ExitStack() as stack:
            slot = stack.enter_context(self.slot())
            with self.showing(), Reporter() as progress:
                request = Request(
                    name_arms([kernel]),
                    (_ANY_SCENARIO,),
                    rounds=1,
                    boots=1,
                    seed=1,
                    out=self._scratch / f"engine-{secrets.token_hex(4)}",
                    vcpus=self.machine.vcpus,
                    memory_mib=self.machine.memory_mib,
                    accel=self.machine.accel,
                )
                experiment = Experiment(request, progress, slot)
                stack.callback(experiment.close)  # its kernel is held as long as the guest runs
                experiment.check()
                prepared = experiment.prepare()
                guests = TrialGuests(request, prepared, progress, slot)
                guest = stack.enter_context(guests.open_engine(experiment.directory / CONSOLE_FILE))
            _wake(guest.docker)
            return KernelEngine(kernel, guest.docker, guest, None), stack.pop_all()

    def slot(self, everything: bool = False) -> GuestSlot:
        """Room for a guest of this process, or all cores; waits until there is some. The guest that it may have ends first."""
        self.close_guest()

        def say(others: int) -> None:
            self._say(f"waiting for room: guests that run already ({others}) are all that this machine takes")

        budget = machine_budget()
        if everything:
            return wait_for_slot(budget.cores, 0, say, budget)
        return wait_for_slot(self.machine.vcpus, self.machine.memory_mib, say, budget)

    def _say(self, text: str) -> None:
        with self.showing(), Reporter() as progress:
            progress.say(text)

    def rest(self) -> None:
        """Between two tests: a guest ends if another process waits for its room."""
        if self._guest is not None and is_wanted():
            self.close_guest()

    def close_guest(self) -> None:
        """Ends the guest, if one runs. The next test that needs it starts another."""
        if self._guest is not None:
            engine, stack = self._guest
            self._guest = None
            with stack:
                engine.close()

    def close(self) -> None:
        """Ends the guest and leaves the local engine as it was."""
        self.close_guest()
        if self._local is not None:
            self._local.close()
            self._local = None


def sweep() -> None:
    """Removes from the local engine what processes left that were killed."""
    client = connect_local()
    with contextlib.closing(client), Session(client, lambda _: None):
        pass


def _is_well(engine: KernelEngine) -> bool:
    """Whether its guest still answers: a test may have killed it."""
    with contextlib.suppress(*API_ERRORS):
        return engine.guest is not None and engine.guest.is_running() and bool(engine.client.ping())
    return False


def _wake(client: docker.DockerClient) -> None:
    """New random numbers and the time of day, for an engine that went on from a snapshot: its IDs would be those of every
    other one."""
    container = find_container(client, COLLECTOR)
    if container is None:
        raise GuestError("the guest's collector has ended")
    collector = FollowedContainer(container, lambda _: None)
    collector.follow()
    try:
        collector.tell(WAKE)
        collector.wait_for(lambda line: b'"event":"restored"' in line, _AWAKE_DEADLINE_S, "word that it is awake")
    finally:
        collector.close()
