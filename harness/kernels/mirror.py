"""Debian archives that this host can read: addresses, suites, keyrings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import HostError
from ..system.aptcache import list_indexes
from ..system.paths import content_key
from ..system.process import install_line

# Debian 13 names it .pgp, and keeps the old name.
_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
_FORMAT = "$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(CODENAME)|$(SOURCESENTRY)"
# Of a host that is no Debian.
_MAIN, _SECURITY = "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"
# Asked when no suite is named; one that the mirror lacks is passed over. By codename: an alias such as stable-backports may
# be an older state of the suite on a mirror that is a cache. Of forky, the next release, sid has all that it has by now.
SUITES = (
    "trixie",
    "trixie-security",
    "trixie-backports",
    "bookworm",
    "bookworm-security",
    "bookworm-backports",
    "forky-backports",
    "sid",
    "experimental",
)
_SIGNED_BY = re.compile(r"signed-by\s*[=:]\s*(\S[^\]\n]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Archive:
    """A Debian archive with its keyrings."""

    uri: str
    keyrings: tuple[str, ...]

    def line(self, kind: str, suite: str) -> str:
        """A line for sources.list; `kind` is deb or deb-src."""
        return f"{kind} [arch=amd64 signed-by={','.join(self.keyrings)}] {self.uri} {suite} main"

    def key(self, suite: str) -> str:
        """Name of a suite's directory in the cache; differs by archive and keyrings."""
        return f"{suite}-{content_key(self.uri, suite, *self.keyrings)[:8]}"


@dataclass(frozen=True)
class Host:
    """The Debian archives of the host's apt."""

    main: Archive
    security: Archive
    suites: frozenset[str]  # by codename

    def archive(self, suite: str) -> Archive:
        """The archive that holds a suite."""
        return self.security if suite.endswith("-security") else self.main


def read_host() -> Host:
    """The mirrors of the host's apt configuration; deb.debian.org where it has no Debian archive.

    Raises HostError when no keyring is there to verify them.
    """
    places: dict[str, tuple[str, str]] = {}
    suites: set[str] = set()
    for line in list_indexes(_FORMAT):
        origin, label, uri, codename, entry = line.split("|")
        if origin.startswith("Debian") and not uri.startswith("cdrom:"):
            places.setdefault(label, (uri.rstrip("/"), entry))
            suites.add(codename)
    main, entry = places.get("Debian", (_MAIN, ""))
    security, security_entry = places.get("Debian-Security", ("", ""))
    if not security:
        security = f"{main}-security" if main.endswith("/debian") else _SECURITY
    return Host(
        Archive(main, _keyrings(entry)), Archive(security, _keyrings(security_entry or entry)), frozenset(suites)
    )


def _keyrings(entry: str) -> tuple[str, ...]:
    """Debian's keyring, and the keyrings that the host's own line for the mirror names (a company may re-sign its mirror)."""
    keyrings = [path for path in _KEYRINGS if Path(path).is_file()][:1]
    own = [path for path in _signed_by(entry) if path not in keyrings and Path(path).is_file()]
    if not keyrings and not own:
        raise HostError("the keyring of the Debian archive is not installed", install_line("debian-archive-keyring"))
    return (*own, *keyrings)


def _signed_by(entry: str) -> list[str]:
    """The keyring files that an entry of apt's sources names; `entry` is FILE:NUMBER, as apt counts lines and stanzas."""
    path, _, number = entry.rpartition(":")
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return []
    if path.endswith(".sources"):
        stanzas = [stanza for stanza in re.split(r"\n\s*\n", text) if re.search(r"^URIs:", stanza, re.M | re.I)]
        parts = stanzas
    else:
        parts = text.splitlines()
    at = int(number) - 1 if number.isdigit() else -1
    match = _SIGNED_BY.search(parts[at]) if 0 <= at < len(parts) else None
    return [word for word in re.split(r"[,\s]+", match[1]) if word.startswith("/")] if match else []
