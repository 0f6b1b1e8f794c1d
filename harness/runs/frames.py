"""`oomtrial.load_run`: a run as DataFrames, for notebooks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd

from ..analysis.arm import OUTCOMES
from ..analysis.redundancy import CLASSES
from ..analysis.summary import Summary
from ..tables.store import load_tables
from .record import RunRecord, read_run
from .summary import summarize_runs


@dataclass(frozen=True)
class Run:
    """A run on disk, or the tables of one (`oomtrial tables export`).

    The tables are those of harness/tables/schema.py, with two changes: a column in microseconds is a timedelta, and loses
    its ending (`duration_us` is `duration`); arm, scenario, outcome and kill_class are ordered categories, arms and
    scenarios in the order of the run. Times of the trace and of the kernel log are since the boot of the guest.
    """

    path: Path
    record: RunRecord
    rounds: pd.DataFrame  # one row a round
    kills: pd.DataFrame  # one row a process killed
    reports: pd.DataFrame  # one row a printed report
    releases: pd.DataFrame  # one row an mm gone

    @cached_property
    def summary(self) -> Summary:
        """What `oomtrial summary` says."""
        return summarize_runs([self.path], None)

    @cached_property
    def arms(self) -> pd.DataFrame:
        """The summary's figures, one row an arm and scenario (harness/analysis/arm.py)."""
        rows = [msgspec.to_builtins(arm) for arm in self.summary.arms]
        frame = pd.DataFrame(rows).drop(columns=["outcomes", "by_boot"]).rename(columns={"kernel": "arm"})
        return frame.join(pd.DataFrame([row["outcomes"] for row in rows])[list(OUTCOMES)])

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Each arm against the first stock arm, with verdict (harness/analysis/verdict.py)."""
        rows = [msgspec.to_builtins(found) for found in self.summary.comparisons]
        return pd.DataFrame(rows).rename(columns={"kernel": "arm"})


def load_run(path: str | os.PathLike[str]) -> Run:
    """Reads a run's directory, or a set of tables that was exported from one.

    Raises EvidenceError when it is missing or damaged, saying which file.
    """
    directory = Path(path)
    record = read_run(directory)
    categories = {
        "arm": [arm.name for arm in record.arms],
        "scenario": [scenario.name for scenario in record.scenarios],
        "outcome": list(OUTCOMES),
        "kill_class": list(CLASSES),
    }
    tables = {name: _dressed(table, categories) for name, table in load_tables(directory / "tables").items()}
    return Run(directory, record, tables["rounds"], tables["kills"], tables["reports"], tables["releases"])


def _dressed(table: pd.DataFrame, categories: dict[str, list[str]]) -> pd.DataFrame:
    changed: dict[str, pd.Series] = {}
    for name, column in table.items():
        text = str(name)
        if text.endswith("_us"):
            changed[text.removesuffix("_us")] = pd.to_timedelta(column.astype("Float64"), unit="us")
        elif text in categories:
            changed[text] = column.astype(pd.CategoricalDtype(categories[text], ordered=True))
        else:
            changed[text] = column
    return pd.DataFrame(changed)
