"""The kernels on offer: for each series, the package that its spec selects and its origin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .apt import Package
from .debian import lacking_parts, parse_name, rank_debian
from .debversion import is_candidate, series_of, version_order
from .offers import Offers, host_packages
from .source import is_source, rank_source
from .sourcepackage import is_known_to_be_there, rank_source_package
from .upstream import rank_upstream_archive


@dataclass(frozen=True)
class Listed:
    """A spec, and the package that it selects now."""

    spec: str
    version: str  # of the package
    origin: str  # a suite, or "apt": the host's own
    form: str


def listed_kernels(offers: Offers) -> Iterator[Listed]:
    """One entry per series: prebuilt kernels first, then sources, oldest series first."""
    binaries = [*host_packages(), *offers.of_suites("binary", "")]
    sources = offers.of_suites("source", "")
    for series in _series(package for package in binaries if parse_name(package.name) and not lacking_parts(package)):
        if prebuilt := offers.newest("binary", "", rank_debian(series)):
            yield _listed(f"debian:{series}", prebuilt, "prebuilt")
    for series in _series([*(package for package in binaries if is_source(package)), *sources]):
        package = offers.newest("binary", "", rank_source(series))
        released = offers.newest("source", "", rank_source_package(series))
        if released and (package is None or (is_candidate(package.version) and not is_candidate(released.version))):
            form = "source package" if is_known_to_be_there(released) else "source package, if the mirror has it"
            yield _listed(f"source:{series}", released, form)
        elif package:
            yield _listed(f"source:{series}", package, "linux-source")
        elif upstream := offers.newest("source", "", rank_upstream_archive(series)):
            yield _listed(f"source:{series}", upstream, "upstream archive, if the mirror has it")


def incomplete_series(offers: Offers) -> list[str]:
    """Series whose prebuilt kernel is offered only in part."""
    kernels = [package for package in offers.of_suites("binary", "") if parse_name(package.name)]
    whole = set(
        _series(
            package
            for package in [*host_packages(), *kernels]
            if parse_name(package.name) and not lacking_parts(package)
        )
    )
    return [series for series in _series(kernels) if series not in whole]


def _series(packages: Iterable[Package]) -> list[str]:
    return sorted({series_of(package.version) for package in packages}, key=version_order)


def _listed(spec: str, package: Package, form: str) -> Listed:
    return Listed(spec, package.version, package.suite or "apt", form)
