"""QEMU's monitor: whatever is at the other end, a deadline or a signal ends the wait."""

import os
import signal
import socket
import subprocess
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


@pytest.fixture
def qemu(tmp_path):
    """A QEMU that waits, with its monitor in a directory whose path is longer than a socket's may be; and with what is in
    `bin` before its own commands."""
    directory, started = tmp_path / ("deep" * 20) / ("deeper" * 10), []
    directory.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    argv = [
        "qemu-system-x86_64",
        "-S",
        "-machine",
        "q35",
        "-accel",
        "tcg",
        "-m",
        "16",
        "-nodefaults",
        "-display",
        "none",
    ]

    def start():
        environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
        started.append(subprocess.Popen([*argv, "-qmp", "unix:qmp,server=on,wait=off"], cwd=directory, env=environment))
        end = time.monotonic() + 20
        while not (directory / "qmp").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        return directory / "qmp"

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_guest_is_saved_under_a_path_that_is_long(qemu):
    socket_path = qemu()
    assert len(str(socket_path)) > 108
    monitor.save(socket_path, socket_path.with_name("ram.zst"))
    assert socket_path.with_name("ram.zst").stat().st_size > 0


@pytest.mark.parametrize("zstd", ["cat > /dev/null; exit 1", "exit 1", "kill -9 $$"])
def test_a_zstd_that_dies_is_reported_at_once(qemu, tmp_path, monkeypatch, zstd):
    (tmp_path / "bin/zstd").write_text(f"#!/bin/sh\n{zstd}\n")
    (tmp_path / "bin/zstd").chmod(0o755)
    monkeypatch.setattr(monitor, "_WRITE_DEADLINE_S", 1.0, raising=False)
    socket_path, began = qemu(), time.monotonic()
    with pytest.raises(GuestError, match="QEMU cannot save the guest"):
        monitor.save(socket_path, socket_path.with_name("ram.zst"))
    assert time.monotonic() - began < 60
