"""Catalogs: the kernels in one suite of the mirror, read through a private apt state, never through the host's, and kept.

A private state is a directory of the cache with an apt.conf, a sources.list and lists of its own. apt verifies them as it
always does: the Release file by the archive's keyring, the lists by the Release file, packages by the lists. Of the host's
configuration only what says how to fetch is taken over (proxies, time-outs, certificates).
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import BuildError, HostError, OomtrialError
from ..progress import Reporter
from ..system.paths import cache_dir, require_room, write_atomically
from ..system.process import output_of, run
from .apt import APT_GET, APT_HELPER, Package, dependencies, parse_stanzas, state_environment, state_lock
from .kernel import wait_for
from .mirror import Archive

Kind = Literal["binary", "source"]
KINDS: tuple[Kind, ...] = ("binary", "source")
UPSTREAM = "upstream archive of linux"  # kept beside each source package: a mirror may have the one and not the other
_UPDATE_DEADLINE_S = 600
_LACKING_S = 3600.0
_LISTS_BYTES = 256 << 20
_KERNEL_PACKAGE = re.compile(r"linux-(?:(?:image|binary|modules|base)-\d.*amd64|source-\d.*)$")
# Of the host's options under Acquire:: those that say what to fetch, or to trust.
_NOT_TAKEN_OVER = ("IndexTargets", "Languages", "GzipIndexes", "CompressionTypes", "Allow", "PDiffs")
_OWN_OPTIONS = """Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
"""
_LACKS = re.compile(r"does not have a Release file|no longer has a Release file|404 +Not Found", re.IGNORECASE)
_UNVERIFIED = re.compile(
    r"NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|signature|is not signed|not valid yet|is expired|Hash Sum mismatch",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"Could not resolve|Could not connect|Cannot initiate|Unable to connect|Connection (?:failed|refused|timed out|reset)|"
    r"Temporary failure|timed out|Network is unreachable|No route to host|50\d +|Could not open file|File not found",
    re.IGNORECASE,
)


class SuiteLackingError(BuildError):
    """The mirror has no such suite."""


class UnverifiedError(BuildError):
    """A signature or a hash does not verify."""


class MirrorDownError(BuildError):
    """The mirror does not answer."""


class Catalog(msgspec.Struct, frozen=True):
    """The kernel packages of a suite."""

    suite: str
    uri: str
    packages: tuple[Package, ...]
    lacking: bool = False  # the mirror has no such suite
    gone: tuple[str, ...] = ()  # titles of source packages that are listed, and not there


def is_of_kernel(name: str) -> bool:
    """Whether a package holds a kernel, a part of one, or its source."""
    return _KERNEL_PACKAGE.match(name) is not None


def read_catalog(file: Path) -> Catalog | None:
    """The catalog in a file, or None."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Catalog)
    except (OSError, msgspec.DecodeError):
        return None


def kept_catalogs(kind: Kind) -> list[Catalog]:
    """All catalogs in the cache, of any mirror and age."""
    files = sorted((cache_dir() / "apt").glob(f"*-{kind}.json"))
    return [catalog for file in files if (catalog := read_catalog(file))]


def read_state(state: str) -> Catalog | None:
    """The catalog of a private state, or None."""
    return read_catalog(cache_dir() / "apt" / f"{state}.json")


def forget_package(package: Package) -> None:
    """Notes that the mirror lacks a source package that it lists, until the list is read again."""
    file = cache_dir() / "apt" / f"{package.state}.json"
    with state_lock(file.with_suffix("")):
        if catalog := read_catalog(file):
            read_at = file.stat().st_mtime
            changed = msgspec.structs.replace(catalog, gone=tuple({*catalog.gone, package.title}))
            write_atomically(file, msgspec.json.encode(changed))
            os.utime(file, (read_at, read_at))


