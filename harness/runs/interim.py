"""Interim analyses of a running experiment: what its arms have shown so far, and whether it is decided."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..analysis.rates import rate_of
from ..analysis.redundancy import classify
from ..analysis.summary import Summary
from ..analysis.tally import BootCount, by_boot, count_boots, counted
from ..analysis.verdicts import DECIDED
from ..collectors.rounds import read_evidence
from ..errors import EvidenceError
from ..report.liveview import ArmProgress
from ..spec.scenarios import decode
from ..tables.build import trial_rows
from ..tables.schema import KILLS, ROUNDS
from .pool import pool_tables
from .record import read_run
from .summary import summarize_pool
from .tables import kept_rounds


class InterimAnalysis:
    """What a run's tables would say by now. A trial is read once, at the first look after it, and counted then."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._read: set[Path] = set()
        self._tables = {"rounds": [ROUNDS.frame([])], "kills": [KILLS.frame([])]}
        self._counts: dict[tuple[str, str], list[BootCount]] = {}
        self.latest = ""  # the scenario of the trial that was read last
        self.summary: Summary | None = None  # of the last look at a decision

    def take(self) -> None:
        """Reads the trials that ended since the last look."""
        scenarios = {scenario.name: decode(scenario.name, scenario.text) for scenario in read_run(self._run).scenarios}
        directories = set((self._run / "trials").glob("*/"))
        fresh = sorted(directories - self._read)
        kept = kept_rounds(directories) if fresh else {}
        for directory in fresh:
            self._read.add(directory)
            try:
                evidence = read_evidence(directory)
            except EvidenceError:
                continue  # the tables at the end leave it out too, and say so
            trial = evidence.record
            rows = trial_rows(evidence, scenarios[trial.scenario], kept[trial.trial_id])
            rounds = ROUNDS.frame(rows["rounds"])
            kills = classify(KILLS.frame(rows["kills"]), rounds, scenarios)
            self.add(trial.arm, trial.scenario, rounds, kills)

    def add(self, arm: str, scenario: str, rounds: pd.DataFrame, kills: pd.DataFrame) -> None:
        """Counts the rows of one trial."""
        self._tables["rounds"].append(rounds)
        self._tables["kills"].append(kills)
        self._counts.setdefault((arm, scenario), []).extend(count_boots(*counted(rounds, kills), {}))
        self.latest = scenario

    def progress(self) -> list[ArmProgress]:
        """Each arm of each scenario as far as it was read, in the order of the run."""
        record = read_run(self._run)
        planned: dict[tuple[str, str], int] = {}
        for block in record.blocks:
            planned[block.arm, block.scenario] = planned.get((block.arm, block.scenario), 0) + block.rounds
        keys = [(arm.name, scenario.name) for scenario in record.scenarios for arm in record.arms]
        return [self._progress_of(key, planned.get(key, 0)) for key in keys if key in planned]

    def _progress_of(self, key: tuple[str, str], planned: int) -> ArmProgress:
        boots = by_boot(self._counts.get(key, []))
        completed, redundant = [boot.completed for boot in boots], [boot.redundant for boot in boots]
        unknown = [boot.unknown for boot in boots]
        rate = rate_of(redundant, completed)
        high = rate.high
        if any(unknown):
            high = rate_of([sure + maybe for sure, maybe in zip(redundant, unknown, strict=True)], completed).high
        return ArmProgress(
            arm=key[0],
            scenario=key[1],
            planned=planned,
            completed=rate.rounds,
            failed=sum(boot.failed for boot in boots),
            redundant=rate.hits,
            surplus=sum(boot.surplus for boot in boots),
            unknown=sum(unknown),
            low=rate.low,
            high=high,
        )

    def is_decided(self) -> bool:
        """Whether every comparison with the first stock arm has its verdict; never, where nothing is compared. Stock measured again
        is never better or worse but by chance: nobody waits for it."""
        self.take()
        rounds, kills = (pd.concat(self._tables[name], ignore_index=True) for name in ("rounds", "kills"))
        self._tables = {"rounds": [rounds], "kills": [kills]}
        summary = self.summary = summarize_pool(pool_tables(read_run(self._run), rounds, kills), is_interim=True)
        # A scenario that was refused on an arm has no rounds there, and never will have.
        running = {(arm.arm, arm.scenario) for arm in summary.arms if arm.rounds}
        verdicts = [
            comparison.verdict
            for comparison in summary.comparisons
            if (comparison.arm, comparison.scenario) in running and not comparison.is_null
        ]
        return bool(verdicts) and DECIDED.issuperset(verdicts)
