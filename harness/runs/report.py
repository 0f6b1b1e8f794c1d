"""What a report of a run directory is made of; text and traces of its rounds. reportpage.py makes the page and the pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec
import pandas as pd

from ..analysis.summary import Summary
from ..collectors.rounds import TrialEvidence, read_evidence
from ..errors import EvidenceError, UsageError
from ..report.picks import Pick, Picks, pick_rounds
from ..report.timeline import Timeline, round_timeline
from ..report.traceevents import trace_events
from ..system.paths import write_atomically
from ..tables.store import load_tables
from .record import RunRecord, ScenarioRecord, read_run
from .tables import summarize

_ROUND = re.compile(r"(.+)/(\d+)")


@dataclass(frozen=True)
class RunReport:
    """A run with what a report is made of."""

    record: RunRecord
    scenario: ScenarioRecord
    summary: Summary  # of this scenario
    tables: dict[str, pd.DataFrame]
    picks: Picks
    timelines: list[tuple[Pick, Timeline]]


def open_report(run: Path, rounds: tuple[str, ...], cap: int, scenario_name: str | None = None) -> RunReport:
    """Reads a run and the evidence of the rounds that are drawn: these (TRIAL/ROUND), or up to `cap` interesting ones.

    A report is of one scenario; its name may be left out where the run has no other.

    Raises EvidenceError when the run or a table is missing or damaged, UsageError when there is no such round or scenario.
    """
    record = read_run(run)
    scenario = _choose(record, scenario_name)
    tables = {
        name: table[table["scenario"] == scenario.name].reset_index(drop=True)
        for name, table in load_tables(run / "tables").items()
    }
    whole = summarize(run)
    summary = msgspec.structs.replace(
        whole,
        arms=[arm for arm in whole.arms if arm.scenario == scenario.name],
        comparisons=[comparison for comparison in whole.comparisons if comparison.scenario == scenario.name],
    )
    picks = pick_rounds([arm.name for arm in record.arms], tables["rounds"], tables["kills"], cap)
    if rounds:
        picks = replace(picks, drawn=tuple(map(_wanted, rounds)), were_asked_for=True)

    @cache
    def evidence(trial_id: str) -> TrialEvidence | None:
        try:
            return read_evidence(run / "trials" / trial_id)
        except EvidenceError:
            return None  # the tables still have the victims; the timeline says what it lacks

    timelines = [
        (pick, round_timeline(tables, pick.trial_id, pick.round, evidence(pick.trial_id))) for pick in picks.drawn
    ]
    return RunReport(record, scenario, summary, tables, picks, timelines)


def _choose(record: RunRecord, name: str | None) -> ScenarioRecord:
    matches = [scenario for scenario in record.scenarios if name in (None, scenario.name)]
    if len(matches) != 1:
        names = ", ".join(scenario.name for scenario in record.scenarios)
        problem = (
            f"the run has no scenario {name!r}" if name else "a report covers one scenario, and the run has several"
        )
        raise UsageError(f"run {record.run_id}: {problem}", f"choose one with --scenario: {names}")
    return matches[0]


def _wanted(text: str) -> Pick:
    match = _ROUND.fullmatch(text)
    if not match:
        raise UsageError(f"not a round: {text!r}", "write TRIAL/ROUND, such as 001-1/3")
    return Pick(match[1], int(match[2]), ("asked for",))


def write_trace(report: RunReport, path: Path) -> None:
    """The timelines as a file for Perfetto."""
    write_atomically(path, trace_events(timeline for _, timeline in report.timelines))
