"""apt-cache(8) and `apt-get indextargets`: what the host's own package lists say."""

from __future__ import annotations

from contextlib import suppress

from .paths import cache_dir
from .process import output_of

PARSED_LISTS = "pkgcache.bin"


def ask_apt(*arguments: str) -> str:
    """What apt-cache(8) says of the host's lists. Raises HostError as `output_of` does."""
    return output_of(["apt-cache", *_options(), *arguments])


def list_indexes(form: str) -> list[str]:
    """The package lists that apt reads here, a line each in a format of `apt-get indextargets`. Raises HostError as `output_of` does."""
    asked = ["apt-get", *_options(), "indextargets", "--format", form, "Identifier: Packages"]
    return output_of(asked).splitlines()


def lists_directory() -> str:
    """Where apt keeps the lists that it has downloaded."""
    return (
        output_of(["apt-config", "shell", "LISTS", "Dir::State::lists/d"]).strip().removeprefix("LISTS='").rstrip("'")
    )


def _options() -> list[str]:
    """Debian's container images switch off what apt keeps of the lists that it has parsed (Dir::Cache::pkgcache is empty), and
    each command parses them anew, for half a second. There it is kept in our cache; apt itself checks whether it still holds."""
    if output_of(["apt-config", "shell", "KEPT", "Dir::Cache::pkgcache"]).strip() != "KEPT=''":
        return []
    directory = cache_dir() / "apt"
    with suppress(OSError):  # apt does without what it cannot write
        directory.mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::Cache::pkgcache={directory / PARSED_LISTS}"]
