"""A run that is stopped for a while, that is ended by an impatient hand, or that has another one beside it."""

import contextlib
import json
import secrets
import signal
import time

import pandas as pd
import pytest

from harness.collectors.files import edited_files, read_trial
from harness.guest.snapshot import Snapshot
from harness.runs.record import read_run
from harness.runs.tables import rebuild_tables
from harness.system.paths import cache_dir
from tests.conftest import guests_of

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("prepared")]

# Rounds of two seconds, which are long enough to be hit and keep their deadline where nothing disturbs them.
SLOW = """
summary = "rounds that take a while"
memory_max = "30M"
round_deadline_s = 10.0
hogs = [{ name = "hog", count = 2, size = "20M", step = "1M", step_rest_ms = 100 }]
"""
DEADLINE_S = 10.0
LONGER_S = 12.0  # than the deadline of a round


@pytest.fixture
def start_slow(start_oomtrial, version, tmp_path):
    """Starts a run of such rounds; the process, and the run's directory."""
    scenario = tmp_path / "slow.toml"
    scenario.write_text(SLOW)

    def start(rounds):
        out = tmp_path / "run"
        process = start_oomtrial(
            "run",
            "--kernel",
            f"source:{version}",
            "--scenario",
            scenario,
            "--rounds",
            rounds,
            "--boots",
            1,
            "--out",
            out,
        )
        return process, out

    return start


def count(out, file, event):
    text = f'"event":"{event}"'.encode()
    return sum(path.read_bytes().replace(b'": "', b'":"').count(text) for path in out.glob(f"trials/*/{file}"))


