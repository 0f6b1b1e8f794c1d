"""Engines of kernels in one process of pytest: what a switch of the kernel leaves."""

import contextlib
import fcntl
from pathlib import Path

import pytest

from harness.experiment.artifacts import Artifacts
from harness.experiment.experiment import Experiment
from harness.experiment.guests import TrialGuests
from harness.kernels.kernel import RECORD, Kernel, hold_kernel
from harness.pytest_plugin import engines
from harness.pytest_plugin.engines import Engines, GuestSize


class FakeGuest:
    docker = None


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """Kernels as they are in the cache; guests of them are made up."""
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path))

    def prepare(self):
        (arm,) = self.request.arms
        image = tmp_path / "kernels" / arm.kernel / "bzImage"
        image.parent.mkdir(parents=True, exist_ok=True)
        (image.parent / RECORD).touch()
        kernel = Kernel(arm.kernel, "k", str(image), "apt", {}, "", "gcc", [])
        self.held.append(hold_kernel(kernel))
        return Artifacts({arm.kernel: kernel}, Path(), {}, "tcg", "")

    @contextlib.contextmanager
    def open_engine(_self, _console):
        yield FakeGuest()

    monkeypatch.setattr(Experiment, "check", lambda _: None)
    monkeypatch.setattr(Experiment, "prepare", prepare)
    monkeypatch.setattr(TrialGuests, "open_engine", open_engine)
    monkeypatch.setattr(engines, "_wake", lambda _: None)
    return lambda spec: tmp_path / "kernels" / spec / RECORD


def is_held(record):
    with record.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_switch_of_the_kernel_leaves_no_descriptor_and_no_lock(kernels, tmp_path):
    """`oomtrial kernels prune` would keep away from every kernel of a long session, which ran out of descriptors."""
    opened = Engines(GuestSize(1, 64, "tcg"), tmp_path, contextlib.nullcontext)
    opened.open("source:6.1")
    opened.close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        opened.open("source:6.1")
        assert is_held(kernels("source:6.1"))
        opened.open("source:6.12")
        assert is_held(kernels("source:6.12"))
        assert not is_held(kernels("source:6.1"))
    opened.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not is_held(kernels("source:6.12"))


def test_a_guest_that_does_not_start_leaves_none(kernels, tmp_path, monkeypatch):
    def fail(_):
        raise RuntimeError("no word")

    monkeypatch.setattr(engines, "_wake", fail)
    opened = Engines(GuestSize(1, 64, "tcg"), tmp_path, contextlib.nullcontext)
    with pytest.raises(RuntimeError):
        opened.open("source:6.1")
    assert not is_held(kernels("source:6.1"))
