"""The machine that an arm runs on; it determines how wide the window for a second kill is."""

from __future__ import annotations

from enum import StrEnum

from ..units import format_count


class Accel(StrEnum):
    """What executes the instructions of the kernel under test."""

    AUTO = "auto"  # asked for only: KVM if a guest really boots with it, else TCG
    KVM = "kvm"
    TCG = "tcg"  # QEMU's software emulation
    NATIVE = "native"  # the arm host: no guest


ACCELERATIONS = (Accel.AUTO.value, Accel.KVM.value, Accel.TCG.value)  # that can be asked for
_WORDS = {Accel.TCG: "software emulation", Accel.KVM: "KVM"}  # for people who do not know QEMU's names


def machine_words(vcpus: int, host_cores: int, accel: str) -> str:
    """The machine of an arm: ``4 vCPUs on 2 host cores (software emulation)``, or ``2 cores, no guest``."""
    if accel == Accel.NATIVE:
        return f"{format_count(host_cores, 'core')}, no guest"
    words = _WORDS.get(Accel(accel), accel)
    return f"{format_count(vcpus, 'vCPU')} on {format_count(host_cores, 'host core')} ({words})"
