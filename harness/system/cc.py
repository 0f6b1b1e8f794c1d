"""Our static binaries, compiled on this host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ..errors import BuildError
from .paths import cache_dir, content_key
from .process import output_of, run
from .sealed import is_intact, put_seal, sync

_COMPILER = "musl-gcc"
_FLAGS = ("-static", "-O2", "-s", "-Wall", "-Wextra")


def build_binary(source: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """Compiles a C file, or a directory of them, unless the cache has the result. `say` hears when that is damaged.

    Raises BuildError when the compiler finds an error, HostError when there is no compiler.
    """
    version = output_of([_COMPILER, "--version"]).splitlines()[0]
    files = sorted(source.glob("*.[ch]")) if source.is_dir() else [source]
    directory = cache_dir() / "binaries" / content_key(*(file.read_bytes() for file in files), version, *_FLAGS)
    binary = directory / source.stem
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / "lock"):
        if not is_intact(binary):
            if binary.exists():
                say(f"{binary} is damaged, or of an older oomtrial; made again")
            log, scratch = directory / "build.log", directory / f".{source.stem}.new"
            units = [str(file) for file in files if file.suffix == ".c"]
            if run([_COMPILER, *_FLAGS, "-o", str(scratch), *units], log=log, deadline_s=120):
                raise BuildError(f"{source.name} does not compile", f"log: {log}")
            sync(scratch)
            scratch.rename(binary)
            put_seal(binary)
    return binary
