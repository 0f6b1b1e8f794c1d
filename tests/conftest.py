"""What the tests share: kernels and image built once, the command line as a user runs it."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.kernels.source import offered_versions
from harness.progress import Reporter
from harness.spec.arm import name_arms
from tests import hostengine
from tests.kerneltree import make_tree
from tests.wheel import ROOT, install_wheel


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """With pytest-xdist: a test that measures has the machine to itself, as it has without. First, as pytest-timeout should
    not count the time that is waited."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    is_alone = any(item.get_closest_marker(name) for name in ("guest", "host_docker"))
    with (ROOT / "tox.ini").open() as gate, (ROOT / "pyproject.toml").open() as turn:
        fcntl.flock(gate, fcntl.LOCK_EX)  # who waits to be alone is not overtaken
        fcntl.flock(turn, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session")
def version():
    """The kernel version that this host's apt offers: 6.1 on Debian 12, 6.12 on Debian 13."""
    return "6.1" if "6.1" in offered_versions() else "6.12"


@pytest.fixture(scope="session")
def prepared(version, tmp_path_factory, request):
    """Stock and both patched kernels, image and binaries: from the cache, or built now, with progress shown."""
    from harness.experiment.experiment import Experiment  # two seconds, which pytest-xdist's own process need not take
    from harness.experiment.request import Request

    kernels = (f"source:{version}", f"source:{version}+wait-for-victim", f"source:{version}+ignore-pending-victim")
    wanted = Request(name_arms(kernels), ("one-big-many-small",), 1, 1, 1, out=tmp_path_factory.mktemp("run") / "out")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled(), Reporter() as progress:
        experiment = Experiment(wanted, progress)
        experiment.check()
        return experiment.prepare()


@pytest.fixture
def make_guest(prepared, tmp_path):
    """Guests of the stock kernel, not started; keyword arguments override."""
    return guest_maker(prepared, next(iter(prepared.kernels.values())), tmp_path)


@pytest.fixture(scope="session")
def make_known_bad_guest(prepared, tmp_path_factory):
    """The same, of the kernel that does not wait for a victim; with 4 vCPUs, as it is measured."""
    kernel = next(kernel for spec, kernel in prepared.kernels.items() if "ignore-pending-victim" in spec)
    make = guest_maker(prepared, kernel, tmp_path_factory.mktemp("known-bad"))
    return lambda **changes: make(**({"vcpus": 4} | changes))


def guest_maker(prepared, kernel, directory):
    from harness.guest.machine import Guest, GuestConfig, SilentTimerError

    class PatientGuest(Guest):
        """A run begins another trial where the emulator loses a CPU's timer; a test boots again."""

        def start(self):
            try:
                super().start()
            except SilentTimerError as error:
                print(f"booted again: {error}")
                super().start()

    def make(**changes):
        arguments = {
            "kernel": Path(kernel.image),
            "rootfs": prepared.rootfs,
            "accel": prepared.accel,
            "vcpus": 2,
            "memory_mib": 1024,
            "console": directory / "console.log",
        }
        life = {name: changes.pop(name) for name in ("snapshot", "job", "slot") if name in changes}
        return PatientGuest(GuestConfig(**(arguments | changes)), **life)

    return make


def command(*arguments):
    return [sys.executable, "-m", "harness", *map(str, arguments)]


@pytest.fixture(scope="session")
def oomtrial():
    """Runs the command line to its end; returns the finished process with its text."""

    def run(*arguments, env=None, timeout=1800):
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
        )

    return run


@pytest.fixture
def tree(tmp_path):
    """A kernel tree that is built in a moment."""
    return make_tree(tmp_path / "linux")


@pytest.fixture
def kernels(oomtrial, tmp_path):
    """`oomtrial kernels ...` with a cache of its own."""

    def run(*arguments, **env):
        return oomtrial("kernels", *arguments, env={"OOMTRIAL_CACHE": str(tmp_path / "cache"), **env})

    return run


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """An environment with the wheel, outside the checkout."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def engine_url():
    """DOCKER_HOST of an engine: the one that it names, else one that is started for these tests."""
    if os.environ.get("DOCKER_HOST"):
        yield os.environ["DOCKER_HOST"]
        return
    if reason := hostengine.why_not():
        pytest.skip(reason)
    with hostengine.private_engine() as url:
        yield url


@pytest.fixture
def start_oomtrial():
    """Starts the command line; whatever it leaves is killed after the test."""
    started = []

    def hear_sigint():
        # a shell's background jobs ignore it, and so would what we start
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def start(*arguments, env=None):
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_sigint,
            env={**os.environ, **(env or {})},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def guests_of(pid):
    """Guests below a process; a QEMU that is only asked for its version is none."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "qemu" in child.name() and "-kernel" in child.cmdline():
                found.append(child)
    return found
