"""Who used the CPUs of this machine during a measurement."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass


@dataclass(frozen=True)
class CpuShares:
    """Shares of this machine's CPU time, 0 to 1, over some time.

    `steal`: time in which the hypervisor ran other machines although a CPU of this one had work (proc_stat(5), steal); 0
    on hardware, and under a hypervisor that does not tell. `others`: time of processes that this one did not start, and
    of the kernel itself.
    """

    steal: float
    others: float


class CpuClock:
    """Starts to count when it is made."""

    def __init__(self) -> None:
        self._start = _read()

    def shares(self) -> CpuShares | None:
        """The shares since the start; None if no time has been counted, which takes some hundredths of a second."""
        capacity, busy, steal, own = (now - then for now, then in zip(_read(), self._start, strict=True))
        if capacity <= 0:
            return None
        return CpuShares(_share(steal, capacity), _share(busy - own, capacity))


def _share(part: float, whole: float) -> float:
    return round(min(1.0, max(0.0, part / whole)), 4)


def _read() -> tuple[float, float, float, float]:
    """Seconds of CPU time so far: in all, busy and not stolen, stolen, and busy with this process and what it started."""
    import psutil

    times = psutil.cpu_times()  # user has the time of guests in it
    busy = times.user + times.nice + times.system + times.irq + times.softirq
    return busy + times.idle + times.iowait + times.steal, busy, times.steal, _own_s()


def _own_s() -> float:
    import psutil

    this = psutil.Process()
    own = 0.0
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it has ended: its parent has its time, once it was waited for
            times = process.cpu_times()
            own += times.user + times.system + times.children_user + times.children_system
    return own
