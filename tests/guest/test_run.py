"""The main job, end to end: real kernels, real Docker Engine, real kills."""

import json
import os
import pty
import select
import signal
import subprocess
import threading
import time

import pandas as pd
import psutil
import pytest
from ownterminal import on_terminal

from harness.analysis.tally import counted
from harness.collectors.files import edited_files
from harness.runs.record import read_run
from harness.runs.tables import rebuild_tables
from harness.tables.schema import TABLES
from tests.conftest import command, guests_of

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("prepared")]

ROUNDS = 12


@pytest.fixture(scope="module")
def compared(prepared, tmp_path_factory):
    """One run of three arms, and its summary as JSON."""
    out = tmp_path_factory.mktemp("compare") / "run"
    arms = [argument for spec in prepared.kernels for argument in ("--kernel", spec)]
    done = subprocess.run(
        command("run", *arms, "--rounds", ROUNDS, "--boots", 1, "--seed", 7, "--out", out),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(command("summary", out, "--format", "json"), capture_output=True, text=True, check=True)
    return out, json.loads(shown.stdout), done.stdout


def test_every_round_of_every_arm_completes_and_the_witnesses_agree(compared):
    _, summary, _ = compared
    assert summary["disagreements"] == []
    for arm in summary["arms"]:
        assert (arm["rounds"], arm["outcomes"]["completed"], arm["rounds_not_run"]) == (ROUNDS, ROUNDS, 0), arm
        assert (arm["witness_disagreements"], arm["witnesses_unchecked"], arm["lost_records"]) == (0, 0, 0), arm
        assert (arm["unknown_kills"], arm["collateral_kills"], arm["kills_without_release"]) == (0, 0, 0), arm
        classes = ("redundant", "premature", "fruitless", "necessary")
        assert sum(arm[f"{name}_kills"] for name in classes) == arm["kills"] >= ROUNDS


def test_the_known_bad_kernel_is_told_from_the_others(compared):
    _, summary, _ = compared
    stock, patched, bad = summary["arms"]
    assert bad["rate"] >= 0.5  # 0.97 was measured; a fair harness fails this once in 10^10 runs
    assert stock["rate"] < bad["rate"]
    assert patched["rate"] < bad["rate"]
    assert patched["ci_high"] > 0  # none seen is not none
    mechanisms = bad["redundant_mechanisms"]
    assert mechanisms["unknown"]["kills"] == 0
    assert mechanisms["hidden-victim"]["kills"] > mechanisms["stalled-decider"]["kills"]


def test_the_patched_kernel_never_decides_before_a_release(compared):
    _, summary, _ = compared
    assert (summary["arms"][1]["redundant_kills"], summary["arms"][1]["premature_kills"]) == (0, 0)


def test_the_evidence_is_on_disk_and_the_tables_come_from_it(compared):
    out, summary, text = compared
    before = {path.name: path.read_bytes() for path in (out / "tables").iterdir()}
    assert set(before) == {f"{table.name}.parquet" for table in TABLES}
    assert rebuild_tables(out) == []
    assert {path.name: path.read_bytes() for path in (out / "tables").iterdir()} == before
    kills = pd.read_parquet(out / "tables/kills.parquet")
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    assert rounds.groupby("arm")["warm_up"].agg(["sum", "size"]).to_numpy().tolist() == [[1, ROUNDS + 1]] * 3
    assert len(counted(rounds, kills)[1]) == sum(arm["kills"] for arm in summary["arms"])
    assert "3 warm-up rounds" in " ".join(summary["notes"])
    assert (kills["decision_time_us"] <= kills["mark_time_us"]).all()
    assert (kills["mark_time_us"] <= kills["release_time_us"]).all()
    chosen = kills["decision_time_us"] + kills["decision_to_choice_us"]
    assert (chosen + kills["choice_to_mark_us"] == kills["mark_time_us"]).all()
    assert (kills["mark_to_return_us"] > 0).all()
    trial = out / "trials/001-1"
    assert edited_files(trial) == []
    for name in (
        "kmsg.log",
        "trace.log",
        "memcg.log",
        "collector.jsonl",
        "supervisor.jsonl",
        "console.log",
        "trial.json",
        "checksums.json",
    ):
        assert (trial / name).stat().st_size > 0 or name == "console.log"
    for arm in summary["arms"]:
        assert arm["kernel"] in text


def test_the_limit_is_the_scenarios(compared):
    out, _, _ = compared
    lines = (out / "trials/001-1/memcg.log").read_text().splitlines()
    assert "0 before memory.max 31457280" in lines
    assert "0 before memory.swap.max 0" in lines


def wait_for_rounds(out, count, seconds=120):
    """One more than `count` have come to their end, so that of `count` the collector's last lines are there, too."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if sum(path.read_bytes().count(b'"round_end"') for path in out.glob("trials/*/supervisor.jsonl")) > count:
            return
        time.sleep(0.1)
    raise AssertionError("no rounds")


def start_run(start_oomtrial, version, out, rounds, *more):
    return start_oomtrial("run", "--kernel", f"source:{version}", "--rounds", rounds, "--boots", 1, "--out", out, *more)


def test_ctrl_c_leaves_no_guest_and_keeps_what_was_measured(start_oomtrial, oomtrial, version, tmp_path):
    out = tmp_path / "run"
    process = start_run(start_oomtrial, version, out, 500)
    wait_for_rounds(out, 4)
    (guest,) = guests_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "oomtrial: interrupted; what was measured is kept"
    assert not guest.is_running()
    assert read_run(out).state == "interrupted"
    summary = json.loads(oomtrial("summary", out, "--format", "json").stdout)
    assert summary["arms"][0]["completed_rounds"] >= 3


def test_a_closed_terminal_leaves_no_guest_and_keeps_what_was_measured(oomtrial, version, tmp_path):
    """SIGHUP ends the run as Ctrl-C does, though nothing can be printed any more."""
    out = tmp_path / "run"
    terminal, run_end = pty.openpty()
    closed = threading.Event()

    def show():
        while not closed.is_set():
            if select.select([terminal], [], [], 0.1)[0]:
                os.read(terminal, 1 << 16)
        os.close(terminal)

    process = subprocess.Popen(
        command("run", "--kernel", f"source:{version}", "--rounds", 500, "--boots", 1, "--out", out),
        preexec_fn=on_terminal(run_end),
    )
    os.close(run_end)
    reader = threading.Thread(target=show)
    reader.start()
    try:
        wait_for_rounds(out, 4)
        (guest,) = guests_of(process.pid)
        closed.set()
        assert process.wait(timeout=30) == 130
        assert not guest.is_running()
    finally:
        closed.set()
        reader.join()
        process.kill()
        process.wait()
    assert read_run(out).state == "interrupted"
    summary = json.loads(oomtrial("summary", out, "--format", "json").stdout)
    assert summary["arms"][0]["completed_rounds"] >= 3


def test_a_killed_harness_takes_its_guest_along_and_its_evidence_can_be_read(
    start_oomtrial, oomtrial, version, tmp_path
):
    out = tmp_path / "run"
    process = start_run(start_oomtrial, version, out, 500)
    wait_for_rounds(out, 3)
    (guest,) = guests_of(process.pid)
    process.kill()
    psutil.wait_procs([guest], timeout=10)
    assert not guest.is_running()
    assert oomtrial("tables", "rebuild", out).returncode == 0
    summary = json.loads(oomtrial("summary", out, "--format", "json").stdout)
    assert summary["state"] == "running"
    assert summary["arms"][0]["completed_rounds"] >= 2


def test_a_guest_that_is_killed_costs_one_round_and_the_rest_is_run_in_another(
    start_oomtrial, oomtrial, version, tmp_path
):
    out = tmp_path / "run"
    process = start_run(start_oomtrial, version, out, 30)
    wait_for_rounds(out, 3)
    (guest,) = guests_of(process.pid)
    guest.kill()
    process.communicate(timeout=300)
    assert process.returncode == 0
    (arm,) = json.loads(oomtrial("summary", out, "--format", "json").stdout)["arms"]
    assert arm["rounds"] + arm["rounds_not_run"] == 30
    assert arm["rounds_not_run"] == 0
    assert arm["outcomes"]["lost"] <= 1
    assert arm["outcomes"]["completed"] >= 29
    assert json.loads((out / "trials/001-1/trial.json").read_text())["outcome"] == "lost"
    # the second trial goes on from the snapshot of the first: one boot
    assert (arm["trials_ended_early"], arm["boots"]) == (1, 1)


SLOW = """
summary = "a deadline that no round can keep: what is late is hung, not lost"
memory_max = "30M"
round_deadline_s = 0.1
hogs = [{ name = "hog", count = 2, size = "20M", step = "1M", step_rest_ms = 50 }]
"""


def test_a_round_past_its_deadline_is_hung_and_the_next_one_runs(oomtrial, version, tmp_path):
    scenario = tmp_path / "slow.toml"
    scenario.write_text(SLOW)
    out = tmp_path / "run"
    done = oomtrial(
        "run", "--kernel", f"source:{version}", "--scenario", scenario, "--rounds", 3, "--boots", 1, "--out", out
    )
    assert done.returncode == 0, done.stderr
    (arm,) = json.loads(oomtrial("summary", out, "--format", "json").stdout)["arms"]
    assert arm["outcomes"]["hung"] == 3
    assert arm["rate"] is None


def test_a_patch_that_does_not_apply_names_file_and_hunk(oomtrial, version, tmp_path):
    patch = tmp_path / "bad.patch"
    patch.write_text(
        "--- a/mm/oom_kill.c\n+++ b/mm/oom_kill.c\n@@ -1,3 +1,3 @@\n no such line\n-nor this\n+or that\n nor this one\n"
    )
    done = oomtrial("run", "--kernel", f"source:{version}+{patch}", "--out", tmp_path / "run")
    assert done.returncode == 4
    assert "does not apply" in done.stderr
    assert "mm/oom_kill.c, hunk 1 (line 1)" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()
