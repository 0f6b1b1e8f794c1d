"""What is found in a log: a record and its place."""

from __future__ import annotations

from .domain import LimitReached, Protection, StatsHead, Summary, TaskIn, Usage
from .events import Boot, Event
from .header import CpuLine, Cpuset, Header
from .kill import Chosen, GroupKill, Killed, Sharing, Skipped
from .killers import UserKill
from .losses import Dropped, Suppressed
from .meminfo import Buddy, Lists, Ram, Reserve, Swap, Zone
from .record import Record
from .release import Reaped
from .tasks import TableHead, TaskTable

Part = (
    Buddy | CpuLine | Cpuset | LimitReached | Lists | Protection | Ram | Reserve | StatsHead | Summary | Swap | TableHead | TaskIn | TaskTable | Usage | Zone
)  # fmt: skip
Line = (
    Boot | Chosen | Dropped | Event | GroupKill | Header | Killed | Reaped | Sharing | Skipped | Suppressed | UserKill
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


class Forged(Record, frozen=True):
    """A line of user space that looks like the kernel's."""

    kind: str  # kill, or head: of a report, or its summary


class Unread(Record, frozen=True):
    """A line that holds the words of a kill, of a report's head or of a summary, and cannot be read."""

    kind: str  # kill, head or summary


class Orphans(Record, frozen=True):
    """Rows of a table whose head is not in the chunk: a report of another host was cut by the chunk's end."""

    rows: int


class Parts(Record, frozen=True):
    """Parts of the report whose header stands before them, in order: read together, as most lines are such."""

    records: tuple[Part, ...]


class LocatedRecord(Record, frozen=True, tag=False):
    """A record and its place."""

    where: Location
    record: Line | Part | Parts | Forged | Orphans | Unread
