"""The machine that an arm runs on; it determines how wide the window for a second kill is."""

from __future__ import annotations

from enum import StrEnum


class Accel(StrEnum):
    """What executes the instructions of the kernel under test."""

    AUTO = "auto"  # asked for only: KVM if a guest really boots with it, else TCG
    KVM = "kvm"
    TCG = "tcg"  # QEMU's software emulation
    NATIVE = "native"  # the arm host: no guest


ACCELERATIONS = (Accel.AUTO.value, Accel.KVM.value, Accel.TCG.value)  # that can be asked for
_WORDS = {Accel.TCG: "software emulation", Accel.KVM: "KVM", Accel.NATIVE: "no guest"}


def accel_words(accel: Accel) -> str:
    """What runs the guest, for people who do not know QEMU's names."""
    return _WORDS.get(accel, accel.value)
