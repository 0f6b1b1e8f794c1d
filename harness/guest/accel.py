"""Acceleration, chosen by really booting a guest with a deadline.

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
from ..system.paths import cache_dir, content_key, write_atomically
from .machine import Guest
from .qemu import qemu_version

_KVM = Path("/dev/kvm")
_MODULES = Path("/sys/module")
_NO_GUEST = "no guest boots with KVM"
# "qemu-system-x86_64: ../target/i386/kvm/kvm.c:3213: kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed."
_ASSERTION = re.compile(r"(\w+): Assertion `.*' failed")


class Probe(msgspec.Struct, frozen=True):
    """What booting with KVM showed."""

    accel: str  # kvm or tcg
    reason: str


def _cache_file() -> Path:
    """The answer holds for one host kernel, CPU model and QEMU."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return cache_dir() / "accel" / f"{content_key(os.uname().release, cpu, qemu_version(), str(_KVM.exists()))}.json"


def cached_probe() -> Probe | None:
    """The last answer for this machine, if there is one that can be read: else it is asked again."""
    try:
        probe = msgspec.json.decode(_cache_file().read_bytes(), type=Probe)
    except (OSError, msgspec.DecodeError):
        return None
    if probe.accel == "tcg" and probe.reason.startswith(_NO_GUEST):
        return Probe("tcg", explain_failure(probe.reason))
    return probe if probe.accel in ("kvm", "tcg") else None


def explain_failure(said: str) -> str:
    """Why a guest does not boot with a KVM that can be opened, rather than QEMU's or the guest's last words about it."""
    if (_MODULES / "kvm_pvm").exists():  # out of tree: a hypervisor for guests that know of it, without VMX or SVM
        return f"{_NO_GUEST}: this machine has kvm_pvm, which runs paravirtual guests only"
    if assertion := _ASSERTION.search(said):
        return f"{_NO_GUEST}: QEMU gives up in {assertion[1]}(), as this machine's KVM lacks what QEMU expects; nested KVM often does"
    return said if said.startswith(_NO_GUEST) else f"{_NO_GUEST}: {said}"


def kvm_openable() -> str | None:
    """Why /dev/kvm cannot even be opened, or None if it can."""
    try:
        os.close(os.open(_KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{_KVM}: {error.strerror}"
    return None


def choose_accel(wanted: str, kernel: Kernel, rootfs: Path, progress: Reporter) -> Probe:
    """Resolves ``auto``, ``kvm`` or ``tcg`` by booting the kernel under test where the answer is not known yet.

    Raises HostError when ``kvm`` was asked for and does not work.
    """
    if wanted == "tcg":
        return Probe("tcg", "asked for")
    probe = cached_probe()
    if probe is None:
        if _cache_file().exists():
            progress.say(f"{_cache_file()} is damaged; made again")
        probe = _probe(kernel, rootfs, progress)
        write_atomically(_cache_file(), msgspec.json.encode(probe))
    if wanted == "kvm" and probe.accel != "kvm":
        raise HostError(f"KVM does not work here: {probe.reason}", "use --accel tcg")
    return probe


def _probe(kernel: Kernel, rootfs: Path, progress: Reporter) -> Probe:
    if reason := kvm_openable():
        return Probe("tcg", reason)
    with tempfile.TemporaryDirectory(prefix="oomtrial-accel-") as scratch, progress.task("try KVM by booting a guest"):
        guest = Guest(
            kernel=Path(kernel.image),
            initrd=Path(kernel.initrd) if kernel.initrd else None,
            rootfs=rootfs,
            accel="kvm",
            vcpus=2,
            memory_mib=1024,
            console=Path(scratch) / "console.log",
            api_deadline_s=30.0,
        )
        try:
            with guest:
                return Probe("kvm", "a guest booted with KVM")
        except GuestError as error:
            return Probe("tcg", explain_failure(error.what))
