"""Who used the CPUs during a measurement."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.runs.pool import pool_runs
from harness.runs.summary import summarize_pool
from harness.system import cpushares
from harness.system.cpushares import CpuClock, CpuShares

_BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
_CAPACITY, _BUSY, _STEAL, _OWN = range(4)
_EXAMPLE = Path(__file__).parents[2] / "results/example"


def test_steal_and_others_are_shares_of_all_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(100.0, 40.0, 5.0, 10.0), (120.0, 52.0, 9.0, 18.0)])
    monkeypatch.setattr(cpushares, "_read", lambda: next(readings))
    assert CpuClock().shares() == CpuShares(steal=0.2, others=0.2)


def test_no_time_has_no_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpushares, "_read", lambda: (100.0, 40.0, 5.0, 10.0))
    assert CpuClock().shares() is None


def test_children_are_not_others_while_they_run_and_after() -> None:
    before = cpushares._own_s()
    with subprocess.Popen(
        [sys.executable, "-c", _BURN + "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        while cpushares._own_s() < before + 0.3:  # it still runs
            assert child.poll() is None
        child.communicate(b"\n")
    assert cpushares._own_s() >= before + 0.28  # in ticks of 10 ms, rounded down


def test_what_is_busy_contains_what_is_our_own() -> None:
    before = cpushares._read()
    subprocess.run([sys.executable, "-c", _BURN], check=True)
    after = cpushares._read()
    used = [now - then for now, then in zip(after, before, strict=True)]
    # The kernel counts a CPU by its ticks, and a process to the nanosecond; /proc gives both in ticks of 10 ms, rounded down.
    assert used[_OWN] >= 0.28
    assert used[_CAPACITY] + 0.1 >= used[_BUSY] >= used[_OWN] - 0.1


@pytest.mark.parametrize(
    ("steal", "others", "said"),
    [
        (0.02, 0.04, []),
        (0.32, 0.04, ["the hypervisor gave 32 % of the host's CPU time to other machines (steal)"]),
        (0.0, 0.25, ["other processes used 25 % of the host's CPU time"]),
        (None, None, []),
    ],
)
def test_a_host_that_was_not_quiet_is_a_note(steal: float | None, others: float | None, said: list[str]) -> None:
    pool = pool_runs([_EXAMPLE])
    trials = [msgspec.structs.replace(trial, host_steal_share=steal, host_others_share=others) for trial in pool.trials]
    pool = type(pool)(pool.records, pool.rounds, pool.kills, pool.ended_early, pool.unreadable, trials)
    notes = [note for note in summarize_pool(pool, compare=False).notes if "CPU time" in note]
    assert [note.partition(" during the rounds, which widens")[0] for note in notes] == said


def test_a_set_of_before_has_no_shares() -> None:
    assert {trial.host_steal_share for trial in pool_runs([_EXAMPLE]).trials} == {None}
