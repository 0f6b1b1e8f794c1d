"""Measures a night of a matrix, or resumes the one that was interrupted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from ..errors import BuildError, EvidenceError, UsageError
from ..experiment.driver import run_experiment
from ..experiment.experiment import Experiment, resume_run
from ..experiment.host import HOST
from ..experiment.preflight import refuse_unspeakable, require_writable
from ..experiment.request import Request, load_scenarios
from ..kernels.kernel import make_kernel
from ..kernels.plan import plan_kernel
from ..progress import Reporter
from ..runs.record import RUN_FILE, RunRecord, RunStatus, hold_run, read_run
from ..spec.arm import ArmSpec
from ..spec.kernel import parse_kernel_spec
from ..spec.machine import Accel
from ..spec.plan import plan_blocks
from ..system.paths import write_atomically
from .nights import NIGHT_REQUEST_FILE, NIGHTS, NightRequest, nights_in, read_night_request


def add_night(
    out: Path, request: Request, progress: Reporter, cluster: str | None = None, *, insecure: bool = False
) -> Path:
    """Measures one night as `request` says; resumes the last night if that was interrupted and had the same request. Returns its
    directory.

    Raises BuildError when no kernel can be had, UsageError when another process adds to this matrix, and what
    `run_experiment` raises.
    """
    for arm in request.arms:
        parse_kernel_spec(arm.kernel)
    scenarios = load_scenarios(request.scenarios)
    names = [arm.name for arm in request.arms]
    plan_blocks(names, list(scenarios), request.rounds, request.boots, request.seed)
    refuse_unspeakable(out)
    require_writable(out)
    held = hold_run(out)
    try:
        if (night := _resumed(out, request, progress, cluster, insecure=insecure)) is not None:
            return night
        arms, left_out = _obtainable(request, progress)
        experiment = Experiment(replace(request, arms=tuple(arms), out=None, runs=out / NIGHTS), progress)
        night = experiment.directory
        write_atomically(night / NIGHT_REQUEST_FILE, msgspec.json.encode(NightRequest(list(request.arms), left_out)))
        try:
            run_experiment(experiment, cluster, insecure=insecure, command="matrix")
        finally:
            if not (night / RUN_FILE).exists():  # no run was begun
                (night / NIGHT_REQUEST_FILE).unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    night.rmdir()
        return night
    finally:
        os.close(held)


def _resumed(out: Path, request: Request, progress: Reporter, cluster: str | None, *, insecure: bool) -> Path | None:
    """The last night, if it was interrupted and could be completed."""
    runs = nights_in(out)
    if not runs:
        return None
    night = runs[-1]
    try:
        record, asked = read_run(night), read_night_request(night)
    except EvidenceError as error:
        progress.say(f"{error.what}. A new night begins")
        return None
    if record.state == RunStatus.COMPLETE:
        return None
    if differs := _requested_otherwise(record, asked, request):
        progress.say(f"{night} was interrupted and stays as it is: {differs}. A new night begins")
        return None
    experiment = resume_run(night, progress, elsewhere=cluster is not None)
    progress.say(f"resuming the interrupted night {night}")
    try:
        run_experiment(experiment, cluster, insecure=insecure, command="matrix")
    except UsageError as error:  # since then the kernel, the machine or oomtrial has changed
        progress.say(f"{night} stays as it is: {error.what}. A new night begins")
        return None
    return night


def _requested_otherwise(record: RunRecord, asked: NightRequest | None, request: Request) -> str:
    """What a night was asked for that `request` does not say, in words; empty where it is the same."""
    arms = asked.arms if asked else record.arms
    versions = {scenario.name: scenario.version for scenario in record.scenarios}
    values: list[tuple[str, object, object]] = [
        ("kernels", _words(arms), _words(request.arms)),
        (
            "scenarios",
            versions,
            {scenario.name: scenario.version for scenario in load_scenarios(request.scenarios).values()},
        ),
        ("rounds", record.rounds, request.rounds),
        ("boots", record.boots, request.boots),
        ("seed", record.seed, request.seed),
        ("warm-up", record.warm_up, request.warm_up),
        ("config", record.config, [str(path) for path in request.config]),
    ]
    if record.engine is None:
        values += [("vcpus", record.vcpus, request.vcpus), ("memory", record.memory_mib, request.memory_mib)]
        if request.accel != Accel.AUTO:
            values.append(("accel", record.accel, request.accel))
    for name, then, now in values:
        if then != now:
            if isinstance(then, dict) and isinstance(now, dict):
                return "it has other scenarios, or other versions of them"
            return f"its {name} {'are' if name.endswith('s') else 'is'} {then}, and now {now}"
    return ""


def _words(arms: Sequence[ArmSpec]) -> str:
    return ", ".join(f"{arm.label}={arm.kernel}" if arm.label else arm.kernel for arm in arms)


def _obtainable(request: Request, progress: Reporter) -> tuple[list[ArmSpec], dict[str, str]]:
    """The arms whose kernels can be had, and the others, each with why: one broken tree must not cost the others their
    night. Raises the first error when none can be had."""
    arms, left_out = [], {}
    first: BuildError | None = None
    for arm in request.arms:
        if arm.kernel != HOST:
            try:
                make_kernel(plan_kernel(parse_kernel_spec(arm.kernel), progress, request.config), progress)
            except BuildError as error:
                first = first or error
                left_out[arm.name] = error.what
                progress.say(f"left out: {arm.name}: {error.what}")
                continue
        arms.append(arm)
    if first is not None and not arms:
        raise first
    return arms, left_out
