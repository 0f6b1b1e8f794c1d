"""Reads the nights of a matrix: kernels by scenarios, each night compared with those before it.

A night's `cells.json` is made from its run's tables again whenever it is missing or does not fit them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..analysis.arm import Arm
from ..analysis.matrix import Cell, Matrix, Night, compare_with_earlier, earlier_night
from ..collectors.files import TrialRecord
from ..errors import EvidenceError, OomtrialError, UsageError
from ..kernels.release import kernel_version
from ..progress import Reporter
from ..runs.pool import Pool, conditions_of, pool_runs
from ..runs.record import RUN_FILE, RunRecord, RunStatus, hold_run, read_run, write_run
from ..runs.summary import summarize_pool
from ..runs.tables import rebuild_tables
from ..spec.arm import ArmSpec
from ..spec.machine import machine_words
from ..spec.outcome import Outcome
from ..spec.scenarios import decode
from ..system.paths import content_key, write_atomically
from ..version import __version__
from .nights import NIGHT_REQUEST_FILE, NightRequest, nights_in, read_night_request

MOST_NIGHTS = 90  # that the page shows
_CELLS = "cells.json"
_WARM_UP_NOTE = re.compile(r"\d+ warm-up rounds")


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
    files = [RUN_FILE, NIGHT_REQUEST_FILE, "tables/rounds.parquet", "tables/kills.parquet"]
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
    asked = read_night_request(run) or NightRequest(record.arms, {})
    pool = pool_runs([run])
    summary = summarize_pool(pool, compare=False)
    arms = {(arm.arm, arm.scenario): arm for arm in summary.arms}
    scenarios = [scenario.name for scenario in record.scenarios]
    where = f"guests with {machine_words(record.vcpus, record.host.cores, record.accel)}"
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
