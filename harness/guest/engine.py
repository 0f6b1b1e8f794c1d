"""A container engine that was there before us, as far as it matters to what is measured on it."""

from __future__ import annotations

import platform

import msgspec
import psutil


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of itself and of its kernel."""

    name: str  # Docker Engine, or Podman
    version: str
    kernel: str  # release of the kernel that it runs on
    architecture: str
    cores: int
    memory_bytes: int
    cgroup: str  # v1 or v2
    cgroup_driver: str  # cgroupfs or systemd
    has_memory_limit: bool
    has_swap_limit: bool
    is_rootless: bool = False
    is_linux: bool = True
    is_here: bool = True  # by its address; False behind tcp:// and ssh:// of another machine. Older records do not say

    @property
    def is_ours(self) -> bool:
        """Whether it runs on the kernel that this process runs on, as far as it can be told from outside; that of Docker
        Desktop, or of another machine, does not."""
        is_alike = self.kernel == platform.release() and self.memory_bytes == psutil.virtual_memory().total
        return self.is_here and is_alike

    def __str__(self) -> str:
        return f"{self.name} {self.version}, cgroup {self.cgroup}"
