"""The summary of one run, or of several that are pooled, from their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ..analysis.arm import KILL_COLUMNS, ROUND_COLUMNS, Arm, ArmRun, summarize_arm
from ..analysis.columns import flags
from ..analysis.summary import Summary
from ..analysis.verdict import compare_all
from ..collectors.files import TrialRecord
from ..errors import unknown
from ..report.armnames import short_names
from ..spec.arm import AMPLIFIER
from ..spec.boots import DEFAULT_ICC, MIN_BOOTS, MOST_INTERIM_ROUNDS
from ..spec.scenario import Scenario
from ..spec.scenarios import decode
from .pool import Pool, pool_runs
from .record import RunStatus

# Of the host's CPU time: a quiet host stays below it, with the kernel's own work.
_CONTENDED_SHARE = 0.1


def summarize_runs(runs: Sequence[Path], baseline: str | None = None, by_run: bool | None = None) -> Summary:
    """The summary of runs; `baseline`: name of an arm, its kernel spec, or its short name; else the first of a stock kernel; `by_run`: see `pool_runs`.

    Raises EvidenceError when a run or a table is missing or damaged, UsageError when runs must not be pooled, or there is
    no such arm.
    """
    return summarize_pool(pool_runs(runs, by_run), baseline)


def summarize_pool(
    pool: Pool, baseline: str | None = None, *, compare: bool = True, is_interim: bool = False
) -> Summary:
    """The summary of runs that are read. `compare`: with the comparisons, which take seconds where they are undecided;
    `is_interim`: for the question whether a run is decided, without what takes these seconds."""
    arms = [_arm(pool, name, scenario) for scenario in _scenarios(pool) for name in _arm_names(pool, scenario.name)]
    names = list(dict.fromkeys(arm.arm for arm in arms))
    if baseline is not None and baseline not in names:
        baseline = _arm_called(baseline, pool, names)
    stock = baseline or _first_stock(pool)
    base = {arm.scenario: arm for arm in arms if arm.arm == stock}
    pairs = [(arm, base[arm.scenario]) for arm in arms if arm.arm != stock and arm.scenario in base]
    nulls = _same_as(pool, stock)
    states = list(dict.fromkeys(record.state for record in pool.records))
    return Summary(
        run_id=" + ".join(record.run_id for record in pool.records),
        state=states[0] if len(states) == 1 else ", ".join(f"{r.run_id} {r.state}" for r in pool.records),
        arms=arms,
        comparisons=compare_all(pairs, is_sequential=pool.is_sequential, nulls=nulls, is_interim=is_interim)
        if pairs and compare
        else [],
        disagreements=_disagreements(pool.rounds),
        notes=[*_notes(pool, arms, stock), *map(_early_note, pool.ended_early), *(f"left out: {text}" for text in pool.unreadable)],
    )  # fmt: skip


def _scenarios(pool: Pool) -> list[Scenario]:
    """Of all runs, each once: runs that are pooled agree about it."""
    texts = {scenario.name: scenario.text for record in pool.records for scenario in record.scenarios}
    return [decode(name, text) for name, text in texts.items()]


def _arm_names(pool: Pool, scenario: str) -> list[str]:
    return list(
        dict.fromkeys(
            arm.name
            for record in pool.records
            if scenario in [recorded.name for recorded in record.scenarios]
            for arm in record.arms
        )
    )


def _arm_called(text: str, pool: Pool, names: Sequence[str]) -> str:
    """The arm with this kernel, or with this short name, as mails and pages have it.

    Raises UsageError when there is none.
    """
    arms = {arm.name: arm for record in pool.records for arm in record.arms}
    short = short_names(list(arms.values()))
    called = [name for name, arm in arms.items() if name in names and text in (arm.kernel, short[name])]
    if not called:
        raise unknown("arm", text, [*names, *(short[name] for name in names if name in short)])
    return called[0]


def _first_stock(pool: Pool) -> str | None:
    unpatched = _unpatched(pool)
    return next((arm.name for record in pool.records for arm in record.arms if arm.kernel in unpatched), None)


def _unpatched(pool: Pool) -> set[str]:
    """Of an amplified run, kernels that have no patch but what amplifies."""
    return {
        kernel.spec
        for record in pool.records
        for kernel in record.kernels
        if set(kernel.patches) <= ({AMPLIFIER} if record.amplified else set())
    }


def _same_as(pool: Pool, baseline: str | None) -> set[str]:
    """Arms of the baseline's own kernel that took turns with it, under the same probes: stock against stock."""
    same = set()
    for record in pool.records:
        for base in (arm for arm in record.arms if arm.name == baseline):
            same |= {arm.name for arm in record.arms if (arm.kernel, arm.probes) == (base.kernel, base.probes)}
    return same - {baseline}


