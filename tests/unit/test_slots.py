"""Room for guests: never more than the machine has, in turn, and given back however a process ends."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from harness.system.machine import Budget
from harness.system.paths import cache_dir
from harness.system.slots import guests_of_others, is_wanted, take_slot, wait_for_slot

HOLD = "import time; from harness.system.slots import take_slot; s = take_slot({}, {}); print('taken', flush=True); time.sleep(60)"
WAIT = "from harness.system.slots import *; s = wait_for_slot(2, 2048, budget=Budget(2, 8192)); print('taken', flush=True); input()"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path))


@pytest.fixture
def start():
    """Another process that runs this code; it has said its first word."""
    started = []

    def start(code, wait=True):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        if wait:
            assert process.stdout.readline() == "taken\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_process_has_no_seat(start):
    process = start(HOLD.format(2, 2048))
    with take_slot(1, 1) as mine:
        assert (mine.others(), guests_of_others()) == (1, 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (mine.others(), guests_of_others()) == (0, 0)
    assert [path.name for path in (cache_dir() / "seats").iterdir()] == []


def test_who_waits_gets_the_seat_when_it_is_free_and_says_so_once(start):
    holder, told = start(HOLD.format(2, 2048)), []
    threading.Timer(0.5, holder.kill).start()
    started = time.monotonic()
    with wait_for_slot(2, 2048, told.append, Budget(2, 8192)):
        assert 0.4 < time.monotonic() - started < 30
    assert told == [1]


def test_a_holder_hears_that_somebody_waits(start):
    with take_slot(2, 2048):
        assert not is_wanted()
        waiting = start(WAIT, wait=False)
        end = time.monotonic() + 20
        while not is_wanted() and time.monotonic() < end:
            time.sleep(0.02)
        assert is_wanted()
    assert waiting.stdout.readline() == "taken\n"
    assert not is_wanted()
