"""A running guest: starts QEMU, waits for Docker, finds out why a guest died, and always stops it."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

import docker
import docker.errors
import requests
from docker.tls import TLSConfig

from ..errors import GuestError
from ..spec.machine import Accel
from ..spec.outcome import Outcome
from ..system.locks import hold, is_held, owner_is_alive
from ..system.paths import cache_dir
from ..system.process import dies_with_parent, kill_group, start
from ..system.signals import deferred
from ..system.slots import GuestSlot, take_slot
from .activity import ActivityWatch, activity_of
from .certs import Certificates, make_certificates
from .console import find_end, find_panic, find_silent_timer, find_trouble, read_console
from .monitor import go_on, restoring_command, save
from .qemu import BINARY, GuestSpec, qemu_argv
from .snapshot import Snapshot

API_DEADLINE_S = 180.0  # 11 s under emulation on an idle machine
REQUEST_DEADLINE_S = 120
# The guest's Docker Engine is one of two: 20.10 (Debian 12) and 26.1 (Debian 13) both speak it.
_API_VERSION = "1.41"
_PORT_ATTEMPTS = 5
_PING_S = 5  # for one answer from a guest that is starting
_RESTORE_DEADLINE_S = 30.0
_MONITOR = "qmp"
SEED_BYTES = 64
JOB_BYTES = 128  # workloads/collector


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago; QEMU reports if it no longer is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def connect(port: int, certificates: Certificates) -> docker.DockerClient:
    """A client for a guest's Docker API. No request is made yet."""
    tls = TLSConfig(
        client_cert=(str(certificates.client), str(certificates.client_key)),
        ca_cert=str(certificates.ca),
        verify=True,
    )
    client = docker.DockerClient(
        base_url=f"https://127.0.0.1:{port}", version=_API_VERSION, tls=tls, timeout=REQUEST_DEADLINE_S
    )
    # requests lets REQUESTS_CA_BUNDLE, and proxies, of the environment override a session's own settings.
    client.api.trust_env = False
    return client


@dataclass(frozen=True)
class GuestConfig:
    """A machine that boots a kernel under test."""

    kernel: Path
    rootfs: Path
    accel: Accel
    vcpus: int
    memory_mib: int
    console: Path  # where the serial port's output is kept
    initrd: Path | None = None  # for a kernel that has its drivers as modules
    extra_cmdline: tuple[str, ...] = ()
    api_deadline_s: float = API_DEADLINE_S  # from the start of QEMU to the answer of Docker's API

    def absolute(self) -> GuestConfig:
        """The same from any directory."""
        return replace(
            self,
            kernel=self.kernel.absolute(),
            rootfs=self.rootfs.absolute(),
            console=self.console.absolute(),
            initrd=self.initrd and self.initrd.absolute(),
        )