def _arm(pool: Pool, name: str, scenario: Scenario) -> Arm:
    record = pool.records[0]  # the machine is that of every run
    planned: dict[str, int] = {}
    ended = set()
    for run_record in pool.records:
        for block in run_record.blocks:
            if (block.arm, block.scenario) == (name, scenario.name):
                key = pool.block(run_record, block.boot)
                planned[key] = planned.get(key, 0) + block.rounds
                if run_record.state == RunStatus.COMPLETE:
                    ended.add(key)
    run = ArmRun(
        arm=name,
        scenario=scenario.name,
        vcpus=record.vcpus,
        accel=record.accel,
        host_cores=record.host.cores,
        planned=planned,
        ended=ended,
        trials_ended_early=sum((trial.arm, trial.scenario) == (name, scenario.name) for trial in pool.ended_early),
        rounds_per_minute=_rounds_per_minute(pool, name, scenario.name),
        boot_s=_boot_s(pool, name, scenario.name),
        expected=scenario.file.expect,
        has_oracle=scenario.has_oracle,
        deadline_s=scenario.round_deadline_s,
    )
    rounds = _of(pool.rounds, name, scenario.name, ROUND_COLUMNS)
    return summarize_arm(run, rounds, _of(pool.kills, name, scenario.name, KILL_COLUMNS))


def _rounds_per_minute(pool: Pool, arm: str, scenario: str) -> float | None:
    trials = [trial for trial in pool.trials if (trial.arm, trial.scenario) == (arm, scenario)]
    seconds = sum(trial.rounds_s for trial in trials)
    return 60 * sum(trial.rounds_begun for trial in trials) / seconds if seconds else None


def _boot_s(pool: Pool, arm: str, scenario: str) -> float | None:
    trials = [trial for trial in pool.trials if (trial.arm, trial.scenario) == (arm, scenario)]
    return sum(trial.guest_start_s + trial.containers_start_s for trial in trials) / len(trials) if trials else None


def _of(table: pd.DataFrame, arm: str, scenario: str, columns: Sequence[str]) -> pd.DataFrame:
    """The rows of an arm; tables of before may lack a column."""
    rows = flags((table["arm"] == arm) & (table["scenario"] == scenario))
    return table[[column for column in columns if column in table]][rows]


def _early_note(trial: TrialRecord) -> str:
    begun = f"after {trial.rounds_begun} of {trial.rounds} rounds" if trial.rounds_begun else "before its first round"
    return f"trial {trial.trial_id} ({trial.arm}, {trial.scenario}, boot {trial.boot}) ended {begun}: {trial.outcome}, {trial.reason or 'no reason given'}"


def _disagreements(rounds: pd.DataFrame) -> list[str]:
    departed = rounds[rounds["witness_disagreement"].notna()]
    return [
        f"{row.arm}, {row.scenario}, trial {row.trial_id}, round {row.round}: {row.witness_disagreement}"
        for row in departed.itertuples()
    ]


def _notes(pool: Pool, arms: list[Arm], baseline: str | None) -> list[str]:
    notes, record = [], pool.records[0]
    if record.engine is not None:
        notes.append(f"host: {record.kernels[0].source}; {record.engine}; processor {record.host.cpu}")
        if any(arm.kills for arm in arms) and not any(arm.decisions_traced for arm in arms):
            notes.append(
                "host: the trace shows no decision (this kernel has no kprobe events, or --probes none), so the class of a"
                " second kill in a round is unknown; overlap is estimated from the kernel log"
            )
    several = len({arm.scenario for arm in arms}) > 1
    if record.vcpus > record.host.cores:
        notes.append(
            f"{record.vcpus} vCPUs on {record.host.cores} cores: vCPUs wait for a core, which widens the window for a second kill"
        )
    if record.disturbed:
        notes.append(
            f"{record.disturbed}, which widens the window for a second kill: do not compare this run with others"
        )
    if record.concurrent_guests:
        notes.append(
            f"up to {record.concurrent_guests} other guests ran at the same time and used cores, which widens the window too"
        )
    notes += _contention_notes(pool)
    if any(arm.boots < MIN_BOOTS for arm in arms):
        notes.append(
            f"fewer than {MIN_BOOTS} boots per arm: the correlation of rounds within a boot is assumed (ICC {DEFAULT_ICC}), not estimated"
        )
    notes += _notes_of_design(pool, arms)
    stock = _unpatched(pool)
    notes += _apart(pool, baseline)
    for arm in arms:
        name = f"{arm.arm}, {arm.scenario}" if several else arm.arm
        if not arm.has_oracle:
            notes.append(f"{name}: the scenario declares no demand, so no kill is classified as redundant or surplus")
        if arm.unexpected_outcomes and arm.arm in stock:
            notes.append(
                f"{name}: {arm.unexpected_outcomes} rounds had an outcome that the scenario does not expect of a stock kernel"
            )
        if (
            not several
            and arm.has_oracle
            and arm.completed_rounds
            and not arm.rounds_with_redundant
            and arm.ci_high_at_most is not None
        ):
            hits = f"0 to {arm.rounds_with_unknown}" if arm.rounds_with_unknown else "0"
            notes.append(
                f"{name}: {hits} of {arm.completed_rounds}: the true rate could still be up to {100 * arm.ci_high_at_most:.1f} % (95 % CI)"
            )
        if arm.starved_rounds or arm.maybe_starved_rounds:
            notes.append(f"{name}: {_starved(arm)}")
        if arm.foreign_kills:
            notes.append(
                f"{name}: {arm.foreign_kills} kills of other processes on the machine during its rounds are not counted (table foreign_kills)"
            )
        if arm.witnesses_unchecked:
            notes.append(f"{name}: {arm.witnesses_unchecked} completed rounds lack a witness")
        if arm.kills_without_release:
            notes.append(f"{name}: {arm.kills_without_release} kills without a release in the trace of their round")
    return [*notes, *pool.differences, *_not_taken(pool)]


