"""apt-cache(8): what the host's own package lists say."""

from __future__ import annotations

from contextlib import suppress

from .paths import cache_dir
from .process import output_of

PARSED_LISTS = "pkgcache.bin"


def ask_apt(*arguments: str) -> str:
    """What apt-cache(8) says of the host's lists.

    Debian's container images switch off what apt keeps of the lists that it has parsed (Dir::Cache::pkgcache is empty), and
    each command parses them anew, for half a second. There it is kept in our cache; apt itself checks whether it still holds.

    Raises HostError as `output_of` does.
    """
    options = []
    if output_of(["apt-config", "shell", "KEPT", "Dir::Cache::pkgcache"]).strip() == "KEPT=''":
        directory = cache_dir() / "apt"
        with suppress(OSError):  # apt does without what it cannot write
            directory.mkdir(parents=True, exist_ok=True)
        options = ["-o", f"Dir::Cache::pkgcache={directory / PARSED_LISTS}"]
    return output_of(["apt-cache", *options, *arguments])
