"""Selects the package for a version: from the host's own apt first, then from the suites of its mirror."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from typing import Any

from ..errors import BuildError, OomtrialError
from ..progress import Reporter
from ..system.process import threads
from .apt import Package
from .catalog import KINDS, Catalog, Index, Kind, MirrorDownError, SuiteLackingError, read_state
from .debversion import is_candidate, nearest, release_of, version_order
from .hostpackages import read_host_packages
from .mirror import SUITES, Host, read_host

_FRESH_S = 86400.0
_AT_ONCE = 4
_RECENT_S = 3600.0  # lists older than this are read again for a version that no list offers

# Greater for the better package, None for one that is not meant.
Rank = Callable[[Package], Any]


@dataclass
class Offers:
    """The packages on offer. Each list is read once; problems are reported and kept."""

    progress: Reporter
    offline: bool = False  # only what is known from the last time
    problems: list[OomtrialError] = field(default_factory=list)
    _asked: dict[Index, float] = field(default_factory=dict)  # and how old an answer would have done
    _refused: set[Index] = field(default_factory=set)  # did not verify, or could not be read at all

    @property
    def host(self) -> Host:
        """The host's archives; read from apt's configuration at the first use."""
        return _host(_configuration())

    def newest(self, kind: Kind, suite: str, rank: Rank) -> Package | None:
        """The best package of a kind by a rank: of the host's apt, else of the suites of its mirror, or of one suite.

        Raises BuildError when a named suite cannot be read.
        """
        own = None
        if kind == "binary" and not suite:
            own = _best(host_packages(), rank)
            if own and not is_candidate(own.version):
                return own
        offered = _best(self.of_suites(kind, suite, _FRESH_S), rank)
        if not offered and not self.offline:
            offered = _best(self.of_suites(kind, suite, _RECENT_S), rank)
        return _best([package for package in (offered, own) if package], rank)

    def of_suites(self, kind: Kind, suite: str, max_age_s: float = _FRESH_S) -> list[Package]:
        """The packages that the suites offer (or one named suite), without the host's own apt."""
        return [
            package
            for catalog in self.catalogs(kind, suite, max_age_s)
            for package in catalog.packages
            if _is_there(package, catalog)
        ]

    def catalogs(self, kind: Kind, suite: str, max_age_s: float = _FRESH_S) -> list[Catalog]:
        """The catalogs of the suites.

        Raises BuildError when a named suite cannot be read.
        """
        indexes = [Index(self.host.archive(suite), suite, kind)] if suite else self.indexes(kind)
        stale = [] if self.offline else [index for index in indexes if not self._is_settled(index, max_age_s)]
        if stale:
            self._read(stale, max_age_s, is_named=bool(suite))
        known = [catalog for index in indexes if index not in self._refused and (catalog := index.known())]
        if suite and known and known[0].lacking:
            raise SuiteLackingError(f"{known[0].uri} has no suite {suite}")
        return [catalog for catalog in known if not catalog.lacking]

    def _is_settled(self, index: Index, max_age_s: float) -> bool:
        """Whether the mirror need not be asked."""
        was_asked = index in self._refused or self._asked.get(index, max_age_s + 1) <= max_age_s
        return was_asked or index.is_fresh(max_age_s)

    def _read(self, indexes: list[Index], max_age_s: float, *, is_named: bool) -> None:
        """Reads lists again, several at a time: downloading one overlaps with parsing another."""
        kinds = "source lists" if indexes[0].kind == "source" else "package lists"
        title = f"read the {kinds} of {', '.join(index.suite for index in indexes)}"
        with self.progress.task(title, total=len(indexes)) as task, threads(_AT_ONCE) as pool:
            reading = {index: pool.submit(index.read, self.progress, max_age_s) for index in indexes}
            for done, _ in enumerate(as_completed(reading.values()), 1):
                task.update(done=done)
            # In the order of the suites, whichever answered first: what is said must not depend on that.
            for index, future in reading.items():
                self._asked[index] = max_age_s
                if error := future.exception():
                    self._take(error, index, is_named=is_named)

    def _take(self, error: BaseException, index: Index, *, is_named: bool) -> None:
        """Reports what is used instead of an unreadable list, or raises its error if nothing is."""
        if isinstance(error, SuiteLackingError) and not is_named:
            return  # not every mirror has every suite
        known = index.known()
        if isinstance(error, MirrorDownError) and known:
            self._note(error, f"the package lists of {age_text(index.age_s() or 0)} ago are used")
        elif is_named or not isinstance(error, BuildError):
            raise error
        else:
            self._refused.add(index)
            self._note(error)

    def indexes(self, kind: Kind) -> list[Index]:
        """The indexes of all suites, for a spec without @SUITE. Prebuilt packages of the host's own suites come through its apt."""
        own = self.host.suites if kind == "binary" else ()
        names = [suite for suite in SUITES if suite not in own]
        return [Index(self.host.archive(suite), suite, kind) for suite in names]

    def age_s(self) -> float | None:
        """Age of the oldest list in use, in seconds; None without lists."""
        ages = [index.age_s() for kind in KINDS for index in self.indexes(kind) if index.known()]
        return max((age for age in ages if age is not None), default=None)

    def refusal(self, what: str, wanted: str, suite: str, packages: Iterable[Package], why: str = "") -> BuildError:
        """The error for a version that is not on offer; `packages`: the versions that are, `why`: what is wrong with a listed one."""
        by_release = {release_of(package.version).replace("-", "~") for package in packages}
        near = nearest(wanted, by_release)
        hint = (
            f"nearest: {', '.join(near)}"
            if near
            else "no package list is known"
            if self.offline
            else "no other version is offered either"
        )
        if why:
            hint = f"{why}; {hint}"
        if self.problems:
            return BuildError(self.problems[0].what, f"the sources that answered offer no {what} {wanted}; {hint}")
        if suite:
            return BuildError(f"{suite} of {self.host.archive(suite).uri} offers no {what} {wanted}", hint)
        return BuildError(f"neither the host's apt nor {self.host.main.uri} offers a {what} {wanted}", hint)

    def _note(self, error: OomtrialError, more: str = "") -> None:
        if error.what not in {problem.what for problem in self.problems}:
            self.problems.append(error)
            self.progress.say(f"{error.what}{f'; {more}' if more else ''}")