def _contention_notes(pool: Pool) -> list[str]:
    """CPU time that the host did not have for the run, where it is enough to change a share."""
    notes = []
    for share, whose in (
        (
            _of_trials(pool, lambda trial: trial.host_steal_share),
            "the hypervisor gave {} % of the host's CPU time to other machines (steal)",
        ),
        (_of_trials(pool, lambda trial: trial.host_others_share), "other processes used {} % of the host's CPU time"),
    ):
        if share is not None and share >= _CONTENDED_SHARE:
            notes.append(
                f"{whose.format(round(100 * share))} during the rounds, which widens the window for a second kill:"
                " compare the arms of this run only with each other"
            )
    return notes


def _of_trials(pool: Pool, share: Callable[[TrialRecord], float | None]) -> float | None:
    """The mean of a share over the trials that have it, each by the time of its rounds; None if none has."""
    known = [(of_trial, trial.rounds_s) for trial in pool.trials if (of_trial := share(trial)) is not None]
    seconds = sum(rounds_s for _, rounds_s in known)
    return sum(of_trial * rounds_s for of_trial, rounds_s in known) / seconds if seconds else None


def _starved(arm: Arm) -> str:
    text = (
        f"a survivor was starved in {arm.starved_rounds} of {arm.completed_rounds} completed rounds: it waited longer than"
        f" {arm.starved_after_s:g} s, half of the deadline, for one page"
    )
    if arm.maybe_starved_rounds:
        text += f"; {arm.maybe_starved_rounds} rounds more lasted so long, and not all of their waits were kept"
    return text


def _not_taken(pool: Pool) -> list[str]:
    """Config options that the kernels do not have, each set once with the arms that lack it."""
    lacking: dict[str, list[str]] = {}
    names = list(dict.fromkeys(arm.name for run in pool.records for arm in run.arms))
    for run in pool.records:
        built = {kernel.spec: ", ".join(kernel.config_not_taken) for kernel in run.kernels}
        for arm in run.arms:
            options = built.get(arm.kernel)
            if options and arm.name not in lacking.setdefault(options, []):
                lacking[options].append(arm.name)
    return [
        f"{'every arm' if len(arms) == len(names) and len(arms) > 1 else ', '.join(arms)}: config options that had no effect: {options}"
        for options, arms in lacking.items()
    ]


def _notes_of_design(pool: Pool, arms: list[Arm]) -> list[str]:
    """How the run was made, as far as it changes what its figures mean."""
    notes = []
    if any(record.amplified for record in pool.records):
        notes.append(
            f"amplified: every arm has {AMPLIFIER}, so shares are P(redundant kill | slow decider), not rates in the field"
        )
    if pool.is_sequential:
        notes.append(
            "the run stopped once it was decided: its differences are biased upwards, by about 15 % if that took many blocks"
            " (docs/statistics.md), and the intervals do not account for the interim analyses"
        )
        if (
            longest := max((block.rounds for record in pool.records for block in record.blocks), default=0)
        ) > MOST_INTERIM_ROUNDS:
            notes.append(
                f"{longest} rounds between interim analyses: blocks of 4 to {MOST_INTERIM_ROUNDS} rounds decide sooner"
            )
    warm_up = sum(arm.warm_up_rounds for arm in arms)
    if warm_up:
        failed = sum(arm.warm_up_failed for arm in arms)
        not_completed = f", {failed} of which did not complete" if failed else ""
        rounds = (
            "1 warm-up round, the first of the boot, is"
            if warm_up == 1
            else f"{warm_up} warm-up rounds, the first of each boot, are"
        )
        notes.append(f"{rounds} recorded but not counted{not_completed}")
    elif any(arm.rounds for arm in arms) and all(record.engine is None for record in pool.records):
        notes.append("no warm-up: the first rounds of each boot are counted, and they differ from the others")
    return notes


def _apart(pool: Pool, baseline: str | None) -> list[str]:
    """Arms that never took turns with the baseline: a drift of the machine between the runs would look like a difference."""
    beside = {arm.name for run in pool.records if baseline in [a.name for a in run.arms] for arm in run.arms}
    apart = {arm.name: None for run in pool.records for arm in run.arms if arm.name not in beside}
    if baseline is None:
        return []
    return [f"{name} and {baseline} were measured in different runs: they did not take turns" for name in apart]
