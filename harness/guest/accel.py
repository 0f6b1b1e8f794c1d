"""Acceleration, chosen by booting a guest with a deadline.

A /dev/kvm that opens proves nothing: QEMU may abort on an MSR, or the guest may hang in its firmware for ever.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import msgspec

from ..errors import GuestError, HostError
from ..kernels.kernel import Kernel
from ..progress import Reporter
from ..spec.machine import Accel
from ..system.machine import cpu_model
from ..system.paths import cache_dir, content_key, write_atomically
from .machine import Guest, GuestConfig
from .qemu import qemu_version

_KVM = Path("/dev/kvm")
_MODULES = Path("/sys/module")
_NO_GUEST = "no guest boots with KVM"
# "qemu-system-x86_64: ../target/i386/kvm/kvm.c:3213: kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed."
_ASSERTION = re.compile(r"(\w+): Assertion `.*' failed")


class Probe(msgspec.Struct, frozen=True):
    """Result of booting a guest with KVM."""

    accel: Accel
    reason: str


def _cache_file() -> Path:
    """The cached result, for one host kernel, CPU model and QEMU."""
    machine = (os.uname().release, cpu_model(), qemu_version(), str(_KVM.exists()))
    return cache_dir() / "accel" / f"{content_key(*machine)}.json"


def cached_probe() -> Probe | None:
    """The last result for this machine, or None if there is no readable one."""
    try:
        probe = msgspec.json.decode(_cache_file().read_bytes(), type=Probe)
    except (OSError, msgspec.DecodeError):
        return None
    if probe.accel == Accel.TCG and probe.reason.startswith(_NO_GUEST):
        return Probe(Accel.TCG, explain_failure(probe.reason))
    return probe if probe.accel in (Accel.KVM, Accel.TCG) else None


def explain_failure(last_words: str) -> str:
    """Why a guest does not boot with a KVM that can be opened, rather than QEMU's or the guest's last words about it."""
    if (_MODULES / "kvm_pvm").exists():  # out of tree: a hypervisor for guests that know of it, without VMX or SVM
        return f"{_NO_GUEST}: this machine has kvm_pvm, which runs paravirtual guests only"
    if assertion := _ASSERTION.search(last_words):
        return f"{_NO_GUEST}: QEMU gives up in {assertion[1]}(), as this machine's KVM lacks what QEMU expects; nested KVM often does"
    return last_words if last_words.startswith(_NO_GUEST) else f"{_NO_GUEST}: {last_words}"


def kvm_openable() -> str | None:
    """Why /dev/kvm cannot even be opened, or None if it can."""
    try:
        os.close(os.open(_KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{_KVM}: {error.strerror}"
    return None


def choose_accel(wanted: Accel, kernel: Kernel, rootfs: Path, progress: Reporter) -> Probe:
    """Resolves ``auto``, ``kvm`` or ``tcg`` by booting the kernel under test if the result is not cached.

    Raises HostError when ``kvm`` was asked for and does not work.
    """
    if wanted == Accel.TCG:
        return Probe(Accel.TCG, "asked for")
    probe = cached_probe()
    if probe is None:
        if _cache_file().exists():
            progress.say(f"{_cache_file()} is damaged; probing again")
        probe = _probe(kernel, rootfs, progress)
        write_atomically(_cache_file(), msgspec.json.encode(probe))
    if wanted == Accel.KVM and probe.accel != Accel.KVM:
        raise HostError(f"KVM does not work here: {probe.reason}", "use --accel tcg")
    return probe


def _probe(kernel: Kernel, rootfs: Path, progress: Reporter) -> Probe:
    if reason := kvm_openable():
        return Probe(Accel.TCG, reason)
    with tempfile.TemporaryDirectory(prefix="oomtrial-accel-") as scratch, progress.task("try KVM by booting a guest"):
        config = GuestConfig(
            kernel=Path(kernel.image),
            initrd=Path(kernel.initrd) if kernel.initrd else None,
            rootfs=rootfs,
            accel=Accel.KVM,
            vcpus=2,
            memory_mib=1024,
            console=Path(scratch) / "console.log",
            api_deadline_s=30.0,
        )
        try:
            with Guest(config):
                return Probe(Accel.KVM, "a guest booted with KVM")
        except GuestError as error:
            return Probe(Accel.TCG, explain_failure(error.what))