_latest: list[Offers] = []


def offers_of(progress: Reporter) -> Offers:
    """The offers of a command, known by its reporter: whoever asks, a list is read once, and what is wrong with it is said once."""
    if not _latest or _latest[0].progress is not progress:
        _latest[:] = [Offers(progress)]
    return _latest[0]


def host_packages() -> list[Package]:
    """Kernels and their sources that the host's own apt offers."""
    return _host_packages(_configuration())


def _configuration() -> str:
    """Configuration of the host's apt, read once."""
    return os.environ.get("APT_CONFIG", "")


@functools.cache
def _host(_config: str) -> Host:
    return read_host()


@functools.cache
def _host_packages(_config: str) -> list[Package]:
    return read_host_packages()


def listed_with(package: Package) -> Sequence[Package]:
    """All packages of the index that offers a package."""
    if not package.state:
        return host_packages()
    catalog = read_state(package.state)
    return catalog.packages if catalog else ()


def _is_there(package: Package, catalog: Catalog) -> bool:
    return package.title not in catalog.gone


def _best(packages: Iterable[Package], rank: Rank) -> Package | None:
    ranked = [
        (value, version_order(package.version), package) for package in packages if (value := rank(package)) is not None
    ]
    return max(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def age_text(age_s: float) -> str:
    """An age in words: minutes, hours or days."""
    hours = age_s / 3600
    return f"{hours / 24:.0f} days" if hours > 48 else f"{hours:.0f} h" if hours >= 1 else f"{age_s / 60:.0f} min"
