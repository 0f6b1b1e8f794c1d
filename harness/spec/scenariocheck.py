"""What a scenario's file may ask for: limits that the engine takes, sizes within them, groups that exist."""

from __future__ import annotations

import difflib
import re

from ..errors import UsageError
from ..units import format_size, parse_size
from .outcome import ROUND_OUTCOMES
from .scenario import Limit, Scenario
from .scenariofile import (
    KINDS,
    MACHINE,
    MAIN,
    MAX_BYTES,
    MAX_GROUPS,
    MAX_HOGS,
    MIN_LIMIT_BYTES,
    PAGE_BYTES,
    RECLAIMABLE,
    SHARING,
    HogGroup,
)


def check_scenario(scenario: Scenario) -> None:
    """Raises UsageError, naming the value and the bound, for a scenario that cannot be run."""
    _Checker(scenario).check()


class _Checker:
    """Checks a scenario; an error names the value and the bound."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._file = scenario, scenario.file

    def _refuse(self, problem: str) -> None:
        raise UsageError(f"scenario {self._scenario.name}: {problem}")

    def check(self) -> None:
        self._limits()
        self._sizes()
        for group in self._file.hogs:
            self._group(group)
        if not 1 <= len(self._scenario.hogs) <= MAX_HOGS or len(self._file.hogs) > MAX_GROUPS:
            self._refuse(
                f"{len(self._scenario.hogs)} hogs in {len(self._file.hogs)} groups; allowed are 1 to {MAX_HOGS} hogs in up to {MAX_GROUPS} groups"
            )
        if bad := set(self._file.expect) - set(ROUND_OUTCOMES):
            self._refuse(f"expect has {sorted(bad)[0]!r}, possible are {', '.join(ROUND_OUTCOMES)}")
        if not self._scenario.is_limited and self._file.where != "guest":
            self._refuse('some of its hogs are under no limit, which needs where = "guest"')
        if self._scenario.has_oracle and self._scenario.demand_fits(set(range(len(self._scenario.hogs)))):
            self._refuse("all its hogs fit under the limit, so no kill is needed")

    def _limits(self) -> None:
        for limit in self._scenario.limits:
            if limit.bytes < MIN_LIMIT_BYTES:
                self._refuse(f"{_key(limit)} is {format_size(limit.bytes)}; the container engine's minimum is 6M")
            if limit.bytes <= self._scenario.base_overhead_bytes:
                self._refuse(
                    f"{_key(limit)} is {format_size(limit.bytes)}; base_overhead alone is {self._file.base_overhead}"
                )
        if 0 < self._file.cpus < 0.01:
            self._refuse(f"cpus is {self._file.cpus}; the container engine's minimum is 0.01")
        if self._scenario.swap_bytes and self._scenario.memory_max_bytes is None:
            self._refuse("memory_swap_max needs a memory_max")
        if self._scenario.swap_bytes and self._file.machine_max:
            self._refuse("with machine_max it can have no swap: zram takes the machine's memory")
        on_v2 = self._file.parents or self._file.containers or self._file.memory_high or self._file.machine_max
        if self._file.cgroup == "v1" and on_v2:
            self._refuse("on cgroup v1 only memory_max and memory_swap_max are allowed")
        names = [container.name for container in self._file.containers]
        for name in names:
            if names.count(name) > 1 or name in (MAIN, MACHINE) or not re.fullmatch(r"[a-z0-9-]{1,32}", name):
                self._refuse(f"container name {name!r} is taken, or not made of a-z, 0-9 and -")

    def _sizes(self) -> None:
        sizes = {
            "memory_swap_max": self._file.memory_swap_max,
            "memory_high": self._file.memory_high,
            "base_overhead": self._file.base_overhead,
            "hog_overhead": self._file.hog_overhead,
            "reserve": self._file.reserve,
        }
        sizes |= {_key(limit): str(limit.bytes) for limit in self._scenario.limits}
        sizes |= {f"memory_high of parent {n}": parent.memory_high for n, parent in enumerate(self._file.parents, 1)}
        sizes |= {f"size of hog {group.name}": group.size for group in self._file.hogs}
        for name, text in sizes.items():
            if text and parse_size(text) > MAX_BYTES:
                self._refuse(f"{name} is {format_size(parse_size(text))}; the maximum is {format_size(MAX_BYTES)}")
        for group in self._file.hogs:
            if group.step and not PAGE_BYTES <= parse_size(group.step) <= MAX_BYTES:
                self._refuse(f"hog {group.name} rests after every {group.step}; the minimum is 4K")

    def _group(self, group: HogGroup) -> None:
        bounds = [
            limit.bytes + self._scenario.swap_bytes
            for limit in self._scenario.limits
            if limit.name in (group.container, MACHINE) or limit.level > 0
        ]
        size_bytes, most = parse_size(group.size), min(bounds, default=1 << 40)
        may_exceed = group.until_enomem or group.kind in RECLAIMABLE or not self._scenario.has_oracle
        if size_bytes < PAGE_BYTES or (size_bytes > most and not may_exceed):
            self._refuse(f"hog {group.name} takes {group.size}; allowed are 4K to its limit ({format_size(most)})")
        if not re.fullmatch(r"[^:,=\s]{1,11}", group.name):
            self._refuse(f"hog {group.name!r} needs a name of 1 to 11 letters without blank, colon, comma or =")
        if group.kind not in KINDS:
            near = difflib.get_close_matches(group.kind, KINDS, 1)
            self._refuse(
                f"hog {group.name} is of kind {group.kind!r}{f', did you mean {near[0]}?' if near else ''}; kinds are {', '.join(KINDS)}"
            )
        if group.container not in (MAIN, *(container.name for container in self._file.containers)):
            self._refuse(f"hog {group.name} is in container {group.container!r}, which is not defined")
        if group.tasks > 1 and group.kind not in SHARING:
            self._refuse(
                f"hog {group.name} has {group.tasks} tasks; more than 1 are allowed for {', '.join(sorted(SHARING))}"
            )
        if (group.until_enomem or group.cycles) and group.kind != "vm":
            self._refuse(f"hog {group.name}: until_enomem and cycles are for kind vm")
        self._reader(group)
        if group.kind == "fork" and self._scenario.has_oracle:
            self._refuse(f'hog {group.name} forks, so it is unknown which of its processes die; oracle must be "none"')

    def _reader(self, group: HogGroup) -> None:
        if (group.kind == "readmem") != bool(group.reads):
            self._refuse(f"hog {group.name}: kind readmem and reads (the name of a group) belong together")
        earlier = [other.name for other in self._file.hogs if other.phase < group.phase]
        if group.reads and group.reads not in earlier:
            self._refuse(f"hog {group.name} reads {group.reads!r}, which is not a group of an earlier phase")


def _key(limit: Limit) -> str:
    """As the scenario's file has it."""
    return "machine_max" if limit.name == MACHINE else f"memory_max of {limit.name}"
