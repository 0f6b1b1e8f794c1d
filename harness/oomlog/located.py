"""What is found in a log: a record and its place."""

from __future__ import annotations

from .domain import LimitReached, OomKillSummary, Protection, StatsHead, Usage, VictimMemcg
from .events import Boot, Event
from .header import CpuLine, Cpuset, Header
from .kill import AlreadyExitingVictim, ChosenVictim, GroupKill, KilledLine, SharedMmKill
from .losses import DroppedRecords, RateLimitedReports
from .meminfo import FreeBlocks, LowmemReserve, PageCounts, RamPages, Swap, Zone
from .record import Record
from .release import Reaped
from .tasks import TableHead, TaskTable
from .user_space_killers import UserSpaceKill

Part = (
    FreeBlocks | CpuLine | Cpuset | LimitReached | PageCounts | Protection | RamPages | LowmemReserve | StatsHead | OomKillSummary | Swap | TableHead | VictimMemcg | TaskTable | Usage | Zone
)  # fmt: skip
Line = (
    Boot
    | ChosenVictim
    | DroppedRecords
    | Event
    | GroupKill
    | Header
    | KilledLine
    | Reaped
    | SharedMmKill
    | AlreadyExitingVictim
    | RateLimitedReports
    | UserSpaceKill
)


class Location(Record, frozen=True, tag=False):
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
        """Seconds on the clock that `clock` names: uptime if the line has it, otherwise wall time; None without a stamp."""
        return self.wall_s if self.uptime_s is None else self.uptime_s

    @property
    def clock(self) -> str:
        """Which clock `time_s` is of: uptime, wall, yearless, or nothing."""
        if self.uptime_s is not None:
            return "uptime"
        return "" if self.wall_s is None else "yearless" if self.wall_is_yearless else "wall"

    def is_before(self, other: Location) -> bool:
        """Whether it stands before another place of the same log; one line of JSON may hold several records."""
        return (self.line, self.offset) < (other.line, other.offset)

    def at(self, line: int, offset: int) -> Location:
        """The same prefix at another place."""
        return Location(
            line, offset, self.uptime_s, self.wall_s, self.wall_is_yearless, self.caller, self.host, self.boot_id, self.sequence
        )  # fmt: skip


class ForgedLine(Record, frozen=True):
    """A line of user space that looks like the kernel's."""

    kind: str  # kill, or head: of a report, or its summary


class UnreadableLine(Record, frozen=True):
    """A line that holds the words of a kill, of a report's head or of a summary, and cannot be read."""

    kind: str  # kill, head or summary


class OrphanRows(Record, frozen=True):
    """Rows of a table whose head is not in the chunk: a report of another host was cut by the chunk's end."""

    rows: int


class ReportParts(Record, frozen=True):
    """Parts of the report whose header stands before them, in order: read together, as most lines are such."""

    records: tuple[Part, ...]


class LocatedRecord(Record, frozen=True, tag=False):
    """A record and its place."""

    location: Location
    record: Line | Part | ReportParts | ForgedLine | OrphanRows | UnreadableLine
