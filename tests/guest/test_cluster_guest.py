"""Blocks on workers of a real local cluster, with real guests."""

import time

import pandas as pd
import psutil
import pytest

from harness.runs.record import read_run
from tests.conftest import guests_of

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("prepared")]

ROUNDS = 6


def worker_of(guest):
    """The process of Dask's that started a guest."""
    return next(parent for parent in guest.parents() if "multiprocessing" in " ".join(parent.cmdline()))


def guest_in_its_rounds(process, scratch):
    """A guest, once two of its rounds are over."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        for supervisor in scratch.glob("oomtrial-block-*/trials/*/supervisor.jsonl"):
            if supervisor.read_bytes().count(b'"round_end"') >= 2:
                pid = int(supervisor.parents[2].name.split("-")[2])  # the worker's
                return next(guest for guest in guests_of(process.pid) if worker_of(guest).pid == pid)
        time.sleep(0.05)
    raise AssertionError("no rounds")


def test_a_worker_that_is_killed_in_the_middle_of_a_block_takes_its_guest_along_and_nothing_else(
    start_oomtrial, version, tmp_path
):
    pytest.importorskip("distributed")
    out, scratch = tmp_path / "run", tmp_path / "tmp"
    scratch.mkdir()
    arms = [text for kernel in ("", "+ignore-pending-victim") for text in ("--kernel", f"source:{version}{kernel}")]
    process = start_oomtrial(
        "run",
        *arms,
        "--rounds",
        ROUNDS,
        "--boots",
        1,
        "--warm-up",
        0,
        "--cluster",
        "local:2",
        "--out",
        out,
        env={"TMPDIR": str(scratch)},
    )
    guest = guest_in_its_rounds(process, scratch)
    worker_of(guest).kill()
    psutil.wait_procs([guest], timeout=10)
    assert not guest.is_running()
    shown, said = process.communicate(timeout=300)
    assert (process.returncode, read_run(out).state) == (0, "complete"), shown + said
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    assert sorted(zip(rounds["arm"], rounds["round"], strict=True)) == [
        (arm, number) for arm in sorted(arms[1::2]) for number in range(1, ROUNDS + 1)
    ]
    assert set(rounds["outcome"]) == {"completed"}
    assert rounds["witness_disagreement"].isna().all()
    assert rounds["witnesses_checked"].all()
    assert list(scratch.iterdir()) == []
