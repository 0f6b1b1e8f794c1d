"""A matrix: kernels by scenarios, one run a night in one directory, and the page of all nights.

`DIR/nights/RUN_ID/` is a normal run directory with two files more: `asked.json`, written before the run begins, and
`cells.json`, which is made from the run's tables again whenever it is missing or does not fit them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import msgspec

from ..analysis.arm import Arm
from ..analysis.matrix import Cell, Matrix, Night, compare_with_earlier, earlier_night
from ..collectors.files import TrialRecord
from ..errors import BuildError, EvidenceError, OomtrialError, UsageError
from ..experiment.driver import run_experiment
from ..experiment.experiment import Experiment, resume_run
from ..experiment.host import HOST
from ..experiment.preflight import refuse_unspeakable, require_writable
from ..experiment.request import Request, load_scenarios
from ..kernels.kernel import make_kernel
from ..kernels.plan import plan_kernel
from ..kernels.release import kernel_version
from ..progress import Reporter
from ..report.matrixpage import render_matrix
from ..runs.pool import Pool, conditions_of, pool_runs
from ..runs.record import RUN_FILE, RunRecord, RunStatus, hold_run, read_run, write_run
from ..runs.report import open_report
from ..runs.reportpage import write_page
from ..runs.summary import summarize_pool
from ..runs.tables import rebuild_tables
from ..spec.arm import ArmSpec
from ..spec.kernel import parse_kernel_spec
from ..spec.machine import Accel
from ..spec.outcome import Outcome
from ..spec.plan import plan_blocks
from ..spec.scenarios import decode
from ..system.paths import content_key, write_atomically
from ..version import __version__

NIGHTS = "nights"
PAGE = "index.html"
MOST_NIGHTS = 90  # that the page shows
_ASKED, _CELLS = "asked.json", "cells.json"
_MOST_ROUNDS = 12  # that a run's page draws
_NO_LETTERS = re.compile(r"[^A-Za-z0-9._-]")
_WARM_UP_NOTE = re.compile(r"\d+ warm-up rounds")


class _Asked(msgspec.Struct, frozen=True):
    """What a night was asked for, beside what the record of its run says."""

    arms: list[ArmSpec]
    left_out: dict[str, str]  # arms whose kernel could not be had, each with why


class _Kept(msgspec.Struct, frozen=True):
    """A night as it was read: `facts` is the key of what it was read from, `compared` that of what it was compared with."""

    facts: str
    compared: str
    night: Night


@dataclass(frozen=True)
class _Read:
    """A night and the key of its facts."""

    night: Night
    facts: str
    kept: _Kept | None


# --- measuring ---


def add_night(
    out: Path, request: Request, progress: Reporter, cluster: str | None = None, *, insecure: bool = False
) -> Path:
    """Measures one night as `request` says, or goes on with the last one if it was interrupted and was asked for the same.
    Returns its directory.

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
        write_atomically(night / _ASKED, msgspec.json.encode(_Asked(list(request.arms), left_out)))
        try:
            run_experiment(experiment, cluster, insecure=insecure, command="matrix")
        finally:
            if not (night / RUN_FILE).exists():  # no run was begun
                (night / _ASKED).unlink(missing_ok=True)
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
        record, asked = read_run(night), _asked(night)
    except EvidenceError as error:
        progress.say(f"{error.what}. A new night begins")
        return None
    if record.state == RunStatus.COMPLETE:
        return None
    if differs := _asked_otherwise(record, asked, request):
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


def _asked_otherwise(record: RunRecord, asked: _Asked | None, request: Request) -> str:
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


# --- reading ---


def nights_in(out: Path) -> list[Path]:
    """The nights' run directories, old to new: their names begin with their date."""
    return sorted(path.parent for path in (out / NIGHTS).glob(f"*/{RUN_FILE}"))


def _asked(run: Path) -> _Asked | None:
    try:
        return msgspec.json.decode((run / _ASKED).read_bytes(), type=_Asked)
    except FileNotFoundError:  # a run that was moved here by hand
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise EvidenceError(f"cannot read {run / _ASKED}: {error}") from error


