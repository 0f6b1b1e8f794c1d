"""Kernels and their sources that the host's own apt offers."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from ..errors import HostError
from ..system.aptcache import ask_apt, lists_directory
from ..system.paths import cache_dir, content_key, write_atomically
from .apt import Package, find_packages, package_names
from .catalog import is_of_kernel

_FILE = "host-packages.json"


class _Known(msgspec.Struct):
    """The packages, as of what apt would choose and the lists that it would choose from."""

    key: str
    packages: list[Package]


def read_host_packages() -> list[Package]:
    """The packages that apt would fetch. They are kept in the cache until apt's choice or its lists change: where the lists are
    compressed, as in Debian's container images, apt-cache takes half a second to show them.

    Raises HostError when apt-cache fails.
    """
    names = [name for name in package_names("linux-") if is_of_kernel(name)]
    if not names:
        return []
    file, key = cache_dir() / "apt" / _FILE, content_key(ask_apt("policy", *names), *_lists())
    with suppress(OSError, msgspec.DecodeError):
        known = msgspec.json.decode(file.read_bytes(), type=_Known)
        if known.key == key:
            return known.packages
    packages = find_packages(names)
    if packages:  # while `apt-get update` runs, it may find none
        with suppress(HostError):  # a full disk: they are read again the next time
            write_atomically(file, msgspec.json.encode(_Known(key, packages)))
    return packages


def _lists() -> list[str]:
    """Name, size and time of each of apt's lists."""
    found = []
    with suppress(OSError):
        for path in sorted(Path(lists_directory()).iterdir()):
            state = path.stat()
            found.append(f"{path.name} {state.st_size} {state.st_mtime_ns}")
    return found
