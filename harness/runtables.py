"""Tables and summary of a run directory: everything from raw evidence, at any time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.analysis.redundancy import classify
from harness.analysis.summary import Arm, Summary, compare, summarize_arm
from harness.collectors.evidence import TrialRecord, read_trial
from harness.collectors.rounds import read_evidence
from harness.errors import EvidenceError
from harness.rundir import RunRecord, read_run
from harness.spec.scenario import decode
from harness.tables.build import trial_rows
from harness.tables.schema import TABLES
from harness.tables.store import load_tables, save_tables


def rebuild_tables(run: Path) -> list[str]:
    """Makes a run's tables anew from its raw evidence. Returns what could not be read, by trial.

    Raises EvidenceError when the directory holds no run.
    """
    record = read_run(run)
    scenarios = {found.name: decode(found.name, found.text) for found in record.scenarios}
    rows: dict[str, list[dict[str, object]]] = {table.name: [] for table in TABLES}
    unreadable = []
    for directory in sorted((run / "trials").glob("*/")):
        try:
            evidence = read_evidence(directory)
        except EvidenceError as error:
            unreadable.append(str(error))
            continue
        for name, found in trial_rows(evidence, scenarios[evidence.record.scenario]).items():
            rows[name] += found
    frames = {table.name: table.frame(rows[table.name]) for table in TABLES}
    frames["kills"] = classify(frames["kills"], frames["rounds"], scenarios)
    save_tables(run / "tables", frames)
    return unreadable


def summarize(run: Path) -> Summary:
    """The summary of a run, from its tables.

    Raises EvidenceError when the run or a table is missing or damaged.
    """
    record = read_run(run)
    tables = load_tables(run / "tables")
    rounds, kills = tables["rounds"], tables["kills"]
    machine: dict[str, object] = {"vcpus": record.vcpus, "accel": record.accel, "host_cores": record.host.cores}
    early, unreadable = _trials_ended_early(run)
    complete = record.state == "complete"
    arms = []
    for scenario in record.scenarios:
        declared = decode(scenario.name, scenario.text)
        for spec in record.arms:
            here = _of(rounds, spec.name, scenario.name), _of(kills, spec.name, scenario.name)
            planned = sum(b.rounds for b in record.blocks if (b.arm, b.scenario) == (spec.name, scenario.name))
            ended = sum((trial.arm, trial.scenario) == (spec.name, scenario.name) for trial in early)
            arms.append(
                summarize_arm(
                    spec.name,
                    scenario.name,
                    machine,
                    planned,
                    *here,
                    complete=complete,
                    trials_ended_early=ended,
                    expected=declared.file.expect,
                    has_oracle=declared.has_oracle,
                )
            )
    unpatched = {kernel.spec for kernel in record.kernels if not kernel.patches}
    stock = next((spec.name for spec in record.arms if spec.kernel in unpatched), None)
    base = {arm.scenario: arm for arm in arms if arm.kernel == stock}
    comparisons = [compare(arm, base[arm.scenario]) for arm in arms if stock is not None and arm.kernel != stock]
    return Summary(
        run_id=record.run_id,
        state=record.state,
        arms=arms,
        comparisons=comparisons,
        disagreements=_disagreements(rounds),
        notes=[*_notes(record, arms), *map(_early_note, early), *(f"left out: {text}" for text in unreadable)],
    )


def _of(table: pd.DataFrame, arm: str, scenario: str) -> pd.DataFrame:
    return table[(table["arm"] == arm) & (table["scenario"] == scenario)]


def _trials_ended_early(run: Path) -> tuple[list[TrialRecord], list[str]]:
    """Trials that did not come to their last round, and those whose record cannot be read."""
    early, unreadable = [], []
    for directory in sorted((run / "trials").glob("*/")):
        try:
            trial = read_trial(directory)
        except EvidenceError as error:
            unreadable.append(str(error))
            continue
        if trial.outcome != "completed" or trial.rounds_begun < trial.rounds:
            early.append(trial)
    return early, unreadable


def _early_note(trial: TrialRecord) -> str:
    begun = f"after {trial.rounds_begun} of {trial.rounds} rounds" if trial.rounds_begun else "before its first round"
    return f"trial {trial.trial_id} ({trial.arm}, {trial.scenario}, boot {trial.boot}) ended {begun}: {trial.outcome}, {trial.reason or 'no reason given'}"


def _disagreements(rounds: pd.DataFrame) -> list[str]:
    departed = rounds[rounds["witness_disagreement"].notna()]
    return [
        f"{row.arm}, {row.scenario}, trial {row.trial_id}, round {row.round}: {row.witness_disagreement}"
        for row in departed.itertuples()
    ]


def _notes(record: RunRecord, arms: list[Arm]) -> list[str]:
    notes = []
    if record.vcpus > record.host.cores:
        notes.append(
            f"{record.vcpus} vCPUs on {record.host.cores} cores: a vCPU that waits for its core widens the window for a second kill"
        )
    if any("ignored" in arm.ci_method for arm in arms):
        notes.append("fewer than 8 boots an arm: the intervals ignore that rounds of one boot are alike")
    stock = {kernel.spec for kernel in record.kernels if not kernel.patches}
    for arm in arms:
        name = arm.kernel if len(record.scenarios) == 1 else f"{arm.kernel}, {arm.scenario}"
        if not arm.has_oracle:
            notes.append(f"{name}: the scenario declares no demand, so no kill is called redundant or surplus")
        if arm.unexpected_outcomes and arm.kernel in stock:
            notes.append(
                f"{name}: {arm.unexpected_outcomes} rounds ended otherwise than the scenario says of a stock kernel"
            )
        if (
            len(record.scenarios) == 1
            and arm.has_oracle
            and arm.completed_rounds
            and not arm.rounds_with_redundant
            and arm.ci_high is not None
        ):
            notes.append(
                f"{name}: none seen is not none; {arm.completed_rounds} rounds leave room for up to {100 * arm.ci_high:.1f} %"
            )
        if arm.witnesses_unchecked:
            notes.append(f"{name}: {arm.witnesses_unchecked} completed rounds lack a witness")
        if arm.kills_without_release:
            notes.append(f"{name}: {arm.kills_without_release} kills without a release in the trace of their round")
    for kernel in record.kernels:
        if kernel.config_not_taken:
            notes.append(f"{kernel.spec}: options that did not take: {', '.join(kernel.config_not_taken)}")
    return notes
