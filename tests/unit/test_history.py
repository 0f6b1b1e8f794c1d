"""`oomtrial history`: what earlier runs on host showed."""

import json

import msgspec
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.runs.history import Entry


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("OOMTRIAL_STATE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entry(number, **fields):
    values = {
        "time": f"2026-11-{number:02d}T10:20:30+00:00",
        "run_id": f"run-{number}",
        "directory": f"/nowhere/run-{number}",
        "kernel": "Linux 6.1.0",
        "engine": "Docker 20.10",
        "cpu": "cpu",
        "cores": 2,
        "arm": "host",
        "scenario": "one-big-many-small",
        "scenario_version": "1",
        "rounds": 50,
        "completed": 49,
        "rounds_per_minute": 60.0,
        "kills": 55,
        "surplus_kills": 6,
        "rounds_with_redundant": 4,
        "rounds_with_unknown": 0,
        "rounds_with_overlap_estimated": 5,
        "kill_to_release_us": 12_345,
        "round_ms": 250.0,
        "stall_ms": 1.0,
        "waited_ms": 1.0,
        "foreign_kills": 0,
    }
    return msgspec.json.encode(Entry(**values | fields)) + b"\n"


def invoke(*arguments):
    done = CliRunner().invoke(cli, ["history", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("state")
def test_without_a_run_it_says_how_to_make_one():
    assert "oomtrial run --kernel host" in invoke()


def test_entries_are_listed_oldest_first(state):
    kept = state / "kept"
    kept.mkdir()
    (kept / "run.json").write_text("{}")
    (state / "history.jsonl").write_bytes(
        entry(1)
        + b"damaged\n"
        + entry(2, rounds_with_unknown=3, directory=str(kept))
        + entry(3, scenario="no oracle", rounds_with_redundant=None, kill_to_release_us=None)
    )
    shown = invoke()
    assert [line.split()[0] for line in shown.splitlines() if line.strip().startswith("2026")] == [
        "2026-11-01",
        "2026-11-02",
        "2026-11-03",
    ]
    assert "4 of 49" in shown
    assert "4-7 of 49" in shown
    assert "12.3" in shown
    assert "/nowhere/run-1  (gone)" in shown
    assert "\nkept\n" in shown
    assert "2026-11-03" in invoke("--last", "1")
    assert "2026-11-02" not in invoke("--last", "1")
    assert [one["run_id"] for one in json.loads(invoke("--json"))] == ["run-1", "run-2", "run-3"]
