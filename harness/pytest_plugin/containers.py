"""A container with limits, run to its end, and how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from docker.models.containers import Container
from docker.types import LogConfig

from ..containers.running import API_ERRORS
from ..errors import GuestError, UsageError
from ..units import parse_size
from .engines import KernelEngine
from .images import Source, bring_image
from .oom_watch import OomKill, OomWatch, fill_in

TEST = "test"  # role of such a container
_DEADLINE_S = 120.0
_SIGKILLED = 137


@dataclass(frozen=True)
class ContainerEnd:
    """How a container ended, from the engine, the kernel log and its memcg."""

    name: str
    kernel: str
    exit_code: int  # 137: killed by SIGKILL, as the OOM killer does
    oom_killed: bool  # the engine's word (State.OOMKilled): something in it was killed for want of memory
    timed_out: bool  # it was still running at the deadline, and was killed for that
    logs: str  # standard output and error
    memory_events: Mapping[str, int]  # of its memcg, children included: max, oom, oom_kill, ...; empty on cgroup v1
    peak_bytes: int | None  # most that was charged to it; None on cgroup v1 and before 5.19
    kills: tuple[OomKill, ...]  # processes of it that the OOM killer took, in order
    duration_s: float

    @property
    def survived(self) -> bool:
        """Whether its first process came to its own end, whatever was killed in it."""
        return not self.timed_out and self.exit_code != _SIGKILLED

    def __repr__(self) -> str:
        end = "still running at the deadline" if self.timed_out else f"exit code {self.exit_code}"
        kills = "; ".join(map(str, self.kills)) or "no OOM kill"
        last = f"\nits last words: {self.logs.strip().splitlines()[-1]!r}" if self.logs.strip() else ""
        return f"<container {self.name} on {self.kernel}: {end}; {kills}{last}>"


class Containers:
    """Runs the containers of one test, and takes them away after it."""

    def __init__(self, engine: KernelEngine, names: dict[str, str]) -> None:
        """`names`: gets the name of each by its id, for the reader of the kernel log."""
        self._engine, self._names = engine, names
        self._made: list[Container] = []

    def __call__(
        self,
        image: Source,
        command: list[str] | str | None = None,
        *,
        memory: str | int,
        swap: str | int = 0,
        cpus: float | None = None,
        deadline_s: float = _DEADLINE_S,
        **options: Any,
    ) -> ContainerEnd:
        """Runs a command of an image under limits until it ends.

        memory: its limit (memory.max), as "64M" or in bytes; swap: what it may swap beside it; cpus: cores, as --cpus.
        deadline_s: it is killed then. Other options are those of docker-py's containers.create, such as environment,
        entrypoint or volumes. It has no network unless network_mode says so.

        Raises UsageError for an image that is not there and a limit that is none, GuestError when it cannot be started.
        """
        limits = _limits(memory, swap, cpus)
        labels = options.pop("labels", None) or {}
        if not isinstance(labels, Mapping):  # docker-py takes names alone, too
            labels = dict.fromkeys(labels, "")
        engine, name = self._engine, f"c{next(self._engine.numbers)}"
        reference, watcher = bring_image(engine, image), engine.watcher
        try:
            container = engine.client.containers.create(
                reference,
                command,
                name=f"oomtrial-{engine.token}-{name}",
                cgroup_parent=watcher.cgroup_parent(name),
                **{"network_mode": "none", "log_config": LogConfig(type=LogConfig.types.JSON)} | limits | options,
                labels={**labels, **engine.labels(TEST)},
            )
            self._made.append(container)
            self._names[str(container.id)] = name
            # What is read by now was before; its kills are told by its name, so no mark is needed here.
            begin, started = watcher.place, time.monotonic()
            container.start()
            timed_out = _wait(container, deadline_s)
            duration_s, end = time.monotonic() - started, watcher.mark()
            container.reload()
            logs = container.logs().decode("utf-8", "replace")
        except API_ERRORS as error:
            reason = getattr(error, "explanation", None) or error
            raise GuestError(f"container {name} of {reference} on {engine.kernel}: {reason}") from error
        watch, state = OomWatch(engine.kernel), container.attrs["State"]
        fill_in(watch, watcher.between(begin, end), watcher, {str(container.id): name})
        counters = watcher.counters(name)
        return ContainerEnd(
            name=name,
            kernel=engine.kernel,
            exit_code=int(state["ExitCode"]),
            oom_killed=bool(state["OOMKilled"]),
            timed_out=timed_out,
            logs=logs,
            memory_events={
                key.removeprefix("memory.events "): value
                for key, value in counters.items()
                if key.startswith("memory.events ")
            },
            peak_bytes=counters.get("memory.peak"),
            kills=tuple(kill for kill in watch.kills if kill.container == name),
            duration_s=duration_s,
        )

    def remove(self) -> None:
        """Removes the containers with their volumes. Errors of the engine are ignored."""
        for container in self._made:
            with contextlib.suppress(*API_ERRORS):
                container.remove(force=True, v=True)


def _wait(container: Container, deadline_s: float) -> bool:
    """Until it has ended; kills it at the deadline, and returns whether it had to."""
    try:
        container.wait(timeout=deadline_s)
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
        container.reload()
        if container.status != "running":
            raise
        container.kill()
        container.wait(timeout=_DEADLINE_S)
        return True
    return False


def _limits(memory: str | int, swap: str | int, cpus: float | None) -> dict[str, Any]:
    limit, beside = (size if isinstance(size, int) else parse_size(size) for size in (memory, swap))
    if limit <= 0 or beside < 0:
        raise UsageError(f"a limit of {limit} bytes with {beside} of swap is not a limit", 'write it as memory="64M"')
    return {"mem_limit": limit, "memswap_limit": limit + beside} | ({"nano_cpus": round(cpus * 1e9)} if cpus else {})
