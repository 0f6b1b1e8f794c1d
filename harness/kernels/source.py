"""Debian's linux-source packages: fetched by apt, unpacked in the cache, never installed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from harness.errors import BuildError
from harness.kernels.apt import Package, download, find_package, package_names
from harness.paths import cache_dir, require_room
from harness.proc import start
from harness.progress import Reporter

_UNPACK_DEADLINE_S = 600
_UNPACKED_BYTES = 4 << 30  # the tree and what a build of our config adds


@dataclass(frozen=True)
class Source:
    """One linux-source package; its hash stands for the content."""

    package: str
    package_version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.package} {self.package_version}"

    @property
    def version(self) -> str:
        return self.package.removeprefix("linux-source-")

    @property
    def identity(self) -> str:
        return self.sha256

    @property
    def tree(self) -> Path:
        return cache_dir() / "trees" / f"{self.package}-{self.sha256[:16]}"

    def lock(self) -> FileLock:
        return FileLock(f"{self.tree}.lock")

    def fetch(self, report: Reporter) -> None:
        """Downloads and unpacks the package, unless the tree is there.

        Raises BuildError when the download fails, HostError when there is no room.
        """
        if self.tree.is_dir():
            return
        require_room(self.tree.parent, _UNPACKED_BYTES, f"the tree of {self.package}")
        scratch = self.tree.with_name(f".{self.tree.name}.new")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            with report.task(f"fetch {self.name}"):
                package = download(Package(self.package, self.package_version, self.sha256), scratch)
            with report.task(f"unpack {self.package}"):
                _unpack(package, self.package, scratch)
            (scratch / self.package).touch()  # prune goes by the time, and the archive has one of its own
            (scratch / self.package).rename(self.tree)
        except subprocess.SubprocessError as error:
            raise BuildError(f"cannot unpack {self.package}: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def offered_versions() -> list[str]:
    """Kernel versions of the linux-source packages that apt offers here, oldest first."""
    versions = [name.removeprefix("linux-source-") for name in package_names("linux-source-")]
    numbers = [v for v in versions if v.count(".") == 1 and v.replace(".", "").isdigit()]
    return sorted(numbers, key=lambda v: tuple(map(int, v.split("."))))


def find_source(version: str) -> Source:
    """What apt would fetch for a kernel version.

    Raises BuildError when apt offers no such package.
    """
    name = f"linux-source-{version}"
    if package := find_package(name):
        return Source(package.name, package.version, package.sha256)
    offered = ", ".join(offered_versions()) or "none (run `apt-get update` first)"
    raise BuildError(f"apt offers no package {name}", f"offered: {offered}")


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
