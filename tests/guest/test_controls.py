"""The harness's own proof, small: a known-bad kernel is told from stock, stock is not, and a gate nobody opens hangs."""

import json

import pytest

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("prepared")]


def test_a_control_comes_out_as_claimed_and_is_not_measured_twice(oomtrial, version, tmp_path):
    """At 30 rounds an arm: told apart with a chance of 99.9 % where stock is at 25 % and the control at 90 %, of 98.7 % where
    a busy host takes stock to 35 % (9 % and 90 % were measured on a quiet one); A/A alike with 99 %."""
    arguments = ["controls", "--base", f"source:{version}", "--only", "A/A", "--only", "ignore-pending-victim"]
    arguments += ["--rounds", 30, "--boots", 1, "--out", tmp_path / "out"]
    done = oomtrial(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 controls behave as claimed" in done.stdout
    again = oomtrial(*arguments, "--format", "json")
    assert "measured already" in again.stderr
    results = {result["control"]: result for result in json.loads(again.stdout)}
    assert [results[name]["passed"] for name in ("A/A", "ignore-pending-victim")] == [True, True]
    assert results["A/A"]["arm"] == f"source:{version} (A/A)"
    assert all(result["rounds"] == result["reference_rounds"] == 30 for result in results.values())


def test_a_gate_that_nobody_opens_hangs(oomtrial, version, tmp_path):
    out = tmp_path / "run"
    kernels = ["--kernel", f"source:{version}", "--kernel", f"source:{version}+gate-without-victim"]
    done = oomtrial("run", *kernels, "--scenario", "no-victim-then-big", "--rounds", 1, "--boots", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    summary = json.loads(oomtrial("summary", out, "--format", "json").stdout)
    stock, gate = summary["arms"]
    assert (stock["outcomes"]["completed"], stock["outcomes"]["hung"]) == (1, 0)
    assert (gate["outcomes"]["completed"], gate["outcomes"]["hung"]) == (0, 1)
    assert summary["comparisons"][0]["verdict"] != "better"
