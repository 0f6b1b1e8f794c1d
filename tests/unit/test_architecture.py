"""Data goes one way: a room imports only what lies to its left, and leaf modules."""

import ast
from pathlib import Path

import harness

ROOT = Path(harness.__file__).parent
ROOMS = ["spec", "kernels", "guest", "containers", "oomlog", "collectors", "tables", "analysis", "report"]
LEAVES = {"seats", "errors", "units", "paths", "proc", "progress", "logfile", "binaries", "pathnames"}
TESTING = "testing"  # what the pytest plugin is made of: composition, in a room of its own
# Composition: whole runs and whole logs, made of every room.
ABOVE = {
    "__main__",
    "plugin",
    "rundir",
    "runreport",
    "runtables",
    "runsummary",
    "pooling",
    "looks",
    "experiment",
    "history",
    "hostarm",
    "bisect",
    "controls",
    "doctor",
    "cli",
    "cli_kernels",
    "cli_report",
    "cli_compare",
    "cli_watch",
    "watch",
    "parselog",
    "logframes",
    "runframes",
    "exportset",
    "estimator",
    "selection",
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("harness."))


def test_every_module_has_its_place():
    modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    assert modules == LEAVES | ABOVE
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()} == {*ROOMS, TESTING}


def test_rooms_import_only_to_their_left():
    for position, room in enumerate(ROOMS):
        allowed = LEAVES | set(ROOMS[: position + 1])
        for path in (ROOT / room).rglob("*.py"):
            assert set(imports(path)) <= allowed, path.relative_to(ROOT)


def test_leaves_import_only_leaves():
    for leaf in LEAVES:
        assert set(imports(ROOT / f"{leaf}.py")) <= LEAVES, leaf


def test_pandas_only_from_the_tables_rightward():
    for room in ROOMS[: ROOMS.index("tables")]:
        for path in (ROOT / room).rglob("*.py"):
            assert "import pandas" not in path.read_text(), path.relative_to(ROOT)
