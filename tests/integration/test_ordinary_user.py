"""A fresh user without root: what doctor says holds, and the guest's image can be made."""

import sys
import tarfile

import pytest

from harness.errors import HostError
from harness.guest import unprivileged
from harness.system.process import environment, find_command
from tests.ordinaryuser import PATH, ordinary_user

MAKE_IMAGE = """
import sys
from pathlib import Path
from types import SimpleNamespace
from harness.guest import rootfs
rootfs._IMAGE_MIB, rootfs._DATA_MIB = 8, 1
rootfs._make_image(SimpleNamespace(init=b"#!/bin/sh\\n"), Path(sys.argv[1]), Path(sys.argv[1]) / "log")
"""


@pytest.fixture(scope="module")
def user():
    with ordinary_user(sys.executable) as one:
        if isinstance(one, str):
            pytest.skip(f"no user can be made here: {one}")
        yield one


def test_a_fresh_user_hears_of_doctor_what_works(user):
    done = user.run(sys.executable, "-m", "harness", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not found" not in done.stdout
    assert "without root" in done.stdout


def test_a_fresh_user_without_sbin_in_path_makes_the_image(user):
    scratch = user.home / "scratch"
    user.run("mkdir", scratch)
    with tarfile.open(user.home.parent / "root.tar", "w") as tar:
        entry = tarfile.TarInfo("./sbin")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    user.run("cp", user.home.parent / "root.tar", scratch)
    done = user.run(sys.executable, "-c", MAKE_IMAGE, scratch)
    assert done.returncode == 0, done.stderr
    assert (scratch / "root.ext4").stat().st_size == 8 << 20


def test_system_commands_are_found_without_sbin_in_path(monkeypatch):
    monkeypatch.setenv("PATH", PATH)
    assert find_command("mke2fs")
    assert environment()["PATH"].startswith(PATH)
    assert environment({"PATH": "/usr/sbin:/mine"})["PATH"] == "/usr/sbin:/mine:/usr/local/sbin:/sbin"


def test_a_user_without_ids_of_its_own_hears_how_to_get_some(monkeypatch, tmp_path):
    monkeypatch.setattr(unprivileged.os, "geteuid", lambda: 4711)
    monkeypatch.setattr(unprivileged, "output_of", lambda _: "")
    monkeypatch.setattr(unprivileged, "find_command", lambda _: None)
    ranges = tmp_path / "subuid"
    monkeypatch.setattr(unprivileged, "_RANGES", (ranges,))
    ranges.write_text("somebody:100000:65536\n")
    with pytest.raises(HostError, match="no range of ids for user") as refused:
        unprivileged.require_user_namespace()
    assert "usermod --add-subuids" in refused.value.hint
    ranges.write_text(f"{unprivileged.os.getuid()}:100000:65536\n")
    unprivileged.require_user_namespace()
