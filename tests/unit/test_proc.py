"""Which processes end with oomtrial and which do not; a thread that waits for another process does not delay an interrupted run."""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from harness.errors import BuildError, HostError
from harness.experiment import artifacts
from harness.experiment.artifacts import build_parts
from harness.progress import Reporter
from harness.system.process import kill_children, output_of, run, start, threads


def test_a_pool_is_not_waited_for_when_a_signal_ends_it(monkeypatch):
    monkeypatch.setattr("harness.system.process._TIDY_S", 0.2)
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


@pytest.fixture
def server():
    """A process of the test's own, that has a child of its own."""
    with subprocess.Popen(["sh", "-c", "sleep 600 & wait"]) as process:
        yield process
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()


def test_only_our_own_children_are_ended(server):
    ours = start(["sh", "-c", "sleep 600 & wait"], start_new_session=True)
    while not (grandchildren := psutil.Process(ours.pid).children()):
        time.sleep(0.01)
    kill_children()
    assert ours.wait(5) == -signal.SIGTERM
    assert not psutil.wait_procs(grandchildren, timeout=5)[1]
    assert server.poll() is None


@pytest.mark.parametrize("late_s", [0.0, 0.5])
def test_a_build_that_fails_ends_no_process_of_the_test(server, monkeypatch, late_s):
    """As in a pytest session with the plugin: others of its children are none of our business. `late_s`: a command that
    another thread starts after the failure is ended too."""
    ended = []

    def fail(*_):
        while not late_s and not any("600.5" in child.cmdline() for child in psutil.Process().children()):
            time.sleep(0.01)
        raise BuildError("it does not compile")

    def compile_it(*_):
        time.sleep(late_s)
        with pytest.raises(HostError, match=r"sleep 600\.5 failed: exit status -15"):
            output_of(["sleep", "600.5"])
        ended.append("killed")

    monkeypatch.setattr(artifacts, "build_images", fail)
    monkeypatch.setattr(artifacts, "_build_rootfs", compile_it)
    with pytest.raises(BuildError):
        build_parts([], {}, None, Reporter())
    assert ended == ["killed"]
    assert server.poll() is None


def test_how_a_command_ends(tmp_path):
    assert output_of(["echo", "yes"]) == "yes\n"
    with pytest.raises(HostError, match="failed: no"):
        output_of(["sh", "-c", "echo no >&2; exit 3"])
    with pytest.raises(HostError, match="did not end within 0 s"):
        output_of(["sleep", "600"], deadline_s=0.1)
    with pytest.raises(HostError, match="nosuchcommand is not installed; apt-get install"):
        output_of(["nosuchcommand"])
    with pytest.raises(HostError, match="nosuchcommand is not installed; apt-get install"):
        run(["nosuchcommand"], log=tmp_path / "log", deadline_s=1)


def test_a_shell_that_became_oomtrial_keeps_its_jobs():
    """`server & exec oomtrial ...`: the server is then a child of ours."""
    script = f"sleep 600 & echo $!; exec {sys.executable} -m harness --version"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as shell:
        pid = int(shell.stdout.readline())
        try:
            shell.wait(60)
            assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
