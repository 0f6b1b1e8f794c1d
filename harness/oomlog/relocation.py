"""Records that were read out of other documents, back at the places of the lines that hold these."""

from __future__ import annotations

import bisect
from array import array

from . import tasks
from .extract import ExtractedLog
from .located import LocatedRecord, ReportParts


def relocated(found: LocatedRecord, extracted: ExtractedLog, first_line: int, offset: int) -> LocatedRecord:
    """A record of extracted lines at its place in the log; `first_line` and `offset` are those of the chunk."""
    location, record = found.location, found.record
    if not extracted.lines:
        return found
    last = len(extracted.lines) - 1
    number = min(location.line, last)
    # records of one line keep their order
    begin = extracted.offsets[number]
    within = number - bisect.bisect_left(extracted.offsets, begin) if extracted.offsets[last] >= begin else 0
    location = location.at(first_line + extracted.lines[number], offset + begin + max(within, 0))
    if isinstance(record, tasks.TaskTable):
        record = _relocated_table(record, extracted, first_line)
    elif isinstance(record, ReportParts):
        record = ReportParts(
            tuple(
                _relocated_table(part, extracted, first_line) if isinstance(part, tasks.TaskTable) else part
                for part in record.records
            )
        )
    return LocatedRecord(location, record)


def _relocated_table(table: tasks.TaskTable, extracted: ExtractedLog, first_line: int) -> tasks.TaskTable:
    last = len(extracted.lines) - 1
    lines = array("q", [first_line + extracted.lines[min(line, last)] for line in table.lines.tolist()])
    return tasks.TaskTable(table.columns, table.cells, table.names, lines.tobytes(), table.damaged, table.foreign)
