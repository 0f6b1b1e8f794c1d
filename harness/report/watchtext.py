"""Kills as they come: in columns for people, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Protocol

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from ..containers.names import Ended
from ..oomlog.records import Kill
from ..tables.logvalues import kill_row
from .killwords import VERDICTS, domain_of, mib_of, victim_of
from .logjson import encode
from .place import Place
from .visible import visible


class WatchTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What `oomtrial watch` saw until it was interrupted."""

    kills: int
    domains: int
    overlaps_estimated: int  # kills estimated to come before an earlier victim's memory was free
    records_lost: int  # of the kernel log: each may have been a kill
    forged_kills: int  # lines of user space that look like a kill
    seconds: float


class WatchedKill(Protocol):
    """A kill with what the log does not know of it."""

    @property
    def time_s(self) -> float:
        """Unix time, in seconds."""
        ...

    @property
    def kill(self) -> Kill:
        """The kill as the log has it."""
        ...

    @property
    def container(self) -> str | None:
        """The ID of its container; None: it is in none that is known."""
        ...

    @property
    def name(self) -> str | None:
        """The name of the container; None: the engine does not know it."""
        ...

    @property
    def source(self) -> str | None:
        """What the container is known from: report (its memcg) or proc (/proc/PID/cgroup); None without one."""
        ...

    @property
    def place(self) -> Place:
        """Where the victim ran, in words: container, pod or unit."""
        ...


@dataclass(frozen=True)
class Column:
    """One column of the text, as many cells wide on every line."""

    heading: str
    cells: int
    is_number: bool = False


_DAY = Column("date", 10)
_TIME = Column("time", 8)
_PLACE, _WIDE_PLACE = Column("container, unit", 20), Column("container, unit", 25)
_DOMAIN = Column("domain", 22)
_VICTIM = Column("victim", 16)
_SIZE = Column("MiB", 7, True)
_USAGE = Column("usage/limit", 11, True)
_MARGIN = Column("margin kB", 9, True)
_OVERLAP = Column("overlap", 7)
_GAP = "  "
# By the width of the terminal from which on they fit; where there is no terminal, the last.
_LAYOUTS = (
    (0, (_TIME, _PLACE, _VICTIM, _SIZE, _USAGE, _OVERLAP)),  # 79 cells
    (120, (_TIME, _WIDE_PLACE, _DOMAIN, _VICTIM, _SIZE, _USAGE, _MARGIN, _OVERLAP)),  # 119
    (150, (_DAY, _TIME, _WIDE_PLACE, _DOMAIN, _VICTIM, _SIZE, _USAGE, _MARGIN, _OVERLAP)),
)
_INDENT = 10  # of what does not fit into a column: below the container


