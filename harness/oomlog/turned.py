"""Logs that begin with their newest line: `journalctl -r`, and what programs that keep logs export.

A chunk of such a log is read line by line as any other, and its records are then taken from the last to the first. Task tables and
statistics of several lines are lost by that, as their rows stand above their heads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any, NamedTuple, TypeVar

import msgspec

from .assemble import Output
from .domain import OomKillSummary
from .header import Header
from .kill import ChosenVictim, KilledLine
from .located import LocatedRecord, Location, ReportParts
from .release import Reaped


def _packed_tag(record: type) -> bytes:
    """The name of a record as it stands in MessagePack: a short text."""
    return bytes([0xA0 | len(record.__name__)]) + record.__name__.encode()


_BODY_KILLED = _packed_tag(KilledLine)
_BODY_HEADS = tuple(map(_packed_tag, (Header, OomKillSummary, ChosenVictim)))
_Output = TypeVar("_Output", bound=Output)


def may_be_turned(body: bytes) -> bool:
    """Whether records of MessagePack may be of such a log: a kill before the first head, and a head behind the last kill."""
    first = body.find(_BODY_KILLED)
    if first < 0:
        return False
    heads = [(body.find(name, 0, first), body.rfind(name)) for name in _BODY_HEADS]
    return all(begin < 0 for begin, _ in heads) and max(end for _, end in heads) > body.rfind(_BODY_KILLED)


def is_turned(found: list[LocatedRecord]) -> bool:
    """Whether a chunk begins with its newest line: kills stand before the choice of their victims, releases before their kills.

    A log in which the clock goes on, or in which one of these pairs stands as the kernel prints it, does not.
    """
    backward = forward = 0
    last: dict[type, dict[int, int]] = {}
    for number, record in enumerate(_flat(found)):
        if not isinstance(record, (OomKillSummary, ChosenVictim, KilledLine, Reaped)) or record.pid is None:
            continue
        for other in _AFTER.get(type(record), ()):
            backward += record.pid in last.get(other, ())
        for other in _BEFORE.get(type(record), ()):
            forward += record.pid in last.get(other, ())
        last.setdefault(type(record), {})[record.pid] = number
    if not backward or forward:
        return False
    # parts of a report stand at the place of the header above them, which is another's here
    places = [one.location for one in found if not isinstance(one.record, ReportParts)]
    return not any(_goes_on(before, after) for before, after in pairwise(places))


def _goes_on(before: Location, after: Location) -> bool:
    if before.time_s is None or after.time_s is None:
        return False
    return (before.clock, before.host) == (after.clock, after.host) and before.time_s < after.time_s


# What the kernel prints of one victim, in this order.
_AFTER: dict[type, tuple[type, ...]] = {
    OomKillSummary: (KilledLine, Reaped),
    ChosenVictim: (KilledLine, Reaped),
    KilledLine: (Reaped,),
}
_BEFORE: dict[type, tuple[type, ...]] = {KilledLine: (OomKillSummary, ChosenVictim), Reaped: (KilledLine,)}


def _flat(found: list[LocatedRecord]) -> Iterator[Any]:
    for one in found:
        if isinstance(one.record, ReportParts):
            yield from one.record.records
        else:
            yield one.record


class Extent(NamedTuple):
    """Lines and bytes of a chunk; lines from the chunk's first, bytes from the log's."""

    lines: int
    begin: int
    end: int


def turn(found: list[LocatedRecord], extent: Extent) -> list[LocatedRecord]:
    """The records in the order of time, at places that are counted from the chunk's end. Those of one line keep their order."""
    groups = [list(group) for _, group in groupby(found, key=lambda one: (one.location.line, one.location.offset))]
    return [_turned(one, extent) for group in reversed(groups) for one in group]


def _turned(one: LocatedRecord, extent: Extent) -> LocatedRecord:
    location, record = one.location, one.record
    if isinstance(record, ReportParts):
        record = ReportParts(record.records[::-1])
    line, offset = extent.lines - 1 - location.line, extent.begin + extent.end - 1 - location.offset
    return LocatedRecord(location.at(line, offset), record)


class Turns:
    """Which chunks of a log were turned: it tells the true places of what was found in them."""

    def __init__(self) -> None:
        self._extents: list[tuple[int, Extent]] = []  # with the number of the first line

    def __bool__(self) -> bool:
        return bool(self._extents)

    def add(self, first_line: int, extent: Extent) -> None:
        """A chunk that was turned. `first_line` is from 1, as lines of the log are."""
        self._extents.append((first_line, extent))

    def line(self, line: int) -> int:
        """The true number of a line."""
        first, extent = self._extent(line)
        return line if extent is None else 2 * first + extent.lines - 1 - line

    def place(self, line: int, offset: int) -> tuple[int, int]:
        """The true number of a line, and where it begins."""
        _, extent = self._extent(line)
        return self.line(line), offset if extent is None else extent.begin + extent.end - 1 - offset

    def _extent(self, line: int) -> tuple[int, Extent | None]:
        number = bisect_right(self._extents, line, key=lambda one: one[0]) - 1
        if number < 0:
            return 0, None
        first, extent = self._extents[number]
        return first, extent if line < first + extent.lines else None

    def at_its_place(self, output: _Output) -> _Output:
        """An output at its true place: a copy, as others are still held against it."""
        location: Location = output.location
        return msgspec.structs.replace(output, location=location.at(*self.place(location.line, location.offset)))
