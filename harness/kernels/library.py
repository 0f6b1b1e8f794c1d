"""The patch library: for each patch a file for each range of kernels that it was written for.

``patches/NAME/FIRST..LAST.patch``, or ``patches/NAME/VERSION.patch``. Both bounds are included, and a bound covers what it is a
prefix of: ``6.12..6.18`` has 6.18.15. A head line ``Not before: VERSION (reason)`` or ``Not after: VERSION (reason)`` says where
a patch has no meaning, as upstream has what it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent / "patches"
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_LIMIT = re.compile(r"^Not (before|after): (\d[\d.]*) \((.+)\)$", re.MULTILINE)
_MINORS = 20  # 4.20 was followed by 5.0, 5.19 by 6.0, 6.19 by 7.0

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """``6.12.117-1`` is (6, 12, 117); ``7.3~rc7-1`` is (7, 3)."""
    match = _NUMBERS.match(text)
    return tuple(map(int, match[0].split("."))) if match else ()


@dataclass(frozen=True)
class LibraryFile:
    """A patch for a range of kernels."""

    name: str
    first: Version
    last: Version
    path: Path

    @property
    def range(self) -> str:
        """The range in the file's name: ``6.1`` or ``6.12..6.18``."""
        return self.path.name.removesuffix(".patch")

    def covers(self, version: Version) -> bool:
        """Whether it was written for a version."""
        return _at_least(version, self.first) and _at_most(version, self.last)

    def distance(self, version: Version) -> int:
        """How many releases a version lies outside the range, about."""
        return min(abs(_release_number(bound) - _release_number(version)) for bound in (self.first, self.last))


def _release_number(version: Version) -> int:
    major, minor = (*version, 0, 0)[:2]
    return major * _MINORS + minor


@dataclass(frozen=True)
class Limit:
    """A kernel version beyond which a patch has no meaning, with the reason."""

    is_lower: bool
    version: Version
    reason: str

    def excludes(self, version: Version) -> bool:
        """Whether the patch has no meaning for a version."""
        return not (_at_least(version, self.version) if self.is_lower else _at_most(version, self.version))


def _at_least(version: Version, bound: Version) -> bool:
    return version >= bound[: len(version)]


def _at_most(version: Version, bound: Version) -> bool:
    return version[: len(bound)] <= bound


@cache
def library_files() -> tuple[LibraryFile, ...]:
    """All files of the library, by name and range."""
    files = []
    for path in LIBRARY.glob("*/*.patch"):
        first, _, last = path.name.removesuffix(".patch").partition("..")
        files.append(LibraryFile(path.parent.name, parse_version(first), parse_version(last or first), path))
    return tuple(sorted(files, key=lambda file: (file.name, file.first)))


def files_of(name: str) -> list[LibraryFile]:
    """The files of one patch, oldest kernels first; empty for a name that the library lacks."""
    return [file for file in library_files() if file.name == name]


def limits_of(file: LibraryFile) -> list[Limit]:
    """The limits in a file's head (``Not before``, ``Not after``)."""
    head = file.path.read_text().partition("\n--- ")[0]
    return [Limit(kind == "before", parse_version(bound), reason) for kind, bound, reason in _LIMIT.findall(head)]


def why_not(name: str, version: str) -> str | None:
    """Why a patch has no meaning for a version, or None."""
    wanted = parse_version(version)
    limits = (limit for file in files_of(name)[:1] for limit in limits_of(file))
    return next((limit.reason for limit in limits if limit.excludes(wanted)), None)


def nearest_file(name: str, version: str) -> tuple[LibraryFile, bool] | None:
    """The file to use for a version, and whether it was written for it; None for a name that the library lacks."""
    wanted = parse_version(version)
    files = files_of(name)
    for file in reversed(files):
        if file.covers(wanted):
            return file, True
    return (min(files, key=lambda file: file.distance(wanted)), False) if files else None


def library_names(version: str | None = None) -> list[str]:
    """Names of the patches written for a version, or of all patches."""
    wanted = None if version is None else parse_version(version)
    return sorted({file.name for file in library_files() if wanted is None or file.covers(wanted)})


def written_for(files: Iterable[LibraryFile]) -> str:
    """Ranges in words, such as ``6.1, 6.12..6.18``."""
    return ", ".join(file.range for file in files)
