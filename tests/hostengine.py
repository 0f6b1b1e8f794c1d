"""A Docker Engine of the tests' own: private socket, data and cgroups, no network; gone afterwards."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from harness.system.process import environment, find_command, has_initial_pids

START_S, STOP_S = 60, 30


def why_not():
    """Why no engine can be started here, or None."""
    if os.geteuid() != 0:
        return "an engine is started by root only; set DOCKER_HOST to use one that runs"
    if find_command("dockerd") is None:
        return (
            "no dockerd: apt-get install --no-install-recommends docker.io, or set DOCKER_HOST to an engine elsewhere"
        )
    if not has_initial_pids():
        return (
            "the kernel log does not name the pids of a pid namespace: run the tests outside of it, or set DOCKER_HOST"
        )
    return None


@contextlib.contextmanager
def private_engine():
    """Starts an engine, gives its DOCKER_HOST, stops it."""
    # short: the name of a socket in it has 107 characters at most
    directory = Path(tempfile.mkdtemp(prefix="oomtrial-engine-"))
    cgroup = f"/{directory.name}"
    url = f"unix://{directory}/docker.sock"
    with (directory / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "TERM",  # tests that are killed leave no engine
                "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none",
                f"--data-root={directory}/data", f"--exec-root={directory}/exec", f"--pidfile={directory}/pid",
                "--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent={cgroup}", f"--host={url}",
            ],
            stdout=log, stderr=log, start_new_session=True, env=environment(),  # runc may be where PATH does not lead
        )  # fmt: skip
    try:
        _wait(daemon, url, directory / "log")
        yield url
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        _remove(directory, cgroup)


def _wait(daemon, url, log):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(url.removeprefix("unix://"))
            return
        time.sleep(0.1)
    raise RuntimeError(f"dockerd does not start: {log.read_text(errors='replace')[-2000:]}")


def _remove(directory, cgroup):
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", line.split()[1]], check=False)
    shutil.rmtree(directory, ignore_errors=True)
    for left in [*Path("/sys/fs/cgroup").glob(f"*{cgroup}"), Path(f"/sys/fs/cgroup{cgroup}")]:
        with contextlib.suppress(OSError):
            left.rmdir()
