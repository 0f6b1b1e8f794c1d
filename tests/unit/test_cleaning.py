"""`oomtrial doctor --clean`: what is left of the dead goes, thing by thing; what is of the living stays."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

import harness
from harness.cli import cli
from harness.errors import HostError
from harness.guest.certs import make_certificates
from harness.guest.machine import _remove_leftovers
from harness.guest.snapshot import Snapshot
from harness.maintenance import cleanup
from harness.maintenance import tidy as tidy_module
from harness.maintenance.tidy import tidy
from harness.system.locks import hold
from tests.kerneltree import make_tree


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own, a place for temporary files, and no engine."""
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cleanup.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))

    def no_engine(**_):
        raise HostError("no engine")

    monkeypatch.setattr(cleanup, "connect_local", no_engine)
    return tmp_path / "cache"


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def made(path, content=b"half"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def a_snapshot(directory, private):
    make_certificates(private)
    with Snapshot(directory).writing(private, 1) as ram:
        ram.write_bytes(b"memory")
    return directory


def clean():
    done = CliRunner().invoke(cli, ["doctor", "--clean"])
    assert done.exit_code == 0, done.output
    return done.output


def test_each_thing_that_the_dead_left_goes_and_is_named(cache, tmp_path):
    pid = dead_pid()
    left = [
        made(cache / f"guests/guest-{pid}-x/qmp").parent,
        made(cache / "rootfs/.key.new/root.tar").parent,
        made(cache / "kernels/key/build.log").parent,
        made(cache / "kernels/.key.new/linux.deb").parent,
        made(cache / "trees/.linux-source-6.1.new/linux.deb").parent,
        made(cache / "binaries/key/.hog.new"),
        made(cache / "snapshots/.new-x/ram.zst").parent,
        made(cache / "snapshots/key-1/ram.zst").parent,
        made(cache / f"accel/.key.json.{pid}.tmp"),
        made(tmp_path / f"tmp/oomtrial-block-{pid}-x/trials/001-1/kmsg.log").parents[2],
        made(cache / "apt/descriptions/.new-x/file").parent,
        made(cache / "apt/pkgcache.bin.x7Kd2q"),
        made(tmp_path / "tmp/oomtrial-accel-x/console.log").parent,
        made(tmp_path / "tmp/oomtrial-dsc-x/linux.dsc").parent,
    ]
    for path in left[-4:]:
        os.utime(path, (1, time.time() - 7200))
    text = clean()
    for path in left:
        assert not path.exists(), path
        assert f"removed {path}: " in text
    assert len(text.splitlines()) == len(left)
    assert clean() == "nothing was left behind\n"


def sources():
    return [path.read_text() for path in Path(harness.__file__).parent.rglob("*.py")]


def test_no_directory_of_the_cache_and_no_temporary_one_is_forgotten():
    """Those that the code makes."""
    made_in_cache = {name for text in sources() for name in re.findall(r'cache_dir\(\) / "([a-z]+)"', text)}
    assert made_in_cache - set(tidy_module._DIRECTORIES) == set()
    prefixes = {prefix for text in sources() for prefix in re.findall(r'prefix="(oomtrial-[a-z]+-)"', text)}
    assert len(prefixes) > 5
    assert prefixes - {pattern.removesuffix("*") for pattern in cleanup._SCRATCH} == set()


def test_a_directory_with_an_odd_name_among_those_of_guests_ends_no_run(cache):
    odd = made(cache / "guests/guest-x-y/file")
    assert list(tidy()) == []
    _remove_leftovers(cache / "guests")
    assert odd.exists()


def test_what_is_of_the_living_stays(cache, tmp_path):
    whole = a_snapshot(cache / "snapshots/whole-1", tmp_path / "private")
    kept = [
        made(cache / f"guests/guest-{os.getpid()}-x/qmp").parent,
        made(cache / f"guests/guest-{dead_pid()}-y/qmp").parent,  # of another pid namespace: held
        made(cache / "rootfs/.key.new/root.tar").parent,
        made(cache / "rootfs/done.ext4"),
        made(cache / "kernels/key/kernel.json", b'{"spec":"source:6.1","key":"k","image":"i","source":"s","patches":{},'
             b'"config_key":"","compiler":"","config_not_taken":[]}').parent,
        made(cache / "binaries/key/.hog.new"),
        made(cache / "snapshots/.new-x/ram.zst").parent,
        made(cache / "snapshots/key-1/ram.zst").parent,
        made(cache / f"accel/.key.json.{os.getpid()}.tmp"),
        made(tmp_path / f"tmp/oomtrial-block-{os.getpid()}-x/f").parent,
        made(tmp_path / "tmp/oomtrial-accel-x/console.log").parent,
        made(tmp_path / "tmp/somebody-else/x").parent,
        whole,
    ]  # fmt: skip
    locks = [FileLock(cache / name) for name in ("rootfs/key.ext4.lock", "binaries/key/lock", "snapshots/key-1.lock")]
    held = [hold(kept[1]), hold(kept[6])]
    for lock in locks:
        lock.acquire()
    assert clean() == "nothing was left behind\n"
    assert all(path.exists() for path in kept)
    for lock in locks:
        lock.release()
    for descriptor in held:
        os.close(descriptor)


def test_a_pid_that_was_given_out_anew_owns_nothing(cache):
    """After a boot another process has the id: it began long after the directory was made."""
    left = made(cache / f"guests/guest-{os.getpid()}-x/qmp").parent
    os.utime(left, (1, 1))
    assert f"removed {left}" in clean()


@pytest.mark.usefixtures("cache")
def test_sessions_of_the_dead_leave_the_engine(monkeypatch):
    removed = []

    class Client:
        def close(self):
            removed.append("closed")

    def remove(_, session):
        removed.append(session)
        return []

    monkeypatch.setattr(cleanup, "connect_local", lambda **_: Client())
    monkeypatch.setattr(cleanup, "abandoned_sessions", lambda _: {"place-1-2-x"})
    monkeypatch.setattr(cleanup, "remove_session", remove)
    assert "session place-1-2-x in the local engine: their harness is gone" in clean()
    assert removed == ["place-1-2-x", "closed"]


def test_every_run_begins_with_a_cache_that_can_be_written_to_and_has_nobodys_keys(cache):
    """What is in the way of a directory goes, and so do keys of guests whose harness was killed by whatever signal."""
    left = made(cache / f"guests/guest-{dead_pid()}-x/client-key.pem").parent
    kept = made(cache / f"guests/guest-{os.getpid()}-x/client-key.pem").parent
    for name in ("seats", "snapshots"):
        made(cache / name)
    removed = {each.what for each in tidy()}
    assert removed == {str(left), str(cache / "seats"), str(cache / "snapshots")}
    assert kept.is_dir()
    assert list(tidy()) == []


def test_a_cache_that_is_a_file_is_reported(tmp_path, oomtrial):
    made(tmp_path / "cache")
    done = oomtrial(
        "kernels", "build", f"tree:{make_tree(tmp_path / 'linux')}", env={"OOMTRIAL_CACHE": str(tmp_path / "cache")}
    )
    assert done.returncode == 3
    assert f"{tmp_path}/cache is not a directory" in done.stderr.splitlines()[-1]


def test_the_kernels_directory_may_have_become_a_file(tmp_path, oomtrial):
    made(tmp_path / "cache/kernels")
    done = oomtrial(
        "kernels", "build", f"tree:{make_tree(tmp_path / 'linux')}", env={"OOMTRIAL_CACHE": str(tmp_path / "cache")}
    )
    assert done.returncode == 0, done.stderr
    assert "it is in the place of a cache directory" in done.stderr