def wait_for_a_round(out, ended, seconds=120):
    """So many rounds have come to their end, and another one is in progress."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done = count(out, "supervisor.jsonl", "round_end")
        if done >= ended and count(out, "collector.jsonl", "armed") > done:
            return
        time.sleep(0.05)
    raise AssertionError("no rounds")


def no_files_are_left(pid):
    cache = cache_dir()
    return not [
        *cache.glob(f"guests/guest-{pid}-*"), *cache.glob(f"seats/*-{pid}-*"), *cache.glob("snapshots/.new-*"),
    ]  # fmt: skip


def rounds_of(out):
    return pd.read_parquet(out / "tables/rounds.parquet")


def test_a_guest_that_is_stopped_in_a_round_is_no_hang(start_slow):
    """Its clock continues while QEMU is stopped, so its supervisor finds that the deadline has passed."""
    process, out = start_slow(4)
    wait_for_a_round(out, ended=2)
    (guest,) = guests_of(process.pid)
    guest.suspend()
    with contextlib.suppress(Exception):
        guest.wait(LONGER_S)
    with contextlib.suppress(Exception):
        guest.resume()
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "001-1 (source:" in said
    assert "the guest was stopped for" in said
    assert said.count("the round is run again") == 1
    rounds = rounds_of(out)
    assert set(rounds["outcome"]) == {"completed"}
    assert (~rounds["warm_up"]).sum() == 4
    assert rounds["duration_us"].max() < DEADLINE_S * 1e6
    trial = read_trial(out / "trials/001-1")
    assert (trial.state, trial.rounds) == ("interrupted", trial.rounds_begun)
    assert rebuild_tables(out) == []
    assert no_files_are_left(process.pid)


def test_a_harness_that_is_stopped_in_a_round_finds_no_hang_when_it_is_ended_then(start_slow, oomtrial):
    """Ctrl-Z, and a while later fg and Ctrl-C: the guest went on meanwhile, and no round took too long."""
    process, out = start_slow(40)
    wait_for_a_round(out, ended=2)
    process.send_signal(signal.SIGSTOP)
    time.sleep(LONGER_S)
    process.send_signal(signal.SIGINT)  # is delivered when it continues
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert set(rounds_of(out)["outcome"]) == {"completed"}
    trial = read_trial(out / "trials/001-1")
    assert (trial.state, trial.outcome) == ("interrupted", "lost")
    (arm,) = json.loads(oomtrial("summary", out, "--format", "json").stdout)["arms"]
    assert arm["outcomes"]["hung"] == 0
    assert no_files_are_left(process.pid)


def test_a_harness_that_is_stopped_in_a_round_counts_what_the_guest_did_meanwhile(start_slow):
    process, out = start_slow(6)
    wait_for_a_round(out, ended=2)
    process.send_signal(signal.SIGSTOP)
    time.sleep(6.0)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    rounds = rounds_of(out)
    assert set(rounds["outcome"]) == {"completed"}
    assert (~rounds["warm_up"]).sum() == 6
    assert set(rounds["trial_id"]) == {"001-1"}


@pytest.mark.parametrize("pause_s", [0.0, 0.05, 0.3])
def test_ctrl_c_twice_in_a_round_leaves_nothing_behind(start_slow, oomtrial, pause_s):
    process, out = start_slow(40)
    wait_for_a_round(out, ended=3)
    (guest,) = guests_of(process.pid)
    process.send_signal(signal.SIGINT)
    time.sleep(pause_s)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1] == "oomtrial: interrupted; what was measured is kept"
    assert not guest.is_running()
    assert no_files_are_left(process.pid)
    assert not list(out.rglob(".*"))
    assert read_run(out).state in ("interrupted", "running")  # running: the tables were interrupted too, which is said
    assert oomtrial("tables", "rebuild", out).returncode == 0
    (arm,) = json.loads(oomtrial("summary", out, "--format", "json").stdout)["arms"]
    assert arm["completed_rounds"] >= 2
    assert arm["outcomes"]["hung"] == arm["outcomes"]["lost"] == 0


def test_two_runs_side_by_side_disturb_nothing_of_each_other(start_oomtrial, version, tmp_path):
    """Both boot the same kernel and would save the same snapshots; their rounds, records and files are their own."""
    fresh = f"oomtrial.test={secrets.token_hex(4)}"  # on the kernel's command line: no snapshot has it
    before = {path.name for path in (cache_dir() / "snapshots").glob("*")}
    outs = [tmp_path / "one", tmp_path / "two"]
    try:
        processes = [
            start_oomtrial(
                "run", "--kernel", f"source:{version}", "--rounds", 6, "--boots", 1, "--append", fresh, "--out", out
            )
            for out in outs
        ]
        said = [process.communicate(timeout=300)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said
        for out, process in zip(outs, processes, strict=True):
            rounds = rounds_of(out)
            assert (~rounds["warm_up"]).sum() == 6
            assert set(rounds["outcome"]) == {"completed"}
            assert rounds["witness_disagreement"].isna().all()
            assert rounds["witnesses_checked"].all()
            trials = list((out / "trials").iterdir())
            assert [edited_files(trial) for trial in trials] == [[]] * len(trials)
            # on a machine so slow that an engine gives up its start, another trial follows
            assert sum(read_trial(trial).rounds_begun > 0 for trial in trials) == 1
            tables = {path.name: path.read_bytes() for path in (out / "tables").iterdir()}
            assert rebuild_tables(out) == []
            assert {path.name: path.read_bytes() for path in (out / "tables").iterdir()} == tables
            assert no_files_are_left(process.pid)
        tokens = [read_trial(out / "trials/001-1").token for out in outs]
        assert tokens[0] != tokens[1]
        assert [read_run(out).state for out in outs] == ["complete"] * 2
        # the one that came second says that it was not alone; a figure of its costs would else be taken for a quiet machine's
        assert max(read_run(out).concurrent_guests for out in outs) >= 1
    finally:
        for path in (cache_dir() / "snapshots").glob("[!.]*"):
            if path.is_dir() and path.name not in before:
                # another program's guest may be using one that it has saved meanwhile
                Snapshot(path).discard_if_unused()
