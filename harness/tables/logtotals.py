"""Totals of a kernel log, as bounds: what it shows, and how much more there may have been."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ..oomlog.assemble import Output
from ..oomlog.records import Kill, KnownLosses, Report


class KillTotals(msgspec.Struct, frozen=True):
    """Processes killed."""

    printed: int
    at_least: int
    at_most: int


class DecisionTotals(msgspec.Struct, frozen=True):
    """Decisions of the OOM killer; one may kill a whole memcg."""

    printed: int
    at_most: int


class ReportTotals(msgspec.Struct, frozen=True):
    """Reports, of which the rate limit keeps some back."""

    printed: int
    at_least: int


class LogTotals(msgspec.Struct, frozen=True):
    """`totals` of `oomtrial parse --format json` and of `oomtrial.parse_log`."""

    kills: KillTotals
    decisions: DecisionTotals
    reports: ReportTotals


@dataclass
class LogCounts:
    """How much there was of what."""

    records: int = 0
    kills: int = 0
    reports: int = 0
    decisions: int = -1  # the highest; decisions are numbered in order

    def take(self, output: Output) -> None:
        """Counts one record."""
        self.records += 1
        if isinstance(output, Kill):
            self.kills += 1
            self.decisions = max(self.decisions, output.decision)
        elif isinstance(output, Report):
            self.reports += 1


def totals_of(missing: KnownLosses, kills: int, decisions: int, reports: int) -> LogTotals:
    """The totals of a log that shows so many kills, decisions and reports.

    A victim that was reaped though its kill is not in the log was killed all the same. A lost record may have been a
    kill, and so may a line that could not be read, and the end of a report that is not in the log. Victims that were dying already (task_will_free_mem()) and, from 4.4, processes that share a victim's memory
    are printed by no kernel and not counted here.
    """
    at_least = kills + missing.releases_without_kill
    lost = missing.dropped_records + missing.sequence_gaps
    lost += missing.unread_kills + missing.unread_heads + missing.unended_reports
    return LogTotals(
        KillTotals(kills, at_least, at_least + lost),
        DecisionTotals(decisions, decisions + missing.unended_reports),
        ReportTotals(reports, reports + missing.suppressed_reports),
    )
