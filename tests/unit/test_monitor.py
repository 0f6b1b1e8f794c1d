"""QEMU's monitor: whatever is at the other end, a deadline or a signal ends the wait."""

import os
import signal
import socket
import threading
import time

import pytest

from harness.errors import GuestError
from harness.guest import monitor


@pytest.fixture
def silent(tmp_path):
    """A socket that takes connections and never says a word, as that of a QEMU that is stopped."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()
        yield tmp_path / "qmp"


@pytest.mark.parametrize("talk", [monitor.go_on, lambda path: monitor.save(path, path.with_name("ram"))])
def test_a_monitor_that_says_nothing_is_given_up(silent, monkeypatch, talk):
    monkeypatch.setattr(monitor, "_ANSWER_S", 0.2)
    with pytest.raises(GuestError, match="monitor: it does not answer"):
        talk(silent)


@pytest.fixture
def heard():
    """A shell's background jobs ignore SIGINT, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_signal_does_not_wait_for_it(silent):
    started = time.monotonic()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        monitor.go_on(silent)
    assert time.monotonic() - started < 5


def test_a_qemu_that_is_gone_is_a_guest_that_failed(tmp_path):
    with pytest.raises(GuestError, match="monitor"):
        monitor.go_on(tmp_path / "none")
