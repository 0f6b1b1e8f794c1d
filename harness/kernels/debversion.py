"""Debian's version numbers of kernel packages: their order, and the kernel release of each."""

from __future__ import annotations

import re

_RUNS = re.compile(r"(\D*)(\d*)")
_UPSTREAM = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:~(rc\d+))?")

Order = tuple[tuple[tuple[int, ...], int], ...]


def version_order(version: str) -> tuple[int, Order, Order]:
    """A key that sorts versions as dpkg does (deb-version(7)): ``7.3~rc7`` before ``7.3.4-1~bpo13+1`` before ``7.3.4-1``."""
    epoch, _, rest = version.rpartition(":")
    upstream, dash, revision = rest.rpartition("-")
    return int(epoch or 0), _order(upstream if dash else rest), _order(revision if dash else "0")


def _order(part: str) -> Order:
    return tuple(((*map(_rank, text), 0), int(digits or 0)) for text, digits in _RUNS.findall(part))


def _rank(character: str) -> int:
    """``~`` sorts before the end of a part (0), letters sort before all else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def release_of(package_version: str) -> str:
    """The kernel release of a package version: ``7.3.4`` for 7.3.4-1~bpo13+1, ``7.3-rc7`` for 7.3~rc7-1~exp1."""
    match = _UPSTREAM.match(package_version)
    if match is None:
        return package_version
    major, minor, sublevel, candidate = match.groups()
    release = f"{major}.{minor}" + (f".{sublevel}" if int(sublevel or 0) else "")
    return f"{release}-{candidate}" if candidate else release


def series_of(package_version: str) -> str:
    """``7.3`` for 7.3.4-1~bpo13+1."""
    return ".".join(release_of(package_version).split("-")[0].split(".")[:2])


def is_candidate(package_version: str) -> bool:
    """Whether it is a release candidate."""
    return "-rc" in release_of(package_version)


def answers(wanted: str, package_version: str) -> bool:
    """Whether a wanted series (7.3), release (7.3.4, 7.3~rc7) or package version (7.3.4-1~bpo13+1) matches a package."""
    release = release_of(package_version)
    return wanted in (series_of(package_version), release, release.replace("-rc", "~rc"), package_version)


def nearest(wanted: str, versions: set[str], most: int = 4) -> list[str]:
    """The versions nearest to a wanted one, oldest first; of its own series if there are any."""
    wanted_order = version_order(wanted)
    same = {version for version in versions if series_of(version) == series_of(wanted)}
    ordered = sorted(same or versions, key=version_order)
    below = [version for version in ordered if version_order(version) < wanted_order]
    above = [version for version in ordered if version_order(version) >= wanted_order]
    first = below[-(most // 2) :]
    return first + above[: most - len(first)]
