"""Kernel specs, as the user types them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

FORMS = (
    "source:VERSION[@SUITE], debian:VERSION[@SUITE], tree:PATH[@REF], image:PATH or host; "
    "source: and tree: take +PATCH..."
)
_BUILT = ("source", "tree")
_KINDS = ("debian", *_BUILT, "image")
# A series (6.1), a release (7.3.4, 7.3~rc7), a package version (6.19.8-1~bpo13+1), or what Debian calls a kernel
# (6.1.0-56, 6.12.117+deb12).
_VERSION = re.compile(
    r"(?P<version>\d+\.\d+(?:\.\d+)?(?:[~-]rc\d+)?(?:-\d+(?:\.\d+)?)?(?:~(?:bpo|exp|deb)[\d.]+(?:u\d+)?(?:\+\d+)?|\+deb[\d.]+(?:u\d+)?)?)"
    r"(?:@(?P<suite>[^@+]*))?(?P<rest>\+.*)?"
)
_SUITE = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class KernelSpec:
    """``source:6.1+wait-for-victim``: a base, and patches in the order in which they are applied."""

    text: str
    kind: str  # host, debian, source, tree or image
    argument: str  # a version (debian, source) or a path (tree, image); empty for host
    ref: str = ""  # of a tree: a commit, tag or branch; empty for the files as they are
    suite: str = ""  # of debian and source: the suite of Debian that is asked; empty for the newest of all
    patches: tuple[str, ...] = ()  # names from the patch library, or paths

    @property
    def is_stock(self) -> bool:
        """Whether the spec names a kernel without patches."""
        return not self.patches

    @property
    def path(self) -> Path:
        """Path of a tree or an image, with ``~`` expanded."""
        return Path(self.argument).expanduser()


def parse_kernel_spec(text: str) -> KernelSpec:
    """Parses ``KIND:ARGUMENT[@REF][+PATCH...]``, or ``[@SUITE]``. In a path ``+`` and ``@`` are written twice.

    Raises UsageError for any other form, and for patches on a kernel that is not built here.
    """
    kind, colon, rest = text.partition(":")
    if text == "host":
        return KernelSpec(text, "host", "")
    if not colon or kind not in _KINDS:
        near = difflib.get_close_matches(kind, _KINDS, 1) if colon else []
        raise UsageError(
            f"unknown kernel spec {text!r}", f"did you mean {f'{near[0]}:{rest}'!r}?" if near else f"write {FORMS}"
        )
    if kind in ("debian", "source"):
        return _parse_version(text, kind, rest)
    base, *patches = _split(rest, "+")
    ref = ""
    if kind == "tree":
        base, *refs = _split(base, "@", most=1)
        ref = refs[0] if refs else ""
        if refs and not ref:
            raise UsageError(f"kernel spec {text!r} has no REF after @", f"write {FORMS}")
    if not base or not all(patches):
        raise UsageError(f"unknown kernel spec {text!r}", f"write {FORMS}")
    if patches and kind not in _BUILT:
        raise _takes_no_patch(kind, base, "tree:PATH", patches)
    return KernelSpec(text, kind, base, ref, patches=tuple(patches))


def _parse_version(text: str, kind: str, rest: str) -> KernelSpec:
    match = _VERSION.fullmatch(rest)
    if match is None and kind == "debian":
        raise UsageError(f"{text!r} is not a Debian kernel", "write debian:VERSION, such as debian:6.1")
    if match is None:
        raise UsageError(f"unknown kernel spec {text!r}", f"write {FORMS}")
    version, suite = match["version"], match["suite"]
    if suite is not None and not _SUITE.fullmatch(suite):
        raise UsageError(
            f"kernel spec {text!r} has no SUITE after @", "write the name of a suite, such as trixie-backports"
        )
    before, *patches = _split(match["rest"] or "", "+")
    if before or not all(patches):
        raise UsageError(f"unknown kernel spec {text!r}", f"write {FORMS}")
    if patches and kind == "debian":
        raise _takes_no_patch(kind, version, f"source:{version}", patches)
    return KernelSpec(text, kind, version, suite=suite or "", patches=tuple(patches))


def _takes_no_patch(kind: str, base: str, instead: str, patches: list[str]) -> UsageError:
    return UsageError(f"{kind}:{base} is prebuilt and takes no patch", f"build it: {instead}+{'+'.join(patches)}")


def _split(text: str, mark: str, most: int = 0) -> list[str]:
    """Splits at a character; the character written twice stands for itself."""
    hidden = text.replace(mark * 2, "\0")
    return [part.replace("\0", mark) for part in hidden.split(mark, most or -1)]
