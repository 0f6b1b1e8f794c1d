"""The TOML file of a scenario: its keys, what they mean, and the bounds of its numbers."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

import msgspec

from ..errors import UsageError
from ..units import SIZE_PATTERN, parse_size
from .outcome import Outcome

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
OUTLIVES, RECLAIMABLE = {"shm"}, {"pagecache"}
ON_ONE_MM = {"clone", "vfork"}
SHARING = {"fork", "pthread", "clone"}
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
MAX_BYTES, PAGE_BYTES = 1 << 44, 4096


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


def refuse_numbers(name: str, file: ScenarioFile) -> None:
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
    sizes += [(f"memory_max of container {container.name}", container.memory_max) for container in file.containers]
    for number, parent in enumerate(file.parents, 1):
        sizes += [(f"{key} of parent {number}", getattr(parent, key)) for key in ("memory_max", "memory_high")]
    for group in file.hogs:
        sizes += [(f"size of hog {group.name}", group.size), (f"step of hog {group.name}", group.step)]
    may_be_empty = ("memory_max", "memory_high", "machine_max", "step")
    return [(key, text) for key, text in sizes if text or not key.startswith(may_be_empty)]


def refuse_texts(name: str, file: ScenarioFile) -> None:
    """Raises UsageError for a text that is no size, with its key."""
    for key, text in _sizes_of(file):
        try:
            parse_size(text)
        except UsageError as error:
            raise UsageError(f"scenario {name}: {key} is {error.what}", error.hint) from error


_UNKNOWN_FIELD = re.compile(r"contains unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": ScenarioFile, "hogs": HogGroup, "containers": ContainerLimits, "parents": ParentLimits
}  # fmt: skip


def explain(error: msgspec.DecodeError) -> str:
    """msgspec's message, with the nearest key for an unknown one."""
    match = _UNKNOWN_FIELD.search(str(error))
    if not match:
        return str(error)
    table = (match[2] or "").split("[")[0]
    keys = [field.name for field in msgspec.structs.fields(_TABLES.get(table, ScenarioFile))]
    near = difflib.get_close_matches(match[1], keys, 1)
    place = f" of {table}" if table else ""
    return f"unknown key {match[1]!r}{place}" + (
        f", did you mean {near[0]}?" if near else f"; keys are {', '.join(keys)}"
    )
