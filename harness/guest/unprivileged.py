"""What a user without root needs so that mmdebstrap can unpack a root file system with its owners."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from ..errors import HostError
from ..system.process import find_command, output_of

_RANGES = (Path("/etc/subuid"), Path("/etc/subgid"))
_FIRST, _LAST = 100000, 165535  # what useradd gives the first user


def require_user_namespace() -> None:
    """Raises HostError, with advice, when this user cannot create a user namespace with a range of ids.

    mmdebstrap asks for the same (its mode unshare), and without it says only that it cannot pick a mode.
    """
    if os.geteuid() == 0 or find_command("fakechroot"):
        return
    try:
        output_of(["unshare", "--user", "true"])
    except HostError as error:
        raise HostError(
            f"this user may not create user namespaces, which mmdebstrap needs without root: {error.what}",
            "as root: sysctl kernel.unprivileged_userns_clone=1 (Debian)"
            " or kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); or apt-get install fakechroot."
            " In a chroot the kernel never allows it (user_namespaces(7)): enter that system with systemd-nspawn",
        ) from error
    name = _user_name()
    for path in _RANGES:
        if not _has_range(path, {name, str(os.getuid())}):
            raise HostError(
                f"{path} has no range of ids for user {name}, which mmdebstrap needs without root",
                f"as root: usermod --add-subuids {_FIRST}-{_LAST} --add-subgids {_FIRST}-{_LAST} {name}",
            )


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _has_range(path: Path, names: set[str]) -> bool:
    """Whether a file as in subuid(5) gives a user ids; True for a file that cannot be read."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(line.split(":")[0] in names and line.count(":") == 2 for line in lines)
