"""What is damaged in the cache is thrown away and made again, with one line; nobody blames a kernel."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import GuestError, HostError
from harness.experiment.guests import TrialGuests
from harness.guest import accel, machine, rootfs
from harness.kernels.kernel import Kernel
from harness.spec.machine import Accel
from harness.system.cc import build_binary
from harness.system.paths import cache_dir, write_atomically
from harness.system.sealed import is_intact, put_seal
from tests.kerneltree import OOM_KILL, make_tree


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def keep_times(damage):
    """As a disk does it, or a clock: the time says nothing."""

    def damaged(path):
        before = path.stat()
        damage(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return damaged


DAMAGES = [
    pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-3]), id="truncated"),
    pytest.param(lambda path: path.write_bytes(b""), id="empty"),
    pytest.param(flip, id="flipped"),
    pytest.param(keep_times(flip), id="flipped-in-time"),
    pytest.param(lambda path: path.unlink(), id="missing"),
]


@pytest.fixture
def said():
    return []


@pytest.fixture
def report(said):
    class Task:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    return SimpleNamespace(say=said.append, task=lambda *_, **__: Task())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kernel_is_built_again(oomtrial, tmp_path, damage):
    tree = make_tree(tmp_path / "linux")
    image = Path(oomtrial("kernels", "build", f"tree:{tree}").stdout.split()[-1])
    damage(image)
    done = oomtrial("kernels", "build", f"tree:{tree}")
    assert done.returncode == 0, done.stderr
    assert image.read_text() == OOM_KILL
    assert [line for line in done.stderr.splitlines() if "bzImage in" in line and "is damaged" in line]
    assert "is damaged" not in oomtrial("kernels", "build", f"tree:{tree}").stderr


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_binary_is_compiled_again(tmp_path, said, damage):
    source = tmp_path / "tiny.c"
    source.write_text("int main(void) { return 0; }\n")
    binary = build_binary(source)
    content = binary.read_bytes()
    damage(binary)
    assert build_binary(source, said.append).read_bytes() == content
    assert os.access(binary, os.X_OK)
    assert said in ([], [f"{binary} is damaged or from an older oomtrial; making it again"])  # [] where it was missing


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_root_image_is_made_again(tmp_path, monkeypatch, report, said, damage):
    monkeypatch.setattr(rootfs, "_bootstrap", lambda *_: None)
    monkeypatch.setattr(rootfs, "require_user_namespace", lambda: None)
    monkeypatch.setattr(
        rootfs, "_make_image", lambda _, scratch, __: (scratch / "root.ext4").write_text("root file system")
    )
    plan = SimpleNamespace(image=tmp_path / "cache/rootfs/key.ext4", key="key")
    image = rootfs.build_rootfs(plan, report)
    damage(image)
    assert rootfs.build_rootfs(plan, report).read_text() == "root file system"
    assert said in ([], [f"{image} is damaged or from an older oomtrial; making it again"])


@pytest.mark.parametrize("answer", [b"", b"{", b'{"accel": "hvf", "reason": "x"}', b'["tcg"]'])
def test_an_odd_answer_about_acceleration_is_asked_for_again(monkeypatch, report, said, answer):
    monkeypatch.setattr(accel, "_probe", lambda *_: accel.Probe("tcg", "tried"))
    write_atomically(accel._cache_file(), answer)
    assert accel.cached_probe() is None
    assert accel.choose_accel("auto", None, None, report).reason == "tried"
    assert len(said) == 1
    assert "is damaged; probing again" in said[0]
    assert accel.cached_probe().reason == "tried"


def test_a_cache_that_was_moved_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "cache/rootfs/key.ext4"
    write_atomically(path, b"content")
    put_seal(path)
    shutil.copytree(tmp_path / "cache", tmp_path / "copy")
    moved = tmp_path / "copy/rootfs/key.ext4"
    hashed = []
    real = is_intact.__globals__["_hash"]
    monkeypatch.setitem(is_intact.__globals__, "_hash", lambda path: hashed.append(path) or real(path))
    assert is_intact(moved)
    assert hashed
    hashed.clear()
    assert is_intact(moved)
    assert not hashed  # it is told by its looks from now on


def test_a_guest_that_does_not_start_of_a_damaged_file_is_not_the_kernels_fault(report):
    """A disk that changes a file without a trace: told by the content, when something is wrong."""
    directory = cache_dir() / "kernels/k"
    for path in (directory / "bzImage", cache_dir() / "rootfs/r.ext4"):
        write_atomically(path, b"whole")
        put_seal(path)
    kernel = Kernel("source:6.1", "k", str(directory / "bzImage"), "apt", {}, "", "gcc", [])
    prepared = SimpleNamespace(kernels={"source:6.1": kernel}, rootfs=cache_dir() / "rootfs/r.ext4")
    guests, arm = TrialGuests(SimpleNamespace(snapshots=True), prepared, report), SimpleNamespace(kernel="source:6.1")
    panicked = GuestError("the guest panicked while it started")
    guests._refuse_damaged(arm, panicked)  # nothing is
    seal = (directory / ".bzImage.seal").read_text().replace('"sha256":"', '"sha256":"0')
    (directory / ".bzImage.seal").write_text(seal)
    with pytest.raises(HostError, match="bzImage was damaged in the cache"):
        guests._refuse_damaged(arm, panicked)
    assert not (directory / "bzImage").exists()


def test_an_engine_that_did_not_start_is_no_panic(tmp_path):
    config = machine.GuestConfig(tmp_path, tmp_path, Accel.TCG, vcpus=1, memory_mib=1, console=tmp_path / "console")
    guest = machine.Guest(config)
    guest._process, guest._private = SimpleNamespace(poll=lambda: 0, pid=0), tmp_path
    (tmp_path / "qemu.log").touch()
    for text, says in (
        ("Attempted to kill init! exitcode=0x00000100", "did not start: the guest's Docker Engine ended"),
        ("VFS: Unable to mount root fs", "panicked while it started: VFS: Unable to mount"),
    ):
        (tmp_path / "console").write_text(f"[ 1.0] Kernel panic - not syncing: {text}\n")
        with pytest.raises(GuestError, match=says):
            guest._check_alive()


def test_a_start_without_a_timer_is_not_waited_for(tmp_path):
    """It takes 180 s else."""
    config = machine.GuestConfig(tmp_path, tmp_path, Accel.TCG, vcpus=2, memory_mib=1, console=tmp_path / "console")
    guest = machine.Guest(config)
    guest._process, guest._private = SimpleNamespace(poll=lambda: None, pid=0), tmp_path
    guest.client = SimpleNamespace(api=SimpleNamespace(timeout=1), ping=lambda: False)
    (tmp_path / "console").write_text("rcu: \tPossible timer handling issue on cpu=1 timer-softirq=2\n" * 2)
    with pytest.raises(machine.SilentTimerError, match="CPU 1 of the guest had no timer interrupts while it started"):
        guest._wait_for_api()
