"""The machine an arm runs on: it decides how wide the window for a second kill is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Size and acceleration of a guest. Runs whose machines differ must not be pooled."""

    vcpus: int
    memory_mib: int
    accel: str  # kvm or tcg
    host_cores: int
