"""Upstream archives of Linux, as Debian keeps them beside its source packages.

A mirror that is a cache may have lost the small files of an old source package (its description, Debian's patches) and still
have the archive of kernel.org's release. Such a version is better than none, and is called by what it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ..errors import BuildError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from ..system.paths import cache_dir, require_room
from ..system.process import run
from .apt import Package, download_file
from .base import put_tree, scratch_for
from .catalog import UPSTREAM, forget_package, read_state
from .debversion import answers, is_candidate, release_of, series_of
from .offers import Offers, Rank

_UNPACK_DEADLINE_S = 600
_ARCHIVE_BYTES = 256 << 20
_UNPACKED_BYTES = 4 << 30  # the tree, and a build with oomtrial's config


@dataclass(frozen=True)
class UpstreamArchive:
    """One release of kernel.org, without Debian's patches; the hash of the archive stands for the content."""

    package_version: str  # of the source package that it belongs to
    sha256: str

    @property
    def name(self) -> str:
        """Name and version, with a note that Debian's patches are missing."""
        return f"{UPSTREAM} {self.release}, without Debian's patches"

    @property
    def version(self) -> str:
        """The kernel's series, as `Base.version`."""
        return series_of(self.package_version)

    @property
    def release(self) -> str:
        """The kernel's full version, as `Base.release`."""
        return release_of(self.package_version)

    @property
    def identity(self) -> str:
        """Content key of the archive, as `Base.identity`."""
        return self.sha256

    @property
    def tree(self) -> Path:
        """Where the tree is unpacked and built."""
        return cache_dir() / "trees" / f"linux-upstream-{self.release}-{self.sha256[:16]}"

    def lock(self) -> FileLock:
        """The lock of the tree, as `Base.lock`."""
        return FileLock(f"{self.tree}.lock")

    def fetch(self, progress: Reporter) -> None:
        """Unpacks the archive, unless the tree is there.

        Raises BuildError when that fails, HostError when there is no room.
        """
        if self.tree.is_dir():
            return
        archive, log = _archive(self.sha256), cache_dir() / "logs" / f"unpack-{self.tree.name}.log"
        log.unlink(missing_ok=True)
        with scratch_for(self.tree, _UNPACKED_BYTES, self.name) as scratch:
            with progress.task(f"unpack {self.name}"):
                if not _is_whole(archive, self.sha256):
                    archive.unlink(missing_ok=True)
                    raise BuildError(
                        f"the {self.name} in the cache is damaged", "run the command again to download it again"
                    )
                argv = ["tar", "-x", "-f", str(archive), "-C", str(scratch), "--no-same-owner", "--strip-components=1"]
                if run(argv, log=log, deadline_s=_UNPACK_DEADLINE_S):
                    raise BuildError(f"cannot unpack the {self.name}", f"log: {log}")
            put_tree(scratch, self.tree)
        archive.unlink()


def find_upstream_archive(spec: KernelSpec, offers: Offers) -> UpstreamArchive | None:
    """The newest upstream archive that ``source:VERSION[@SUITE]`` may mean and the mirror has, or None."""
    while package := offers.newest("source", spec.suite, rank_upstream_archive(spec.argument)):
        archive = UpstreamArchive(package.version, package.sha256)
        if archive.tree.is_dir() or _archive(package.sha256).is_file():
            return archive
        if offers.offline:
            return None
        if _fetch(package, archive, offers.progress):
            return archive
        forget_package(package)
    return None


def rank_upstream_archive(wanted: str) -> Rank:
    """Which upstream archives ``source:WANTED`` may mean: the newest release; no candidate."""

    def rank(package: Package) -> bool | None:
        if package.name != UPSTREAM or is_candidate(package.version) or not answers(wanted, package.version):
            return None
        return True

    return rank


def _fetch(package: Package, archive: UpstreamArchive, progress: Reporter) -> bool:
    """Downloads the archive into the cache, verified by the hash in the signed list. Returns False if the mirror lacks it."""
    catalog, target = read_state(package.state), _archive(package.sha256)
    if catalog is None:
        return False
    require_room(target.parent, _ARCHIVE_BYTES, archive.name)
    with FileLock(f"{target}.lock"), progress.task(f"fetch {archive.name}"):
        return target.is_file() or download_file(package, f"{catalog.uri}/{package.path}", target)


def _archive(sha256: str) -> Path:
    return cache_dir() / "apt" / "upstream" / f"{sha256}.tar"


def _is_whole(file: Path, sha256: str) -> bool:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
