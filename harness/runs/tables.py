"""Tables and summary of a run directory: everything from raw evidence, at any time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from ..analysis.redundancy import classify
from ..analysis.summary import Summary
from ..collectors.files import TrialState, edited_files, read_trial, rounds_kept
from ..collectors.rounds import read_evidence
from ..errors import EvidenceError
from ..spec.scenarios import decode
from ..tables.build import trial_rows
from ..tables.schema import TABLES
from ..tables.store import save_tables
from .record import RunRecord, read_run
from .summary import summarize_runs


def rebuild_tables(run: Path, accept_edited: bool = False, record: RunRecord | None = None) -> list[str]:
    """Makes a run's tables anew from its raw evidence. Returns what was left out, by trial: evidence that cannot be read,
    or that is not what it was when its trial ended, unless that is accepted. `record`: that is about to be written.

    Raises EvidenceError when the directory holds no run.
    """
    record = record or read_run(run)
    scenarios = {scenario.name: decode(scenario.name, scenario.text) for scenario in record.scenarios}
    rows: dict[str, list[dict[str, object]]] = {table.name: [] for table in TABLES}
    rows["runs"].append(_run_row(record))
    unreadable = []
    directories = sorted((run / "trials").glob("*/"))
    kept = kept_rounds(directories)
    for directory in directories:
        try:
            edited = [] if accept_edited else edited_files(directory)
            evidence = read_evidence(directory)
        except EvidenceError as error:
            unreadable.append(str(error))
            continue
        if edited:
            unreadable.append(
                f"{directory}: {', '.join(edited)} changed since the trial ended; --accept-edited takes it"
            )
            continue
        trial = evidence.record
        counting = kept[trial.trial_id]
        if (
            trial.state == TrialState.INTERRUPTED
        ):  # the round that was cut off is not the kernel's failure: it was not run
            counting = range(counting.start, min(counting.stop, trial.first_round + evidence.rounds_finished))
        for name, new_rows in trial_rows(evidence, scenarios[trial.scenario], counting).items():
            rows[name] += new_rows
    frames = {table.name: table.frame(rows[table.name]) for table in TABLES}
    frames["kills"] = classify(frames["kills"], frames["rounds"], scenarios)
    save_tables(run / "tables", frames)
    return unreadable


def kept_rounds(directories: Iterable[Path]) -> dict[str, range]:
    """The rounds of each trial that count; trials without a record that can be read have none."""
    records = []
    for directory in directories:
        with contextlib.suppress(EvidenceError):
            records.append(read_trial(directory))
    return rounds_kept(records)


def _run_row(record: RunRecord) -> dict[str, object]:
    host = record.host
    names = (
        "run_id", "state", "oomtrial", "seed", "rounds", "boots", "vcpus", "memory_mib", "accel", "append",
    )  # fmt: skip
    row = {name: getattr(record, name) for name in names}
    return row | {"host_cores": host.cores, "host_cpu": host.cpu, "qemu": host.qemu}


def summarize(run: Path) -> Summary:
    """The summary of a run, from its tables.

    Raises EvidenceError when the run or a table is missing or damaged.
    """
    return summarize_runs([run])
