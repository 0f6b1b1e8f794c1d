"""Debian's linux-source packages: fetched by apt, unpacked in the cache, never installed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from harness.errors import BuildError, HostError, OomtrialError
from harness.paths import cache_dir, require_room
from harness.proc import output_of, run
from harness.progress import Reporter

_DOWNLOAD_DEADLINE_S = 900
_UNPACK_DEADLINE_S = 600
_UNPACKED_BYTES = 4 << 30  # the tree and what a build of our config adds


@dataclass(frozen=True)
class Source:
    """One linux-source package; its hash stands for the content."""

    package: str
    package_version: str
    sha256: str

    @property
    def tree(self) -> Path:
        """Where the tree is, once `fetch_source` has returned: also the place where it is built, so that a second
        kernel from the same source is an incremental build."""
        return cache_dir() / "trees" / f"{self.package}-{self.sha256[:16]}"

    def lock(self) -> FileLock:
        self.tree.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self.tree}.lock")


def offered_versions() -> list[str]:
    """Kernel versions of the linux-source packages that apt offers here, oldest first."""
    names = output_of(["apt-cache", "pkgnames", "linux-source-"]).split()
    versions = [name.removeprefix("linux-source-") for name in names]
    numbers = [v for v in versions if v.count(".") == 1 and v.replace(".", "").isdigit()]
    return sorted(numbers, key=lambda v: tuple(map(int, v.split("."))))


def find_source(version: str) -> Source:
    """What apt would fetch for a kernel version.

    Raises BuildError when apt offers no such package.
    """
    package = f"linux-source-{version}"
    try:
        shown = output_of(["apt-cache", "show", "--no-all-versions", package])
    except HostError as error:
        offered = ", ".join(offered_versions()) or "none (run `apt-get update` first)"
        raise BuildError(f"apt offers no package {package}", f"offered: {offered}") from error
    fields = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line and not line.startswith(" "))
    return Source(package, fields["Version"], fields["SHA256"])


def fetch_source(source: Source, report: Reporter) -> None:
    """Downloads and unpacks a package, unless the tree is there. Call it with the source's lock held.

    Raises BuildError when the download fails, HostError when there is no room.
    """
    if source.tree.is_dir():
        return
    require_room(source.tree.parent, _UNPACKED_BYTES, f"the tree of {source.package}")
    scratch = source.tree.with_name(f".{source.tree.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with report.task(f"fetch {source.package} {source.package_version}"):
            _download(source, scratch)
        with report.task(f"unpack {source.package}"):
            _unpack(source, scratch)
        unpacked = scratch / source.package
        unpacked.rename(source.tree)
    except subprocess.SubprocessError as error:
        raise BuildError(f"cannot unpack {source.package}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(source: Source, scratch: Path) -> None:
    log = cache_dir() / "logs" / f"download-{source.package}.log"
    log.unlink(missing_ok=True)
    # apt drops to the user _apt, which need not reach our cache directory.
    argv = ["apt-get", "-o", "APT::Sandbox::User=root", "download", f"{source.package}={source.package_version}"]
    try:
        status = run(argv, log=log, deadline_s=_DOWNLOAD_DEADLINE_S, cwd=scratch)
    except OomtrialError as error:
        raise BuildError(f"download of {source.package} failed: {error}") from error
    if status:
        last = log.read_text(errors="replace").strip().splitlines()[-1]
        raise BuildError(
            f"download of {source.package} failed: {last}", f"check the network and `apt-get update`; log: {log}"
        )


def _unpack(source: Source, scratch: Path) -> None:
    (package,) = scratch.glob("*.deb")
    member = f"./usr/src/{source.package}.tar.xz"
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb,
        subprocess.Popen(["tar", "-xO", member], stdin=deb.stdout, stdout=subprocess.PIPE) as inner,
    ):
        subprocess.run(["tar", "-xJ", "-C", scratch], stdin=inner.stdout, check=True, timeout=_UNPACK_DEADLINE_S)
    package.unlink()
