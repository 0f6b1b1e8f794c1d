"""Looks at a run that goes on until it is decided."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..analysis.redundancy import classify
from ..collectors.rounds import read_evidence
from ..errors import EvidenceError
from ..spec.scenario import decode
from ..tables.build import trial_rows
from ..tables.schema import KILLS, ROUNDS
from .pool import pool_tables
from .record import read_run
from .summary import summarize_pool
from .tables import kept_rounds

_DECIDED = {"better", "worse", "mixed"}


class InterimAnalysis:
    """What a run's tables would say by now. A trial is read once, at the first look after it."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._read: set[Path] = set()
        self._tables = {"rounds": ROUNDS.frame([]), "kills": KILLS.frame([])}

    def is_decided(self) -> bool:
        """Whether every comparison with the first stock arm has its verdict; never, where nothing is compared."""
        record = read_run(self._run)
        scenarios = {found.name: decode(found.name, found.text) for found in record.scenarios}
        directories = set((self._run / "trials").glob("*/"))
        kept = kept_rounds(directories)
        for directory in sorted(directories - self._read):
            self._read.add(directory)
            try:
                evidence = read_evidence(directory)
            except EvidenceError:
                continue  # the tables at the end leave it out too, and say so
            trial = evidence.record
            rows = trial_rows(evidence, scenarios[trial.scenario], kept[trial.trial_id])
            rounds = ROUNDS.frame(rows["rounds"])
            kills = classify(KILLS.frame(rows["kills"]), rounds, scenarios)
            for name, found in (("rounds", rounds), ("kills", kills)):
                self._tables[name] = pd.concat([self._tables[name], found], ignore_index=True)
        summary = summarize_pool(pool_tables(record, self._tables["rounds"], self._tables["kills"]))
        # A scenario that was refused on an arm has no rounds there, and never will have.
        running = {(arm.kernel, arm.scenario) for arm in summary.arms if arm.rounds}
        verdicts = [each.verdict for each in summary.comparisons if (each.kernel, each.scenario) in running]
        return bool(verdicts) and _DECIDED.issuperset(verdicts)
