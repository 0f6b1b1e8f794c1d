"""A second Ctrl-C does not leave what the first one ended half done."""

import os
import signal
import threading
from pathlib import Path

import pytest

from harness.containers import session
from harness.guest import machine
from harness.guest.machine import Guest, GuestConfig
from harness.system.paths import write_atomically
from harness.system.signals import ENDING, deferred
from harness.system.slots import take_slot


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_delivered_after_the_block(number):
    heard, done = [], []
    before = signal.signal(number, lambda *_: heard.append(number))
    try:
        with deferred():
            signal.raise_signal(number)
            signal.raise_signal(number)
            done.append(heard == [])
        assert (heard, done) == ([number], [True])
        signal.raise_signal(number)
        assert heard == [number] * 2  # as before
    finally:
        signal.signal(number, before)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup(1)
    try:
        with deferred():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_is_left_alone():
    done = []

    def work():
        with deferred():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]


def test_ctrl_c_while_a_file_is_written_leaves_no_part_of_it(tmp_path, monkeypatch):
    """Seen on a slow machine: a second Ctrl-C while the tables of an interrupted run were written."""
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "rounds.parquet", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["rounds.parquet"]
    assert (tmp_path / "rounds.parquet").read_bytes() == b"whole"


def test_ctrl_c_while_a_guest_is_stopped_leaves_no_keys(tmp_path, monkeypatch):
    config = GuestConfig(kernel=Path("k"), rootfs=Path("r"), accel="tcg", vcpus=1, memory_mib=1, console=Path("c"))
    guest = Guest(config)
    private = tmp_path / "guest-1-x"
    private.mkdir()
    (private / "key.pem").touch()
    guest._private, guest._process, guest._own_slot = private, object(), take_slot(1, 1)
    slot = guest._own_slot._path
    monkeypatch.setattr(machine, "kill_group", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        guest.stop()
    assert not private.exists()
    assert not slot.exists()


def test_ctrl_c_while_a_session_is_removed_is_neither_in_the_way_nor_lost(monkeypatch):
    """Between two trials nothing else ends the run."""
    done = []

    def remove(*_):
        signal.raise_signal(signal.SIGINT)
        done.append(True)
        return []

    monkeypatch.setattr(session, "remove_session", remove)
    with pytest.raises(KeyboardInterrupt):
        session.Session(None, print).__exit__(None, None, None)
    assert done == [True]
