"""Empty memcgs of tests whose process was killed: seen, removed, told; those of others are left alone."""

import os
import subprocess
import sys

import psutil
import pytest

from harness.containers import memcgs
from harness.containers.memcgs import token_of
from harness.containers.session import Session
from harness.maintenance import cleanup


class NoEngine:
    """Answers nothing."""

    def __getattr__(self, _):
        raise OSError


@pytest.fixture(params=["v1", "v2", "systemd"])
def place(request, tmp_path, monkeypatch):
    """Makes a memcg; directories stand in for them, as both go by rmdir(2) when empty and only then."""
    monkeypatch.setattr(memcgs, "_CGROUPS", tmp_path)

    def make(token):
        if request.param == "systemd":
            path = tmp_path / f"oomtrial.slice/oomtrial-{token}.slice/oomtrial-{token}-c1.slice"
        else:
            path = tmp_path / ("memory" if request.param == "v1" else "") / "oomtrial" / token / "c1"
        path.mkdir(parents=True)
        return path

    return make


@pytest.fixture(scope="module")
def dead():
    """The session of a process that is gone."""
    code = "from harness.containers.session import Session; print(Session(None, print).id)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_run_removes_what_a_killed_one_left_and_says_so(place, dead):
    own, said = Session(NoEngine(), lambda _: None), []
    left, live = place(token_of(dead)), place(token_of(own.id))
    busy = place(token_of(f"{dead[:-1]}{'1' if dead[-1] == '0' else '0'}"))
    (busy / "cgroup.procs").write_text("17")  # rmdir refuses it
    Session(NoEngine(), said.append).__enter__()
    assert not left.parent.exists()
    assert live.is_dir()
    assert busy.is_dir()
    assert said == [f"removed the empty memcg {left.parent}, which a killed oomtrial left"]
    (busy / "cgroup.procs").unlink()
    Session(NoEngine(), said.append).__enter__()
    assert len(said) == 2
    assert not busy.exists()
    assert live.is_dir()


def test_without_the_right_it_says_what_does(place, dead, monkeypatch):
    left, said = place(token_of(dead)), []

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(type(left), "rmdir", refuse)
    Session(NoEngine(), said.append).__enter__()
    assert said == [f"a killed oomtrial left the empty memcg {left.parent}; sudo oomtrial doctor --clean removes it"]


def test_doctor_removes_those_that_do_not_say_whose_they_are_once_they_are_old(place, dead):
    left, old, new = place(token_of(dead)), place("0123456789ab"), place("ba9876543210")
    hour = psutil.boot_time()  # long ago
    os.utime(old.parent, (hour - 7200, hour - 7200))
    assert {removed.what for removed in cleanup._memcgs()} == {str(left.parent), str(old.parent)}
    assert new.is_dir()
