"""A log as text, read: what was found, and its rows."""

import io

import msgspec

from harness.oomlog.reading import Collected, Reader
from harness.tables.logtotals import totals_of
from harness.tables.logvalues import kill_row, report_row


class Log:
    """A log, and what was read of it, as rows."""

    def __init__(self, data: bytes) -> None:
        reader = Reader()
        self.found = Collected(reader.read(io.BytesIO(data)), reader)
        self.boots = reader.assembler.boots
        self.kills = [kill_row(kill) for kill in self.found.kills]
        self.reports = [report_row(report) for report in self.found.reports]
        self.missing = self.found.missing
        decisions = len({kill.decision for kill in self.found.kills})
        self.totals = msgspec.to_builtins(totals_of(self.missing, len(self.kills), decisions, len(self.reports)))

    def killed(self, *columns):
        """One row a kill."""
        return [tuple(kill[name] for name in columns) for kill in self.kills]

    def reported(self, *columns):
        """One row a report."""
        return [tuple(report[name] for name in columns) for report in self.reports]


def parse(text):
    return Log(text.encode("utf-8", "surrogateescape"))
