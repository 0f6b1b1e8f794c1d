"""From kernel log records to reports, kills and reaps.

Records of one OOM are told from another's by the caller that printed them (CONFIG_PRINTK_CALLER); oom_lock keeps two
reports from being printed at once, so without a caller they are taken to be in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.oomlog.kmsg import KmsgRecord
from harness.oomlog.lines import (
    Invoked,
    Killed,
    Reaped,
    Summary,
    Usage,
    parse_invoked,
    parse_killed,
    parse_reaped,
    parse_summary,
    parse_suppressed,
    parse_trouble,
    parse_usage,
)


@dataclass
class Report:
    """One printed report; what a report lacks is None."""

    record: KmsgRecord  # of its header
    invoked: Invoked
    usage: Usage | None = None
    summary: Summary | None = None

    @property
    def margin_kb(self) -> int | None:
        """Room under the limit of the OOM domain when the report was printed."""
        return None if self.usage is None else self.usage.limit_kb - self.usage.usage_kb

    @property
    def is_complete(self) -> bool:
        return self.usage is not None and self.summary is not None


@dataclass(frozen=True)
class Kill:
    """One "Killed process" record and the report before it, which the rate limit may have kept back."""

    record: KmsgRecord
    killed: Killed
    report: int | None  # index into OomRecords.reports


@dataclass(frozen=True)
class Reap:
    record: KmsgRecord
    reaped: Reaped


@dataclass
class OomRecords:
    """What the kernel said about OOM in a span of its log."""

    reports: list[Report] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    reaps: list[Reap] = field(default_factory=list)
    suppressed_reports: int = 0
    trouble: list[str] = field(default_factory=list)
    forged: int = 0  # lines that look like a kill but were written by user space


def read_oom_records(records: Iterable[KmsgRecord]) -> OomRecords:
    """Assembles reports and kills. Lines of user space (any facility but kern) never count."""
    found = OomRecords()
    open_report: dict[str, int] = {}
    for record in records:
        text = record.text
        if not record.is_kernel:
            found.forged += parse_killed(text) is not None
        elif invoked := parse_invoked(text):
            open_report[record.caller] = len(found.reports)
            found.reports.append(Report(record, invoked))
        elif killed := parse_killed(text):
            found.kills.append(Kill(record, killed, _report_of(open_report, record, killed, found.reports)))
        elif reaped := parse_reaped(text):
            found.reaps.append(Reap(record, reaped))
        elif (suppressed := parse_suppressed(text)) is not None:
            found.suppressed_reports += suppressed
        elif trouble := parse_trouble(text):
            found.trouble.append(trouble)
        elif (index := open_report.get(record.caller)) is not None:
            report = found.reports[index]
            report.usage = report.usage or parse_usage(text)
            report.summary = report.summary or parse_summary(text)
    return found


def _report_of(open_report: dict[str, int], record: KmsgRecord, killed: Killed, reports: list[Report]) -> int | None:
    """The caller's open report, closed by this kill; one that chose another process is no report of this kill."""
    index = open_report.pop(record.caller, None)
    if index is None:
        return None
    summary = reports[index].summary
    return index if summary is None or summary.pid == killed.pid else None
