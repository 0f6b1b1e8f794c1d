"""A series: one scenario on several kernel versions, and the share of rounds by version."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ..analysis.arm import Arm
from ..analysis.series import Series, steps_of, version_of
from ..errors import EvidenceError, OomtrialError, UsageError
from ..experiment.driver import run_experiment
from ..experiment.experiment import Experiment
from ..experiment.preflight import refuse_existing
from ..experiment.request import Request, load_scenarios
from ..kernels.kernel import Kernel, make_kernel
from ..kernels.plan import plan_kernel
from ..kernels.release import kernel_version, version_order
from ..progress import Reporter
from ..report.armnames import short_names
from ..runs.pool import Pool, pool_runs
from ..runs.record import read_run
from ..runs.summary import summarize_pool
from ..spec.arm import name_arms
from ..spec.kernel import KernelSpec, parse_kernel_spec
from ..spec.plan import plan_blocks
from ..system.paths import write_atomically

_BARE = re.compile(r"\d+\.\d+\S*")
_FILE = "series.json"
_LEAST = 2
_NAME_LETTERS = 30


class _SeriesRequest(msgspec.Struct, frozen=True):
    """Stands beside the record of a run that was made as a series."""

    left_out: list[str]  # kernels that were asked for and could not be had, each with why


@dataclass(frozen=True)
class Choice:
    """The kernels of a series that are there, and those that are not, each with why."""

    specs: list[str]
    left_out: list[str]


def specs_of(text: str) -> list[KernelSpec]:
    """What one VERSION of a series may mean, best first: a bare version is Debian's prebuilt kernel, else its source.

    Raises UsageError for a text that is neither a version nor a kernel spec.
    """
    if not _BARE.fullmatch(text):
        return [parse_kernel_spec(text)]
    specs = []
    for kind in ("debian", "source"):
        with contextlib.suppress(UsageError):  # a prebuilt kernel takes no patch
            specs.append(parse_kernel_spec(f"{kind}:{text}"))
    return specs or [parse_kernel_spec(text)]


def choose_kernels(texts: Sequence[str], progress: Reporter, user_fragments: Sequence[Path] = ()) -> Choice:
    """Makes the kernels of a series; one that is unavailable is reported in one line and left out.

    Raises UsageError for what is no kernel spec, or for fewer than two; the first kernel's error when none is available.
    """
    if len(texts) < _LEAST:
        raise UsageError("a series needs two or more versions", "such as `oomtrial series 6.1 6.12`")
    wanted = [(text, specs_of(text)) for text in texts]  # before anything is built
    choice, first = Choice([], []), None
    for text, specs in wanted:
        errors: list[OomtrialError] = []
        for spec in specs:
            try:
                make_kernel(plan_kernel(spec, progress, user_fragments), progress)
            except OomtrialError as error:
                errors.append(error)
            else:
                choice.specs.append(spec.text)
                break
        else:
            first = first or errors[0]
            choice.left_out.append(f"{text}: {'; '.join(dict.fromkeys(error.what for error in errors))}")
            progress.say(f"left out: {choice.left_out[-1]}")
    if first is not None and not choice.specs:
        raise first
    return choice


def measure_series(
    texts: Sequence[str], request: Request, progress: Reporter, cluster: str | None = None, *, insecure: bool = False
) -> Path:
    """Measures these versions as `request` says, whose arms they become. Returns the directory of the run.

    Raises what `choose_kernels` and `run_experiment` raise.
    """
    # what can be refused at once, before kernels are made
    if request.out is not None:
        refuse_existing(request.out)
    plan_blocks(list(texts), list(load_scenarios(request.scenarios)), request.rounds, request.boots, request.seed)
    choice = choose_kernels(texts, progress, request.config)
    experiment = Experiment(replace(request, arms=name_arms(choice.specs)), progress)
    try:
        run_experiment(experiment, cluster, insecure=insecure, command="series")
    finally:
        with contextlib.suppress(EvidenceError):  # no run was begun
            if read_run(experiment.directory).run_id == experiment.run_id:
                asked = msgspec.json.encode(_SeriesRequest(choice.left_out))
                write_atomically(experiment.directory / _FILE, asked)
    return experiment.directory


def _read_series_request(run: Path) -> _SeriesRequest | None:
    try:
        return msgspec.json.decode((run / _FILE).read_bytes(), type=_SeriesRequest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise EvidenceError(f"cannot read {run / _FILE}: {error}") from error


def read_series(runs: Sequence[Path], scenario: str | None = None) -> Series:
    """The series that runs make, in the order of their kernels' versions. Of a run that was not made as a series, only the
    arms of unpatched kernels are taken.

    Raises what `pool_runs` raises, and UsageError where the runs have several scenarios and none is named.
    """
    pool = pool_runs(runs)
    summary = summarize_pool(pool)
    names = list(dict.fromkeys(arm.scenario for arm in summary.arms))
    if scenario not in names and (scenario is not None or len(names) != 1):
        raise UsageError(
            "a series covers one scenario" if scenario is None else f"the runs have no scenario {scenario!r}",
            f"choose one with --scenario: {', '.join(names)}",
        )
    scenario = scenario or names[0]
    asked = [_read_series_request(run) for run in runs]
    taken, left_out = _take(pool, [arm for arm in summary.arms if arm.scenario == scenario], asked)
    left_out += [text for request in asked if request for text in request.left_out]
    specs = {arm.name: arm for record in pool.records for arm in record.arms}
    short = {
        name: text if "/" in name or len(name) > _NAME_LETTERS else name
        for name, text in short_names([specs[arm.arm] for arm in taken]).items()
    }
    kernels = {kernel.spec: kernel for record in pool.records for kernel in record.kernels}
    known = {arm.arm: _version_of_arm(kernels, specs[arm.arm].kernel) for arm in taken}
    versions = [version_of(arm, known[arm.arm] or short[arm.arm], short[arm.arm]) for arm in taken]
    if all(known.values()):
        versions.sort(key=lambda version: version_order(version.version))
    steps = steps_of(versions, is_sequential=pool.is_sequential)
    notes = [note for note in summary.notes if not _is_of_others(note, summary.arms, taken)]
    if len({specs[arm.arm].kernel.partition(":")[0] for arm in taken}) > 1:
        notes.append("kernels of several kinds: their configs differ, which may explain a difference")
    return Series(
        run_id=summary.run_id,
        state=summary.state,
        scenario=scenario,
        versions=versions,
        steps=steps,
        left_out=left_out,
        notes=notes,
    )


def _take(pool: Pool, arms: list[Arm], asked: Sequence[_SeriesRequest | None]) -> tuple[list[Arm], list[str]]:
    """All arms of runs that were made as a series; of others those of unpatched kernels, where there are any."""
    whole = {arm.name for record, request in zip(pool.records, asked, strict=True) if request for arm in record.arms}
    patched = {kernel.spec for record in pool.records for kernel in record.kernels if kernel.patches}
    plain = {arm.name for record in pool.records for arm in record.arms if arm.kernel not in patched}
    taken = [arm for arm in arms if arm.arm in whole | plain] or arms
    return taken, [f"{arm.arm}: patched" for arm in arms if arm not in taken]


def _version_of_arm(kernels: dict[str, Kernel], spec: str) -> str | None:
    return kernel_version(kernels[spec]) if spec in kernels else None


def _is_of_others(note: str, arms: Sequence[Arm], taken: Sequence[Arm]) -> bool:
    """Notes begin with the name of the arm that they are about."""
    names = [arm.arm for arm in arms if note.startswith((f"{arm.arm}:", f"{arm.arm},", f"{arm.arm} and "))]
    return bool(names) and max(names, key=len) not in [arm.arm for arm in taken]
