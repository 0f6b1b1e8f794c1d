"""Records of a kernel log as rows, and rows as Arrow tables."""

from __future__ import annotations

import pyarrow as pa

from ..oomlog.assemble import Output
from ..oomlog.records import Kill, OtherEvent, Release, Report
from .log import LOG_EVENTS, LOG_KILLS, LOG_RELEASES, LOG_REPORTS, LOG_STATS, LOG_TABLES, LOG_TASKS, LOG_ZONES, Values
from .logtasks import tasks_table
from .logvalues import event_values, kill_values, release_values, report_values, zone_values
from .schema import Table

_ROWS, _TASK_ROWS = 1 << 12, 1 << 16  # a row is an object, tasks are arrays


class LogRows:
    """Gathers rows until they are taken as tables."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Values]] = {table.name: [] for table in LOG_TABLES}
        self._reports: list[Report] = []
        self._stats: tuple[list[int], list[str], list[int]] = ([], [], [])
        self._pending = self._pending_tasks = 0

    @property
    def is_large(self) -> bool:
        """Whether they should be taken now."""
        return self._pending >= _ROWS or self._pending_tasks >= _TASK_ROWS

    def add(self, output: Output, file: str) -> None:
        """Takes one record of the log."""
        match output:
            case Report():
                self._put(LOG_REPORTS, report_values(output, file))
                if output.zones:
                    self._rows[LOG_ZONES.name].extend(zones := zone_values(output))
                    self._pending += len(zones)
                if output.tasks is not None:
                    self._reports.append(output)
                    self._pending_tasks += output.tasks.row_count
                if output.stats:
                    self._stats[0].extend([output.index] * len(output.stats))
                    self._stats[1].extend(output.stats)
                    self._stats[2].extend(output.stats.values())
            case Kill():
                self._put(LOG_KILLS, kill_values(output, file))
            case Release():
                self._put(LOG_RELEASES, release_values(output, file))
            case OtherEvent():
                self._put(LOG_EVENTS, event_values(output, file))

    def _put(self, table: Table, values: Values) -> None:
        self._rows[table.name].append(values)
        self._pending += 1

    def take(self) -> dict[str, pa.Table]:
        """The rows so far, by table."""
        tables = {table.name: self._table(table) for table in LOG_TABLES}
        for rows in self._rows.values():
            rows.clear()
        self._reports.clear()
        self._stats = ([], [], [])
        self._pending = self._pending_tasks = 0
        return tables

    def _table(self, table: Table) -> pa.Table:
        if table is LOG_TASKS:
            return tasks_table(self._reports)
        if table is LOG_STATS:
            columns = list(map(pa.array, self._stats)) if self._stats[0] else [[], [], []]
            return pa.table(columns, schema=LOG_STATS.arrow_schema())
        return table.arrow_of_values(self._rows[table.name])
