"""What apt offers on this host: looked up and downloaded, never installed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BuildError, HostError, OomtrialError
from harness.paths import cache_dir
from harness.proc import output_of, run

_DOWNLOAD_DEADLINE_S = 900
_PAUSES_S = (1, 2, 4)


@dataclass(frozen=True)
class Package:
    """One package of apt's index; its hash stands for the content."""

    name: str
    version: str
    sha256: str


def package_names(prefix: str) -> list[str]:
    """Names in the index that begin with a prefix; some may be known by name only."""
    return output_of(["apt-cache", "pkgnames", prefix]).split()


def find_package(name: str) -> Package | None:
    """What apt would fetch under a name, or None if it offers nothing."""
    for pause_s in (*_PAUSES_S, None):
        try:
            shown = output_of(["apt-cache", "show", "--no-all-versions", name])
            break
        except HostError:
            # While `apt-get update` runs, for a moment names are known and packages are not.
            if pause_s is None or name not in package_names(name):
                return None
            time.sleep(pause_s)
    fields = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line and not line.startswith(" "))
    # a package that was installed by hand is shown without a hash: apt has nowhere to fetch it from
    return Package(name, fields["Version"], fields["SHA256"]) if "SHA256" in fields else None


def download(package: Package, scratch: Path) -> Path:
    """Fetches a package into a directory and returns its file.

    Raises BuildError when that fails.
    """
    log = cache_dir() / "logs" / f"download-{package.name}.log"
    log.unlink(missing_ok=True)
    # apt drops to the user _apt, which need not reach our cache directory.
    argv = ["apt-get", "-o", "APT::Sandbox::User=root", "download", f"{package.name}={package.version}"]
    try:
        status = run(argv, log=log, deadline_s=_DOWNLOAD_DEADLINE_S, cwd=scratch)
    except OomtrialError as error:
        raise BuildError(f"download of {package.name} failed: {error}") from error
    if status:
        last = log.read_text(errors="replace").strip().splitlines()[-1]
        raise BuildError(
            f"download of {package.name} failed: {last}", f"check the network and `apt-get update`; log: {log}"
        )
    (file,) = scratch.glob("*.deb")
    return file
