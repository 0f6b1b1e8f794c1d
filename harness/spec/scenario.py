"""Scenarios: a workload with its parameters, the limits of its containers, and its declared demand."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..errors import UsageError, unknown
from ..system.paths import content_key, data_dir
from ..units import SIZE_PATTERN, format_size, parse_size
from .outcome import ROUND_OUTCOMES, Outcome

# Docker refuses a memory limit below this (moby, daemon/daemon_unix.go: linuxMinMemory).
MIN_LIMIT_BYTES = 6 << 20
MAX_HOGS, MAX_GROUPS, MAX_PHASES, MAX_SHARERS = 512, 16, 16, 64  # workloads/hog
MAIN = "main"  # the supervisor's container
MACHINE = "machine"  # the limit that the machine's memory is
DATA_FILE = "/data"  # in the container: what a pagecache hog reads
# workloads/hog/stressors.c. Those whose memory stays charged when the process is gone, and those whose memory the kernel
# can take back without a kill.
KINDS = (
    "vm", "mlock", "memfd", "shm", "pagecache", "pipe", "sock", "fork", "pthread", "clone", "vfork", "vma", "sparse",
    "readmem", "pipelock", "pipewait",
)  # fmt: skip
_OUTLIVES, _RECLAIMABLE = {"shm"}, {"pagecache"}
_ON_ONE_MM = {"clone", "vfork"}
_SHARING = {"fork", "pthread", "clone"}
_ANONYMOUS = {"vm", "mlock", "fork", "pthread", "clone", "vfork", "vma"}
# What the stressors and the container engine take of each number, and what can come to an end.
_BOUNDS: dict[str, tuple[float, float]] = {
    "cpus": (0, 4096),
    "round_deadline_s": (0.1, 86_400),
    "count": (1, MAX_HOGS),
    "phase": (0, MAX_PHASES - 1),
    "step_rest_ms": (0, 60_000),
    "cycles": (0, 1000),
    "tasks": (1, MAX_SHARERS),
}
_MAX_BYTES, _PAGE = 1 << 44, 4096


def _says(description: str, **schema: Any) -> msgspec.Meta:
    """What a key means, for the JSON schema."""
    return msgspec.Meta(description=description, extra_json_schema=schema or None)


def _size(description: str) -> msgspec.Meta:
    return _says(f"{description} A size such as 60M, 192K or 4096.", pattern=SIZE_PATTERN)


class HogGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of equal processes, as in the scenario file."""

    name: Annotated[str, _says("The processes are called NAME.0, NAME.1, ... At most 11 letters.")]
    count: Annotated[int, _says("Number of processes.")] = 1
    size: Annotated[str, _size("Memory that each process takes.")]
    kind: Annotated[str, _says("How a process takes memory.", enum=list(KINDS))] = "vm"
    phase: Annotated[int, _says("Processes of a phase grow once all of the phase before are full or dead.")] = 0
    container: Annotated[str, _says('Container of the processes: "main", or the name of one in [[containers]].')] = MAIN
    transparent_hugepages: Annotated[bool, _says("false: MADV_NOHUGEPAGE.")] = True
    touch: Annotated[Literal["forward", "backward", "random"], _says("Order in which pages are written.")] = "forward"
    populate: Annotated[bool, _says("Map with MAP_POPULATE.")] = False
    step: Annotated[str, _size("Rest each time this much memory was taken.")] = ""
    step_rest_ms: Annotated[int, _says("Length of a rest in milliseconds.")] = 0
    cycles: Annotated[int, _says("How many times a process takes its memory and gives it back before it keeps it.")] = 0
    tasks: Annotated[int, _says("Tasks that share the size, for kind fork, pthread and clone.")] = 1
    unkillable: Annotated[
        bool, _says("oom_score_adj -1000. The supervisor then has it too, and other processes until their phase.")
    ] = False
    until_enomem: Annotated[
        bool, _says("Grow until the kernel returns ENOMEM, then free the memory. Needs Linux 5.14 or later.")
    ] = False
    ignores_signals: Annotated[bool, _says("Ignore every signal that can be ignored.")] = False
    reads: Annotated[str, _says("readmem: the group whose first process's memory it reads.")] = ""


class ContainerLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A container beside the supervisor's, under the same parent."""

    name: Annotated[str, _says("Name, of a-z, 0-9 and -.")]
    memory_max: Annotated[str, _size("memory.max of the container; empty: no limit.")] = ""
    oom_group: Annotated[bool, _says("Set memory.oom.group.")] = False


class ParentLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A memcg above the containers."""

    memory_max: Annotated[str, _size("memory.max of the memcg; empty: no limit.")] = ""
    memory_high: Annotated[str, _size("memory.high of the memcg; empty: no limit.")] = ""


class ScenarioFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The TOML file of a scenario."""

    summary: Annotated[str, _says("What happens, in one line.")]
    shows: Annotated[str, _says("What the scenario is for.")] = ""
    memory_max: Annotated[str, _size("memory.max of the main container; empty: no limit of its own.")] = ""
    memory_high: Annotated[str, _size("memory.high of the main container; empty: no limit.")] = ""
    memory_swap_max: Annotated[str, _size("Swap beyond memory_max, on a zram device in the guest.")] = "0"
    machine_max: Annotated[
        str,
        _size("What the machine has for its processes: a ballast takes the rest; empty: all that it has. Guests only."),
    ] = ""
    cpus: Annotated[float, _says("CPUs of the main container, as of docker run --cpus; 0: no limit.")] = 0.0
    containers: Annotated[list[ContainerLimits], _says("Containers beside the main one.")] = []
    parents: Annotated[
        list[ParentLimits], _says("Memcgs above the containers, from the outermost to the innermost.")
    ] = []
    hogs: Annotated[list[HogGroup], _says("Groups of processes.")]
    oracle: Annotated[
        Literal["demand", "none"],
        _says("none: nobody knows how many kills are needed, so no kill is classified as redundant or surplus."),
    ] = "demand"
    base_overhead: Annotated[
        str, _size("Upper bound of what the supervisor and the containers themselves are charged.")
    ] = "2M"
    hog_overhead: Annotated[str, _size("Upper bound of the kernel memory and page tables of one process.")] = "192K"
    reserve: Annotated[str, _size("What the survivors must leave free when the demand is calibrated.")] = "256K"
    round_deadline_s: Annotated[float, _says("Seconds after which a round has hung.")] = 20.0
    expect: Annotated[tuple[str, ...], _says("Outcomes of a round on a stock kernel.")] = (Outcome.COMPLETED,)
    where: Annotated[Literal["anywhere", "guest"], _says("guest: could hurt the machine that it runs on.")] = "anywhere"
    cgroup: Annotated[Literal["v1", "v2"], _says("v1: the guest boots with the hierarchies of cgroup v1.")] = "v2"


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

    def calibrations(self) -> list[Calibration]:
        """The checks of the declared demand, one per limit. Memory that outlives its process cannot be checked."""
        if not self.has_oracle or any(hog.outlives_bytes for hog in self.hogs):
            return []
        return [found for limit in self.limits if (found := self._calibration(limit))]

    def _calibration(self, limit: Limit) -> Calibration | None:
        held = {number for number, hog in enumerate(self.hogs) if limit.name in hog.containers}
        alive, last = set(held), None
        for number in sorted(held, key=lambda number: (-self.hogs[number].demand_bytes, number)):
            if self._fits(limit, alive):
                break
            alive.discard(number)
            last = number
        if last is None:
            return None  # never reached
        return Calibration(limit, self._counts(alive), self._counts(alive | {last}), limit.bytes + self.swap_bytes)

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