@dataclass(frozen=True)
class Index:
    """The packages, or the source packages, of one suite."""

    archive: Archive
    suite: str
    kind: Kind

    @property
    def state(self) -> str:
        """Name of its directory below the cache's directory for apt."""
        return f"{self.archive.key(self.suite)}-{self.kind}"

    @property
    def _file(self) -> Path:
        return cache_dir() / "apt" / f"{self.state}.json"

    def age_s(self) -> float | None:
        """Seconds since it was read; None if it never was."""
        try:
            return time.time() - self._file.stat().st_mtime
        except FileNotFoundError:
            return None

    def known(self) -> Catalog | None:
        """The catalog from the last reading, or None."""
        return read_catalog(self._file)

    def is_fresh(self, max_age_s: float) -> bool:
        """Whether the catalog is no older than `max_age_s`; the absence of a suite is remembered for an hour."""
        age_s, catalog = self.age_s(), self.known()
        if age_s is None or catalog is None:
            return False
        return 0 <= age_s < (min(max_age_s, _LACKING_S) if catalog.lacking else max_age_s)

    def read(self, progress: Reporter, max_age_s: float) -> Catalog:
        """The last catalog if it is not too old, otherwise a new one from the mirror.

        Raises SuiteLackingError, UnverifiedError or MirrorDownError; BuildError for any other error of apt.
        """
        directory = cache_dir() / "apt" / self.state
        with wait_for(state_lock(directory), f"the package lists of {self.suite}", progress):
            catalog = self.known()
            if catalog is None or not self.is_fresh(max_age_s):
                catalog = self._update(directory)
                write_atomically(self._file, msgspec.json.encode(catalog))
        if catalog.lacking:
            raise SuiteLackingError(f"{self.archive.uri} has no suite {self.suite}")
        return catalog

    def _update(self, directory: Path) -> Catalog:
        require_room(directory.parent, _LISTS_BYTES, f"the package lists of {self.suite}")
        _set_up(directory, self.archive.line("deb" if self.kind == "binary" else "deb-src", self.suite))
        log = cache_dir() / "logs" / f"apt-{self.state}.log"
        log.unlink(missing_ok=True)
        environment = state_environment(directory)
        try:
            status = run([*APT_GET, "update"], log=log, deadline_s=_UPDATE_DEADLINE_S, env=environment)
        except HostError as error:
            raise MirrorDownError(f"{self.archive.uri} does not answer: {error.what}") from error
        if status:
            # Lists that came in before the error are not to be taken for whole ones.
            shutil.rmtree(directory, ignore_errors=True)
            try:
                raise self._explained(log.read_text(errors="replace"), log)
            except SuiteLackingError:
                return Catalog(self.suite, self.archive.uri, (), lacking=True)
        identifier = "Packages" if self.kind == "binary" else "Sources"
        asked = ["apt-get", "indextargets", "--format", "$(FILENAME)", f"Identifier: {identifier}"]
        packages: dict[tuple[str, str], Package] = {}
        for file in output_of(asked, env=environment).splitlines():
            text = output_of([APT_HELPER, "cat-file", file], env=environment, deadline_s=300)
            for package in self._kernels(text):
                packages[package.name, package.version] = package
        return Catalog(self.suite, self.archive.uri, tuple(packages.values()))

    def _kernels(self, text: str) -> Iterator[Package]:
        for fields in parse_stanzas(text, "linux\n" if self.kind == "source" else "linux-"):
            name, version = fields["Package"], fields["Version"]
            if self.kind == "source":
                hashes = _hashes(fields)
                description = next((file for file in hashes if file.endswith(".dsc")), "")
                yield Package(name, version, hashes.get(description, ""), (), self.suite, self.state)
                if upstream := next(
                    (file for file in hashes if ".orig.tar." in file and not file.endswith(".asc")), ""
                ):
                    path = f"{fields['Directory']}/{upstream}"
                    yield Package(UPSTREAM, version, hashes[upstream], (), self.suite, self.state, path)
            elif is_of_kernel(name) and fields.get("Architecture") in ("amd64", "all"):
                yield Package(name, version, fields["SHA256"], dependencies(fields), self.suite, self.state)

    def _explained(self, output: str, log: Path) -> OomtrialError:
        """apt's error as an exception of this package."""
        lines = [line for line in output.splitlines() if line.startswith(("E: ", "W: ", "Err:", "  "))]
        text = "\n".join(lines)
        reasons = (
            [line.strip() for line in lines if line.startswith("  ")] or [line[3:] for line in lines] or ["no reason"]
        )
        uri, suite = self.archive.uri, self.suite
        if complaint := _matching(_UNVERIFIED, lines):
            return UnverifiedError(
                f"{suite} of {uri} does not verify: {complaint}", f"no package of it is used; log: {log}"
            )
        if _DOWN.search(text) and not _LACKS.search(text):
            return MirrorDownError(f"{uri} does not answer: {_matching(_DOWN, lines)}", f"log: {log}")
        if _LACKS.search(text):
            return SuiteLackingError(f"{uri} has no suite {suite}")
        return BuildError(f"cannot read the package lists of {suite} of {uri}: {reasons[0]}", f"log: {log}")


def _matching(pattern: re.Pattern[str], lines: list[str]) -> str:
    return next((line.removeprefix("E: ").removeprefix("W: ").strip() for line in lines if pattern.search(line)), "")


def _hashes(fields: dict[str, str]) -> dict[str, str]:
    """SHA-256 of the files of a source package, by name."""
    rows = (line.split() for line in fields["Checksums-Sha256"].splitlines() if line)
    return {name: sha256 for sha256, _, name in rows}


def _set_up(directory: Path, line: str) -> None:
    """Makes the private state of a suite, or brings its configuration up to date."""
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "status").touch()
    write_atomically(directory / "sources.list", f"{line}\n".encode())
    write_atomically(directory / "apt.conf", (_fetching_options() + _OWN_OPTIONS.format(state=directory)).encode())


def _fetching_options() -> str:
    """The host's apt options for fetching."""
    lines = []
    for line in output_of(["apt-config", "dump"]).splitlines():
        name = line.split(" ", 1)[0]
        if name.startswith("Acquire::") and not name.startswith(tuple(f"Acquire::{word}" for word in _NOT_TAKEN_OVER)):
            lines.append(f"{line}\n")
    return "".join(lines)
