"""Runs put together: what may be pooled, what must not, and the tables of all of them as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pandas as pd

from ..collectors.files import TrialRecord, read_trial
from ..errors import EvidenceError, UsageError
from ..spec.outcome import Outcome
from ..tables.schema import KILLS, ROUNDS, TRIALS
from ..tables.store import load_table
from .record import RunRecord, read_run

_KERNEL_KEY = "kernel key"


@dataclass(frozen=True)
class Pool:
    """One run or more, with the rounds and kills of all.

    The tables have one column more, `block`: the planned boot, and the run where there are several.
    """

    records: list[RunRecord]
    rounds: pd.DataFrame
    kills: pd.DataFrame
    ended_early: list[TrialRecord]
    unreadable: list[str]  # trials whose record cannot be read
    trials: Sequence[TrialRecord] = ()  # all others
    differences: Sequence[str] = ()  # between arms of one name in several runs, which are kept apart

    @property
    def is_sequential(self) -> bool:
        """Whether any of the runs was planned with --until-decided, and may have ended as soon as it was decided."""
        return any(record.until_decided for record in self.records)

    def block(self, record: RunRecord, boot: int) -> str:
        """The name of a run's planned boot in the column `block`."""
        return _block(record, boot, is_alone=len(self.records) == 1)


def pool_runs(runs: Sequence[Path], by_run: bool | None = None) -> Pool:
    """Reads runs and puts them together. `by_run`: an arm of each run is an arm of its own, so that they can be compared;
    by default that of runs on the arm `host`, which are this machine at one time and at another. Where it is asked for, arms
    of one name may differ in kernel and probes.

    Raises EvidenceError when a run or a table is missing or damaged, UsageError when two runs must not be pooled, naming
    what differs and in which run.
    """
    records = [read_run(run) for run in runs]
    refuse_to_pool([_with_own_arms(record) for record in records] if by_run else records)
    differences = _differences_of_arms(records)
    tables = [(load_table(run / "tables", ROUNDS), load_table(run / "tables", KILLS)) for run in runs]
    trials, unreadable = _trials(runs)
    if len(runs) > 1 and (all(record.engine for record in records) if by_run is None else by_run):
        tables = [
            (_arm_of_run(rounds, record), _arm_of_run(kills, record))
            for (rounds, kills), record in zip(tables, records, strict=True)
        ]
        trials = [
            [msgspec.structs.replace(trial, arm=_name_in(record, trial.arm)) for trial in run_trials]
            for run_trials, record in zip(trials, records, strict=True)
        ]
        records = [_with_own_arms(record) for record in records]
    every = [trial for run_trials in trials for trial in run_trials]
    early = [trial for trial in every if trial.outcome != Outcome.COMPLETED or trial.rounds_begun < trial.rounds]
    is_alone = len(records) == 1
    rounds, kills = (
        pd.concat(
            [
                _with_block(run_tables[side], record, is_alone=is_alone)
                for run_tables, record in zip(tables, records, strict=True)
            ],
            ignore_index=True,
        )
        for side in (0, 1)
    )
    return Pool(records, rounds, kills, early, unreadable, every, differences)


def pool_tables(record: RunRecord, rounds: pd.DataFrame, kills: pd.DataFrame) -> Pool:
    """One run, as far as it has come, from its tables."""
    named = [_with_block(table, record, is_alone=True) for table in (rounds, kills)]
    return Pool([record], named[0], named[1], [], [])


def _block(record: RunRecord, boot: int, *, is_alone: bool) -> str:
    return str(boot) if is_alone else f"{record.run_id}/{boot}"


def _with_block(table: pd.DataFrame, record: RunRecord, *, is_alone: bool) -> pd.DataFrame:
    boots = {int(boot): _block(record, int(boot), is_alone=is_alone) for boot in table["boot"].dropna().unique()}
    table = table.assign(block=table["boot"].map(boots).astype("string"))
    if not is_alone:
        table["trial_id"] = record.run_id + "/" + table["trial_id"]
    return table


def _name_in(record: RunRecord, arm: str) -> str:
    return f"{arm} {record.run_id}"


def _arm_of_run(table: pd.DataFrame, record: RunRecord) -> pd.DataFrame:
    return table.assign(arm=(table["arm"] + f" {record.run_id}").astype("string"))


def _with_own_arms(record: RunRecord) -> RunRecord:
    return msgspec.structs.replace(
        record,
        arms=[msgspec.structs.replace(arm, name=_name_in(record, arm.name)) for arm in record.arms],
        blocks=[msgspec.structs.replace(block, arm=_name_in(record, block.arm)) for block in record.blocks],
    )


def _trials(runs: Sequence[Path]) -> tuple[list[list[TrialRecord]], list[str]]:
    """The trials of each run, and those of any whose record cannot be read."""
    by_run: list[list[TrialRecord]] = []
    unreadable = []
    for run in runs:
        trials: list[TrialRecord] = []
        if not (run / "trials").is_dir() and (run / "tables" / f"{TRIALS.name}.parquet").exists():
            trials += _trials_of_set(run)
        for directory in sorted((run / "trials").glob("*/")):
            try:
                trials.append(read_trial(directory))
            except EvidenceError as error:
                unreadable.append(str(error))
        by_run.append(trials)
    return by_run, unreadable


