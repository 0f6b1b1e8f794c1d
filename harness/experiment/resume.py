"""State of an interrupted run: the rounds that count, by block, from its evidence alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..collectors.files import (
    CONSOLE_FILE,
    TRIAL_FILE,
    TrialRecord,
    TrialState,
    is_sealed,
    read_trial,
    seal,
    write_trial,
)
from ..collectors.rounds import read_evidence
from ..containers.images import Image
from ..errors import EvidenceError, UsageError
from ..guest.console import find_end, read_console
from ..guest.engine import EngineInfo
from ..guest.rootfs import RootfsPlan, plan_rootfs
from ..kernels.kernel import Kernel, KernelPlan, damaged_files, read_record
from ..runs.record import HostRecord, RunRecord
from ..spec.outcome import Outcome
from ..spec.plan import Block
from ..spec.scenario import Scenario
from ..spec.scenarios import decode
from ..system.paths import cache_dir
from ..system.sealed import is_intact


@dataclass(frozen=True)
class BlockState:
    """Progress of a block."""

    next_round: int = 1
    next_attempt: int = 1
    ended_early: int = 0  # trials that ended early by themselves
    last: TrialRecord | None = None  # of these, the last one
    counted: int = 0  # rounds that are done and count: all but those of warm-up


def recover_trials(run: Path) -> tuple[dict[int, BlockState], list[str]]:
    """Closes the trials that were interrupted with their harness. Returns the progress of each block, and messages about what
    was done.

    Nobody else may be writing to the run. Raises HostError when the run's directory cannot be written.
    """
    for stray in (*run.glob(".*.tmp"), *run.glob("tables/.*.tmp")):
        stray.unlink()
    for stray in run.glob(".incoming-*"):
        shutil.rmtree(stray)
    messages, taken, trials = [], dict[int, int](), []
    for directory in sorted((run / "trials").glob("[0-9]*-[0-9]*/")):
        for stray in directory.glob(".*.tmp"):
            stray.unlink()
        if not (directory / TRIAL_FILE).exists() and not any(path.stat().st_size for path in directory.iterdir()):
            shutil.rmtree(directory)  # killed between the directory and its record
            continue
        block, _, attempt = directory.name.partition("-")
        taken[int(block)] = max(taken.get(int(block), 0), int(attempt))
        try:
            trial = read_trial(directory)
            if not is_sealed(directory) and trial.state != TrialState.ENDED:
                trial = _close(directory, trial)
                messages.append(f"trial {trial.trial_id}: {trial.reason}")
            elif not is_sealed(directory):
                seal(directory)  # killed between the record and the seal
            trials.append((trial, _rounds_done(directory, trial)))
        except EvidenceError as error:
            messages.append(f"run again, because it cannot be read: {error}")
    states = {block: BlockState(next_attempt=attempt + 1) for block, attempt in taken.items()}
    for trial, done in sorted(trials, key=lambda entry: (entry[0].block, entry[0].attempt)):
        state, ended = states[trial.block], trial.state != TrialState.INTERRUPTED
        next_round = trial.first_round + done
        is_early = ended and done < trial.rounds
        states[trial.block] = BlockState(
            next_round,
            state.next_attempt,
            state.ended_early + is_early,
            trial if is_early else state.last,
            state.counted + trial.counted(done),
        )
    return states, messages


def _rounds_done(directory: Path, trial: TrialRecord) -> int:
    """A round that began counts, unless it was interrupted with the harness."""
    return read_evidence(directory).rounds_finished if trial.state == TrialState.INTERRUPTED else trial.rounds_begun


def _close(directory: Path, trial: TrialRecord) -> TrialRecord:
    """Completes the record of a trial whose harness could not. A guest that had panicked ended the trial itself."""
    evidence = read_evidence(directory)
    begun, finished = evidence.rounds_begun, evidence.rounds_finished
    if finished == trial.rounds:
        changes = {"state": TrialState.ENDED, "outcome": Outcome.COMPLETED, "reason": ""}
    elif end := find_end(read_console(directory / CONSOLE_FILE)):
        changes = {"state": TrialState.ENDED, "outcome": end[0], "reason": end[1]}
    else:
        changes = {
            "state": TrialState.INTERRUPTED,
            "outcome": Outcome.LOST,
            "reason": trial.reason or "interrupted with its harness",
        }
    trial = msgspec.structs.replace(trial, rounds_begun=begun, **changes)
    write_trial(directory, trial)
    seal(directory)
    return trial


def recorded_scenarios(record: RunRecord) -> dict[str, Scenario]:
    """The scenarios of a run as recorded."""
    return {scenario.name: decode(scenario.name, scenario.text) for scenario in record.scenarios}


def refuse_other_scenarios(record: RunRecord) -> None:
    """Raises UsageError when this version of oomtrial interprets the text of a scenario differently."""
    for scenario in record.scenarios:
        version = decode(scenario.name, scenario.text).version
        if version != scenario.version:
            raise _differs(f"scenario {scenario.name}", version, scenario.version)


def recorded_blocks(record: RunRecord) -> list[Block]:
    """The plan of a run."""
    return [Block(b.index, b.arm, b.scenario, b.boot, b.rounds) for b in record.blocks]


def find_kernels(record: RunRecord) -> dict[str, Kernel]:
    """The kernels of a run that the cache still has, by the text of the spec: their keys say that they are the same."""
    kernels = {}
    for kernel in record.kernels:
        cached = read_record(cache_dir() / "kernels" / kernel.key)
        if cached is not None and not damaged_files(cached):
            kernels[kernel.spec] = msgspec.structs.replace(cached, spec=kernel.spec)
    return kernels


def find_rootfs(record: RunRecord) -> Path | None:
    """The guest's image of a run, if the cache still has it."""
    image = cache_dir() / "rootfs" / f"{record.rootfs}.ext4"
    return image if is_intact(image) else None


