"""Kernel logs with the truth beside them: `oomtrial.load_captures`, for notebooks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import EvidenceError
from ..runs.record import RUN_FILE
from .accuracy import captured_cases, evidence_counts, run_cases, score


@dataclass(frozen=True)
class Captures:
    """Kills of kernel logs, each with what the log's estimate says of it and what the trace knows."""

    cases: (
        pd.DataFrame
    )  # one row a kill: answer (yes, no, unknown), evidence, overlapping (the truth), source, scenario

    def __repr__(self) -> str:
        return f"<Captures: {len(self.cases)} kills of {self.cases['source'].nunique()} sources>"

    def score(self, by: str = "source") -> pd.DataFrame:
        """Precision and recall of the estimate with 95 % intervals by boot: of each group of kernels, and by `source` or `scenario`."""
        return score(self.cases, by)

    @property
    def evidence(self) -> pd.DataFrame:
        """How often each kind of evidence is right."""
        return evidence_counts(self.cases)


def load_captures(path: str | os.PathLike[str]) -> Captures:
    """Reads a directory of captured logs (NAME.kmsg.xz with NAME.truth.json), or a run with its raw evidence.

    Raises EvidenceError when there are none, or a run or its table is damaged.
    """
    directory = Path(path)
    cases = run_cases(directory) if (directory / RUN_FILE).is_file() else captured_cases(directory)
    if cases.empty:
        raise EvidenceError(
            f"no captured kernel log in {directory}", "name a directory with NAME.kmsg.xz files, or a run"
        )
    return Captures(cases)
