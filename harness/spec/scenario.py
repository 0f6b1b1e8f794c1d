"""A scenario: the limits of its containers, its hogs with their declared demand, and what needs how many kills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..units import parse_size
from .scenariofile import DATA_FILE, MACHINE, MAIN, ParentLimits, ScenarioFile


@dataclass(frozen=True)
class Hog:
    """One process of the workload and its declared demand."""

    name: str
    demand_bytes: int  # its own memory plus its overhead
    outlives_bytes: int  # of that, what stays charged when it is dead
    containers: tuple[str, ...]  # limits that it counts for: its container, all parents, and the machine's
    shares_mm: bool  # its children run on its mm (CLONE_VM); those of a fork have one each


@dataclass(frozen=True)
class Limit:
    """One memory.max: of the supervisor's container, another container, or a parent; or what the machine has."""

    name: str  # a container, or parent 1, parent 2, ... from the outermost, or machine
    level: int  # of the supervisor's container, 0, its parent, 1, ...; -1: the container beside it, -2: the machine
    bytes: int


@dataclass(frozen=True)
class Calibration:
    """Hogs to start per group for the calibration of one limit. `fit`: those that remain when the largest were killed until
    the rest fits; `over`: the same with the last of the killed."""

    limit: Limit
    fit: list[int]
    over: list[int]
    capacity_bytes: int  # swap included