def read_matrix(out: Path, progress: Reporter) -> Matrix:
    """The newest nights of a matrix, each compared with those before it. A night that cannot be read, or that is being
    measured, is left out, and the matrix says so.

    Raises EvidenceError when there is no night that can be read.
    """
    runs = nights_in(out)
    if not runs:
        raise EvidenceError(f"{out} holds no night of a matrix", "add one with --kernels SPEC --scenarios NAME")
    nights: list[Night] = []
    keys: dict[str, str] = {}
    left_out: list[str] = []
    shown = runs[-MOST_NIGHTS:]
    with progress.task("reading nights", len(shown)) as task:
        for number, run in enumerate(shown, start=1):
            try:
                read = _read_night(run)
                nights.append(_compared(run, read, nights, keys))
                keys[read.night.run_id] = read.facts
            except OomtrialError as error:
                left_out.append(f"{run.name}: {error.what}")
            task.update(done=number, detail=run.name)
    if not nights:
        raise EvidenceError(f"{out} holds no night that can be read: {left_out[-1]}")
    return Matrix(nights=nights, older=len(runs) - len(shown), left_out=left_out)


def _read_night(run: Path) -> _Read:
    """A night without comparisons, from its tables or as it was read before."""
    record = read_run(run)
    if record.state == RunStatus.RUNNING:
        record = _closed(run)
    files = [RUN_FILE, _ASKED, "tables/rounds.parquet", "tables/kills.parquet"]
    facts = content_key(__version__, *((run / name).read_bytes() for name in files if (run / name).exists()))
    with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
        kept = msgspec.json.decode((run / _CELLS).read_bytes(), type=_Kept)
        if kept.facts == facts:
            night = msgspec.structs.replace(kept.night, directory=run.name)
            return _Read(night, facts, kept)
    return _Read(_night_of(run, record), facts, None)


def _closed(run: Path) -> RunRecord:
    """The record of a night that was killed, which is now an interrupted one, with the tables of its evidence.

    Raises EvidenceError when it is being measured.
    """
    try:
        held = hold_run(run)
    except UsageError as error:
        raise EvidenceError("it is being measured") from error
    try:
        record = read_run(run)
        if record.state == RunStatus.RUNNING:
            record = msgspec.structs.replace(record, state=RunStatus.INTERRUPTED)
            rebuild_tables(run, record=record)
            write_run(run, record)
        return record
    finally:
        os.close(held)


def _compared(run: Path, read: _Read, earlier: Sequence[Night], keys: dict[str, str]) -> Night:
    """The night with its comparisons; these too are kept."""
    bases = {reference.run_id for cell in read.night.cells if (reference := earlier_night(cell, earlier)) is not None}
    compared = content_key(*sorted(keys[base] for base in bases))
    if read.kept is not None and read.kept.compared == compared:
        return read.night
    night = compare_with_earlier(read.night, earlier)
    with contextlib.suppress(OomtrialError):  # a directory that may only be read
        write_atomically(run / _CELLS, msgspec.json.encode(_Kept(read.facts, compared, night)))
    return night


def _night_of(run: Path, record: RunRecord) -> Night:
    asked = _asked(run) or _Asked(record.arms, {})
    pool = pool_runs([run])
    summary = summarize_pool(pool, compare=False)
    arms = {(arm.arm, arm.scenario): arm for arm in summary.arms}
    scenarios = [scenario.name for scenario in record.scenarios]
    where = f"guests with {record.vcpus} vCPUs on {record.host.cores} host cores ({record.accel})"
    if record.engine is not None:
        where = f"containers on this machine's kernel, {record.host.cores} cores"
    return Night(
        run_id=record.run_id,
        directory=run.name,
        state=record.state,
        rounds=record.rounds,
        boots=record.boots,
        machine=where,
        arms=asked.arms,
        scenarios=scenarios,
        summaries={scenario.name: decode(scenario.name, scenario.text).summary for scenario in record.scenarios},
        conditions=_conditions(record),
        cells=[
            _cell(pool, record, arm, scenario, arms.get((arm.name, scenario)), asked.left_out)
            for scenario in scenarios
            for arm in asked.arms
        ],
        notes=[note for note in summary.notes if not _WARM_UP_NOTE.match(note)],
    )


