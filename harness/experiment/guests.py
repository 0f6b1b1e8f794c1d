"""Guests of a run: restored from the best snapshot, or booted, saving snapshots for the next run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..collectors.files import CALIBRATION_FILE, TrialRecord, calibration_of
from ..errors import GuestError, HostError
from ..guest.machine import Guest, GuestConfig
from ..guest.qemu import qemu_version
from ..guest.snapshot import Snapshot
from ..kernels.kernel import damaged_files
from ..progress import Reporter
from ..runs.record import HostRecord
from ..spec.arm import ArmSpec
from ..system.machine import cpu_model, machine_budget
from ..system.paths import write_atomically
from ..system.sealed import is_intact
from ..system.slots import GuestSlot
from .artifacts import Artifacts
from .request import Request
from .workload import TrialJob, prepare_engine


def machine_of_guests() -> HostRecord:
    """This machine, as far as it matters to guests on it."""
    budget = machine_budget()
    return HostRecord(cores=budget.cores, cpu=cpu_model(), qemu=qemu_version(), cpu_quota=budget.quota)


@dataclass(frozen=True)
class TrialGuest:
    """A guest that runs, for one trial."""

    guest: Guest
    start_s: float  # seconds that its start took
    save: Callable[[], None]  # to be called when the scenario's containers are prepared
    keep_calibration: Callable[[], None]  # to be called when the trial has completed


class TrialGuests:
    """Starts the guests of a run."""

    def __init__(
        self, request: Request, prepared: Artifacts, progress: Reporter, slot: GuestSlot | None = None
    ) -> None:
        """`slot`: room that the caller has for them; else each takes its own."""
        self.prepared = prepared
        self._request, self._progress, self._slot = request, progress, slot
        self._cannot_save = False

    @contextlib.contextmanager
    def of_trial(self, arm: ArmSpec, job: TrialJob, record: TrialRecord, console: Path) -> Iterator[TrialGuest]:
        """A restored or booted guest.

        Two snapshots are saved for the next run: of the engine, prepared for any scenario, and of the containers. With the second one
        the calibration is kept: kernel, machine and scenario are the same, so it is not made again, but copied to the evidence.
        Raises GuestError when it does not start.
        """
        cgroup = job.scenario.file.cgroup
        parts = self._parts(arm, cgroup)
        of_engine = Snapshot.of_boot(record.boot, *parts)
        of_scenario = Snapshot.of_boot(record.boot, *parts, job.scenario.version)

        def make(snapshot: Snapshot | None) -> Guest:
            told, kept = job, console.with_name(CALIBRATION_FILE)
            kept.unlink(missing_ok=True)  # of a snapshot that could not be restored
            if job.calibrate and snapshot == of_scenario and (known := of_scenario.calibration) is not None:
                write_atomically(kept, known)
                told = replace(job, calibrate=False)
            return self._make(arm, cgroup, console, snapshot, told.handed_over)

        def ready(guest: Guest, start_s: float) -> TrialGuest:
            def keep_calibration() -> None:
                if job.calibrate and not console.with_name(CALIBRATION_FILE).exists():
                    of_scenario.keep_calibration(calibration_of(console.parent))

            return TrialGuest(guest, start_s, partial(self._save, guest, of_scenario), keep_calibration)

        started = time.monotonic()
        for snapshot in (of_scenario, of_engine):
            if self._request.snapshots and snapshot.exists:
                try:
                    guest = make(snapshot)
                    guest.start()
                except GuestError as error:
                    self._progress.say(f"{error.what}; removing it")
                    snapshot.discard()
                else:
                    with guest:
                        yield ready(guest, time.monotonic() - started)
                    return
        guest = make(None)
        try:
            guest.start()
        except GuestError as error:
            self._refuse_damaged(arm, error)
            raise
        with guest:
            guest_start_s = time.monotonic() - started
            if self._request.snapshots and self._request.saves_snapshots:
                prepare_engine(guest.docker, self.prepared.images, arm.probes)
                self._save(guest, of_engine)
            yield ready(guest, guest_start_s)

    @contextlib.contextmanager
    def open_engine(self, console: Path) -> Iterator[Guest]:
        """A guest of the first arm with images and collector, for work that is no trial: the engine's snapshot, or a boot
        that leaves one.

        Raises GuestError when it does not start.
        """
        arm = self._request.arms[0]
        snapshot = Snapshot.of_boot(1, *self._parts(arm, "v2"))
        with contextlib.ExitStack() as stack:
            guest = self._make(arm, "v2", console, snapshot if self._request.snapshots else None)
            try:
                stack.enter_context(guest)
            except GuestError as error:
                if not snapshot.exists:
                    raise
                self._progress.say(f"{error.what}; removing it")
                snapshot.discard()
                guest = stack.enter_context(self._make(arm, "v2", console, None))
            if not guest.is_restored:
                prepare_engine(guest.docker, self.prepared.images, arm.probes)
                self._save(guest, snapshot)
            yield guest

    def _parts(self, arm: ArmSpec, cgroup: str) -> list[str]:
        """Everything that a snapshot of a prepared engine depends on."""
        request, prepared = self._request, self.prepared
        images = [f"{name} {image.key}" for name, image in sorted(prepared.images.items())]
        machine = [prepared.accel, str(request.vcpus), str(request.memory_mib), qemu_version(), cpu_model()]
        kernel = prepared.kernels[arm.kernel]
        return [kernel.key, prepared.rootfs.stem, *machine, arm.probes, cgroup, request.append, *images]

    def _make(self, arm: ArmSpec, cgroup: str, console: Path, snapshot: Snapshot | None, job: str = "") -> Guest:
        request, prepared = self._request, self.prepared
        kernel = prepared.kernels[arm.kernel]
        config = GuestConfig(
            kernel=Path(kernel.image),
            initrd=Path(kernel.initrd) if kernel.initrd else None,
            rootfs=prepared.rootfs,
            accel=prepared.accel,
            vcpus=request.vcpus,
            memory_mib=request.memory_mib,
            console=console,
            extra_cmdline=(f"oomtrial.cgroup={cgroup}", *request.append.split()),
        )
        return Guest(config, snapshot=snapshot, job=job, slot=self._slot)

    def _save(self, guest: Guest, snapshot: Snapshot) -> None:
        if not self._request.snapshots or not self._request.saves_snapshots or self._cannot_save:
            return
        with snapshot.lock():
            if not snapshot.exists:
                try:
                    guest.save(snapshot)
                except (HostError, GuestError) as error:
                    # no room, or no zstd: the guest continues, and the kernel is not blamed
                    self._cannot_save = True
                    self._progress.say(f"no further snapshots are saved: {error}")

    def _refuse_damaged(self, arm: ArmSpec, error: GuestError) -> None:
        """A guest that does not start may use files that the disk has damaged without a write: all of them are
        read, once.

        Raises HostError when that is so; the damaged file is then removed.
        """
        kernel, rootfs = self.prepared.kernels[arm.kernel], self.prepared.rootfs
        damaged = damaged_files(kernel, deep=True) + ([] if is_intact(rootfs, deep=True) else [rootfs])
        for path in damaged:
            path.unlink(missing_ok=True)
        if damaged:
            names = ", ".join(map(str, damaged))
            raise HostError(
                f"{names} was damaged in the cache and was removed: {error.what}",
                "`oomtrial run --resume` makes it again and continues",
            ) from error