def plan_same_rootfs(record: RunRecord) -> RootfsPlan:
    """The plan that makes the guest's image of a run again.

    Raises UsageError when it would be another one.
    """
    plan = plan_rootfs()
    if plan.key != record.rootfs:
        raise _differs("the guest's root file system", plan.key, record.rootfs)
    return plan


def refuse_other_kernels(record: RunRecord, plans: Iterable[KernelPlan]) -> None:
    """Raises UsageError when a spec now selects another kernel."""
    recorded = {kernel.spec: kernel for kernel in record.kernels}
    for plan in plans:
        kernel = recorded[plan.spec.text]
        if plan.key != kernel.key:
            raise _differs(f"kernel {kernel.spec}", f"{plan.key} ({plan.source})", f"{kernel.key} ({kernel.source})")


def refuse_other_images(record: RunRecord, images: dict[str, Image]) -> None:
    """Raises UsageError when one of oomtrial's images differs from the run's."""
    for name, image in images.items():
        if image.key != record.images.get(name):
            raise _differs(f"image {name}", image.key, record.images.get(name, "none"))


def refuse_other_host(record: RunRecord, host: HostRecord, engine: EngineInfo | None = None) -> None:
    """Raises UsageError on a machine, or an engine of it, whose rounds must not be pooled with those of the run."""
    if engine != record.engine:
        raise _differs("this machine's engine", str(engine), str(record.engine))
    refuse_unlike(record.host, host, "this machine's")


def refuse_unlike(wanted: HostRecord, host: HostRecord, whose: str) -> None:
    """Raises UsageError on a machine whose rounds must not be pooled with those of another one."""
    for field in HostRecord.__struct_fields__:
        now, then = getattr(host, field), getattr(wanted, field)
        if now != then:
            raise _differs(f"{whose} {field}", str(now), str(then))


def _differs(subject: str, now: str, then: str) -> UsageError:
    return UsageError(
        f"cannot resume this run: {subject} is {now}, but was {then}", "start a new run and compare the two"
    )
