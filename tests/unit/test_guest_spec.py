"""QEMU's command line and certificates: nothing beyond the loopback interface, no key for other users."""

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import GuestError
from harness.experiment.guests import TrialGuests
from harness.experiment.workload import TrialJob
from harness.guest.certs import make_certificates
from harness.guest.console import find_end, find_panic, find_silent_timer, find_trouble
from harness.guest.monitor import restoring_command
from harness.guest.qemu import GuestSpec, qemu_argv
from harness.guest.snapshot import Snapshot
from harness.spec.scenarios import load_scenario


def test_the_guest_is_reached_by_loopback_only(tmp_path):
    certificates = make_certificates(tmp_path)
    spec = GuestSpec(
        kernel=Path("bzImage"), rootfs=Path("root,1.ext4"), accel="tcg", vcpus=4, memory_mib=2048, port=40001,
        certificates=certificates, console=Path("console.log"), seed=Path("seed"), job=Path("job"), monitor="qmp",
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
    assert not first.exists
    assert list(first.directory.parent.iterdir()) == []
    for snapshot in (first, second):
        with snapshot.writing(private, 1) as ram:
            ram.write_bytes(b"x" * 100_000)
        assert snapshot.exists
    assert stat.S_IMODE(first.directory.stat().st_mode) == stat.S_IMODE(first.directory.parent.stat().st_mode) == 0o700
    os.utime(first.directory / "whole", (1, 1))
    monkeypatch.setattr("harness.guest.snapshot.KEEP_BYTES", 150_000)
    with Snapshot.of_boot(3, "kernel").writing(private, 1) as ram:
        ram.write_bytes(b"x")
    assert (first.exists, second.exists) == (False, True)
    used = tmp_path / "used"
    used.mkdir()
    with second.use(used):
        assert {path.name for path in used.iterdir()} == {path.name for path in private.iterdir()}


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """One that is whole, and the directory of the guest that it is of."""
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    make_certificates(tmp_path / "private")
    one = Snapshot.of_boot(1, "kernel")
    with one.writing(tmp_path / "private", 1) as ram:
        ram.write_bytes(b"memory" * 1000)
    return one


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("ram.zst", flip),
        ("ram.zst", lambda path: path.write_bytes(b"")),
        ("ram.zst", lambda path: path.unlink()),
        ("client.pem", flip),
        ("ca.pem", lambda path: path.unlink()),
    ],
)
def test_a_damaged_snapshot_is_reported_before_qemu_waits_for_it(snapshot, tmp_path, name, damage):
    damage(snapshot.directory / name)
    used = tmp_path / "used"
    used.mkdir()
    with pytest.raises(GuestError, match=f"is damaged: {name}"), snapshot.use(used):
        pass


def test_a_snapshot_with_anothers_certificates_is_damaged(snapshot, tmp_path):
    """They would fit each other, and nobody would get in."""
    make_certificates(tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        path.rename(snapshot.directory / path.name)
    with pytest.raises(GuestError, match="is damaged"), snapshot.use(tmp_path):
        pass


@pytest.mark.parametrize("record", [b"", b"6000", b"{}", b"\xff"])
def test_an_odd_record_is_no_snapshot_and_is_written_anew(snapshot, tmp_path, record):
    (snapshot.directory / "whole").write_bytes(record)
    assert not snapshot.exists
    with snapshot.writing(tmp_path / "private", 1) as ram:
        ram.write_bytes(b"memory")
    assert snapshot.exists


def test_a_snapshot_is_on_the_disk_before_it_counts(snapshot, tmp_path, monkeypatch):
    """A power cut may leave names without content."""
    synced = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    with snapshot.writing(tmp_path / "private", 1) as ram:
        ram.write_bytes(b"memory")
    names = [path.name for path in synced]
    record = next(name for name in names if name.startswith(".whole"))
    assert names.index("ram.zst") < names.index(record) < names.index("snapshots")


def test_no_room_is_made_of_a_snapshot_in_use(snapshot, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.guest.snapshot.KEEP_BYTES", 0)
    used, other = tmp_path / "used", Snapshot.of_boot(2, "kernel")
    used.mkdir()
    with snapshot.use(used), other.writing(tmp_path / "private", 1) as ram:
        ram.write_bytes(b"memory")
    assert snapshot.exists
    with Snapshot.of_boot(3, "kernel").writing(tmp_path / "private", 1) as ram:
        ram.write_bytes(b"memory")
    assert not snapshot.exists
    with pytest.raises(GuestError, match="is gone"), snapshot.use(used):
        pass


def test_a_cache_that_was_copied_is_taken(snapshot, tmp_path, monkeypatch):
    shutil.copytree(tmp_path / "cache", tmp_path / "copy")
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "copy"))
    used = tmp_path / "used"
    used.mkdir()
    with Snapshot.of_boot(1, "kernel").use(used):
        assert (used / "ca.pem").read_bytes() == (snapshot.directory / "ca.pem").read_bytes()


