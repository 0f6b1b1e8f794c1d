"""Threads that wait for somebody else do not keep an interrupted run waiting."""

import threading
import time

import pytest

from harness.proc import threads


def test_a_pool_is_not_waited_for_when_a_signal_ends_it():
    built, started, jobs = threading.Event(), time.monotonic(), []

    def build():
        with threads(1) as pool:
            jobs.extend((pool.submit(built.wait, 60), pool.submit(int)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()
    assert time.monotonic() - started < 5
    built.set()
    assert jobs[0].result(5)
    assert jobs[1].cancelled()  # not begun when the signal came


def test_else_it_is():
    with threads(2) as pool:
        job = pool.submit(time.sleep, 0.1)
    assert job.done()
