"""Debian's source packages (deb-src): versions of which no linux-source package is left in the index.

The tree is what Debian builds: the upstream archive with Debian's patches, as dpkg-source would unpack it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ..errors import BuildError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from ..system.paths import cache_dir, write_atomically
from ..system.process import run
from .apt import NotOnMirrorError, Package, download_source
from .base import put_tree, scratch_for
from .catalog import forget_package
from .debversion import answers, is_candidate, release_of, series_of
from .offers import Offers, Rank

_UNPACK_DEADLINE_S = 600
_PATCH_DEADLINE_S = 60
_UNPACKED_BYTES = 5 << 30  # the archive, the tree, and a build with oomtrial's config
# As dpkg-source calls it.
_PATCH = ("patch", "-p1", "-u", "--batch", "--forward", "--fuzz=0", "-E", "-V", "never", "--no-backup-if-mismatch")


@dataclass(frozen=True)
class SourcePackage:
    """One version of the source package linux; the hash of its .dsc stands for the content."""

    package_version: str
    sha256: str
    suite: str
    state: str  # of the private apt state

    @property
    def name(self) -> str:
        """Package and version."""
        return f"source package linux {self.package_version}"

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
        """Content key of the package, as `Base.identity`."""
        return self.sha256

    @property
    def tree(self) -> Path:
        """Where the tree is unpacked and built."""
        return cache_dir() / "trees" / f"linux-{self.release}-{self.sha256[:16]}"

    def lock(self) -> FileLock:
        """The lock of the tree, as `Base.lock`."""
        return FileLock(f"{self.tree}.lock")

    def fetch(self, progress: Reporter) -> None:
        """Downloads and unpacks the package and applies Debian's patches, unless the tree is there.

        Raises BuildError when that fails, HostError when there is no room.
        """
        if self.tree.is_dir():
            return
        log = cache_dir() / "logs" / f"unpack-{self.tree.name}.log"
        log.unlink(missing_ok=True)
        package = Package("linux", self.package_version, self.sha256, (), self.suite, self.state)
        with scratch_for(self.tree, _UNPACKED_BYTES, self.name) as scratch:
            (scratch / "files").mkdir()
            try:
                with progress.task(f"fetch {self.name}"):
                    files = download_source(package, scratch / "files")
            except NotOnMirrorError as error:
                forget_package(package)
                raise NotOnMirrorError(error.what, f"try again: another version may match; {error.hint}") from error
            with progress.task(f"unpack {self.name}"):
                self._unpack(_one(files, ".orig.tar."), _one(files, ".debian.tar."), scratch, log)
            put_tree(scratch / "tree", self.tree)

    def _unpack(self, original: Path, packaging: Path, scratch: Path, log: Path) -> None:
        tree, debian = scratch / "tree", scratch / "packaging"
        for archive, target, options in ((original, tree, ["--strip-components=1"]), (packaging, debian, [])):
            target.mkdir()
            argv = ["tar", "-x", "-f", str(archive), "-C", str(target), "--no-same-owner", *options]
            if run(argv, log=log, deadline_s=_UNPACK_DEADLINE_S):
                raise _failed(f"cannot unpack {archive.name}", log)
            archive.unlink()
        patches = debian / "debian" / "patches"
        for name in _series(patches / "series"):
            argv = [*_PATCH, "-i", str(patches / name)]
            if run(argv, log=log, deadline_s=_PATCH_DEADLINE_S, cwd=tree):
                raise _failed(f"Debian's patch {name} does not apply to {self.name}", log)


def _series(file: Path) -> list[str]:
    """Names of the patches that Debian applies, in order."""
    lines = (line.split("#")[0].split() for line in file.read_text(errors="replace").splitlines())
    return [words[0] for words in lines if words]


def _one(files: list[Path], part: str) -> Path:
    matches = [file for file in files if part in file.name and not file.name.endswith(".asc")]
    if len(matches) != 1:
        raise BuildError(f"a source package with {len(matches)} files *{part}* instead of one", f"it has {files}")
    return matches[0]


def _failed(problem: str, log: Path) -> BuildError:
    lines = log.read_text(errors="replace").strip().splitlines()
    return BuildError(f"{problem}: {lines[-1] if lines else 'no reason given'}", f"log: {log}")


def find_source_package(spec: KernelSpec, offers: Offers) -> SourcePackage | None:
    """The newest source package that ``source:VERSION[@SUITE]`` may mean and the mirror has, or None.

    A mirror may list what it does not have: the .dsc, 150 kB of description, is fetched to see.
    """
    gone: list[str] = []
    try:
        while package := offers.newest("source", spec.suite, rank_source_package(spec.argument)):
            source = _of(package)
            if is_known_to_be_there(package):
                return source
            if offers.offline:
                raise BuildError(f"whether the mirror has the {source.name} is not known", "ask it")
            try:
                _fetch_description(package)
                return source
            except NotOnMirrorError:
                gone.append(f"{package.version} ({package.suite})")
                forget_package(package)
    finally:
        if gone:
            offers.progress.say(f"listed, but not on the mirror: source package linux {', '.join(gone)}")
    return None


def rank_source_package(wanted: str) -> Rank:
    """Which source packages ``source:WANTED`` may mean: a release before a candidate, then the newest."""

    def rank(package: Package) -> bool | None:
        if package.name != "linux" or not answers(wanted, package.version):
            return None
        return not is_candidate(package.version)

    return rank


def is_known_to_be_there(package: Package) -> bool:
    """Whether it was fetched, or the mirror has given its description at least."""
    return _of(package).tree.is_dir() or _description(package).is_file()


def _of(package: Package) -> SourcePackage:
    return SourcePackage(package.version, package.sha256, package.suite, package.state)


def _description(package: Package) -> Path:
    return cache_dir() / "apt" / "descriptions" / f"{package.sha256}.dsc"


def _fetch_description(package: Package) -> None:
    with tempfile.TemporaryDirectory(prefix="oomtrial-dsc-") as scratch:
        (file,) = download_source(package, Path(scratch), "--dsc-only")
        write_atomically(_description(package), file.read_bytes())
