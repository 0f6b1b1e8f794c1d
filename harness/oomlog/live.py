"""A kernel log that is being written: kills as they come.

A kill is complete once its report is whole. Nothing marks the end of what belongs to a kill (its group, its release): it is
over when the kernel has been silent for a moment, and in a storm without a pause when it has waited for long enough.
"""

from __future__ import annotations

from collections.abc import Iterator

from .assemble import Assembler, Output
from .records import KnownLosses
from .scan import Chunk, read_and_count

_QUIET_S = 0.25  # the lines of one kill, its group and its release are printed in less
_PATIENCE_S = 2.0  # with a report that has no kill yet; on a slow console its lines come slowly
_STORM_S = 0.7  # without a pause: what has ended by then is not kept back any longer
_HEADER = b"invoked oom-killer"
_KILLED = b"illed process "


class LiveLog:
    """Takes the records of /dev/kmsg as they are read, and gives what is complete. Times are of any one steady clock.

    Releases that are printed later, and what they say of an overlap, are not waited for: a kill's estimate is that of
    the moment.
    """

    def __init__(self) -> None:
        self._assembler = Assembler()
        self._assembler.begin_file()
        self._waiting = bytearray()
        self._first_s = self._last_s = 0.0
        self._lines = 0
        self._sequence: int | None = None

    @property
    def missing(self) -> KnownLosses:
        """What the log read so far is known to lack."""
        return self._assembler.missing

    def feed(self, record: bytes, now_s: float) -> None:
        """Takes one record, its continuation fields with it."""
        if not self._waiting:
            self._first_s = now_s
        self._last_s = now_s
        self._count_gap(record)
        self._waiting += record if record.endswith(b"\n") else record + b"\n"

    def _count_gap(self, record: bytes) -> None:
        number = record.split(b",", 2)[1:2]
        if not number or not number[0].isdigit() or record.startswith(b" "):
            return
        sequence = int(number[0])
        if self._sequence is not None and sequence > self._sequence + 1:
            self.missing.sequence_gaps += sequence - self._sequence - 1
        self._sequence = sequence

    def complete_records(self, now_s: float) -> Iterator[Output]:
        """The records that no later line adds to, as far as the silence since then shows. Ask a few times a second."""
        if not self._waiting:
            return
        is_open = self._waiting.rfind(_HEADER) > self._waiting.rfind(_KILLED)
        if now_s - self._last_s >= (_PATIENCE_S if is_open else _QUIET_S):
            yield from self._read(len(self._waiting))
        elif now_s - self._first_s >= _STORM_S:
            # a report that has its kill is whole; in a storm most kills come without one
            yield from self._read(self._before_last_report() if is_open else len(self._waiting))
            self._first_s = now_s

    def close(self) -> Iterator[Output]:
        """The rest."""
        yield from self._read(len(self._waiting))

    def _before_last_report(self) -> int:
        return self._waiting.rfind(b"\n", 0, max(0, self._waiting.rfind(_HEADER))) + 1

    def _read(self, end: int) -> Iterator[Output]:
        data = bytes(self._waiting[:end])
        del self._waiting[:end]
        found, lines = read_and_count(Chunk(data, len(data), 0, 0))
        for item in found:
            yield from self._assembler.feed(item, self._lines + 1)
        self._lines += lines
        yield from self._assembler.close()
