"""Whatever boots a guest to count rounds begins each boot with a warm-up round that is recorded and not counted."""

import contextlib
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from handrun import write_hand_run

from harness.cli import cli
from harness.pytest_plugin import trials
from harness.pytest_plugin.result import open_result
from harness.spec.arm import name_arms
from harness.tables.schema import TABLES
from harness.tables.store import load_tables, save_tables


class CapturedError(Exception):
    """Holds the request instead of its being measured."""


@pytest.fixture
def requested(monkeypatch):
    """The request that a command makes."""

    def capture(request):
        raise CapturedError(request)

    def controls(_base, _names, out, _progress, request):
        capture(request(name_arms(["source:6.1"]), "one-big-many-small", 5, out))

    monkeypatch.setattr("harness.studies.controls.run_controls", controls)
    monkeypatch.setattr("harness.studies.series.measure_series", lambda _texts, request, *_, **__: capture(request))
    monkeypatch.setattr("harness.studies.demo.run_demo", lambda request, *_: capture(request))

    def requested(*arguments):
        shown = CliRunner().invoke(cli, list(arguments))
        assert isinstance(shown.exception, CapturedError), shown.output
        return shown.exception.args[0]

    return requested


@pytest.mark.parametrize(
    "command", [("controls", "--base", "source:6.1"), ("series", "6.1", "6.12"), ("demo",)], ids=lambda each: each[0]
)
def test_a_command_asks_for_one_round_per_boot(requested, tmp_path, command):
    assert requested(*command, "--out", str(tmp_path / "out")).warm_up == 1


def test_controls_take_another_number(requested, tmp_path):
    command = ("controls", "--base", "source:6.1", "--out", str(tmp_path / "out"), "--warm-up", "3")
    assert requested(*command).warm_up == 3


@pytest.mark.parametrize(("kernel", "rounds"), [("source:6.1", 1), ("host", 0)])
def test_a_trial_of_a_test_has_it_in_a_guest(monkeypatch, tmp_path, kernel, rounds):
    def measured(request, *_):
        raise CapturedError(request)

    monkeypatch.setattr(trials, "Experiment", measured)
    engines = SimpleNamespace(
        machine=SimpleNamespace(vcpus=2, memory_mib=1024, accel="tcg"),
        slot=lambda **_: contextlib.nullcontext(),
        showing=contextlib.nullcontext,
    )
    with pytest.raises(CapturedError) as found:
        trials.Trials(engines, tmp_path).measure(kernel, "one-big-many-small", 4, 1, 1)
    assert found.value.args[0].warm_up == rounds


def test_what_a_trial_shows_a_test_is_what_it_counts(tmp_path):
    """The only round of it is made a warm-up round: it is in the tables, and in no count."""
    run = write_hand_run(tmp_path / "run", hung_arm=None)
    before = open_result(run)
    assert (len(before.rounds), before.redundant_kills, len(before.redundant_kills.rounds)) == (1, 2, 1)
    tables = load_tables(run / "tables", tuple(table for table in TABLES if table.name != "runs"))
    tables["rounds"]["warm_up"] = True
    save_tables(run / "tables", tables)
    result = open_result(run)
    assert (int(result.redundant_kills), result.redundant_kills.rounds) == (0, [])
    assert [len(table) for table in (result.rounds, result.kills, result.reports, result.releases)] == [0] * 4
    assert len(result.run.rounds) == len(before.rounds)
    assert result.arm.warm_up_rounds == 1
