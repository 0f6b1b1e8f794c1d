"""A running container whose output is followed line by line, with a deadline on every wait."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors
import requests
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit

from ..errors import GuestError, HostError

LABEL = "org.oomtrial"  # on every container that oomtrial makes; its value is the container's role
SESSION = "org.oomtrial.session"  # on everything that oomtrial makes in a shared engine; see session.py
COLLECTOR, SUPERVISOR, WATCHER = "collector", "supervisor", "watcher"
SECONDARY = "beside"  # a container next to the supervisor's; snapshots that are stored already have this word
WAKE = b"restored\n"  # tells a collector that its guest may have been restored
API_ERRORS = (docker.errors.DockerException, requests.RequestException, OSError)
# A stream that is closed under its reader fails with these too.
_STREAM_ERRORS = (*API_ERRORS, ValueError, AttributeError)


class OutputEndedError(Exception):
    """The container, or the connection to it, is gone."""


def cannot_keep(error: OSError) -> HostError:
    """The error for a line that could not be written to the evidence."""
    return HostError(f"cannot keep evidence: {error.strerror or error}", "make room on the disk of the run's directory")


class FollowedContainer:
    """A container and a thread that passes every line of its output to a sink, then to a waiting caller.

    The log is kept by the engine (json-file), so that the stream has no gap however late the follower is.
    """

    def __init__(
        self, container: Container, sink: Callable[[bytes], None], is_awaited: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        """`is_awaited`: the lines that a caller will wait for; the others are not held in memory."""
        self.container = container
        self._sink, self._is_awaited = sink, is_awaited
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._follow, name=f"follow-{container.name}", daemon=True)
        self._stream: Any = None
        self._socket: Any = None  # of it
        self._input: Any = None
        self._is_closed, self._has_ended = False, False
        self._failure: Exception | None = None  # of the sink: what came could not be kept

    def start(self) -> None:
        """Starts the container and follows it. Raises GuestError when the engine cannot start it."""
        try:
            self.container.start()
        except API_ERRORS as error:
            reason = getattr(error, "explanation", None) or error
            raise GuestError(f"container {self.container.name} does not start: {reason}") from error
        self.follow()

    def follow(self) -> None:
        """Follows a running container, from its first line of output."""
        self._thread.start()

    def tell(self, line: bytes) -> None:
        """Writes to the standard input of a container in a guest, which must be open (`create_collector`).

        The connection stays until `close()`: one that is closed at once could take the line with it.
        """
        if self._input is None:
            self._input = self.container.attach_socket(params={"stdin": 1, "stream": 1})  # over TLS: an SSLSocket
        self._input.sendall(line)

    def _follow(self) -> None:
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            try:
                for line in lines:
                    self._sink(line)
                    if self._is_awaited(line):
                        self._lines.put(line)
            except Exception as error:  # an error of the sink; the container has not ended
                self._failure = error
                break
        self._lines.put(None)

    def _chunks(self) -> Iterator[bytes]:
        """Output from the engine, until the container or the connection is gone."""
        with contextlib.suppress(*_STREAM_ERRORS):
            self._stream = self.container.logs(stream=True, follow=True)
            with contextlib.suppress(AttributeError):  # the output was short, and has been read
                client: Any = self.container.client
                self._socket = client.api._get_raw_response_socket(self._stream._response)
            if not self._is_closed:
                yield from self._stream
        self._has_ended = not self._is_closed
        if self._is_closed:
            self._release()

    def close(self) -> None:
        """Stops following. The container is left as it is."""
        self._is_closed = True
        with contextlib.suppress(*_STREAM_ERRORS):
            if self._input is not None:
                self._input.close()
                self._input._response.close()
        with contextlib.suppress(*_STREAM_ERRORS):
            self._stream.close()
        # a thread whose request an engine has not answered yet would be waited for in vain; it ends with the engine
        if self._stream is not None and self._thread.is_alive():
            self._thread.join(timeout=5.0)
        self._release()

    def _release(self) -> None:
        """Closes the connection of the output."""
        # CancellableStream.close() shuts the socket down; its descriptor stays open as long as the response does.
        with contextlib.suppress(*_STREAM_ERRORS):
            self._stream._response.close()
        # Where the other side has been quicker, neither closes it. After the last line it is the client's again, for another request.
        with contextlib.suppress(*_STREAM_ERRORS):
            if not self._has_ended:
                self._socket.close()

    def check_kept(self) -> None:
        """Raises HostError when a line could not be written to the evidence, and any other error of the sink."""
        if isinstance(self._failure, OSError):
            raise cannot_keep(self._failure) from self._failure
        if self._failure is not None:
            raise self._failure

    def next_line(self, deadline: float) -> bytes | None:
        """The next line that is awaited, or None when none came by the deadline (of time.monotonic()).

        Raises OutputEndedError after the last line, HostError when a line could not be written to the evidence.
        """
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None
        if line is None:
            self._lines.put(None)
            self.check_kept()
            raise OutputEndedError
        return line

    def wait_for(self, is_wanted: Callable[[bytes], bool], seconds: float, what: str) -> bytes:
        """Waits for the first line for which `is_wanted` is true.

        Raises GuestError when it has not come in time or can no longer come.
        """
        deadline = time.monotonic() + seconds
        try:
            while (line := self.next_line(deadline)) is not None:
                if is_wanted(line):
                    return line
        except OutputEndedError:
            raise GuestError(f"{self.container.name} ended before {what}") from None
        raise GuestError(f"{self.container.name}: no {what} in {seconds:.0f} s")

    def exit_status(self, seconds: float) -> int | None:
        """The exit status, or None when the engine does not return it in time."""
        with contextlib.suppress(*API_ERRORS):
            status: int = self.container.wait(timeout=seconds)["StatusCode"]
            return status
        return None


# With the mode alone, Docker 20.10 sets up a sandbox all the same, for which it starts its own program twice more (libnetwork): 5 of
# the 7 s of a start under emulation.
NO_NETWORK: dict[str, Any] = {"network_mode": "none", "network_disabled": True}


def _common(reference: str, command: list[str], role: str, session: str) -> dict[str, Any]:
    return {
        "image": reference,
        "command": command,
        **NO_NETWORK,
        "log_config": LogConfig(type=LogConfig.types.JSON),
        "labels": {LABEL: role} | ({SESSION: session} if session else {}),
    }


def find_container(client: docker.DockerClient, role: str, session: str = "") -> Container | None:
    """The running container of a role in an engine, or None; of a session, if the engine is shared."""
    labels = [f"{LABEL}={role}", *([f"{SESSION}={session}"] if session else [])]
    containers = client.containers.list(filters={"label": labels})
    return containers[0] if containers else None


def rename_containers(client: docker.DockerClient, token: str) -> dict[str, Container]:
    """Renames every container of oomtrial after the trial it serves: ``oomtrial-TOKEN-ROLE``. Returns those that run, by role.

    A list and the new names are all that is asked for: each request takes 30 ms under emulation, and docker-py would inspect every
    container that it lists.
    """
    running = {}
    for container in client.containers.list(all=True, sparse=True, filters={"label": LABEL}):
        (name,) = container.attrs["Names"]
        wanted = f"/oomtrial-{token}-{name.split('-', 2)[2]}"
        if name != wanted:
            container.rename(wanted[1:])
        container.attrs["Name"] = wanted  # where the rest of docker-py looks for it
        if container.attrs["State"] == "running":
            running[container.attrs["Labels"][LABEL]] = container
    return running


def volume_of(container: Container) -> str:
    """The volume in which the collector's socket is."""
    return str(next(mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"))


# What it takes to read /dev/kmsg under dmesg_restrict, and no more.
READS_KMSG: dict[str, Any] = {
    "cap_add": ["SYSLOG"],
    "devices": ["/dev/kmsg:/dev/kmsg:rw"],
    "security_opt": ["apparmor=unconfined", "seccomp=unconfined", "label=disable"],
    "userns_mode": "host",  # under userns-remap it would have no say in the kernel log
}
# To mount tracefs too. An engine may itself lack some of what `privileged` asks for.
_READS = READS_KMSG | {"cap_add": ["SYSLOG", "SYS_ADMIN"]}


def create_collector(
    client: docker.DockerClient, reference: str, name: str, volume: str, arguments: list[str], session: str = ""
) -> Container:
    """The container that reads the kernel log, the trace and the memcg files: privileged in a guest, where it sets up swap
    and must outlive a global OOM; with only the capabilities that reading needs, in a shared engine."""
    # `detach`: else docker-py asks for a standard input that ends with the first client that writes to it (StdinOnce)
    in_guest = {"privileged": True, "oom_score_adj": -900, "stdin_open": True, "detach": True}
    return client.containers.create(
        name=name,
        pid_mode="host",
        cgroupns="host",
        **(_READS if session else in_guest),
        volumes={
            volume: {"bind": "/run/oomtrial", "mode": "rw"},
            "/sys/fs/cgroup": {"bind": "/host/cgroup", "mode": "rw"},
        },
        **_common(reference, arguments, COLLECTOR, session),
    )


def cgroup_parent(token: str, parents: int) -> str | None:
    """The memcg above a trial's containers, `parents` levels deep below /oomtrial; None without parents.

    workloads/collector sets nothing outside of it but a container's own files.
    """
    return "/".join(["/oomtrial", token, *(f"level-{level}" for level in range(1, parents))]) if parents else None


@dataclass(frozen=True)
class WorkloadLimits:
    """What the engine sets for a container under test."""

    memory_max_bytes: int | None
    swap_bytes: int
    cpus: float
    oom_score_adj: int
    cgroup_parent: str | None
    memlock: bool = True  # no limit; an engine without CAP_SYS_RESOURCE cannot lift its own


def create_workload(
    client: docker.DockerClient,
    reference: str,
    name: str,
    role: str,
    volumes: dict[str, dict[str, str]],
    limits: WorkloadLimits,
    arguments: list[str],
    session: str = "",
) -> Container:
    """A container under test: memory.max set, no network, no privilege."""
    memory: dict[str, Any] = {}
    if limits.memory_max_bytes is not None:
        memory = {
            "mem_limit": limits.memory_max_bytes,
            "memswap_limit": limits.memory_max_bytes + limits.swap_bytes,
        }
    if limits.cpus:
        memory["nano_cpus"] = round(limits.cpus * 1e9)
    if limits.memlock:
        memory["ulimits"] = [Ulimit(name="memlock", soft=-1, hard=-1)]
    return client.containers.create(
        name=name,
        oom_score_adj=limits.oom_score_adj,
        cgroup_parent=limits.cgroup_parent,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        shm_size="1g",
        volumes=volumes,
        **memory,
        **_common(reference, arguments, role, session),
    )
