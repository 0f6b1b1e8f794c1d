"""The record of a run, `run.json`: written first, rewritten atomically, and enough to do the run again."""

from __future__ import annotations

import datetime
import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from ..errors import EvidenceError, UsageError
from ..guest.engine import EngineInfo
from ..kernels.kernel import Kernel
from ..kernels.provenance import Provenance
from ..spec.arm import ArmSpec
from ..spec.machine import Accel
from ..system.locks import open_lock, try_lock
from ..system.paths import write_atomically

RUN_FORMAT = 2
RUN_FILE = "run.json"


class RunStatus(StrEnum):
    """How far a run has come."""

    RUNNING = "running"  # a run that was killed stays so
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


def new_run_id() -> str:
    """A name for a run that is about to begin: its date, and chance."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class HostRecord(msgspec.Struct, frozen=True):
    """The machine that a run ran on, as far as it matters to the figures."""

    cores: int  # that this process may use, by affinity and cgroups
    cpu: str
    qemu: str
    cpu_quota: float = 0.0  # of cores, where a cgroup allows less time than they have; 0: it does not


class PlannedBlock(msgspec.Struct, frozen=True):
    """Rounds of one scenario that one boot of an arm runs in a row."""

    index: int
    arm: str
    scenario: str
    boot: int
    rounds: int


class ScenarioRecord(msgspec.Struct, frozen=True):
    """A scenario of a run."""

    name: str
    version: str  # content key of its values
    text: str  # its TOML, so that the tables can be rebuilt without the file


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One invocation. Runs that differ in scenario version, machine or acceleration must not be pooled."""

    format: int
    run_id: str
    state: RunStatus
    oomtrial: str
    command: list[str]
    seed: int
    rounds: int  # an arm and scenario
    boots: int
    scenarios: list[ScenarioRecord]
    kernels: list[Kernel]
    images: dict[str, str]
    rootfs: str
    vcpus: int
    memory_mib: int
    accel: Accel
    accel_reason: str
    host: HostRecord
    blocks: list[PlannedBlock]
    append: str = ""  # to the guests' kernel command line
    until_decided: bool = False  # it was looked at after every turn of its arms; `blocks` are those that it came to
    disturbed: str = ""  # what else ran on this machine, as "kernels were being built at the same time": never pooled
    engine: EngineInfo | None = None  # of the arm host; None where guests ran
    # the most other guests on this machine when one of the run's own started
    concurrent_guests: int = msgspec.field(default=0, name="beside")
    may_harm_host: bool = False
    snapshots: bool = True
    config: list[str] = []  # config fragments of a person's own
    warm_up: int = 0  # rounds at the start of each boot, beside those of `blocks`: recorded and not counted
    amplified: bool = False  # every arm scans slowly (`--amplify`): never pooled
    resumed: int = 0  # how many times the run was resumed
    provenance: list[Provenance] = []  # of the kernels that were made for it; empty in older runs
    arms: list[ArmSpec] = []  # empty in runs before there were arms: one for each kernel


def hold_run(directory: Path) -> int:
    """Keeps other processes from writing to a run, until the descriptor is closed or this process ends.

    Raises UsageError when another one holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = open_lock(directory)
    if not try_lock(descriptor):
        os.close(descriptor)
        raise UsageError(f"another process is writing {directory}", "wait until it ends, or stop it")
    return descriptor


def write_run(directory: Path, record: RunRecord) -> None:
    """Replaces a run's record by a complete new one. Raises OSError when it cannot be written."""
    write_atomically(directory / RUN_FILE, msgspec.json.format(msgspec.json.encode(record)))


_NAMED = 6  # runs that an error names


def _runs_in(directory: Path) -> str:
    """What to write instead of a directory that holds runs, or of a file of one."""
    if directory.is_file():
        return f"name the directory of a run, such as {directory.parent}" if directory.name == RUN_FILE else ""
    runs = sorted(
        {path.parent for pattern in ("*", "nights/*", "runs/*") for path in directory.glob(f"{pattern}/{RUN_FILE}")}
    )
    if not runs:
        return ""
    more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
    return f"name one of its runs: {', '.join(map(str, runs[-_NAMED:]))}{more}"


def _why_not(directory: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"it has no {RUN_FILE}" if directory.is_dir() else "there is no such directory"
    return "it is a file" if isinstance(error, NotADirectoryError) else f"{RUN_FILE}: {error.strerror}"


def read_run(directory: Path) -> RunRecord:
    """Raises EvidenceError when a directory holds no run, a damaged one, or one of a newer format."""
    path = directory / RUN_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{directory} holds no run: {_why_not(directory, error)}", _runs_in(directory)) from error
    try:
        fields = msgspec.json.decode(content, type=dict[str, Any])
        version = fields.get("format")
        if isinstance(version, int) and version > RUN_FORMAT:
            raise EvidenceError(f"{path} was written by a newer oomtrial (format {version})")
        if version == 1:  # one scenario a run
            values = [fields.pop(name, "") for name in ("scenario", "scenario_version", "scenario_text")]
            fields["scenarios"] = [dict(zip(("name", "version", "text"), values, strict=True))]
        record = msgspec.convert(fields, RunRecord)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise EvidenceError(f"{path} is damaged: {error}") from error
    arms = record.arms or [ArmSpec(kernel.spec, kernel.spec) for kernel in record.kernels]
    return msgspec.structs.replace(record, arms=arms)