@dataclass(frozen=True)
class Scenario:
    """A scenario with every size in bytes. `hogs` stand in the order of the supervisor's numbers."""

    name: str
    summary: str
    limits: tuple[Limit, ...]
    swap_bytes: int
    hogs: tuple[Hog, ...]
    base_overhead_bytes: int
    reserve_bytes: int
    version: str  # content key of the file's values
    text: str  # the TOML it came from
    file: ScenarioFile

    @property
    def round_deadline_s(self) -> float:
        """Seconds after which a round counts as hung."""
        return self.file.round_deadline_s

    @property
    def has_oracle(self) -> bool:
        """Whether the declared demand determines how many kills are needed."""
        return self.file.oracle == "demand"

    @property
    def counts_decisions(self) -> bool:
        """Whether memory.oom.group makes one decision of many kills."""
        return any(container.oom_group for container in self.file.containers)

    @property
    def memory_max_bytes(self) -> int | None:
        """Limit of the supervisor's container, or None."""
        return next((limit.bytes for limit in self.limits if limit.name == MAIN), None)

    @property
    def machine_bytes(self) -> int | None:
        """What the machine has for the hogs, where it is a limit."""
        return next((limit.bytes for limit in self.limits if limit.name == MACHINE), None)

    @property
    def top_level(self) -> int:
        """Level of the topmost memcg: 0 for the supervisor's container, or the number of parents."""
        return len(self.parents)

    @property
    def parents(self) -> tuple[ParentLimits, ...]:
        """The parents, outermost first; several containers have one parent even if it has no limit."""
        declared = tuple(self.file.parents)
        return declared or ((ParentLimits(),) if self.file.containers else ())

    @property
    def oom_score_adj(self) -> int:
        """oom_score_adj of the supervisor's container: its unkillable hogs inherit it, and it protects against a global OOM."""
        if any(group.unkillable for group in self.file.hogs):
            return -1000
        return 0 if self.is_limited else -900

    @property
    def needed_options(self) -> tuple[str, ...]:
        """Kernel config options that the scenario needs beyond those of every guest."""
        needed = ["CONFIG_SWAP", "CONFIG_ZRAM"] if self.swap_bytes else []
        needed += ["CONFIG_CFS_BANDWIDTH"] if self.file.cpus else []
        needed += ["CONFIG_MEMCG_V1"] if self.file.cgroup == "v1" else []
        return tuple(needed)

    @property
    def is_limited(self) -> bool:
        """Whether every hog is under a limit below the machine's; otherwise the scenario can bring the machine down."""
        names = {limit.name for limit in self.limits} - {MACHINE}
        return all(names & set(hog.containers) for hog in self.hogs)

    def domains_differ(self, victim: int, other: int) -> bool | None:
        """Whether two hogs can only be victims of different OOM domains; None when a parent of both may be the domain."""
        if any(limit.level > 0 for limit in self.limits):
            return None
        return self.hogs[victim].containers[0] != self.hogs[other].containers[0]

    def demand_fits(self, alive: set[int], victim: int | None = None) -> bool:
        """Whether the declared demand of these hogs (by number), and what the others left behind, fits under every limit;
        with a victim, under every limit that holds it: killing it could help no other."""
        limits = [limit for limit in self.limits if victim is None or limit.name in self.hogs[victim].containers]
        return all(self._fits(limit, alive) for limit in limits)

    def _fits(self, limit: Limit, alive: set[int]) -> bool:
        demand = sum(
            hog.demand_bytes if number in alive else hog.outlives_bytes
            for number, hog in enumerate(self.hogs)
            if limit.name in hog.containers
        )
        return self.base_overhead_bytes + demand <= limit.bytes + self.swap_bytes

    def kills_needed(self, limits: Iterable[Limit] | None = None) -> list[int]:
        """Numbers of the hogs that must die until the rest fits under these limits (None: under all): the largest of a limit
        that is exceeded first, as the kernel would. Memory that outlives its process may leave a limit exceeded."""
        limits = self.limits if limits is None else tuple(limits)
        alive, killed = set(range(len(self.hogs))), list[int]()
        while True:
            exceeded = (limit for limit in limits if not self._fits(limit, alive))
            held = ([number for number in alive if limit.name in self.hogs[number].containers] for limit in exceeded)
            if not (candidates := next(filter(None, held), None)):
                return killed
            killed.append(min(candidates, key=lambda number: (-self.hogs[number].demand_bytes, number)))
            alive.discard(killed[-1])

    def calibrations(self) -> list[Calibration]:
        """The checks of the declared demand, one per limit. Memory that outlives its process cannot be checked."""
        if not self.has_oracle or any(hog.outlives_bytes for hog in self.hogs):
            return []
        return [calibration for limit in self.limits if (calibration := self._calibration(limit))]

    def _calibration(self, limit: Limit) -> Calibration | None:
        if not (killed := self.kills_needed([limit])):
            return None  # never reached
        alive = {number for number, hog in enumerate(self.hogs) if limit.name in hog.containers} - set(killed)
        return Calibration(
            limit, self._counts(alive), self._counts({*alive, killed[-1]}), limit.bytes + self.swap_bytes
        )

    def _counts(self, alive: Iterable[int]) -> list[int]:
        counts, first = [], 0
        living = set(alive)
        for group in self.file.hogs:
            # A hog that gets ENOMEM enters the OOM killer, and has freed its memory when others grow.
            counts.append(0 if group.until_enomem else len(living & set(range(first, first + group.count))))
            first += group.count
        return counts

    def read_by(self, hog: int) -> int | None:
        """Number of the hog whose memory this one reads (kind readmem): the first one of a group."""
        firsts, first = dict[str, int](), 0
        for group in self.file.hogs:
            firsts[group.name] = first
            first += group.count
            if hog < first:
                return firsts.get(group.reads)
        return None

    def hog_arguments(self, container_ids: dict[str, str]) -> list[str]:
        """The supervisor's ``--hog KEY=VALUE,...`` arguments; IDs of the containers beside it by their names."""
        arguments: list[str] = []
        for group in self.file.hogs:
            values: dict[str, Any] = {
                "name": group.name,
                "hogs": group.count,
                "phase": group.phase,
                "kind": group.kind,
                "bytes": parse_size(group.size),
                "thp": int(group.transparent_hugepages),
                "order": group.touch,
                "populate": int(group.populate),
                "cycles": group.cycles,
                "count": group.tasks,
                "unkillable": int(group.unkillable),
                "enomem": int(group.until_enomem),
                "stubborn": int(group.ignores_signals),
            }
            if group.step:
                values |= {"step-bytes": parse_size(group.step), "step-ms": group.step_rest_ms}
            if group.kind == "pagecache":
                values["path"] = DATA_FILE
            if group.reads:
                values["reads"] = group.reads
            if group.container != MAIN:
                values["container"] = container_ids[group.container]
            arguments += ["--hog", ",".join(f"{key}={value}" for key, value in values.items())]
        return arguments

    def memcg_settings(self) -> list[tuple[int, str, str]]:
        """Settings that the container engine cannot make: (level, file, value)."""
        settings = []
        if self.file.memory_high:
            settings.append((0, "memory.high", str(parse_size(self.file.memory_high))))
        for level, parent in enumerate(reversed(self.parents), start=1):
            for name, value in (("memory.max", parent.memory_max), ("memory.high", parent.memory_high)):
                if value:
                    settings.append((level, name, str(parse_size(value))))
        return settings
