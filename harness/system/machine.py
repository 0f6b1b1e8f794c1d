"""Cores and memory that this process may use, by its affinity and its cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OVERHEAD_MIB = 256  # of QEMU, beside the guest's memory
_SPARE = 1 / 8  # of the machine's memory, for everything else


@dataclass(frozen=True)
class Budget:
    """What this process may use of the machine, by affinity and cgroups."""

    cores: int
    memory_mib: int
    quota: float = 0.0  # of cores, where a cgroup allows less time than the cores have; 0: it does not

    def slots(self, vcpus: int, memory_mib: int) -> int:
        """How many guests of this size may run side by side; at least one."""
        by_memory = int(self.memory_mib * (1 - _SPARE)) // (memory_mib + _OVERHEAD_MIB)
        return max(1, min(self.cores // vcpus, by_memory))

    def holds(self, taken: list[tuple[int, int]], vcpus: int, memory_mib: int) -> bool:
        """Whether one more guest fits beside the `taken` ones: (vCPUs, MiB) each."""
        cores = sum(min(each, self.cores) for each, _ in taken) + min(vcpus, self.cores)
        memory = sum(each + _OVERHEAD_MIB for _, each in (*taken, (vcpus, memory_mib)))
        return not taken or (cores <= self.cores and memory <= self.memory_mib * (1 - _SPARE))


def machine_budget() -> Budget:
    """Cores and memory, as the cgroups of this process leave them."""
    affinity = len(os.sched_getaffinity(0))
    quota, memory_bytes = float(affinity), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for directory in _own_cgroups():
        time_us, _, period_us = _words(directory / "cpu.max").partition(" ")
        v1_time_us, v1_period_us = (_words(directory / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        for allowed, of in ((time_us, period_us), (v1_time_us, v1_period_us)):
            if allowed.isdigit() and of.isdigit():
                quota = min(quota, int(allowed) / int(of))
        if (limit := _memory_limit(directory)) is not None:
            memory_bytes = min(memory_bytes, limit)
    return Budget(max(1, int(quota)), memory_bytes >> 20, round(quota, 2) if quota < affinity else 0.0)


def available_mib() -> int:
    """Memory available now, in MiB: the minimum of the machine's and of what its cgroups leave to this process."""
    import psutil  # not for whoever asks for cores only

    available = int(psutil.virtual_memory().available)
    for directory in _own_cgroups():
        used = _words(directory / "memory.current") or _words(directory / "memory.usage_in_bytes")
        if (limit := _memory_limit(directory)) is not None and used.isdigit():
            available = min(available, limit - int(used) + _reclaimable(directory))
    return max(0, available) >> 20


def _memory_limit(directory: Path) -> int | None:
    limits = (_words(directory / name) for name in ("memory.max", "memory.limit_in_bytes"))
    return min((int(limit) for limit in limits if limit.isdigit()), default=None)


def _reclaimable(directory: Path) -> int:
    """Inactive page cache, with that of the cgroups below."""
    fields = dict(line.split(" ", 1) for line in _words(directory / "memory.stat").splitlines() if " " in line)
    return int(fields.get("total_inactive_file", fields.get("inactive_file", "0")))


def _own_cgroups() -> Iterator[Path]:
    """Of this process, on each hierarchy, from its own to the root."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            root = _CGROUPS / name
            directory = root / path.lstrip("/")
            yield directory
            yield from (parent for parent in directory.parents if parent == root or root in parent.parents)


def _words(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cpu_model() -> str:
    """Model name of this machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
