"""Whether a guest ran: QEMU may be stopped (SIGSTOP, a frozen cgroup), and its kernel is not to blame for what follows.

A guest's clock continues while QEMU is stopped: the round in progress is past its deadline when it continues, and all
times measured in it are wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import psutil

# QEMU's main loop wakes at least twice a second as long as a client is connected to the guest (libslirp, do_slowtimo), even
# if all vCPUs are halted.
_STOPPED_S = 3.0
_LOOK_S = 0.5  # looks that come sooner cost time and tell nothing
# A gap in which nobody looked, as this process was stopped too: a guest that was stopped for most of it used less than this
# share of one core; before and after it, it may have used all cores for a second.
_GAP_S = 10.0
_LEAST_SHARE = 0.1


class Activity(NamedTuple):
    """What a process has done since its start."""

    cpu_s: float
    switches: int  # context switches of its first thread


def activity_of(pid: int) -> Activity | None:
    """None where the process is gone."""
    try:
        process = psutil.Process(pid)
        times, switches = process.cpu_times(), process.num_ctx_switches()
    except psutil.Error:
        return None
    return Activity(times.user + times.system, switches.voluntary + switches.involuntary)


class ActivityWatch:
    """Tells whether a process was stopped. It must be looked at every second, by one thread."""

    def __init__(self, read: Callable[[], Activity | None], clock: Callable[[], float] = time.monotonic) -> None:
        """`read`: what the process has done; `clock`: seconds, never going backwards."""
        self._read, self._clock = read, clock
        self._looked_at, self._last = clock(), read()
        self.ran_at = self._looked_at  # when it was seen to run for the last time, of the clock
        self.stopped_s = 0.0
        self.description = ""  # of the stop, for the user

    def look(self) -> bool:
        """Whether the process was stopped for `stopped_s`, since `ran_at`; it stays so. One that has ended was not."""
        if self.stopped_s:
            return True
        now = self._clock()
        gap_s = now - self._looked_at
        if gap_s < _LOOK_S or (current := self._read()) is None or self._last is None:
            return False
        cpu_s = current.cpu_s - self._last.cpu_s
        has_run = current != self._last if gap_s <= _GAP_S else cpu_s >= _LEAST_SHARE * gap_s
        self._looked_at, self._last = now, current
        if has_run:
            self.ran_at = now
        elif now - self.ran_at > _STOPPED_S:
            self.stopped_s = now - self.ran_at
            self.description = f"the guest was stopped for {self.stopped_s:.0f} s, by a signal or by its cgroup"
            if gap_s > _GAP_S:
                self.description = (
                    f"oomtrial was stopped for {gap_s:.0f} s, and its guest too, as it used {cpu_s:.1f} s of CPU"
                )
        return self.stopped_s > 0