def _trials_of_set(run: Path) -> list[TrialRecord]:
    """Of a set of tables without raw evidence."""
    table = load_table(run / "tables", TRIALS).drop(columns=["boot_id"])
    return [
        # a set has nulls in columns that are younger than it
        msgspec.convert({str(name): value for name, value in row.items() if not pd.isna(value)}, TrialRecord)
        for row in table.to_dict("records")
    ]


def refuse_to_pool(records: Sequence[RunRecord]) -> None:
    """Raises UsageError when something differs on which the share of redundant kills depends.

    Kernel and probes must be those of the same arm elsewhere; machine, workload and evidence those of any run: arms of two
    machines cannot be compared either.
    """
    if len({record.run_id for record in records}) < len(records):
        twice = next(
            record.run_id for n, record in enumerate(records) if record.run_id in [r.run_id for r in records[:n]]
        )
        raise UsageError(f"run {twice} is named twice", "name each run once")
    if len(records) > 1 and (sequential := [record for record in records if record.until_decided]):
        raise UsageError(
            f"run {sequential[0].run_id} ran until it was decided and cannot be pooled",
            "compare it alone: the result that stopped it would count twice",
        )
    if len(records) > 1 and (disturbed := [record for record in records if record.disturbed]):
        raise UsageError(f"run {disturbed[0].run_id} cannot be pooled: {disturbed[0].disturbed}", "use it alone")
    if len(records) > 1 and (amplified := [record for record in records if record.amplified]):
        raise UsageError(
            f"run {amplified[0].run_id} was amplified and cannot be pooled",
            "use it alone: its shares are those of slow deciders",
        )
    for found in _departures(records):
        raise UsageError(
            f"runs {found.run} and {found.other_run} cannot be pooled: {found}",
            "--by-run compares them as arms of their own" if found.is_of_arm else "compare them separately",
        )


@dataclass(frozen=True)
class _Departure:
    """A condition that differs between two runs."""

    subject: str
    field: str
    run: str
    value: str
    other_run: str
    other_value: str

    @property
    def is_of_arm(self) -> bool:
        return self.subject.startswith("arm ")

    def __str__(self) -> str:
        return (
            f"{self.subject}{self.field} is {self.value!r} in {self.run}, and {self.other_value!r} in {self.other_run}"
        )


def _departures(records: Sequence[RunRecord]) -> Iterator[_Departure]:
    """Each condition of a run that is not that of the first run that has it."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for record in records:
        for subject, field, value in conditions_of(record):
            first, run = seen.setdefault((subject, field), (value, record.run_id))
            if first != value:
                yield _Departure(subject, field, run, first, record.run_id, value)


def _differences_of_arms(records: Sequence[RunRecord]) -> list[str]:
    """In what arms of one name differ; the key of a kernel only where nothing that it is made of does."""
    found = [each for each in _departures(records) if each.is_of_arm]
    explained = {(each.subject, each.other_run) for each in found if each.field != _KERNEL_KEY}
    return [str(each) for each in found if each.field != _KERNEL_KEY or (each.subject, each.other_run) not in explained]


def conditions_of(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    """What must be the same in runs that are pooled: of what, the field, its value. What is of an arm comes last."""
    for field, value in (
        ("vcpus", record.vcpus),
        ("memory_mib", record.memory_mib),
        ("accel", record.accel),
        ("host cores", record.host.cores),
        ("CPU quota", record.host.cpu_quota),
        ("host CPU", record.host.cpu),
        ("QEMU", record.host.qemu),
        ("append", record.append),
        ("guests beside", record.concurrent_guests),
        ("rootfs", record.rootfs),
        ("evidence format", record.format),
        ("engine's cgroup", record.engine.cgroup if record.engine else ""),
        *((f"image {name}", key) for name, key in sorted(record.images.items())),
    ):
        yield "", field, str(value)
    for scenario in record.scenarios:
        yield f"scenario {scenario.name}: ", "version", scenario.version
        if record.engine is None:
            # rounds of one boot are alike, and the first are not like the others
            sizes = sorted({block.rounds for block in record.blocks if block.scenario == scenario.name})
            yield f"scenario {scenario.name}: ", "rounds per boot", " or ".join(map(str, sizes))
            yield f"scenario {scenario.name}: ", "warm-up rounds per boot", str(record.warm_up)
    kernels = {kernel.spec: kernel for kernel in record.kernels}
    for arm in record.arms:
        yield f"arm {arm.name}: ", "probes", str(arm.probes)
        if kernel := kernels.get(arm.kernel):
            # the key is of all; what it is made of is named first, as it says more
            yield f"arm {arm.name}: ", "config", kernel.config_key
            yield f"arm {arm.name}: ", "compiler", kernel.compiler
            yield f"arm {arm.name}: ", "patches", ", ".join(f"{name} {key}" for name, key in kernel.patches.items())
            yield f"arm {arm.name}: ", "source", kernel.source
            yield f"arm {arm.name}: ", _KERNEL_KEY, kernel.key
