"""The packages of harness/ and the direction data flows: `python tools/rooms.py [DIRECTORY]` draws them from the imports.

A *room* is a package or a module directly below harness/. A room may import only rooms above it in ROOMS, the list that
docs/architecture.md shows and tests/unit/test_architecture.py checks. Imports within functions count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1] / "harness"
ROOMS = {  # from the first that data passes to the last: name, and what it holds
    "version": "the version",
    "errors": "exceptions with an exit code and advice",
    "units": "sizes and durations, parsed and printed",
    "progress": "progress of long work on the terminal",
    "system": "this machine: processes, locks, slots for guests, cores and memory, paths, sealed files, the C compiler, apt's lists",
    "oomlog": "bytes of a kernel log become typed records: reports, kills, releases, what is missing. Usable alone",
    "spec": "what is to be measured: kernel specs, scenarios with sizes in bytes, arms, a project's defaults, the plan of a run",
    "kernels": "a kernel spec becomes a bzImage (and an initramfs) in the cache, keyed by the content of all it is made of",
    "collectors": "raw evidence on disk, and its rounds read back",
    "containers": "images, and running containers whose output is followed",
    "guest": "a bzImage and the root image become a Docker endpoint on a loopback port; snapshots; the local engine",
    "tables": "evidence becomes rows of facts in Parquet, with the four witnesses reconciled",
    "analysis": "tables become classes of kills, rates, comparisons, the summary; effects, controls, the sequential test",
    "report": "text, JSON, pictures, the HTML page, traces for Perfetto",
    "runs": "runs on disk: record, pool, summary, tables, frames (`load_run`), report, export, history, interim analyses",
    "logs": "kernel logs from anywhere: files, filter, parse, frames (`parse_log`), follow, accuracy of the estimator",
    "maintenance": "what this machine needs (doctor), and what killed processes left on it (cleanup)",
    "experiment": "a request becomes a run: preflight, artifacts, guests or the host, schedule, blocks, trials, resume, Dask",
    "studies": "experiments with a judgement: controls, bisection, series, the matrix of a nightly, the demonstration, the trial of a tree",
    "pytest_plugin": "hooks and fixtures; engines, containers, images, results, the watcher",
    "commands": "a file for each command, or for a few that go together",
    "cli": "the commands together, and how the program ends",
}
ENTRANCES = {"__init__", "__main__", "plugin"}  # thin: they import from any room, and no room imports them


def modules(package: Path) -> dict[str, Path]:
    """Modules of a package by dotted name below it; a package's own is that of its `__init__.py`."""
    paths = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return paths


@cache
def imports(package: Path) -> dict[str, set[str]]:
    """Which modules of a package each of them imports, absolutely or relatively, anywhere in its text."""
    every = modules(package)
    return {name: set(_imported(path, package, every)) - {name} for name, path in every.items()}


def _imported(path: Path, package: Path, every: Mapping[str, Path]) -> Iterator[str]:
    own = [package.name, *path.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [".".join([*base, alias.name]) for alias in node.names]
        for name in names:
            root, _, below = name.partition(".")
            if root == package.name and below:
                yield below if below in every else below.rpartition(".")[0] or "__init__"


def room_of(module: str) -> str:
    return module.partition(".")[0]


def rooms(package: Path) -> dict[str, set[str]]:
    """Which rooms each room imports."""
    graph: dict[str, set[str]] = {}
    for name, imported in imports(package).items():
        room = room_of(name)
        graph.setdefault(room, set()).update({room_of(other) for other in imported} - {room})
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes, each of which reaches all others of its group (Tarjan's strongly connected components)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups = []

    def visit(node: str) -> None:
        numbers[node] = lowest[node] = len(numbers)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in numbers:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], numbers[other])
        if lowest[node] == numbers[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for node in graph:
        if node not in numbers:
            visit(node)
    return groups


def floors(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Rooms by the longest chain of imports below each; those of one circle stand on one floor."""
    group = {node: tuple(members) for members in circles(graph) for node in members}
    merged: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for node, others in graph.items():
        key = group.get(node, (node,))
        merged.setdefault(key, set()).update(group.get(other, (other,)) for other in others)
        merged[key].discard(key)
    height: dict[tuple[str, ...], int] = {}
    for key in TopologicalSorter(merged).static_order():
        height[key] = 1 + max((height[other] for other in merged.get(key, ())), default=-1)
    result: list[list[str]] = [[] for _ in range(max(height.values()) + 1)]
    for key, floor in height.items():
        result[floor] += key
    return [sorted(names) for names in result]


def table() -> str:
    """The table of docs/architecture.md."""
    rows = [f"| `{name}` | {holds} |" for name, holds in ROOMS.items()]
    return "\n".join(["| room | holds |", "|---|---|", *rows]) + "\n"


def main(arguments: list[str]) -> None:
    if arguments == ["--table"]:
        print(table(), end="")
        return
    package = Path(arguments[0]).resolve() if arguments else HARNESS
    graph = rooms(package)
    levels = floors(graph)
    for number, names in reversed(list(enumerate(levels))):
        for name in names:
            print(f"{number:>3}  {name:<14} <- {' '.join(sorted(graph[name]))}".rstrip(" <-"))
    print(f"\n{len(graph)} rooms, {len(levels)} floors, {sum(map(len, graph.values()))} arrows")
    for kind, members in (("rooms", circles(graph)), ("modules", circles(imports(package)))):
        print(f"circles of {kind}: {'; '.join(' '.join(names) for names in members) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