def test_a_demand_is_calibrated_once_for_a_kernel_a_machine_and_a_scenario(snapshot, tmp_path, monkeypatch):
    """What each trial is told, and which calibration its evidence has, until the snapshot is another one."""
    line, jobs, found = '{"event":"calibration","fit_bytes":1}\n', [], []

    class Fake:
        is_restored = True

        def __init__(self, snapshot, job):
            self._starts = snapshot == Snapshot.of_boot(1, "kernel", scenario.version)
            jobs.append(job)

        def __enter__(self):
            pass

        def start(self):
            if not self._starts:
                raise GuestError("no")

        def __exit__(self, *_):
            pass

    def trial(number, *, calibrate=True, completes=True):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "supervisor.jsonl").write_text('{"event":"hello"}\n' + line * calibrate)
        job = TrialJob({}, scenario, "t", 1, 3, "all", calibrate=calibrate, waits=True)
        with guests.of_trial(None, job, SimpleNamespace(boot=1), directory / "console.log") as ready:
            if completes:
                ready.keep_calibration()
        copy = directory / "calibration.jsonl"
        found.append(copy.read_text() if copy.exists() else None)

    scenario = load_scenario("one-big-many-small")
    monkeypatch.setattr(TrialGuests, "_parts", lambda *_: ["kernel"])
    guests = TrialGuests(SimpleNamespace(snapshots=True), None, None)
    monkeypatch.setattr(guests, "_make", lambda _arm, _cgroup, _console, snapshot, job: Fake(snapshot, job))
    snapshot.directory.rename(Snapshot.of_boot(1, "kernel", scenario.version).directory)
    trial(1, completes=False)
    trial(2, calibrate=False)
    trial(3)
    trial(4)
    trial(5, calibrate=False)
    with Snapshot.of_boot(1, "kernel", scenario.version).writing(tmp_path / "private", 1) as ram:
        ram.write_bytes(b"another")
    trial(6)
    assert jobs == [f"t 1 3 {int(calibrates)}" for calibrates in (True, False, True, False, False, True)]
    assert found == [None, None, None, line, None, None]


@pytest.mark.usefixtures("snapshot")
def test_a_save_that_fails_is_no_end_of_the_trial():
    """The guest goes on; the kernel is not called hung, and the next boots try no more."""
    asked = []

    def save(_):
        asked.append(1)
        raise GuestError("QEMU cannot save the guest: failed")

    report = SimpleNamespace(say=lambda text: asked.append(text))
    guests = TrialGuests(SimpleNamespace(snapshots=True, saves_snapshots=True), None, report)
    for _ in range(3):
        guests._save(SimpleNamespace(save=save), Snapshot.of_boot(2, "kernel"))
    assert len(asked) == 2
    assert "no further snapshots are saved" in asked[1]


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


def test_a_panic_after_int3_names_the_likely_cause():
    """Console of a Debian 7.2.13 guest that panicked while it booted."""
    console = (
        "[    1.600595] Oops: int3: 0000 [#2] SMP NOPTI\n[    1.600808] RIP: 0010:sched_clock_cpu+0x9/0x230\n"
        "[    1.601273] Kernel panic - not syncing: Fatal exception in interrupt\n"
    )
    assert find_panic(console).startswith("Fatal exception in interrupt after int3 (under tcg probably the emulator")
    assert find_panic(console[console.index("Kernel") :]) == "Fatal exception in interrupt"


# Console of a 6.12 guest under QEMU 10.0 whose CPU 1 had no timer interrupt from its start on.
STALL = (
    "[   {time}.589003][    C0] rcu: rcu_sched kthread timer wakeup didn't happen for 5251 jiffies! g-919 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x402\n"
    "[   {time}.589884][    C0] rcu: \tPossible timer handling issue on cpu={cpu} timer-softirq={count}\n"
    "[   {time}.590342][    C0] rcu: rcu_sched kthread starved for 5252 jiffies! g-919 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x402 ->cpu={cpu}\n"
)


def test_a_cpu_without_a_timer_is_told_from_a_slow_one():
    first, second = STALL.format(time=24, cpu=1, count=2), STALL.format(time=45, cpu=1, count=2)
    assert find_silent_timer("oomtrial-init: mounted\n" + first + second) == 1
    assert find_silent_timer(first) is None
    assert find_silent_timer(first + STALL.format(time=45, cpu=1, count=40)) is None
    assert find_silent_timer(first + STALL.format(time=45, cpu=3, count=2)) is None
