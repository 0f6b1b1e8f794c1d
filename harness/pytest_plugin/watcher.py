"""The watcher of an engine (workloads/watcher.c): its kernel log, and the counters of the memcgs of our containers."""

from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import dataclass

import docker
import msgspec
from docker.models.containers import Container
from docker.types import LogConfig

from ..containers.images import Image, load_image
from ..containers.running import (
    API_ERRORS,
    NO_NETWORK,
    READS_KMSG,
    WATCHER,
    FollowedContainer,
    OutputEndedError,
)
from ..errors import GuestError, HostError
from ..oomlog.kmsg import KmsgRecord, lost_records, parse_kmsg_record

_READY_DEADLINE_S = 120.0
_MARK_DEADLINE_S = 60.0
_STOP_S = 10


@dataclass(frozen=True)
class Stretch:
    """The kernel log between two marks."""

    records: tuple[KmsgRecord, ...]
    lost_records: int  # sequence numbers that are missing


class Watcher:
    """A watcher that runs. Marks may be nested and overlap: each is a place in one log."""

    def __init__(self, client: docker.DockerClient, container: Container, token: str) -> None:
        self._container = container
        self._log = FollowedContainer(container, lambda _: None)
        self._records: list[KmsgRecord] = []
        self._counters: dict[str, dict[str, int]] = {}
        self._numbers = itertools.count(1)
        self._is_systemd = client.info().get("CgroupDriver") == "systemd"
        self.token = token
        self.is_v1 = False

    @classmethod
    def start(cls, client: docker.DockerClient, token: str, image: Image, labels: dict[str, str]) -> Watcher:
        """Starts one; the kernel log is read from here on. `labels`: of its container.

        Raises HostError when the engine does not let it read the kernel log.
        """
        try:
            reference = load_image(client, image)
            is_systemd = client.info().get("CgroupDriver") == "systemd"
            root = f"oomtrial.slice/oomtrial-{token}.slice" if is_systemd else f"oomtrial/{token}"
            container = client.containers.create(
                image=reference,
                command=["--token", token, "--root", root],
                name=f"oomtrial-{token}-{WATCHER}",
                pid_mode="host",
                cgroupns="host",
                **NO_NETWORK,
                **READS_KMSG,
                volumes={"/sys/fs/cgroup": {"bind": "/host/cgroup", "mode": "rw"}},
                log_config=LogConfig(type=LogConfig.types.JSON),
                labels=labels,
            )
        except API_ERRORS as error:
            raise HostError(
                f"the engine makes no container that reads the kernel log: {error}",
                "use a rootful engine, or test a kernel in a guest: --kernel debian:6.1",
            ) from error
        watcher = cls(client, container, token)
        try:
            watcher._log.start()
            ready = watcher._log.wait_for(_is_ready, _READY_DEADLINE_S, "word that the watcher is ready")
            watcher.is_v1 = b'"v1":true' in ready
        except BaseException:
            watcher.stop()
            raise
        return watcher

    def cgroup_parent(self, name: str) -> str:
        """The parent of a container's memcg, by a name without a dash: its counters outlive the container."""
        return f"oomtrial-{self.token}-{name}.slice" if self._is_systemd else f"/oomtrial/{self.token}/{name}"

    def is_ours(self, memcg: str | None) -> bool:
        """Whether a memcg is of a container that was made below us."""
        return memcg is not None and any(
            part in memcg for part in (f"/oomtrial/{self.token}/", f"/oomtrial-{self.token}.")
        )

    @property
    def place(self) -> int:
        """Where the last mark was."""
        return len(self._records)

    def mark(self) -> int:
        """A place in the kernel log: everything that was printed before is behind it.

        Raises GuestError when the watcher, or the kernel, does not answer.
        """
        number = next(self._numbers)
        try:
            self._container.kill(signal="SIGUSR2")
        except API_ERRORS as error:
            raise GuestError(f"the watcher of the OOM killer has ended: {error}") from error
        end = time.monotonic() + _MARK_DEADLINE_S
        self._counters = {}
        try:
            while (line := self._log.next_line(end)) is not None:
                if self._take(line.decode("utf-8", "surrogateescape"), number):
                    return len(self._records)
        except OutputEndedError:
            raise GuestError("the watcher of the OOM killer has ended") from None
        raise GuestError(f"the watcher of the OOM killer has not answered for {_MARK_DEADLINE_S:.0f} s")

    def _take(self, line: str, number: int) -> bool:
        channel, text = line[:1], line[2:]
        if channel == "K" and (record := parse_kmsg_record(text)):
            self._records.append(record)
        elif channel == "W":
            directory, file, *words = text.split()
            if words and words[-1].isdigit():
                self._counters.setdefault(directory, {})[" ".join((file, *words[:-1]))] = int(words[-1])
        elif channel == "C":
            event = msgspec.json.decode(text)
            return bool(event.get("event") == "mark" and event["number"] == number)
        return False

    def between(self, begin: int, end: int) -> Stretch:
        """The kernel's records between two marks, and how many records were lost meanwhile."""
        records = self._records[begin:end]
        own = [record for record in records if record.is_kernel]
        return Stretch(tuple(own), lost_records(self._records[max(begin - 1, 0) : end]))

    def counters(self, name: str) -> dict[str, int]:
        """Of a container's parent, as of the last mark: ``memory.events oom_kill``, ``memory.peak``; none on cgroup v1."""
        return self._counters.get(self.cgroup_parent(name).rsplit("/", 1)[-1], {})

    def stop(self) -> None:
        """Takes it away, with its memcgs."""
        with contextlib.suppress(*API_ERRORS):
            self._container.stop(timeout=_STOP_S)
        self._log.close()
        with contextlib.suppress(*API_ERRORS):
            self._container.remove(force=True)


def _is_ready(line: bytes) -> bool:
    if line.startswith(b'C {"event":"error"'):
        reason = msgspec.json.decode(line[2:])
        raise HostError(
            f"{reason['what']}: {reason['reason']}",
            "the engine must run with CAP_SYSLOG, outside of a user namespace; or test a kernel in a guest",
        )
    return line.startswith(b'C {"event":"ready"')
