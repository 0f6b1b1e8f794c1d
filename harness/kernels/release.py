"""The version of a kernel that is there, from where it comes from."""

from __future__ import annotations

import re

from .kernel import Kernel

# 6.1.192 of a package 6.1.192-2, 7.0-rc3 of 7.0~rc3-1~exp1; of a tree, what its Makefile says.
_VERSION = re.compile(r"(?:^|\s|\()(?:\d+:)?(\d+\.\d+(?:\.\d+)?)(?:[~-](rc\d+))?(?=$|[\s,)+~-])")
_NO_RC = 1 << 30  # a release comes after its candidates


def kernel_version(kernel: Kernel) -> str | None:
    """Such as 6.1.192 or 7.0-rc3; None where it is not known, as of an image."""
    found = _VERSION.findall(kernel.source)
    if not found:
        return None
    number, candidate = found[-1]
    return f"{number}-{candidate}" if candidate else number


def version_order(version: str) -> tuple[int, ...]:
    """Newer kernels have greater ones."""
    number, _, candidate = version.partition("-rc")
    parts = [*map(int, number.split(".")), 0, 0][:3]
    return (*parts, int(candidate) if candidate else _NO_RC)