class _Checker:
    """Checks a scenario; an error names the value and the bound."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._file = scenario, scenario.file

    def _refuse(self, what: str) -> None:
        raise UsageError(f"scenario {self._scenario.name}: {what}")

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
            if text and parse_size(text) > _MAX_BYTES:
                self._refuse(f"{name} is {format_size(parse_size(text))}; the maximum is {format_size(_MAX_BYTES)}")
        for group in self._file.hogs:
            if group.step and not _PAGE <= parse_size(group.step) <= _MAX_BYTES:
                self._refuse(f"hog {group.name} rests after every {group.step}; the minimum is 4K")

    def _group(self, group: HogGroup) -> None:
        bounds = [
            limit.bytes + self._scenario.swap_bytes
            for limit in self._scenario.limits
            if limit.name in (group.container, MACHINE) or limit.level > 0
        ]
        size_bytes, most = parse_size(group.size), min(bounds, default=1 << 40)
        may_exceed = group.until_enomem or group.kind in _RECLAIMABLE or not self._scenario.has_oracle
        if size_bytes < _PAGE or (size_bytes > most and not may_exceed):
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
        if group.tasks > 1 and group.kind not in _SHARING:
            self._refuse(
                f"hog {group.name} has {group.tasks} tasks; more than 1 are allowed for {', '.join(sorted(_SHARING))}"
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


def _limits_of(file: ScenarioFile) -> tuple[Limit, ...]:
    limits = []
    if file.memory_max:
        limits.append(Limit(MAIN, 0, parse_size(file.memory_max)))
    for container in file.containers:
        if container.memory_max:
            limits.append(Limit(container.name, -1, parse_size(container.memory_max)))
    for depth, parent in enumerate(file.parents):
        if parent.memory_max:
            limits.append(Limit(f"parent {depth + 1}", len(file.parents) - depth, parse_size(parent.memory_max)))
    if file.machine_max:
        limits.append(Limit(MACHINE, -2, parse_size(file.machine_max)))
    return tuple(limits)


def _hogs_of(file: ScenarioFile) -> tuple[Hog, ...]:
    overhead = parse_size(file.hog_overhead)
    above = (*(f"parent {depth + 1}" for depth in range(len(file.parents))), *([MACHINE] if file.machine_max else ()))
    hogs = []
    for group in file.hogs:
        size = 0 if group.until_enomem or group.kind in _RECLAIMABLE else parse_size(group.size)
        for number in range(group.count):
            outlives = size if group.kind in _OUTLIVES else 0
            hogs.append(
                Hog(
                    f"{group.name}.{number}",
                    size + overhead,
                    outlives,
                    (group.container, *above),
                    group.kind in _ON_ONE_MM,
                )
            )
    return tuple(hogs)


def _refuse_numbers(name: str, file: ScenarioFile) -> None:
    """Checks numbers before objects are made of them, such as a billion hogs.

    Raises UsageError for a number out of its bounds, or none at all (nan).
    """
    for table, where in ((file, ""), *((group, f" of hog {group.name}") for group in file.hogs)):
        for field in table.__struct_fields__:
            value = getattr(table, field)
            if isinstance(value, int | float) and not isinstance(value, bool):
                least, most = _BOUNDS[field]
                if not least <= value <= most:  # nan is not
                    raise UsageError(f"scenario {name}: {field}{where} is {value}; allowed are {least} to {most}")


def _sizes_of(file: ScenarioFile) -> list[tuple[str, str]]:
    """Every size of a file, with its key."""
    keys = ("memory_max", "memory_high", "memory_swap_max", "machine_max", "base_overhead", "hog_overhead", "reserve")
    sizes = [(key, getattr(file, key)) for key in keys]
    sizes += [(f"memory_max of container {one.name}", one.memory_max) for one in file.containers]
    for number, parent in enumerate(file.parents, 1):
        sizes += [(f"{key} of parent {number}", getattr(parent, key)) for key in ("memory_max", "memory_high")]
    for group in file.hogs:
        sizes += [(f"size of hog {group.name}", group.size), (f"step of hog {group.name}", group.step)]
    may_be_empty = ("memory_max", "memory_high", "machine_max", "step")
    return [(key, text) for key, text in sizes if text or not key.startswith(may_be_empty)]


def _refuse_texts(name: str, file: ScenarioFile) -> None:
    """Raises UsageError for a text that is no size, with its key."""
    for key, text in _sizes_of(file):
        try:
            parse_size(text)
        except UsageError as error:
            raise UsageError(f"scenario {name}: {key} is {error.what}", error.hint) from error


def resolve(name: str, parsed: ScenarioFile, text: str) -> Scenario:
    """Checks a scenario file's numbers and converts its sizes to bytes.

    Raises UsageError, naming the number and the bound.
    """
    _refuse_numbers(name, parsed)
    _refuse_texts(name, parsed)
    scenario = Scenario(
        name=name,
        summary=parsed.summary,
        limits=_limits_of(parsed),
        swap_bytes=parse_size(parsed.memory_swap_max) if parsed.memory_swap_max != "0" else 0,
        hogs=_hogs_of(parsed),
        base_overhead_bytes=parse_size(parsed.base_overhead),
        reserve_bytes=parse_size(parsed.reserve),
        version=content_key(msgspec.json.encode(parsed)),
        text=text,
        file=parsed,
    )
    _Checker(scenario).check()
    return scenario


def scenario_names() -> list[str]:
    """Names of the built-in scenarios, sorted."""
    return sorted(path.stem for path in (data_dir("workloads") / "scenarios").glob("*.toml"))


_UNKNOWN_FIELD = re.compile(r"contains unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": ScenarioFile, "hogs": HogGroup, "containers": ContainerLimits, "parents": ParentLimits
}  # fmt: skip


def _explain(error: msgspec.DecodeError) -> str:
    """msgspec's message, with the nearest key for an unknown one."""
    found = _UNKNOWN_FIELD.search(str(error))
    if not found:
        return str(error)
    table = (found[2] or "").split("[")[0]
    keys = [field.name for field in msgspec.structs.fields(_TABLES.get(table, ScenarioFile))]
    near = difflib.get_close_matches(found[1], keys, 1)
    place = f" of {table}" if table else ""
    return f"unknown key {found[1]!r}{place}" + (
        f", did you mean {near[0]}?" if near else f"; keys are {', '.join(keys)}"
    )


