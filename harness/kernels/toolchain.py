"""Checks the commands and headers that a kernel build needs, before the build."""

from __future__ import annotations

import subprocess

from ..errors import HostError
from ..system.process import environment, find_command, install_line, output_of

COMMANDS = ("gcc", "ld", "make", "bc", "bison", "flex", "patch", "perl", "xz", "tar")
# Headers of libraries that kbuild's own tools are linked with; the packages' names end in -dev.
_HEADERS = {"gelf.h": "libelf-dev", "openssl/opensslv.h": "libssl-dev", "stdio.h": "libc6-dev"}


def require_toolchain() -> None:
    """Raises HostError with the line that installs what is missing."""
    lacking = {command: command for command in COMMANDS if find_command(command) is None}
    if "gcc" not in lacking and not _has_headers(*_HEADERS):
        lacking |= {header: package for header, package in _HEADERS.items() if not _has_headers(header)}
    if lacking:
        raise HostError(
            f"a kernel build needs commands or headers that are not installed: {', '.join(lacking)}",
            install_line(*lacking.values()),
        )


def _has_headers(*headers: str) -> bool:
    argv = ["gcc", "-E", *(f"-include{header}" for header in headers), "-x", "c", "/dev/null"]
    return subprocess.run(argv, capture_output=True, timeout=30, check=False, env=environment()).returncode == 0


def compiler_version() -> str:
    """The compiler's own first line; it is part of a build's key."""
    return output_of(["gcc", "--version"]).splitlines()[0]


def compiler_argument() -> str:
    """Argument for make: the compiler, through ccache if that is installed."""
    return "CC=ccache gcc" if find_command("ccache") else "CC=gcc"
