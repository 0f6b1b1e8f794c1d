"""A kernel log as DataFrames: `oomtrial.parse_log`, for notebooks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
import pandas as pd
import pyarrow as pa

from ..oomlog.assemble import Output
from ..oomlog.reading import Reader
from ..oomlog.records import Kill, OtherEvent, Release, Report
from ..tables.log import LOG_EVENTS, LOG_KILLS, LOG_RELEASES, LOG_REPORTS, LOG_STATS, LOG_ZONES, Row
from ..tables.logtasks import tasks_table
from ..tables.logtotals import totals_of
from ..tables.logvalues import event_row, kill_row, missing_row, release_row, report_row, zone_rows
from .files import open_log


@dataclass
class OomLog:
    """A kernel log as DataFrames. docs/oom-log.md has every column, with unit and when it is absent."""

    reports: pd.DataFrame  # one row a printed report
    kills: pd.DataFrame  # one row a process killed
    releases: pd.DataFrame  # one row an oom_reaper line
    tasks: pd.DataFrame  # one row a row of a task table
    events: pd.DataFrame  # panics, victims that were gone, lockups
    zones: pd.DataFrame  # one row a memory zone of a report
    memory_stats: pd.DataFrame  # one row a statistic of an OOM domain
    missing: dict[str, Any]  # what the log is known to lack
    totals: dict[str, dict[str, int]]  # kills, decisions and reports, as bounds


def parse_log(source: str | os.PathLike[str] | BinaryIO) -> OomLog:
    """Parses a kernel log: a path (plain, .gz, .xz, .zst), or a binary file that is open.

    Raises EvidenceError when the file is missing, unreadable, a directory, or a damaged archive. A log without any OOM
    line gives empty frames.
    """
    reader = Reader()
    outputs: list[Output]
    if isinstance(source, (str, os.PathLike)):
        with open_log(os.fspath(source)) as log:
            name, outputs = log.name, list(reader.read(log.stream))
    else:
        name, outputs = str(getattr(source, "name", "-")), list(reader.read(source))
    reports = [output for output in outputs if isinstance(output, Report)]
    kills = [output for output in outputs if isinstance(output, Kill)]

    def rows(kind: type[Any], row: Callable[[Any, str], Row]) -> list[Row]:
        return [row(output, name) for output in outputs if isinstance(output, kind)]

    types = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}
    stats = [{"report": r.index, "name": key, "value": value} for r in reports for key, value in r.stats.items()]
    decisions = len({kill.decision for kill in kills})
    return OomLog(
        reports=LOG_REPORTS.frame(rows(Report, report_row)),
        kills=LOG_KILLS.frame(rows(Kill, kill_row)),
        releases=LOG_RELEASES.frame(rows(Release, release_row)),
        tasks=tasks_table(reports).to_pandas(types_mapper=types.get),
        events=LOG_EVENTS.frame(rows(OtherEvent, event_row)),
        zones=LOG_ZONES.frame([row for report in reports for row in zone_rows(report)]),
        memory_stats=LOG_STATS.frame(stats),
        missing=missing_row(reader.missing),
        totals=msgspec.to_builtins(totals_of(reader.missing, len(kills), decisions, len(reports))),
    )
