"""`oomtrial watch`: the kernel log of this machine, followed live, with the names of its containers."""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..containers.names import ContainerNames, Ended, container_id
from ..containers.running import API_ERRORS
from ..errors import HostError
from ..guest.local import connect_local, engine_of, open_kernel_log
from ..oomlog.live import LiveLog
from ..oomlog.records import Kill
from ..report.place import Place, place_of
from ..report.watchtext import WatchedKill, WatchTotals
from ..system.process import has_initial_pids
from ..units import format_count

_TICK_MS = 100
_RECORD_BYTES = 8192  # kernel/printk/printk.c, PRINTK_MESSAGE_MAX and what stands before it
_END_S = 10.0  # a container that ends so soon after a kill in it ended by that
_KILLED = re.compile(rb"illed process (\d+)")
_REMEMBERED = 1000
_SOON_S = 3.0  # the engine may tell of the end before the kill's report is over


class WatchOutput(Protocol):
    """Prints what `watch` sees."""

    def kill(self, seen: WatchedKill) -> None:
        """Prints a kill."""
        ...

    def ended(self, ended: Ended, time_s: float) -> None:
        """Prints the end of a container in which a process was killed. `time_s`: seconds since the epoch."""
        ...

    def note(self, text: str) -> None:
        """Prints a note."""
        ...

    def summary(self, text: str, totals: WatchTotals) -> None:
        """Prints the totals at the end, as text or as data."""
        ...


class KillCounter(Protocol):
    """Counts the kills and the lost records that `watch` sees: `Metrics` does it for Prometheus."""

    def kill(self, seen: WatchedKill) -> None:
        """Counts a kill."""

    def lost(self, records: int) -> None:
        """`records`: how many records of the kernel log were lost since the start, in all."""


@dataclass(frozen=True)
class ObservedKill:
    """A kill with its time and its container."""

    time_s: float
    kill: Kill
    container: str | None
    name: str | None
    source: str | None  # report: its memcg; proc: /proc/PID/cgroup while the victim was on its way out
    place: Place


