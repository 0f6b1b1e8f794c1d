"""Kills as they come, one a line: as text, or as JSON."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import IO, Protocol

from rich.console import Console
from rich.text import Text

from ..containers.names import Ended
from ..oomlog.records import Kill
from ..tables.log import kill_row
from .killwords import VERDICTS, domain_of, megabytes_of, victim_of
from .logjson import encode
from .visible import visible

_COLUMNS = f"{'time':8}  {'container':24}  {'domain':22}  {'victim':18} {'MB':>7}  {'margin kB':>9}  overlap  why"


class Seen(Protocol):
    """A kill with what the log does not know of it."""

    @property
    def time_s(self) -> float: ...  # Unix time

    @property
    def kill(self) -> Kill: ...

    @property
    def container(self) -> str | None: ...  # ID

    @property
    def name(self) -> str | None: ...  # of the container

    @property
    def source(self) -> str | None: ...  # what the container is known from: report or proc


class WatchText:
    """For people: on a terminal in colours, in columns everywhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._console.print(Text(_COLUMNS, style="bold"), soft_wrap=True)

    def kill(self, seen: Seen) -> None:
        kill = seen.kill
        margin = kill.report.margin_kb if kill.report else None
        verdict, style = VERDICTS[kill.overlap_estimated]
        name = visible(seen.name) if seen.name else "-"
        line = Text(f"{_clock(seen.time_s)}  {name:24}  {domain_of(kill):22}  {victim_of(kill):18} ")
        line.append(f"{megabytes_of(kill):>7}")
        line.append(f"  {'' if margin is None else margin:>9}  ")
        line.append(f"{verdict:7}", style=style)
        line.append(f"  {visible(kill.overlap_evidence)}", style="dim")
        self._console.print(line, soft_wrap=True)

    def ended(self, ended: Ended, time_s: float) -> None:
        code = "" if ended.exit_code is None else f" with exit code {ended.exit_code}"
        self._say(f"{_clock(time_s)}  {visible(ended.name):24}  ended{code}")

    def note(self, text: str) -> None:
        self._say(f"note: {visible(text)}")

    def summary(self, text: str, _totals: dict[str, object]) -> None:
        if self._console.is_terminal:
            self._say("")  # the line on which the terminal shows ^C
        self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class WatchJson:
    """For machines: one object a line, `event` says of what kind; flushed as it comes."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def kill(self, seen: Seen) -> None:
        row = {key: value for key, value in kill_row(seen.kill, "").items() if key not in ("file", "line", "offset")}
        place = {"container_id": seen.container, "container": seen.name, "container_source": seen.source}
        self._put({"event": "kill", "time": _iso(seen.time_s), **place, **row})

    def ended(self, ended: Ended, time_s: float) -> None:
        place = {"container_id": ended.id, "container": ended.name, "exit_code": ended.exit_code}
        self._put({"event": "container_ended", "time": _iso(time_s), **place})

    def note(self, text: str) -> None:
        self._put({"event": "note", "text": text})

    def summary(self, _text: str, totals: dict[str, object]) -> None:
        self._put({"event": "summary", **totals})

    def _put(self, row: dict[str, object]) -> None:
        self._out.write(encode(row) + b"\n")
        self._out.flush()


def json_on_stdout() -> WatchJson:
    return WatchJson(sys.stdout.buffer)


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).strftime("%H:%M:%S")


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