class WatchText:
    """For people: columns that fit the terminal, in colours there; what is cut in a column stands whole on a line below."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = console.width if console.is_terminal else None
        self._columns = [columns for least, columns in _LAYOUTS if (self._width or 1000) >= least][-1]
        self._day = ""
        heading = _GAP.join(_cell(column.heading, column) for column in self._columns)
        self._print(Text(heading + (f"{_GAP}why" if self._width is None else ""), style="bold"))

    def kill(self, seen: WatchedKill) -> None:
        """Prints a kill: a line of columns, below it why, and what the columns cut."""
        kill, report = seen.kill, seen.kill.report
        verdict, style = VERDICTS[kill.overlap_estimated]
        self._say_day(seen.time_s)
        texts = {
            _DAY: _date(seen.time_s),
            _TIME: _clock(seen.time_s),
            _PLACE: visible(seen.place.name),
            _WIDE_PLACE: visible(seen.place.name),
            _DOMAIN: domain_of(kill),
            _VICTIM: victim_of(kill),
            _SIZE: mib_of(kill),
            _USAGE: usage_of(kill),
            _MARGIN: "" if report is None or report.margin_kb is None else str(report.margin_kb),
            _OVERLAP: verdict,
        }
        line = Text()
        for number, column in enumerate(self._columns):
            line.append(_GAP if number else "")
            line.append(_cell(texts[column], column), style=style if column is _OVERLAP else "")
        cut = [texts[column] for column in self._columns if cell_len(texts[column]) > column.cells]
        why = visible(kill.overlap_evidence)
        if self._width is None:
            line.append(_GAP + "; ".join(filter(None, [why, *cut])))
            self._print(line)
            return
        self._print(line)
        for text in (why, *cut):
            for piece in _wrap(text, self._width - _INDENT):
                self._print(Text(" " * _INDENT + piece, style="dim"))

    def ended(self, ended: Ended, time_s: float) -> None:
        """Prints the end of a container. `time_s`: seconds since the epoch."""
        self._say_day(time_s)
        code = "" if ended.exit_code is None else f" with exit code {ended.exit_code}"
        column = next(each for each in self._columns if each in (_PLACE, _WIDE_PLACE))
        day = f"{_date(time_s)}{_GAP}" if _DAY in self._columns else ""
        name = visible(Place(ended.name, "", "").name)
        self._print(Text(f"{day}{_clock(time_s)}{_GAP}{_cell(name, column)}{_GAP}ended{code}"))

    def note(self, text: str) -> None:
        """Prints a note."""
        self._say(f"note: {visible(text)}")

    def summary(self, text: str, _totals: WatchTotals) -> None:
        """Prints the totals as a sentence."""
        if self._console.is_terminal:
            self._say("")  # the line on which the terminal shows ^C
        self._say(text)

    def _say_day(self, time_s: float) -> None:
        """Where lines have no room for the date, a line of its own when it changes."""
        if _DAY not in self._columns and (day := _date(time_s)) != self._day:
            self._day = day
            self._print(Text(day, style="bold"))

    def _say(self, text: str) -> None:
        for piece in _wrap(text, self._width) if self._width else [text]:
            self._print(Text(piece))

    def _print(self, line: Text) -> None:
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def usage_of(kill: Kill) -> str:
    """Usage and limit of the OOM domain in MiB, as its report has them; empty without one."""
    report = kill.report
    if report is None or report.usage_kb is None or report.limit_kb is None:
        return ""
    return "/".join(_mib(kb) for kb in (report.usage_kb, report.limit_kb))


def _mib(kb: int) -> str:
    return f"{kb / 1024:.1f}" if kb < 100 << 10 else f"{kb / 1024:.0f}"


def _cell(text: str, column: Column) -> str:
    shown = squeeze(text, column.cells)
    return " " * (column.cells - cell_len(shown)) + shown if column.is_number else set_cell_size(shown, column.cells)


def squeeze(text: str, cells: int) -> str:
    """Text on at most so many cells of a terminal; of a longer one the middle is left out, as names differ at both ends."""
    if cell_len(text) <= cells:
        return text
    tail = (cells - 1) // 2
    head = cells - 1 - tail
    front, back = text, text
    while cell_len(front) > head:
        front = front[:-1]
    while cell_len(back) > tail:
        back = back[1:]
    return f"{front}…{back}"


def _wrap(text: str, width: int) -> Iterable[str]:
    """Lines that break between words; a word that is longer than a line breaks after a slash, if it has one."""
    line = ""
    for word in text.split(" "):
        if line and cell_len(line) + 1 + cell_len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
        while cell_len(line) > width:
            at = line.rfind("/", 1, width) + 1 or width
            yield line[:at]
            line = line[at:]
    yield line


class WatchJson:
    """For machines: one object a line, `event` says of what kind; flushed as it comes."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def kill(self, seen: WatchedKill) -> None:
        """Writes an object with `event` "kill"."""
        row = {key: value for key, value in kill_row(seen.kill, "").items() if key not in ("file", "line", "offset")}
        place = {
            "container_id": seen.container,
            "container": seen.name,
            "container_source": seen.source,
            "pod": seen.place.pod or None,
            "unit": seen.place.unit or None,
            "usage_kb": seen.kill.report.usage_kb if seen.kill.report else None,
            "limit_kb": seen.kill.report.limit_kb if seen.kill.report else None,
        }
        self._put({"event": "kill", "time": _iso(seen.time_s), **place, **row})

    def ended(self, ended: Ended, time_s: float) -> None:
        """Writes an object with `event` "container_ended". `time_s`: seconds since the epoch."""
        place = {"container_id": ended.id, "container": ended.name, "exit_code": ended.exit_code}
        self._put({"event": "container_ended", "time": _iso(time_s), **place})

    def note(self, text: str) -> None:
        """Writes an object with `event` "note"."""
        self._put({"event": "note", "text": text})

    def summary(self, _text: str, totals: WatchTotals) -> None:
        """Writes an object with `event` "summary": the totals."""
        self._put({"event": "summary", **msgspec.structs.asdict(totals)})

    def _put(self, row: dict[str, object]) -> None:
        self._out.write(encode(row) + b"\n")
        self._out.flush()


def json_on_stdout() -> WatchJson:
    """A writer of JSON lines to standard output."""
    return WatchJson(sys.stdout.buffer)


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).strftime("%H:%M:%S")


def _date(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).strftime("%Y-%m-%d")


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
