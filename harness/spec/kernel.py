"""Kernel specs, as a person types them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import UsageError

_SOURCE = re.compile(r"source:(?P<version>\d+\.\d+)")


@dataclass(frozen=True)
class KernelSpec:
    """``source:6.1+wait-for-victim``: a base, and patches in the order in which they are applied."""

    text: str
    version: str  # of Debian's linux-source package, such as 6.1
    patches: tuple[str, ...]  # names from the patch library, or paths

    @property
    def is_stock(self) -> bool:
        return not self.patches


def parse_kernel_spec(text: str) -> KernelSpec:
    """Parses ``source:VERSION[+PATCH...]``.

    Raises UsageError for any other form.
    """
    base, *patches = text.split("+")
    match = _SOURCE.fullmatch(base)
    if not match or not all(patches):
        raise UsageError(
            f"unknown kernel spec {text!r}", "write source:VERSION[+PATCH...], such as source:6.1+wait-for-victim"
        )
    return KernelSpec(text, match["version"], tuple(patches))
