"""The arm `host`: the running kernel, through the local engine. No guest, and no scenario that could harm the machine."""

from __future__ import annotations

import contextlib
import gzip
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil

from ..containers.session import Session
from ..errors import UsageError
from ..guest.local import connect_local, engine_of, require_host_arm, require_kernel
from ..kernels.config import lacks_options, parse_config
from ..kernels.kernel import Kernel
from ..progress import Reporter
from ..runs.record import HostRecord
from ..spec.outcome import Outcome
from ..spec.scenario import Scenario
from ..system.machine import cpu_model
from ..system.paths import content_key
from ..system.process import has_initial_pids
from ..system.slots import guests_of_others
from ..units import format_size

HOST = "host"  # the kernel spec
RISK = "--may-harm-host"
_MEMORY_SHARE = 4  # a trial's limits are at most this part of the memory that is available


@dataclass(frozen=True)
class HostMachine:
    """The local engine in the role of a guest: it answers, or has a reason why not."""

    docker: docker.DockerClient
    is_restored: bool = False
    concurrent_guests: int = 0  # guests of other processes, when it was asked for

    def activity(self) -> None:
        """Its processes are the engine's, which other programs use too: whether they are stopped is not watched."""

    def ending(self) -> tuple[Outcome, str]:
        """Returns (outcome, reason) for an engine that stopped responding."""
        return Outcome.LOST, "the engine no longer answers"


class HostArm:
    """The local engine, its kernel, and the scenarios that they can and may run."""

    def __init__(self, progress: Reporter, *, may_harm: bool = False) -> None:
        """Raises HostError, with advice, when there is no engine that can serve."""
        self._client = connect_local()
        self.engine = engine_of(self._client)
        require_host_arm(self.engine)
        if self.engine.is_ours:
            require_kernel(self.engine)
        self._progress, self._may_harm = progress, may_harm
        self._config = _read_config() if self.engine.is_ours else None

    def kernel(self) -> Kernel:
        """The running kernel: its version as it states it, its config where it can be read."""
        build = platform.version() if self.engine.is_ours else ""
        version = f"Linux {self.engine.kernel} {build}".rstrip()
        config_key = content_key(self._config) if self._config else ""
        return Kernel(
            spec=HOST,
            key=content_key(HOST, version, config_key, self.engine.cgroup),
            image="",
            source=version,
            patches={},
            config_key=config_key,
            compiler=_compiler() if self.engine.is_ours else "",
            config_not_taken=[],
        )

    def record(self) -> HostRecord:
        """The machine; its processor is not known where the engine runs elsewhere."""
        cpu = cpu_model() if self.engine.is_ours else "unknown"
        return HostRecord(cores=self.engine.cores, cpu=cpu, qemu="")

    def refusal(self, scenario: Scenario) -> str | None:
        """Why a scenario does not run here, or None."""
        return self._cannot(scenario) or (None if self._may_harm else self._risk(scenario))

    def _cannot(self, scenario: Scenario) -> str | None:
        name, file, engine = scenario.name, scenario.file, self.engine
        if scenario.machine_bytes:
            return (
                f"{name} takes all of the machine's memory except {format_size(scenario.machine_bytes)}; {engine.name} has"
                f" {engine.memory_bytes >> 20} MiB, which other processes use: run it in guests only"
            )
        if scenario.top_level:
            return f"{name} needs memcgs above a container's own, which the arm host does not make"
        if scenario.swap_bytes:
            return f"{name} needs swap of its own (zram), and oomtrial does not change this machine's swap"
        if any(group.kind == "pagecache" for group in file.hogs):
            return f"{name} reads a file that only guests have"
        if file.cgroup == "v1" and engine.cgroup != "v1":
            return f"{name} needs cgroup v1, {engine.name} runs on {engine.cgroup}"
        if engine.cgroup == "v1" and file.memory_high:
            return f"{name} sets memory.high, {engine.name} runs on cgroup v1, which has none"
        wanted = [option for option in scenario.needed_options if option != "CONFIG_MEMCG_V1"]
        if self._config and (lacking := lacks_options(parse_config(self._config), wanted)):
            return f"this kernel lacks {', '.join(lacking)}, which {name} needs"
        return None

    def _risk(self, scenario: Scenario) -> str | None:
        name = scenario.name
        if not scenario.is_limited or scenario.file.where == "guest":
            return f"{name} has processes without a limit and would bring this machine down; {RISK} runs it anyway"
        if any(group.unkillable for group in scenario.file.hogs):
            return f"{name} has processes that the OOM killer must spare and that wait in the kernel forever; {RISK} runs it anyway"
        limits = sum(limit.bytes for limit in scenario.limits)
        available = psutil.virtual_memory().available if self.engine.is_ours else self.engine.memory_bytes
        if limits > available // _MEMORY_SHARE:
            return (
                f"the limits of {name} total {format_size(limits)}, more than a quarter of the {available >> 20} MiB"
                f" that are available; {RISK} runs it anyway"
            )
        return None

    @contextlib.contextmanager
    def machine(self, session: Session) -> Iterator[tuple[HostMachine, float, Callable[[], None]]]:
        """The engine for one trial, instead of a guest; no start time, and no snapshot.
        What the trial made is removed when it is left."""
        with session:
            yield HostMachine(self._client, concurrent_guests=guests_of_others()), 0.0, lambda: None

    @property
    def owner(self) -> int:
        """The pid of this process if the engine's kernel knows it by that pid, otherwise 0."""
        return os.getpid() if self.engine.is_ours and has_initial_pids() else 0

    def session(self) -> Session:
        """A name for what one trial makes in the engine."""
        return Session(self._client, self._progress.say)


def refuse_mixture(kernels: tuple[str, ...], *, until_decided: bool) -> None:
    """Raises UsageError for the arm host beside guests: another machine, so a difference would not be the kernel's."""
    guests = [kernel for kernel in kernels if kernel != HOST]
    if guests:
        raise UsageError(
            f"host and {guests[0]} cannot be arms of one run: a guest is a different machine from its host",
            "run them separately, or boot the kernel of this machine in a guest (image:PATH) and compare that",
        )
    if until_decided:
        raise UsageError("--until-decided compares boots, and all rounds on host belong to one boot", "leave it out")


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _read_config() -> str | None:
    """The config of the running kernel, or None if it is not available."""
    with contextlib.suppress(OSError, EOFError, UnicodeDecodeError):
        return gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(f"/boot/config-{platform.release()}").read_text()
    return None


def _compiler() -> str:
    """The compiler of the running kernel, from /proc/version."""
    words = _setting("/proc/version").split(" (", 2)
    return words[2].split(") #")[0].removesuffix(")") if len(words) == 3 else ""