def decode(name: str, text: str) -> Scenario:
    """A scenario from the text of its file.

    Raises UsageError when it is malformed.
    """
    try:
        return resolve(name, msgspec.toml.decode(text, type=ScenarioFile), text)
    except msgspec.DecodeError as error:
        raise UsageError(f"scenario {name}: {_explain(error)}") from error


def load_scenario(name: str) -> Scenario:
    """A built-in scenario by name, or a user's scenario by the path of its file.

    Raises UsageError when it does not exist or is malformed, naming the file.
    """
    is_path = name.endswith(".toml")
    path = Path(name).expanduser() if is_path else data_dir("workloads") / "scenarios" / f"{name}.toml"
    try:
        text = path.read_text()
    except FileNotFoundError:
        if is_path:
            raise UsageError(f"there is no scenario file {path}", "`oomtrial scenarios new NAME` writes one") from None
        raise unknown("scenario", name, scenario_names()) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read scenario {path}: {error}") from error
    try:
        return decode(path.stem, text)
    except UsageError as error:
        raise UsageError(error.what.replace(f"scenario {path.stem}:", f"{path}:", 1), error.hint) from error


def scenario_schema() -> dict[str, Any]:
    """The JSON schema of a scenario file, for editors."""
    schema = msgspec.json.schema(ScenarioFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "oomtrial scenario", **schema}


def scenario_template() -> str:
    """A scenario file to begin with: it can be run as it is, and has every key, with what it means."""
    return (data_dir("workloads") / "scenario-template.toml").read_text()
