"""Builds the compiled reader into its directory: `python -m harness.oomlog.native.build`, which `make setup` and pip do.

It needs gcc or another C compiler (CC), and no header of Python: the library is loaded by ctypes. Nothing but the standard
library is imported, as a wheel is built before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent
LIBRARY = "reader.so"
# No other library takes the place of these functions, so the compiler may put them into one another.
_FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-shared", "-fPIC", "-fno-semantic-interposition")


def source_hash() -> str:
    """What a library is built of; it says the same of itself, so that one of other sources is not taken."""
    digest = hashlib.sha256()
    for path in sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(directory: Path = SOURCES, flags: tuple[str, ...] = ()) -> Path:
    """Compiles it; the library appears under its name when it is whole.

    Raises OSError where there is no compiler, subprocess.CalledProcessError where it fails.
    """
    library = directory / LIBRARY
    scratch = directory / f".{LIBRARY}.{os.getpid()}"
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    try:
        subprocess.run(
            [*compiler, *_FLAGS, *flags, f'-DSOURCE="{source_hash()}"', "-o", str(scratch), *sources], check=True
        )
        scratch.replace(library)
    finally:
        scratch.unlink(missing_ok=True)
    return library


if __name__ == "__main__":
    try:
        print(build())
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"the compiled log reader cannot be built: {error}; logs are read by Python alone, slower")
