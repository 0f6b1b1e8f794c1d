"""What the unit tests share: commands that do not wait for Python to start, and an apt that does not sort its lists anew."""

import shutil
import subprocess

import pytest

from tests.commandserver import CommandServer


@pytest.fixture(scope="session", autouse=True)
def _apt_with_a_cache(tmp_path_factory):
    """The host's apt. In an image of a container, apt is told to keep no cache, and sorts its lists for a second at every call."""
    if not shutil.which("apt-config"):
        yield
        return
    place = tmp_path_factory.mktemp("apt")
    told = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    own = {"Etc::parts": "/dev/null", "Etc::main": "/dev/null"}
    own |= {f"Cache::{name}": str(place / f"{name}.bin") for name in ("pkgcache", "srcpkgcache")}
    (place / "apt.conf").write_text(told + "".join(f'Dir::{name} "{value}";\n' for name, value in own.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APT_CONFIG", str(place / "apt.conf"))
        yield


@pytest.fixture(scope="session")
def serve():
    """Runs a command with standard input; returns the finished process with its bytes."""
    server = CommandServer()
    yield server.run
    server.close()


@pytest.fixture(scope="session")
def oomtrial(serve):
    """Runs the command line to its end; returns the finished process with its text."""

    def run(*arguments, env=None, timeout=600, open_files=None):
        done = serve(arguments, env=env, timeout=timeout, open_files=open_files)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
