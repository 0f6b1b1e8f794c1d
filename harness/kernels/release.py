"""The version of a cached kernel, from its source."""

from __future__ import annotations

import re

from .kernel import Kernel

# 6.1.192 of a package 6.1.192-2, 7.0-rc3 of 7.0~rc3-1~exp1; of a tree, what its Makefile says.
_VERSION = re.compile(r"(?:^|\s|\()(?:\d+:)?(\d+\.\d+(?:\.\d+)?)(?:[~-](rc\d+))?(?=$|[\s,)+~-])")
_NO_RC = 1 << 30  # a release comes after its candidates


def kernel_version(kernel: Kernel) -> str | None:
    """Version of a kernel, such as 6.1.192 or 7.0-rc3; None if it is unknown, as for an image."""
    versions = _VERSION.findall(kernel.source)
    if not versions:
        return None
    number, candidate = versions[-1]
    return f"{number}-{candidate}" if candidate else number


def version_order(version: str) -> tuple[int, ...]:
    """Sort key: newer versions have greater keys."""
    number, _, candidate = version.partition("-rc")
    parts = [*map(int, number.split(".")), 0, 0][:3]
    return (*parts, int(candidate) if candidate else _NO_RC)
