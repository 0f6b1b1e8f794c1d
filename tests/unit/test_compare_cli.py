"""`oomtrial compare` and `oomtrial plan`: what a person and a CI system see."""

import json
import shutil
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from handrun import STOCK

from harness.cli import cli
from harness.errors import CHECK_FAILED, UsageError
from tests.unit.test_report import run as made_run  # noqa: F401


@pytest.fixture
def run(made_run, tmp_path):  # noqa: F811
    directory = tmp_path / "run"
    shutil.copytree(made_run, directory)
    return directory


def invoke(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def change(run, **fields):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | fields))


def test_the_verdict_stands_beside_its_numbers(run):
    shown = invoke("compare", run)
    assert shown.exit_code == 0, shown.output
    assert "against image:/stock" in shown.output
    found = json.loads(invoke("compare", run, "--format", "json").output)
    assert [each["verdict"] for each in found["summary"]["comparisons"]] == ["not enough rounds"]


def test_a_condition_fails_only_when_its_interval_is_beyond(run):
    failed = invoke("compare", run, "--fail-if", "redundant-rate>1%")
    assert failed.exit_code == CHECK_FAILED
    assert invoke("compare", run, "--fail-if", "redundant-rate>99%").exit_code == 0
    wrong = invoke("compare", run, "--fail-if", "redundant-rate<1")
    assert isinstance(wrong.exception, UsageError)


def test_junit_and_ktap_hold_any_name(run):
    """The arm is called <script>, with a terminal escape that no XML can hold."""
    shown = invoke("compare", run, "--fail-if", "worse", "--format", "junit")
    assert shown.exit_code == 0
    cases = list(ElementTree.fromstring(shown.stdout).iter("testcase"))
    assert any("<script>" in case.get("name") for case in cases)
    lines = invoke("compare", run, "--fail-if", "worse", "--format", "ktap").stdout.splitlines()
    assert lines[0] == "KTAP version 1"
    assert lines[1] == "1..1"
    assert lines[-1].startswith("ok 1 s")
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"vcpus": 2}, "vcpus is '4'"),
        ({"memory_mib": 512}, "memory_mib"),
        ({"accel": "kvm"}, "accel"),
        ({"append": "quiet"}, "append"),
        ({"warm_up": 1}, "warm-up rounds per boot is '0'"),
        ({"amplified": True}, "was amplified"),
    ],
)
def test_runs_of_different_machines_are_not_pooled(run, tmp_path, fields, named):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    change(other, run_id="other", **fields)
    refused = invoke("compare", run, other)
    assert isinstance(refused.exception, UsageError)
    assert named in str(refused.exception)
    assert "cannot be pooled" in str(refused.exception)


@pytest.mark.parametrize(("sizes", "is_pooled"), [((13, 12), True), ((12, 12), False), ((13, 13), False)])
def test_runs_whose_boots_differ_in_rounds_are_not_pooled(run, tmp_path, sizes, is_pooled):
    """100 rounds in 8 boots are 12 or 13 per boot, and 96 are 12: the quotient, rounded down, is that of both."""
    blocks = json.loads((run / "run.json").read_text())["blocks"]

    def with_sizes(directory, *sizes):
        own = [block | {"boot": boot, "rounds": size} for block in blocks for boot, size in enumerate(sizes, start=1)]
        change(directory, run_id=directory.name, blocks=own, rounds=25, boots=2)

    other = tmp_path / "other"
    shutil.copytree(run, other)
    with_sizes(run, 12, 13)
    with_sizes(other, *sizes)
    shown = invoke("compare", run, other)
    if is_pooled:
        assert shown.exit_code == 0, shown.output
        return
    assert isinstance(shown.exception, UsageError)
    assert f"rounds per boot is '12 or 13' in run, and '{sizes[0]}' in other" in str(shown.exception)


def test_arms_that_differ_in_config_are_compared_by_run(run, tmp_path):
    """Two runs of one kernel, the second with `--config`: never pooled, and told apart by run."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    kernels = json.loads((run / "run.json").read_text())["kernels"]
    own = {"config_key": "fedc", "key": "of all", "config_not_taken": ["CONFIG_X"]}
    change(run, run_id="first")
    change(other, run_id="second", kernels=[kernels[0] | own, *kernels[1:]])
    named = f"arm {STOCK}: config is {kernels[0]['config_key']!r} in first, and 'fedc' in second"
    refused = invoke("compare", run, other)
    assert isinstance(refused.exception, UsageError)
    assert named in str(refused.exception)
    assert "--by-run" in refused.exception.hint
    shown = invoke("compare", "--by-run", run, other, "--format", "json")
    assert shown.exit_code == 0, shown.output
    summary = json.loads(shown.output)["summary"]
    assert {arm["kernel"] for arm in summary["arms"]} >= {f"{STOCK} first", f"{STOCK} second"}
    assert named in summary["notes"]
    assert not any("kernel key" in note for note in summary["notes"])
    assert f"{STOCK} second: config options that had no effect: CONFIG_X" in summary["notes"]
    # another machine is another matter
    change(other, vcpus=2)
    assert "vcpus is '4'" in str(invoke("compare", "--by-run", run, other).exception)


def test_alike_runs_are_pooled_and_none_twice(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    assert "named twice" in str(invoke("compare", run, other).exception)
    change(other, run_id="other")
    found = json.loads(invoke("compare", run, other, "--format", "json").output)
    alone = json.loads(invoke("compare", run, "--format", "json").output)
    both, one = (each["summary"]["arms"][0]["rounds"] for each in (found, alone))
    assert both == 2 * one


def test_plan_says_rounds_boots_and_time():
    found = json.loads(
        invoke("plan", "--rate", "9%", "--to", "2%", "--seconds-per-round", 1, "--format", "json").output
    )
    assert found[0]["rounds"] >= 200
    assert found[0]["boots"] * found[0]["rounds_per_boot"] == found[0]["rounds"]
    assert found[0]["seconds"] == 2 * found[0]["rounds"]
    assert isinstance(invoke("plan", "--rate", "9%", "--to", "9%").exception, UsageError)
