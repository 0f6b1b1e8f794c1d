"""Data goes one way: a room imports only what lies to its left, and leaf modules."""

import ast
from pathlib import Path

import harness

ROOT = Path(harness.__file__).parent
ROOMS = ["spec", "kernels", "guest", "containers", "oomlog", "collectors", "tables", "analysis", "report"]
LEAVES = {
    "budget",
    "sealed",
    "seats",
    "errors",
    "units",
    "paths",
    "proc",
    "progress",
    "logfile",
    "binaries",
    "pathnames",
}
COMPOSED_ROOMS = {"testing", "commands"}  # what the pytest plugin is made of, and the command line
# Composition: whole runs and whole logs, made of every room. Each imports only what stands above it.
ABOVE = [
    # logs
    "selection",
    "parselog",
    "logframes",
    "watch",
    # runs that are there
    "rundir",
    "pooling",
    "runsummary",
    "runtables",
    "runframes",
    "runreport",
    "runmail",
    "exportset",
    "estimator",
    "history",
    # this machine
    "hostarm",
    "doctor",
    "cleaning",
    # a run is made
    "request",
    "refusals",
    "resume",
    "prepared",
    "trialguests",
    "blockrun",
    "blockwork",
    "looks",
    "planrun",
    "experiment",
    # experiments
    "localnodes",
    "cluster",
    "controls",
    "bisect",
    "series",
    "demo",
    # who asks for them
    "testing",
    "plugin",
    "commands",
    "cli",
    "__main__",
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"harness.{alias.name}" for alias in node.names] if node.module == "harness" else [node.module]
        yield from (name.split(".")[1] for name in names if name.startswith("harness."))


def test_every_module_has_its_place():
    modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    assert modules == LEAVES | set(ABOVE) - COMPOSED_ROOMS
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()} == {*ROOMS, *COMPOSED_ROOMS}


def test_rooms_import_only_to_their_left():
    for position, room in enumerate(ROOMS):
        allowed = LEAVES | set(ROOMS[: position + 1])
        for path in (ROOT / room).rglob("*.py"):
            assert set(imports(path)) <= allowed, path.relative_to(ROOT)


def test_leaves_import_only_leaves():
    for leaf in LEAVES:
        assert set(imports(ROOT / f"{leaf}.py")) <= LEAVES, leaf


def test_composition_goes_one_way_too():
    """Imports within functions count."""
    for position, name in enumerate(ABOVE):
        for path in (ROOT / name).rglob("*.py") if name in COMPOSED_ROOMS else [ROOT / f"{name}.py"]:
            assert not set(imports(path)) & set(ABOVE[position + 1 :]), path.relative_to(ROOT)


def test_pandas_only_from_the_tables_rightward():
    for room in ROOMS[: ROOMS.index("tables")]:
        for path in (ROOT / room).rglob("*.py"):
            assert "import pandas" not in path.read_text(), path.relative_to(ROOT)


def test_durations_are_of_the_monotonic_clock():
    """The wall clock may jump: only names, dates that are shown, and ages of files go by it."""
    users = {path.relative_to(ROOT).name for path in ROOT.rglob("*.py") if "time.time()" in path.read_text()}
    assert users <= {"catalog.py", "inventory.py", "cleaning.py", "watch.py"}
