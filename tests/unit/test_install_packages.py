"""containers/install-packages.sh with stand-ins for apt-get, dpkg-query, id and sudo: what it runs, as whom, and how it ends."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "containers" / "install-packages.sh"
TOOLS = (
    "sed",
    "tr",
    "env",
)  # the only programs in PATH that are not stand-ins, but for those of /usr/sbin, which the script adds
INSTALLED = "make"
LIST = "make     # there already\nbison    # lacking\nflex\n"
INSTALL = "apt-get -q install --no-install-recommends -y bison flex"


@pytest.fixture
def installing(tmp_path):
    """Runs the script as root or as a user, with the stand-ins that are named; returns the process and what they were called with."""
    directory, calls, packages = tmp_path / "bin", tmp_path / "calls", tmp_path / "packages.txt"
    directory.mkdir()
    calls.touch()

    def stand_in(name, body):
        path = directory / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    for tool in TOOLS:
        (directory / tool).symlink_to(shutil.which(tool))
    stand_in("apt-get", f'echo "${{AS:-}}apt-get $*" >> {calls}\n[ "$2" != "${{FAILS:-}}" ]')
    stand_in("apt-cache", ":")
    stand_in("dpkg-query", f'[ "$4" = {INSTALLED} ] && printf installed')

    def run(user, *others, wanted=LIST, **environment):
        stand_in("id", f"echo {user}")
        for name in others:
            stand_in(name, 'AS="sudo "; export AS; exec "$@"' if name == "sudo" else ":")
        packages.write_text(wanted)
        done = subprocess.run(
            ["/bin/sh", SCRIPT, packages],
            env={"PATH": str(directory), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done, calls.read_text().splitlines()

    return run


def test_root_installs_what_is_lacking(installing):
    done, calls = installing(0)
    assert (done.returncode, done.stderr) == (0, "")
    assert calls == ["apt-get -q update", INSTALL]
    assert done.stdout.splitlines() == ["oomtrial: apt-get update", "oomtrial: installing bison flex"]


def test_a_user_with_sudo_installs_through_it(installing):
    done, calls = installing(1000, "sudo")
    assert (done.returncode, done.stderr) == (0, "")
    assert calls == ["sudo apt-get -q update", f"sudo {INSTALL}"]


def test_a_user_without_sudo_is_shown_the_command(installing):
    done, calls = installing(1000)
    assert (done.returncode, done.stdout, calls) == (3, "", [])
    assert done.stderr == (
        "oomtrial: run this as root, then try again:"
        " apt-get update && apt-get install --no-install-recommends -y bison flex\n"
    )


def test_an_engine_of_another_vendor_is_not_replaced(installing):
    done, calls = installing(0, "dockerd", wanted="docker.io\nmake\n")
    assert (done.returncode, calls) == (0, [])
    assert done.stdout == "oomtrial: all system packages are installed\n"


@pytest.mark.parametrize(
    ("step", "message", "ran"),
    [
        ("update", "apt-get update failed: check the network and /etc/apt", 1),
        ("install", "apt could not install bison flex: see above", 2),
    ],
)
def test_a_failure_of_apt_ends_it(installing, step, message, ran):
    done, calls = installing(0, FAILS=step)
    assert (done.returncode, done.stderr) == (4, f"oomtrial: {message}\n")
    assert len(calls) == ran
