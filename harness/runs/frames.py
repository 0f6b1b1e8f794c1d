"""`oomtrial.load_run`: a run as DataFrames, for notebooks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd

from ..analysis.armcounts import OUTCOMES
from ..analysis.killclass import KillClass
from ..analysis.summary import Summary
from ..tables.schema import FOREIGN_KILLS, MEMORY_EVENTS, RUNS, TASKS, TRACE_EVENTS, TRIALS, Table
from ..tables.store import load_table, load_tables
from ..units import format_count
from .record import RunRecord, read_run
from .summary import summarize_runs


@dataclass(frozen=True, repr=False)
class Run:
    """A run on disk, or the tables of one (`oomtrial tables export`).

    The tables are those of harness/tables/schema.py, with three changes: `run_id` is the first column; a column in
    microseconds is in milliseconds, as a float (`duration_us` is `duration_ms`), or a timedelta where that was asked for
    (`duration`); arm, scenario, outcome and kill_class are ordered categories, arms and scenarios in the order of the run.
    Times of the trace and of the kernel log are since the boot of the guest.

    Warm-up rounds are in the tables and in no figure of `arms`: ``run.rounds[~run.rounds.warm_up]`` is what is counted.
    """

    path: Path
    record: RunRecord
    rounds: pd.DataFrame  # one row a round
    kills: pd.DataFrame  # one row a process killed
    reports: pd.DataFrame  # one row a printed report
    releases: pd.DataFrame  # one row an mm gone
    timedeltas: bool = False  # instead of milliseconds

    def __repr__(self) -> str:
        counts = [
            format_count(len(self.record.arms), "arm"),
            format_count(len(self.record.scenarios), "scenario"),
            format_count(len(self.rounds), "round"),
            format_count(len(self.kills), "kill"),
        ]
        return f"<Run {self.record.run_id}, {self.record.state}: {', '.join(counts)}>"

    @cached_property
    def summary(self) -> Summary:
        """What `oomtrial summary` says."""
        return summarize_runs([self.path], None)

    @cached_property
    def arms(self) -> pd.DataFrame:
        """The summary's figures, one row an arm and scenario; docs/notebooks.md has every column."""
        rows = [msgspec.to_builtins(arm) for arm in self.summary.arms]
        frame = pd.DataFrame(rows).drop(columns=["outcomes", "by_boot"]).rename(columns={"kernel": "arm"})
        return self._dressed(frame.join(pd.DataFrame([row["outcomes"] for row in rows])[list(OUTCOMES)]))

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Each arm against the first stock arm, with verdict (harness/analysis/verdict.py)."""
        rows = [msgspec.to_builtins(comparison) for comparison in self.summary.comparisons]
        return self._dressed(pd.DataFrame(rows).rename(columns={"kernel": "arm"}))

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The run, in one row."""
        return self._load(RUNS)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a container's life."""
        return self._load(TRIALS)

    @cached_property
    def foreign_kills(self) -> pd.DataFrame:
        """One row a process killed meanwhile that was none of the run's (arm `host`)."""
        return self._load(FOREIGN_KILLS)

    @cached_property
    def memory_events(self) -> pd.DataFrame:
        """One row a counter of the memcg in a round."""
        return self._load(MEMORY_EVENTS)

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """One row of a report's task table. Not in an exported set."""
        return self._load(TASKS)

    @cached_property
    def trace_events(self) -> pd.DataFrame:
        """One row an event of the trace. Not in an exported set."""
        return self._load(TRACE_EVENTS)

    def _load(self, table: Table) -> pd.DataFrame:
        """Raises EvidenceError when it is missing or damaged, saying which file."""
        return self._dressed(load_table(self.path / "tables", table))

    def _dressed(self, table: pd.DataFrame) -> pd.DataFrame:
        return _dressed(table, self.record, self.timedeltas)


def load_run(path: str | os.PathLike[str], *, timedeltas: bool = False) -> Run:
    """Reads a run's directory, or a set of tables that was exported from one.

    `timedeltas`: times as such, in columns without a unit, instead of floats in milliseconds, which is what plots and
    models take.

    Raises EvidenceError when it is missing or damaged, saying which file.
    """
    directory = Path(path)
    record = read_run(directory)
    tables = {name: _dressed(table, record, timedeltas) for name, table in load_tables(directory / "tables").items()}
    return Run(directory, record, tables["rounds"], tables["kills"], tables["reports"], tables["releases"], timedeltas)


def _dressed(table: pd.DataFrame, record: RunRecord, timedeltas: bool) -> pd.DataFrame:
    arms = [arm.name for arm in record.arms]
    categories = {
        "arm": arms,
        "baseline": arms,
        "scenario": [scenario.name for scenario in record.scenarios],
        "outcome": list(OUTCOMES),
        "kill_class": [str(each) for each in KillClass],
    }
    changed: dict[str, pd.Series] = {
        "run_id": pd.Series(record.run_id, index=table.index, dtype=pd.StringDtype()),
    }
    for name, column in table.items():
        text = str(name)
        if text.endswith("_us") and timedeltas:
            changed[text.removesuffix("_us")] = pd.to_timedelta(column.astype("Float64"), unit="us")
        elif text.endswith("_us"):
            us = column.astype("Float64").to_numpy(float, na_value=float("nan"))
            changed[f"{text.removesuffix('_us')}_ms"] = pd.Series(us / 1000, index=table.index)
        elif text in categories:
            changed[text] = column.astype(pd.CategoricalDtype(categories[text], ordered=True))
        elif column.dtype == "Float64":  # models take NaN, not NA
            changed[text] = pd.Series(column.to_numpy(float, na_value=float("nan")), index=table.index)
        else:
            changed[text] = column
    return pd.DataFrame(changed, index=table.index)
