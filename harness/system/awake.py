"""A clock that stands still while this process is stopped: Ctrl-Z, SIGSTOP, a frozen cgroup.

CLOCK_MONOTONIC goes on meanwhile, and so a deadline would be over when the process continues, before it could read
what came in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_S = 5.0


class AwakeClock:
    """Seconds in which this process could run. It must be looked at (`tick`) more often than every LONGEST_S seconds: of a
    longer gap no more is counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, never going backwards."""
        self._clock = clock
        self._last = clock(), 0.0  # when it was looked at last, and what it showed

    def now(self) -> float:
        """Seconds since the start, for any thread."""
        looked_at, shown = self._last
        return shown + min(self._clock() - looked_at, LONGEST_S)

    def tick(self) -> float:
        """The same, by the one thread that looks at it all the time."""
        looked_at, shown = self._last
        at = self._clock()
        self._last = at, shown + min(at - looked_at, LONGEST_S)
        return self._last[1]
