"""Arms: the kernels that a run compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Probes(StrEnum):
    """Which evidence is taken from the kernel under test."""

    ALL = "all"
    KILLS = "kills"  # what classifies a kill, without its mechanism
    NONE = "none"  # counts only


class ArmSpec(msgspec.Struct, frozen=True):
    """A kernel under comparison, with the evidence that is recorded on it."""

    name: str  # in tables and reports; unlike any other arm's
    kernel: str  # text of the kernel spec
    probes: Probes = Probes.ALL


def name_arms(kernels: Iterable[str], probes: Probes = Probes.ALL) -> tuple[ArmSpec, ...]:
    """One arm per kernel spec. The second arm of one kernel is ``SPEC (2)``: stock against stock is a control."""
    seen: Counter[str] = Counter()
    arms = []
    for kernel in kernels:
        seen[kernel] += 1
        arms.append(ArmSpec(kernel if seen[kernel] == 1 else f"{kernel} ({seen[kernel]})", kernel, probes))
    return tuple(arms)
