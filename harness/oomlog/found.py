"""What is found in a log: a record and its place."""

from __future__ import annotations

from typing import Any, NamedTuple


class Where(NamedTuple):
    """Where a record stands in the log, and what its prefix says."""

    line: int  # from 1
    offset: int  # bytes
    uptime_s: float | None
    wall_s: float | None
    wall_is_yearless: bool
    caller: str
    host: str
    boot_id: str
    sequence: int | None

    @property
    def time_s(self) -> float | None:
        return self.wall_s if self.uptime_s is None else self.uptime_s

    @property
    def clock(self) -> str:
        """Which clock `time_s` is of: uptime, wall, yearless, or nothing."""
        if self.uptime_s is not None:
            return "uptime"
        return "" if self.wall_s is None else "yearless" if self.wall_is_yearless else "wall"


class Forged(NamedTuple):
    """A line of user space that looks like a kill."""

    pid: int


class Orphans(NamedTuple):
    """Rows of a table whose head is not in the block: a report of another host was cut by the block's end."""

    rows: int


class Parts(NamedTuple):
    """Parts of the report whose header stands before them, in order: read together, as most lines are such."""

    records: tuple[Any, ...]


class Found(NamedTuple):
    """A record and its place."""

    where: Where
    record: Any
