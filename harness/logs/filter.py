"""Filters log records by time and memcg."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from ..errors import UsageError
from ..oomlog.assemble import Output
from ..oomlog.infer import in_subtree
from ..oomlog.located import Location
from ..oomlog.records import Kill, OtherEvent, Release, Report
from ..oomlog.wall_clock import iso_seconds, to_yearless


@dataclass(frozen=True)
class TimeBound:
    """A point on one of a log's clocks."""

    seconds: float
    is_uptime: bool

    @classmethod
    def read(cls, text: str) -> TimeBound:
        """Seconds of uptime, or an ISO date and time (UTC without a zone).

        Raises UsageError when it is neither.
        """
        try:
            return cls(float(text), True)
        except ValueError:
            pass
        seconds = iso_seconds(text)
        if seconds is None:
            raise UsageError(f"not a time: {text!r}", "write seconds of uptime, or a date such as 2026-11-23T08:00:00Z")
        return cls(seconds, False)

    def of(self, location: Location) -> float | None:
        """Seconds from this time to a record: negative before, positive after; None without that clock."""
        if self.is_uptime:
            return None if location.uptime_s is None else location.uptime_s - self.seconds
        if location.wall_s is None:
            return None
        return location.wall_s - (to_yearless(self.seconds) if location.wall_is_yearless else self.seconds)


@dataclass
class LogFilter:
    """Which records are wanted. `without_clock` counts records that lack the clock of `since` or `until`."""

    since: TimeBound | None = None
    until: TimeBound | None = None
    memcg: str | None = None
    without_clock: int = 0

    @property
    def is_all(self) -> bool:
        """Whether nothing is filtered out."""
        return self.since is None and self.until is None and self.memcg is None

    def _in_time(self, location: Location) -> bool:
        for bound, sign in ((self.since, 1), (self.until, -1)):
            if bound is not None:
                distance = bound.of(location)
                if distance is None:
                    self.without_clock += 1
                    return False
                if distance * sign < 0:
                    return False
        return True

    def _in_memcg(self, *memcgs: str | None) -> bool:
        pattern = self.memcg
        if pattern is None:
            return True
        named = [memcg for memcg in memcgs if memcg is not None]
        return any(fnmatch.fnmatchcase(m, pattern) or in_subtree(m, pattern) for m in named)

    def matches(self, output: Output) -> bool:
        """Whether the filter accepts a record. A kill is accepted with its report, so that every index has a target."""
        match output:
            case Kill() if output.report is not None:
                return self.matches(output.report)
            case Kill() | Report():
                return self._in_memcg(output.domain, output.task_memcg) and self._in_time(output.location)
            case Release() | OtherEvent():
                return self.memcg is None and self._in_time(output.location)


class Renumbering:
    """Renumbers the filtered records, so that an index is a place in its array."""

    def __init__(self) -> None:
        self._reports: dict[int, int] = {}
        self._kills: dict[int, int] = {}
        self._decisions: dict[int, int] = {}
        self._releases = 0

    def apply(self, output: Output) -> Output:
        """The same record with new numbers."""
        match output:
            case Report():
                output.index = self._reports.setdefault(output.index, len(self._reports))
            case Kill():
                output.index = self._kills.setdefault(output.index, len(self._kills))
                output.decision = self._decisions.setdefault(output.decision, len(self._decisions))
                output.earlier_kills = [self._kills[k] for k in output.earlier_kills if k in self._kills]
            case Release():
                output.index, self._releases = self._releases, self._releases + 1
                output.kill = None if output.kill is None else self._kills.get(output.kill)
            case OtherEvent():
                output.report = None if output.report is None else self._reports.get(output.report)
        return output
