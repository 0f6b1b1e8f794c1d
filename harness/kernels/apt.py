"""Packages that apt offers on this host: looked up and downloaded, never installed."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from filelock import FileLock

from ..errors import BuildError, HostError, OomtrialError
from ..system.aptcache import ask_apt
from ..system.paths import cache_dir
from ..system.process import run

_ABSENT = re.compile(r"\s404\s|File not found")  # an address may hold these digits: a port, a hash
_DOWNLOAD_DEADLINE_S = 900
_PAUSES_S = (1, 2, 4)
_DEPENDENCY = re.compile(r"[a-z0-9][a-z0-9+.~-]+")
# apt drops to the user _apt, which may have no access to the user's cache directory.
APT_HELPER = "/usr/lib/apt/apt-helper"
APT_GET = ("apt-get", "-q", "-o", "APT::Sandbox::User=root")


class Package(msgspec.Struct, frozen=True):
    """One package of an index; its hash stands for the content."""

    name: str
    version: str
    sha256: str  # of a source package: of its .dsc, which has the hashes of the others
    depends: tuple[str, ...] = ()  # names only
    suite: str = ""  # such as trixie-backports; empty: the host's own apt offers it
    state: str = ""  # directory of the private apt state that it comes from; empty likewise
    path: str = ""  # of an upstream archive: below the archive's address

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.name} {self.version}"


class NotOnMirrorError(BuildError):
    """The mirror's index lists a file that the mirror does not have."""


def parse_stanzas(text: str, prefix: str = "") -> Iterator[dict[str, str]]:
    """The fields of the stanzas of a Debian control file whose package name begins with a prefix."""
    for stanza in text.split("\n\n"):
        stanza = stanza.lstrip("\n")
        if stanza.startswith(f"Package: {prefix}"):
            fields: dict[str, str] = {}
            name = ""
            for line in stanza.split("\n"):
                if line.startswith((" ", "\t")):
                    fields[name] += f"\n{line.strip()}"
                elif ":" in line:
                    name, _, value = line.partition(":")
                    fields[name] = value.strip()
            yield fields


def dependencies(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the packages that a binary package depends on, of kernels alone: a guest needs no boot loader."""
    words = [match[0] for part in fields.get("Depends", "").split(",") if (match := _DEPENDENCY.match(part.strip()))]
    return tuple(word for word in words if word.startswith("linux-"))


def package_names(prefix: str) -> list[str]:
    """Names in the host's index that begin with a prefix; some may be known by name only."""
    return ask_apt("pkgnames", prefix).split()


def find_packages(names: Sequence[str]) -> list[Package]:
    """The packages that the host's apt would fetch for some names; names that it does not offer are left out."""
    if not names:
        return []
    for pause_s in (*_PAUSES_S, None):
        try:
            shown = ask_apt("show", "--no-all-versions", *names)
            break
        except HostError:
            # While `apt-get update` runs, for a moment names are known and packages are not.
            if pause_s is None or not set(names) & set(package_names(_common_prefix(names))):
                return []
            time.sleep(pause_s)
    # a package that was installed by hand is shown without a hash: apt has nowhere to fetch it from
    return [
        Package(fields["Package"], fields["Version"], fields["SHA256"], dependencies(fields))
        for fields in parse_stanzas(shown)
        if "SHA256" in fields
    ]


def _common_prefix(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "linux-"


def state_directory(package: Package) -> Path:
    """Directory of the private apt state that a package comes from."""
    return cache_dir() / "apt" / package.state


def state_environment(state: Path) -> dict[str, str]:
    """Environment that makes apt use a private state instead of the host's."""
    return {"APT_CONFIG": str(state / "apt.conf"), "LC_ALL": "C"}


def state_lock(state: Path) -> FileLock:
    """The lock of a private state, held while its lists are read or packages are downloaded through it."""
    state.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{state}.lock")


def download(packages: Sequence[Package], scratch: Path) -> list[Path]:
    """Fetches packages, all from one index, into an empty directory and returns their files. apt checks their hashes.

    Raises BuildError when that fails, NotOnMirrorError when the mirror lists them and does not have them.
    """
    fetch(packages[0], ["download", *(f"{package.name}={package.version}" for package in packages)], scratch)
    files = sorted(scratch.glob("*.deb"))
    if len(files) != len(packages):
        raise BuildError(
            f"download of {packages[0].title} failed: {len(packages)} packages, {len(files)} files arrived"
        )
    return files


def download_source(package: Package, scratch: Path, *options: str) -> list[Path]:
    """Fetches a source package into an empty directory and returns its files. apt checks their hashes.

    Raises BuildError when that fails, NotOnMirrorError when the mirror lists it and does not have it.
    """
    fetch(
        package,
        ["source", "--download-only", "--only-source", *options, f"{package.name}={package.version}"],
        scratch,
    )
    return sorted(scratch.iterdir())


def download_file(package: Package, uri: str, target: Path) -> bool:
    """Fetches one file of a source package by apt's own means, which check its hash. False if the mirror does not have it.

    Raises BuildError when that fails otherwise.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(
        tempfile.mkdtemp(prefix=".new-", dir=target.parent)
    )  # apt-helper leaves what failed under other names
    log = cache_dir() / "logs" / f"download-{target.name}.log"
    log.unlink(missing_ok=True)
    argv = [
        APT_HELPER,
        "-o",
        "APT::Sandbox::User=root",
        "download-file",
        uri,
        str(scratch / "file"),
        f"SHA256:{package.sha256}",
    ]
    try:
        status = run(argv, log=log, deadline_s=_DOWNLOAD_DEADLINE_S, env=state_environment(state_directory(package)))
        if not status:
            (scratch / "file").rename(target)
            return True
    except OomtrialError as error:
        raise BuildError(f"download of {package.title} failed: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("E: ")] or ["no reason"]
    if _ABSENT.search(errors[0]):
        return False
    raise BuildError(f"download of {package.title} failed: {errors[0].removeprefix('E: ')}", f"log: {log}")


def fetch(package: Package, arguments: Sequence[str], scratch: Path) -> None:
    """Runs apt-get in a directory, with the state that a package comes from.

    Raises BuildError when that fails, NotOnMirrorError when the mirror lists it and does not have it.
    """
    log = cache_dir() / "logs" / f"download-{package.name}.log"
    log.unlink(missing_ok=True)
    argv = [*APT_GET, *arguments]
    try:
        if package.state:
            state = state_directory(package)
            with state_lock(state):
                status = run(argv, log=log, deadline_s=_DOWNLOAD_DEADLINE_S, cwd=scratch, env=state_environment(state))
        else:
            status = run(argv, log=log, deadline_s=_DOWNLOAD_DEADLINE_S, cwd=scratch)
    except OomtrialError as error:
        raise BuildError(f"download of {package.title} failed: {error}") from error
    if not status:
        return
    lines = log.read_text(errors="replace").strip().splitlines()
    first = next((line for line in lines if line.startswith("E: ")), lines[-1]).removeprefix("E: ")
    if _ABSENT.search(first):
        raise NotOnMirrorError(f"the mirror lists {package.title} but does not have it: {first}", f"log: {log}")
    raise BuildError(
        f"download of {package.title} failed: {first}", f"check the network and `apt-get update`; log: {log}"
    )
