"""Arms: the kernels that a run compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from ..errors import UsageError
from .kernel import KernelSpec, parse_kernel_spec

# The patch that lays a sleep upon the scan of a memcg's tasks (`oomtrial run --amplify`).
AMPLIFIER = "scan-sleeps"


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


def amplify(kernels: Iterable[str]) -> tuple[str, ...]:
    """The same kernels with AMPLIFIER as their first patch.

    Raises UsageError for a kernel that is not built here.
    """
    specs = [parse_kernel_spec(kernel) for kernel in kernels]
    for spec in specs:
        if spec.kind not in ("source", "tree"):
            raise UsageError(
                f"--amplify patches every arm, and {spec.text} is not built here", "name source: or tree: kernels"
            )
    return tuple(
        spec.text
        if AMPLIFIER in spec.patches
        else f"{_base(spec)}+{'+'.join([AMPLIFIER, *map(_escaped, spec.patches)])}"
        for spec in specs
    )


def _base(spec: KernelSpec) -> str:
    patches = "".join(f"+{_escaped(patch)}" for patch in spec.patches)
    return spec.text.removesuffix(patches)


def _escaped(patch: str) -> str:
    return patch.replace("+", "++")
