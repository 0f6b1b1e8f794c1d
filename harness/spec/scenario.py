"""Scenarios: a workload with its parameters, the limit of its container, and its declared demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.errors import UsageError, unknown
from harness.paths import content_key, data_dir
from harness.units import format_size, parse_size

# Docker refuses a memory limit below this (moby, daemon/daemon_unix.go: linuxMinMemory).
MIN_LIMIT_BYTES = 6 << 20
MAX_HOGS = 512  # workloads/hog.c


class HogGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Processes of one kind, as the scenario file has them."""

    name: str  # the processes are called NAME.0, NAME.1, ...
    count: int
    size: str  # anonymous memory that each one touches
    phase: int = 0  # hogs of a phase grow once all of the phase before are full or dead
    transparent_hugepages: bool = True  # false: MADV_NOHUGEPAGE
    unkillable: bool = False  # oom_score_adj -1000; the supervisor then has it too, and others until their phase
    until_enomem: bool = False  # grows until the kernel says ENOMEM, then gives its memory back; needs 5.14

    @property
    def flags(self) -> str:
        """The letters of workloads/hog.c."""
        letters = {"h": self.transparent_hugepages, "u": self.unkillable, "e": self.until_enomem}
        return "".join(letter for letter, is_set in letters.items() if is_set) or "-"


class ScenarioFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The TOML file of a scenario."""

    summary: str
    memory_max: str
    hogs: list[HogGroup]
    shows: str = ""
    base_overhead: str = "2M"  # what the supervisor and the container itself are charged, at most
    hog_overhead: str = "192K"  # kernel memory and page tables of one hog, at most
    round_deadline_s: float = 20.0


@dataclass(frozen=True)
class Hog:
    """One process of the workload and its declared demand."""

    name: str
    demand_bytes: int  # its own memory plus its overhead


@dataclass(frozen=True)
class Scenario:
    """A scenario with every size in bytes. `hogs` stand in the order of the supervisor's numbers."""

    name: str
    summary: str
    memory_max_bytes: int
    groups: tuple[HogGroup, ...]
    hogs: tuple[Hog, ...]
    base_overhead_bytes: int
    round_deadline_s: float
    version: str  # content key of the file's values
    text: str  # the TOML it came from

    def demand_fits(self, alive: set[int]) -> bool:
        """Whether the declared demand of these hogs (by number) fits under the limit."""
        return self.base_overhead_bytes + sum(self.hogs[i].demand_bytes for i in alive) <= self.memory_max_bytes

    def hog_arguments(self) -> list[str]:
        """The supervisor's ``--hog NAME:COUNT:BYTES:PHASE:FLAGS`` arguments."""
        arguments: list[str] = []
        for group in self.groups:
            size_bytes = parse_size(group.size)
            arguments += ["--hog", f"{group.name}:{group.count}:{size_bytes}:{group.phase}:{group.flags}"]
        return arguments

    @property
    def oom_score_adj(self) -> int:
        """Of the container: what its unkillable hogs inherit."""
        return -1000 if any(group.unkillable for group in self.groups) else 0


def _check(name: str, scenario: Scenario) -> None:
    limit = scenario.memory_max_bytes
    if limit < MIN_LIMIT_BYTES:
        raise UsageError(
            f"scenario {name}: memory_max is {format_size(limit)}, the container engine takes no less than 6M"
        )
    if not 1 <= len(scenario.hogs) <= MAX_HOGS:
        raise UsageError(f"scenario {name}: {len(scenario.hogs)} hogs, between 1 and {MAX_HOGS} are possible")
    for group in scenario.groups:
        size_bytes = parse_size(group.size)
        if size_bytes < 4096 or (size_bytes > limit and not group.until_enomem):
            raise UsageError(
                f"scenario {name}: hog {group.name} takes {group.size}, between 4K and memory_max ({format_size(limit)}) is possible"
            )
        if group.count < 1 or not 1 <= len(group.name) <= 11 or ":" in group.name:
            raise UsageError(
                f"scenario {name}: hog {group.name!r} needs a count above 0 and a name of 1 to 11 letters without a colon"
            )
    if scenario.demand_fits(set(range(len(scenario.hogs)))):
        raise UsageError(
            f"scenario {name}: all its hogs fit under memory_max ({format_size(limit)}), no kill is needed"
        )


def resolve(name: str, parsed: ScenarioFile, text: str) -> Scenario:
    """Checks a scenario file's numbers and converts its sizes to bytes.

    Raises UsageError, naming the number and the bound.
    """
    overhead = parse_size(parsed.hog_overhead)
    hogs = tuple(
        Hog(f"{group.name}.{number}", (0 if group.until_enomem else parse_size(group.size)) + overhead)
        for group in parsed.hogs
        for number in range(group.count)
    )
    scenario = Scenario(
        name=name,
        summary=parsed.summary,
        memory_max_bytes=parse_size(parsed.memory_max),
        groups=tuple(parsed.hogs),
        hogs=hogs,
        base_overhead_bytes=parse_size(parsed.base_overhead),
        round_deadline_s=parsed.round_deadline_s,
        version=content_key(msgspec.json.encode(parsed)),
        text=text,
    )
    _check(name, scenario)
    return scenario


def scenario_names() -> list[str]:
    return sorted(path.stem for path in (data_dir("workloads") / "scenarios").glob("*.toml"))


def decode(name: str, text: str) -> Scenario:
    """A scenario from the text of its file.

    Raises UsageError when it is malformed.
    """
    try:
        return resolve(name, msgspec.toml.decode(text, type=ScenarioFile), text)
    except msgspec.DecodeError as error:
        raise UsageError(f"scenario {name}: {error}") from error


def load_scenario(name: str) -> Scenario:
    """A scenario of ours by name, or a person's own by the path of its file.

    Raises UsageError when there is none, or it is malformed.
    """
    path = Path(name) if name.endswith(".toml") else data_dir("workloads") / "scenarios" / f"{name}.toml"
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise unknown("scenario", name, scenario_names()) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read scenario {path}: {error}") from error
    return decode(path.stem, text)