def _conditions(record: RunRecord) -> dict[str, str]:
    """What must be the same in two nights that are compared: all but the kernels."""
    return {
        f"{subject}{field}": value
        for subject, field, value in conditions_of(record)
        if not subject.startswith("arm ") or field == "probes"
    }


def _cell(
    pool: Pool, record: RunRecord, arm: ArmSpec, scenario: str, measured: Arm | None, left_out: dict[str, str]
) -> Cell:
    kernel = next((kernel for kernel in record.kernels if kernel.spec == arm.kernel), None)
    why_not = left_out.get(arm.name, "")
    if not why_not:
        trials = [trial for trial in pool.trials if (trial.arm, trial.scenario) == (arm.name, scenario)]
        why_not = _why_none(record, trials, measured)
    return Cell(
        arm=arm.name,
        scenario=scenario,
        measured=None if why_not else measured,
        why_not=why_not,
        source=kernel.source if kernel else "",
        version=(kernel_version(kernel) or "") if kernel else "",
        key=kernel.key if kernel else "",
    )


def _why_none(record: RunRecord, trials: Sequence[TrialRecord], measured: Arm | None) -> str:
    """Why a cell has no round that says anything of its kernel; empty where it has. Guests that never came to a round do
    say something."""
    if measured is not None and (measured.completed_rounds or measured.rounds):
        return ""
    refused = next((trial for trial in trials if trial.outcome == Outcome.REFUSED), None)
    if refused is not None:
        return refused.reason or "the scenario does not do here what it declares"
    if not trials:
        return (
            "the kernel or the machine cannot run this scenario"
            if record.state == RunStatus.COMPLETE
            else "the night was interrupted before it"
        )
    return "" if measured is not None and measured.failed_rounds else "the night was interrupted before its first round"


# --- the site ---


def write_site(out: Path, progress: Reporter) -> Matrix:
    """Writes DIR/index.html and, for each night that has none, the pages of its runs. Returns what the page shows.

    Raises EvidenceError when there is no night that can be read, HostError when a page cannot be written.
    """
    matrix = read_matrix(out, progress)
    links: dict[str, dict[str, str]] = {}  # of the run's pages, by night and scenario
    wanted = [
        (night, scenario) for night in matrix.nights for scenario in night.scenarios if _has_rounds(night, scenario)
    ]
    missing = [(night, scenario) for night, scenario in wanted if not _is_current(out, night, scenario)]
    failed: dict[tuple[str, str], str] = {}
    if missing:
        with progress.task("pages of the nights", len(missing)) as task:
            for number, (night, scenario) in enumerate(missing, start=1):
                try:
                    report = open_report(_run_of(out, night), (), _MOST_ROUNDS, scenario)
                    write_page(report, _page_of(out, night, scenario))
                except (EvidenceError, UsageError) as error:
                    failed[night.run_id, scenario] = error.what
                    progress.say(f"no page of {night.run_id}, {scenario}: {error.what}")
                task.update(done=number, detail=f"{night.directory}, {scenario}")
    for night, scenario in wanted:
        if (night.run_id, scenario) not in failed:
            path = _page_of(out, night, scenario).relative_to(out)
            links.setdefault(night.run_id, {})[scenario] = quote(path.as_posix())
    write_atomically(out / PAGE, render_matrix(matrix, links).encode())
    return matrix


def _has_rounds(night: Night, scenario: str) -> bool:
    return any(cell.scenario == scenario and cell.measured is not None and cell.measured.rounds for cell in night.cells)


def _run_of(out: Path, night: Night) -> Path:
    return out / NIGHTS / night.directory


def _page_of(out: Path, night: Night, scenario: str) -> Path:
    """A file name that needs no escape; names that would be one are told apart by their place."""
    names = [_NO_LETTERS.sub("_", name) for name in night.scenarios]
    place = night.scenarios.index(scenario)
    apart = "" if names.count(names[place]) == 1 else f"-{place + 1}"
    return _run_of(out, night) / f"report-{names[place]}{apart}.html"


def _is_current(out: Path, night: Night, scenario: str) -> bool:
    """Whether the page was written after the run's record, which is written last."""
    page = _page_of(out, night, scenario)
    return page.exists() and page.stat().st_mtime >= (_run_of(out, night) / RUN_FILE).stat().st_mtime