class Guest:
    """A guest from its start to its end. Use it as a context manager; leaving it kills QEMU."""

    def __init__(
        self, config: GuestConfig, *, snapshot: Snapshot | None = None, job: str = "", slot: GuestSlot | None = None
    ) -> None:
        """With an existing `snapshot`, the guest is restored from it; otherwise it boots. `job` is handed to a supervisor that
        waits for one. `slot`: room that the caller has for it; else the guest takes its own."""
        self._snapshot = snapshot if snapshot is not None and snapshot.exists else None
        self._config, self._job = config.absolute(), job  # QEMU is started in another directory
        self._given_slot = slot
        self._own_slot: GuestSlot | None = None
        self.concurrent_guests = 0  # other guests on this machine when it started
        self.client: docker.DockerClient | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._private: Path | None = None
        self._held: int | None = None

    def __enter__(self) -> Guest:
        if self._process is None:
            self.start()
        return self

    def start(self) -> None:
        """Starts the guest; entering the context does the same.

        Raises GuestError when it does not answer, HostError when QEMU is missing; nothing of it is left then.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def console(self) -> Path:
        """File to which QEMU writes the guest's serial console."""
        return self._config.console

    @property
    def docker(self) -> docker.DockerClient:
        """Client of the guest's Docker Engine."""
        assert self.client is not None, "the guest is not started"
        return self.client

    def _start(self) -> None:
        if self._given_slot is None:
            self._own_slot = take_slot(self._config.vcpus, self._config.memory_mib)
        self.concurrent_guests = sum(slot.others() for slot in (self._given_slot, self._own_slot) if slot is not None)
        runtime = cache_dir() / "guests"
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_leftovers(runtime)
        self._private = Path(tempfile.mkdtemp(prefix=f"guest-{os.getpid()}-", dir=runtime))
        self._held = hold(self._private)
        if self._snapshot is None:
            self._run(make_certificates(self._private))
            return
        with self._snapshot.use(self._private):
            self._run(Certificates.in_directory(self._private))

    def _run(self, certificates: Certificates) -> None:
        assert self._private is not None
        seed = self._private / "seed"
        seed.write_bytes(secrets.token_bytes(SEED_BYTES))
        job = self._private / "job"
        job.write_bytes(self._job.encode().ljust(JOB_BYTES, b"\n"))
        self.console.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            spec = GuestSpec(
                kernel=self._config.kernel,
                rootfs=self._config.rootfs,
                accel=self._config.accel,
                vcpus=self._config.vcpus,
                memory_mib=self._config.memory_mib,
                port=free_port(),
                certificates=certificates,
                console=self.console,
                extra_cmdline=self._config.extra_cmdline,
                seed=seed,
                job=job,
                monitor=_MONITOR,
                restore=restoring_command(self._snapshot.ram) if self._snapshot else "",
                initrd=self._config.initrd,
            )
            try:
                self._launch(spec)
                if self._snapshot is not None:
                    self._go_on()
                self.client = connect(spec.port, certificates)
                self._wait_for_api()
                return
            except PortTakenError:
                if attempt == _PORT_ATTEMPTS:
                    raise GuestError(f"no free loopback port for the guest after {attempt} attempts") from None

    def _launch(self, spec: GuestSpec) -> None:
        assert self._private is not None
        with (self._private / "qemu.log").open("wb") as log:
            self._process = start(
                dies_with_parent(qemu_argv(spec)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._private,
            )

    def _wait_for_api(self) -> None:
        end, api = time.monotonic() + self._config.api_deadline_s, self.docker.api
        patience_s = api.timeout
        while (left := end - time.monotonic()) > 0:
            self._check_alive()
            # QEMU takes the connection, whether or not anything in the guest will answer it.
            api.timeout = min(math.ceil(left), _PING_S)
            with contextlib.suppress(requests.RequestException, docker.errors.DockerException):
                if self.docker.ping():
                    api.timeout = patience_s
                    return
            if (cpu := find_silent_timer(read_console(self.console))) is not None:
                raise SilentTimerError(
                    f"CPU {cpu} of the guest had no timer interrupts while it started"
                    f"{' (under tcg probably the emulator)' if self._config.accel == Accel.TCG else ''}",
                    self._diagnosis(),
                )
            time.sleep(0.02 if self._snapshot else 0.2)
        raise GuestError(
            f"the guest's Docker API did not answer within {self._config.api_deadline_s:.0f} s", self._diagnosis()
        )

    @property
    def is_restored(self) -> bool:
        """Whether it was restored from a snapshot."""
        return self._snapshot is not None

    @property
    def _monitor(self) -> Path:
        assert self._private is not None
        return self._private / _MONITOR

    def _go_on(self) -> None:
        end = time.monotonic() + _RESTORE_DEADLINE_S
        while not self._monitor.exists():
            self._check_alive()
            if time.monotonic() > end:
                raise GuestError(f"QEMU did not open its monitor within {_RESTORE_DEADLINE_S:.0f} s")
            time.sleep(0.01)
        try:
            go_on(self._monitor)
        except GuestError:
            time.sleep(0.1)
            self._check_alive()  # its last words say more
            raise

    def save(self, snapshot: Snapshot) -> None:
        """Saves a snapshot; the guest then continues. No client may be connected to it.

        Raises GuestError when QEMU cannot, HostError when there is no room.
        """
        assert self._private is not None
        self.docker.close()  # a connection that is open would be part of the snapshot; the next request makes a new one
        with snapshot.writing(self._private, self._config.memory_mib << 20) as ram:
            save(self._monitor, ram)

    def _check_alive(self) -> None:
        assert self._process is not None
        assert self._private is not None
        status = self._process.poll()
        if status is None:
            return
        output = (self._private / "qemu.log").read_text(errors="replace").strip()
        if "Could not set up host forwarding rule" in output:
            raise PortTakenError
        if self._snapshot is not None:
            raise GuestError(f"the snapshot cannot be restored: {output.splitlines()[-1] if output else status}")
        where = f"console: {self.console}"
        if end := find_end(read_console(self.console)):
            outcome, reason = end
            panic = f"the guest panicked while it started: {find_panic(read_console(self.console))}"
            raise GuestError(panic if outcome == Outcome.PANICKED else f"the guest did not start: {reason}", where)
        trouble = find_trouble(read_console(self.console))
        last = output.splitlines()[-1] if output else trouble[-1] if trouble else f"exit status {status}"
        raise GuestError(f"{BINARY} ended while the guest started: {last}", where)

    def _diagnosis(self) -> str:
        trouble = find_trouble(read_console(self.console))
        return f"console {self.console} {f'says: {trouble[0]}' if trouble else 'shows no errors'}"

    @property
    def pid(self) -> int:
        """Process id of QEMU."""
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Whether QEMU is running."""
        return self._process is not None and self._process.poll() is None

    def activity(self) -> ActivityWatch:
        """Tells from now on whether QEMU is stopped."""
        return ActivityWatch(partial(activity_of, self.pid))

    def ending(self, deadline_s: float = 5.0) -> tuple[Outcome, str]:
        """Returns (outcome, reason) for a guest that stopped responding: PANICKED, LOST (QEMU is gone) or HUNG (QEMU runs,
        nothing answers); the reason is the console's."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=deadline_s)
        console = read_console(self.console)
        if end := find_end(console):
            return end
        trouble = find_trouble(console)
        return Outcome.HUNG if self.is_running() else Outcome.LOST, trouble[0] if trouble else ""

    def stop(self) -> None:
        """Kills QEMU. Everything that changed in the guest was in its memory: there is nothing to shut down. A signal is kept
        waiting meanwhile: the private directory holds keys."""
        with deferred():
            self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            kill_group(self._process)
            self._process = None
        if self.client is not None:
            self.client.close()
            self.client = None
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)
            self._private = None
        if self._own_slot is not None:
            self._own_slot.release()
            self._own_slot = None
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _remove_leftovers(runtime: Path) -> None:
    """Removes the private directories of guests whose harness was killed: their names begin with its pid."""
    for left in runtime.glob("guest-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not owner_is_alive(int(pid), left) and not is_held(left):
            shutil.rmtree(left, ignore_errors=True)


class SilentTimerError(GuestError):
    """A CPU of the guest has no timer: it would hardly ever finish its start, and another boot most probably does."""


class PortTakenError(Exception):
    """Another process took the port between the check and QEMU's bind."""
