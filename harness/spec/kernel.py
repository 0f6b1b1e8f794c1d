"""Kernel specs, as a person types them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError

FORMS = "source:VERSION, debian:VERSION, tree:PATH[@REF], image:PATH or host; source: and tree: take +PATCH..."
_BUILT = ("source", "tree")
_SERIES = re.compile(r"\d+\.\d+")
# What Debian calls a kernel: 6.1 (the newest of it), 6.1.0-56, 6.12.117+deb12.
_DEBIAN_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?(?:-\d+)?(?:\+deb\d+)?")


@dataclass(frozen=True)
class KernelSpec:
    """``source:6.1+wait-for-victim``: a base, and patches in the order in which they are applied."""

    text: str
    kind: str  # host, debian, source, tree or image
    argument: str  # a version (debian, source) or a path (tree, image); empty for host
    ref: str = ""  # of a tree: a commit, tag or branch; empty for the files as they are
    patches: tuple[str, ...] = ()  # names from the patch library, or paths

    @property
    def is_stock(self) -> bool:
        return not self.patches

    @property
    def path(self) -> Path:
        """Of a tree or an image, with ``~`` resolved."""
        return Path(self.argument).expanduser()


def parse_kernel_spec(text: str) -> KernelSpec:
    """Parses ``KIND:ARGUMENT[@REF][+PATCH...]``. In a path ``+`` and ``@`` are written twice.

    Raises UsageError for any other form, and for patches on a kernel that is not built here.
    """
    kind, colon, rest = text.partition(":")
    if text == "host":
        return KernelSpec(text, "host", "")
    if not colon or kind not in ("debian", *_BUILT, "image"):
        raise UsageError(f"unknown kernel spec {text!r}", f"write {FORMS}")
    if kind == "debian" and _DEBIAN_VERSION.fullmatch(rest):
        return KernelSpec(text, kind, rest)
    base, *patches = _split(rest, "+")
    ref = ""
    if kind == "tree":
        base, *refs = _split(base, "@", most=1)
        ref = refs[0] if refs else ""
        if refs and not ref:
            raise UsageError(f"kernel spec {text!r} has no REF after @", f"write {FORMS}")
    if not base or not all(patches) or (kind == "source" and not _SERIES.fullmatch(base)):
        raise UsageError(f"unknown kernel spec {text!r}", f"write {FORMS}")
    if kind == "debian" and not (patches and _DEBIAN_VERSION.fullmatch(base)):
        raise UsageError(f"{text!r} names no Debian kernel", "write debian:VERSION, such as debian:6.1")
    if patches and kind not in _BUILT:
        instead = f"source:{base}" if kind == "debian" else "tree:PATH"
        raise UsageError(f"{kind}:{base} is prebuilt and takes no patch", f"build it: {instead}+{'+'.join(patches)}")
    return KernelSpec(text, kind, base, ref, tuple(patches))


def _split(text: str, mark: str, most: int = 0) -> list[str]:
    """Splits at a mark; the mark twice stands for itself."""
    hidden = text.replace(mark * 2, "\0")
    return [part.replace("\0", mark) for part in hidden.split(mark, most or -1)]
