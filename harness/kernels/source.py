"""Debian's linux-source packages: fetched by apt, unpacked in the cache, never installed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ..errors import BuildError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from ..system.paths import cache_dir
from ..system.process import start
from .apt import Package, download
from .base import Base, put_tree, scratch_for
from .catalog import kept_catalogs
from .debversion import answers, is_candidate, release_of, version_order
from .offers import Offers, Rank, host_packages
from .sourcepackage import find_source_package
from .upstream import find_upstream_archive

_NAME = re.compile(r"linux-source-(?P<series>\d+\.\d+)")
_UNPACK_DEADLINE_S = 600
_UNPACKED_BYTES = 4 << 30  # the tree and a build with oomtrial's config


@dataclass(frozen=True)
class Source:
    """One linux-source package; its hash stands for the content."""

    package: str
    package_version: str
    sha256: str
    suite: str = ""  # empty: the host's own apt offers it
    state: str = ""  # of a private apt state; empty likewise

    @property
    def name(self) -> str:
        """Package and version."""
        return f"{self.package} {self.package_version}"

    @property
    def version(self) -> str:
        """The kernel's series, as `Base.version`."""
        return self.package.removeprefix("linux-source-")

    @property
    def release(self) -> str:
        """The kernel's full version, as `Base.release`."""
        return release_of(self.package_version)

    @property
    def identity(self) -> str:
        """Content key of the package, as `Base.identity`."""
        return self.sha256

    @property
    def tree(self) -> Path:
        """Where the tree is unpacked and built."""
        return cache_dir() / "trees" / f"{self.package}-{self.sha256[:16]}"

    def lock(self) -> FileLock:
        """The lock of the tree, as `Base.lock`."""
        return FileLock(f"{self.tree}.lock")

    def fetch(self, progress: Reporter) -> None:
        """Downloads and unpacks the package, unless the tree is there.

        Raises BuildError when the download fails, HostError when there is no room.
        """
        if self.tree.is_dir():
            return
        with scratch_for(self.tree, _UNPACKED_BYTES, self.package) as scratch:
            with progress.task(f"fetch {self.name}"):
                wanted = Package(self.package, self.package_version, self.sha256, (), self.suite, self.state)
                (file,) = download([wanted], scratch)
            try:
                with progress.task(f"unpack {self.package}"):
                    _unpack(file, self.package, scratch)
            except subprocess.SubprocessError as error:
                raise BuildError(f"cannot unpack {self.package}: {error}") from error
            put_tree(scratch / self.package, self.tree)


def offered_versions() -> list[str]:
    """Kernel versions of the linux-source packages that the host's own apt offers, oldest first."""
    versions = [match["series"] for package in host_packages() if (match := _NAME.fullmatch(package.name))]
    return sorted(versions, key=version_order)


def find_source(spec: KernelSpec, offers: Offers) -> Base:
    """The source that ``source:VERSION[@SUITE]`` means: a linux-source package where there is one, else a source package,
    else the upstream archive that belongs to one. Package lists may be read, and a source package's description; an
    upstream archive is fetched, as nothing else tells whether the mirror has it.

    Raises BuildError when no archive offers it.
    """
    package = offers.newest("binary", spec.suite, rank_source(spec.argument))
    if package and not is_candidate(package.version):
        return _of(package)
    released = find_source_package(spec, offers)
    if released and (package is None or not is_candidate(released.package_version)):
        return released
    if package:
        return _of(package)
    if upstream := find_upstream_archive(spec, offers):
        return upstream
    listed = offers.of_suites("binary", spec.suite) + ([] if spec.suite else host_packages())
    sources = [package for package in listed if is_source(package)] + offers.of_suites("source", spec.suite)
    raise offers.refusal("source of Linux", spec.argument, spec.suite, sources)


def known_sources() -> list[Source]:
    """The linux-source packages that apt and the suites offer, as far as is known without asking a mirror."""
    listed = [*host_packages(), *(package for catalog in kept_catalogs("binary") for package in catalog.packages)]
    return [_of(package) for package in listed if is_source(package)]


def is_source(package: Package) -> bool:
    """Whether it is a linux-source package."""
    return _NAME.fullmatch(package.name) is not None


def rank_source(wanted: str) -> Rank:
    """Which linux-source packages ``source:WANTED`` may mean: a release before a candidate, then the newest."""

    def rank(package: Package) -> bool | None:
        if not is_source(package) or not answers(wanted, package.version):
            return None
        return not is_candidate(package.version)

    return rank


def _of(package: Package) -> Source:
    return Source(package.name, package.version, package.sha256, package.suite, package.state)


def _unpack(package: Path, name: str, scratch: Path) -> None:
    member = f"./usr/src/{name}.tar.xz"
    with (
        start(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb,
        start(["tar", "-xO", member], stdin=deb.stdout, stdout=subprocess.PIPE) as inner,
        start(["tar", "-xJ", "-C", scratch], stdin=inner.stdout) as outer,
    ):
        try:
            status = outer.wait(_UNPACK_DEADLINE_S)
        finally:
            outer.kill()  # nothing, if it has ended
        if status:
            raise subprocess.CalledProcessError(status, outer.args)
    package.unlink()
