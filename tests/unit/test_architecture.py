"""The rooms of harness/ and the direction data flows: tools/rooms.py has the one list, docs/architecture.md shows it."""

from pathlib import Path

from tools.rooms import ENTRANCES, HARNESS, ROOMS, circles, imports, modules, room_of, rooms, table

ORDER = list(ROOMS)


def test_every_room_is_in_the_list():
    assert {room_of(name) for name in modules(HARNESS)} == {*ORDER, *ENTRANCES}


def test_rooms_import_only_rooms_before_them():
    """Imports within functions count."""
    graph = rooms(HARNESS)
    for position, room in enumerate(ORDER):
        assert graph[room] <= set(ORDER[:position]), room
    for entrance in ENTRANCES:
        assert graph[entrance] <= set(ORDER), entrance


def test_no_modules_import_each_other_in_a_circle():
    assert circles(imports(HARNESS)) == []


def test_a_circle_is_seen(tmp_path):
    package = tmp_path / "there"
    for name, text in {
        "__init__": "",
        "low/__init__": "",
        "low/a": "def f():\n    from ..high import b\n",
        "high/__init__": "from .b import x",
        "high/b": "import there.low.a\nx = 1",
    }.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert rooms(package) == {"__init__": set(), "low": {"high"}, "high": {"low"}}
    assert sorted(map(sorted, circles(rooms(package)))) == [["high", "low"]]
    assert circles(imports(package)) == [["high.b", "low.a"]]


def test_the_page_shows_the_list():
    """`python tools/rooms.py --table` prints it."""
    assert table() in (HARNESS.parent / "docs" / "architecture.md").read_text()


def test_imports_within_the_package_are_relative():
    """It has two names: harness in a checkout, oomtrial where the wheel is installed."""
    for path in HARNESS.rglob("*.py"):
        text = path.read_text()
        assert "from harness" not in text, path
        assert "import harness" not in text or path.name == "__init__.py", path


def test_pandas_only_from_the_tables_on():
    for room in ORDER[: ORDER.index("tables")]:
        for path in [*HARNESS.glob(f"{room}.py"), *(HARNESS / room).rglob("*.py")]:
            assert "import pandas" not in path.read_text(), path.relative_to(HARNESS)


def test_durations_are_of_the_monotonic_clock():
    """The wall clock may jump: only names, dates that are shown, and ages of files go by it."""
    users = {str(path.relative_to(HARNESS)) for path in HARNESS.rglob("*.py") if "time.time()" in path.read_text()}
    assert users <= {
        "kernels/catalog.py", "kernels/inventory.py", "maintenance/cleanup.py", "maintenance/tidy.py", "logs/follow.py"
    }  # fmt: skip


def test_data_files_are_found_from_the_checkout():
    from harness.system.paths import data_dir

    assert data_dir("workloads") == Path(HARNESS.parent, "workloads")


def test_one_room_locks():
    assert [path.name for path in HARNESS.rglob("*.py") if "fcntl" in path.read_text()] == ["locks.py"]
