"""Whether a process was stopped, and a clock that does not count the time in which this one was."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from harness.guest import activity
from harness.guest.activity import Activity, ActivityWatch, activity_of
from harness.system.awake import LONGEST_S, AwakeClock


class Process:
    """What is seen of a process: `look` after so many seconds, in which it used this CPU time and was switched so often."""

    def __init__(self):
        self.now_s, self.cpu_s, self.switches = 0.0, 0.0, 0
        self.watch = ActivityWatch(lambda: Activity(self.cpu_s, self.switches), lambda: self.now_s)

    def look(self, seconds, cpu_s=0.0, switches=0):
        self.now_s += seconds
        self.cpu_s += cpu_s
        self.switches += switches
        return self.watch.look()


def test_a_process_that_does_nothing_at_all_for_more_than_three_seconds_was_stopped():
    process = Process()
    assert not process.look(1, cpu_s=0.5)
    assert [process.look(1) for _ in range(4)] == [False, False, False, True]
    assert (process.watch.ran_at, process.watch.stopped_s) == (1, 4)
    assert process.look(1, cpu_s=1)  # it stays so


@pytest.mark.parametrize("idle", [{"switches": 1}, {"cpu_s": 0.01}])
def test_an_idle_guest_was_not_stopped(idle):
    process = Process()
    assert not any(process.look(1, **idle) for _ in range(100))


def test_a_busy_process_is_not_asked_at_every_line():
    process = Process()
    assert not any(process.look(0.01) for _ in range(49))
    assert process.watch._looked_at == 0


def test_a_gap_in_which_nobody_looked():
    """The harness was stopped too: the guest went on, or it was stopped for most of it."""
    went_on, stopped = Process(), Process()
    assert not went_on.look(60, cpu_s=20, switches=9000)
    assert stopped.look(60, cpu_s=2, switches=900)
    assert stopped.watch.ran_at == 0
    assert stopped.watch.description == "oomtrial was stopped for 60 s, and its guest too, as it used 2.0 s of CPU"


def test_a_process_that_has_ended_was_not_stopped():
    clock = iter(range(100))
    watch = ActivityWatch(lambda: None, lambda: float(next(clock)))
    assert not any(watch.look() for _ in range(20))


def test_a_real_process(monkeypatch):
    monkeypatch.setattr(activity, "_STOPPED_S", 0.3)
    monkeypatch.setattr(activity, "_LOOK_S", 0.05)
    ticks = "import time\nwhile True: time.sleep(0.01)"
    with subprocess.Popen([sys.executable, "-c", ticks]) as process:
        try:
            watch = ActivityWatch(partial(activity_of, process.pid))

            def looks(seconds):
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    time.sleep(0.06)
                    yield watch.look()

            assert not any(looks(1.0))
            os.kill(process.pid, signal.SIGSTOP)
            assert any(looks(1.0))
        finally:
            process.kill()
    assert activity_of(process.pid) is None


def test_a_clock_that_does_not_count_the_time_in_which_nobody_looked():
    now = [100.0]
    clock = AwakeClock(lambda: now[0])
    for _ in range(10):
        now[0] += 1
        clock.tick()
    assert clock.now() == 10
    now[0] += 3600
    assert clock.now() == clock.tick() == 10 + LONGEST_S
    now[0] += 0.5
    assert clock.now() == 10.5 + LONGEST_S
