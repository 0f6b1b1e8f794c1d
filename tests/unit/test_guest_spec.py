"""QEMU's command line and certificates: nothing beyond the loopback interface, no key for other users."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from harness.guest.certs import make_certificates
from harness.guest.console import find_end, find_panic, find_trouble
from harness.guest.monitor import restoring_command
from harness.guest.qemu import GuestSpec, qemu_argv
from harness.guest.snapshot import Snapshot


def test_the_guest_is_reached_by_loopback_only(tmp_path):
    certificates = make_certificates(tmp_path)
    spec = GuestSpec(
        kernel=Path("bzImage"), rootfs=Path("root,1.ext4"), accel="tcg", vcpus=4, memory_mib=2048, port=40001,
        certificates=certificates, console=Path("console.log"), seed=Path("seed"), job=Path("job"), monitor=Path("qmp"),
    )  # fmt: skip
    text = " ".join(qemu_argv(spec))
    assert "restrict=on,hostfwd=tcp:127.0.0.1:40001-:2376" in text
    assert "-smp 4 -m 2048M" in text
    assert "tcg,thread=multi" in text
    assert "root,,1.ext4" in text
    assert "readonly=on" in text
    assert "client" not in text
    assert "-initrd" not in text
    assert "-initrd initrd" in " ".join(qemu_argv(replace(spec, initrd=Path("initrd"))))
    assert "-incoming" not in text
    restoring = qemu_argv(replace(spec, restore=restoring_command(Path("a b/ram.zst"))))
    assert restoring[restoring.index("-incoming") + 1] == "exec:zstd -dcq 'a b/ram.zst' || echo"


def test_keys_are_for_their_owner_only(tmp_path):
    certificates = make_certificates(tmp_path / "tls")
    for path in (certificates.server_key, certificates.client_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_the_console_tells_a_panic_from_trouble():
    console = (
        "[ 1.0] Kernel panic - not syncing: Attempted to kill init!\n[ 2.0] watchdog: BUG: soft lockup - CPU#3 stuck\n"
    )
    assert find_panic(console) == "Attempted to kill init!"
    assert len(find_trouble(console)) == 1
    assert find_panic("all is well") is None


def test_a_snapshot_counts_once_it_is_whole_and_old_ones_make_room(tmp_path, monkeypatch):
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    private = tmp_path / "private"
    make_certificates(private)
    first, second = Snapshot.of_boot(1, "kernel"), Snapshot.of_boot(2, "kernel")
    assert Snapshot.of_boot(1, "kernel", "other").directory != first.directory != second.directory
    with pytest.raises(FileNotFoundError), first.writing(tmp_path / "no certificates", 1) as ram:
        ram.write_bytes(b"half")
    assert not first.is_there
    assert list(first.directory.parent.iterdir()) == []
    for snapshot in (first, second):
        with snapshot.writing(private, 1) as ram:
            ram.write_bytes(b"x" * 100_000)
        assert snapshot.is_there
    assert stat.S_IMODE(first.directory.stat().st_mode) == stat.S_IMODE(first.directory.parent.stat().st_mode) == 0o700
    os.utime(first.directory / "whole", (1, 1))
    monkeypatch.setattr("harness.guest.snapshot.KEEP_BYTES", 150_000)
    with Snapshot.of_boot(3, "kernel").writing(private, 1) as ram:
        ram.write_bytes(b"x")
    assert (first.is_there, second.is_there) == (False, True)
    used = tmp_path / "used"
    used.mkdir()
    second.use(used)
    assert {path.name for path in used.iterdir()} == {path.name for path in private.iterdir()}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Attempted to kill init! exitcode=0x00008900", "lost"),  # dockerd was killed
        ("Attempted to kill init! exitcode=0x00000100", "lost"),
        ("Attempted to kill init! exitcode=0x0000000b", "panicked"),  # init itself was, by a signal
        ("System is deadlocked on memory", "panicked"),
    ],
)
def test_a_kernel_is_not_blamed_for_the_end_of_the_engine(text, outcome):
    assert find_end(f"[ 1.0] Kernel panic - not syncing: {text}\n")[0] == outcome
