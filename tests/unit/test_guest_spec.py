"""QEMU's command line and certificates: nothing beyond the loopback interface, no key for other users."""

import stat
from dataclasses import replace
from pathlib import Path

from harness.guest.certs import make_certificates
from harness.guest.console import find_panic, find_trouble
from harness.guest.qemu import GuestSpec, qemu_argv


def test_the_guest_is_reached_by_loopback_only(tmp_path):
    certificates = make_certificates(tmp_path)
    spec = GuestSpec(Path("bzImage"), Path("root,1.ext4"), "tcg", 4, 2048, 40001, certificates, Path("console.log"))
    text = " ".join(qemu_argv(spec))
    assert "restrict=on,hostfwd=tcp:127.0.0.1:40001-:2376" in text
    assert "-smp 4 -m 2048M" in text
    assert "tcg,thread=multi" in text
    assert "root,,1.ext4" in text
    assert "readonly=on" in text
    assert "client" not in text
    assert "-initrd" not in text
    assert "-initrd initrd" in " ".join(qemu_argv(replace(spec, initrd=Path("initrd"))))


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