class Watch:
    """Follows until it is interrupted. Works without an engine: names are then missing, and a note says so once."""

    def __init__(self, make_out: Callable[[], WatchOutput], counter: KillCounter | None = None) -> None:
        """`counter`: counts beside `make_out`. Raises HostError, with advice, when this process may not read the kernel log; nothing is printed then."""
        self._log, self._live = open_kernel_log(), LiveLog()
        self._out, self._counter = make_out(), counter
        self._started = time.monotonic()
        self._overrun = False
        self._has_initial_pids = has_initial_pids()
        self._containers_by_pid: dict[int, str] = {}  # victims whose report may be kept back -> their container
        self._recent: dict[str, float] = {}  # container -> last kill in it
        self._ends: list[tuple[float, Ended]] = []  # with when they were heard of
        self._kills = self._overlaps = 0
        self._domains: set[str | None] = set()
        self._names = self._follow_names()

    def _follow_names(self) -> ContainerNames | None:
        try:
            client = connect_local()
            engine = engine_of(client)
            if not engine.is_ours:
                self._out.note(f"no container names: {engine} runs on another kernel or machine ({engine.kernel})")
                return None
            return ContainerNames(client)
        except HostError as error:
            self._out.note(f"no container names: {error}")
        except API_ERRORS as error:
            self._out.note(f"no container names: the engine does not answer ({error})")
        return None

    def run(self) -> None:
        """Prints kills until KeyboardInterrupt, then a summary."""
        poll = select.poll()
        poll.register(self._log, select.POLLIN)
        try:
            while True:
                poll.poll(_TICK_MS)
                self._read()
                self._emit_complete_kills()
        except KeyboardInterrupt:
            for output in self._live.close():
                self._kill(output)
            self._summarize()
        finally:
            os.close(self._log)
            if self._names is not None:
                self._names.close()

    def _read(self) -> None:
        for record in self._records():
            if self._has_initial_pids and (found := _KILLED.search(record)):
                self._note_container(int(found[1]))
            self._live.feed(record, time.monotonic())
        if self._counter is not None:
            self._counter.lost(self._live.missing.sequence_gaps)

    def _note_container(self, pid: int) -> None:
        """The kernel prints ten reports in 5 s and all of the kills; for a moment a victim still has a memcg to be looked up."""
        with contextlib.suppress(OSError):
            if container := container_id(Path(f"/proc/{pid}/cgroup").read_text()):
                self._containers_by_pid[pid] = container
        if len(self._containers_by_pid) > _REMEMBERED:
            self._containers_by_pid.clear()  # lines of user space, which no kill follows

    def _records(self) -> Iterator[bytes]:
        while True:
            try:
                yield os.read(self._log, _RECORD_BYTES)
            except BlockingIOError:
                return
            except BrokenPipeError:
                # the record to be read next was overwritten; the sequence numbers tell how many were
                if not self._overrun:
                    self._out.note("the kernel log was overwritten faster than it was read: kills may be missing")
                self._overrun = True

    def _emit_complete_kills(self) -> None:
        for output in self._live.complete_records(time.monotonic()):
            self._kill(output)
        if self._names is None:
            return
        now = time.monotonic()
        while not self._names.ended.empty():
            self._ends.append((now, self._names.ended.get()))
        waiting = []
        for heard, ended in self._ends:
            if heard - self._recent.get(ended.id, -_END_S) < _END_S:
                self._out.ended(ended, time.time())
            elif now - heard < _SOON_S:
                waiting.append((heard, ended))
        self._ends = waiting
        if len(self._recent) > _REMEMBERED:
            self._recent = {container: last for container, last in self._recent.items() if now - last < _END_S}
        if self._names.lost.is_set():
            self._names.lost.clear()
            self._out.note("the container engine is gone: names of new containers will be missing")

    def _kill(self, output: object) -> None:
        if not isinstance(output, Kill):
            return
        container, source = container_id(output.task_memcg) or container_id(output.domain), "report"
        caught = self._containers_by_pid.pop(output.killed.pid, None)
        if container is None or output.report is None:
            container, source = (caught, "proc") if caught else (container, source)
        if container is not None:
            self._recent[container] = time.monotonic()
        self._kills += 1
        self._overlaps += output.overlap_estimated is True
        self._domains.add(output.domain)
        name = self._names.name_of(container) if self._names is not None else None
        place = place_of(output.task_memcg or output.domain, container, name)
        seen = ObservedKill(_wall(output), output, container, name, source if container else None, place)
        self._out.kill(seen)
        if self._counter is not None:
            self._counter.kill(seen)

    def _summarize(self) -> None:
        missing = self._live.missing
        seconds = time.monotonic() - self._started
        totals = WatchTotals(
            kills=self._kills,
            domains=len(self._domains),
            overlaps_estimated=self._overlaps,
            records_lost=missing.sequence_gaps,
            forged_kills=missing.forged_kills,
            seconds=round(seconds, 1),
        )
        text = f"{format_count(self._kills, 'kill')} in {format_count(len(self._domains), 'domain')} in {_duration(seconds)}"
        if self._kills:
            text += f", {self._overlaps} estimated to come before an earlier victim's memory was free"
        if missing.sequence_gaps:
            text += f"; {missing.sequence_gaps} records of the kernel log were lost"
        if missing.forged_kills:
            text += f"; {missing.forged_kills} lines of user space look like a kill but are not"
        self._out.summary(text, totals)


def _wall(kill: Kill) -> float:
    """Unix time of a kill: the kernel log's clock stands still in suspend, as the monotonic one does."""
    if kill.location.uptime_s is None:
        return time.time()
    return time.time() - max(0.0, time.clock_gettime(time.CLOCK_MONOTONIC) - kill.location.uptime_s)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def watch(make_out: Callable[[], WatchOutput], counter: KillCounter | None = None) -> None:
    """Follows the kernel log until Ctrl-C.

    Raises HostError when this process may not read it.
    """
    with contextlib.suppress(KeyboardInterrupt):  # before anything was followed
        Watch(make_out, counter).run()
