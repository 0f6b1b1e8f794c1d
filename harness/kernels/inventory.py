"""What the cache holds of kernels, and what of it can go."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import OomtrialError
from ..spec.kernel import parse_kernel_spec
from ..system.paths import cache_dir
from .kernel import RECORD, Kernel, KernelPlan, read_record
from .source import known_sources

_DAY_S = 86400


@dataclass(frozen=True)
class Cached:
    """A kernel of the cache."""

    kernel: Kernel
    directory: Path
    size_bytes: int
    used_at: float  # seconds since the epoch


@dataclass(frozen=True)
class Leftover:
    """Something of the cache that can go."""

    path: Path
    why: str
    size_bytes: int


def cached_kernels() -> list[Cached]:
    """Finished kernels, the one that was used last first."""
    found = []
    for directory in cache_dir().glob("kernels/[!.]*"):
        if kernel := read_record(directory):
            used_at = (directory / RECORD).stat().st_mtime
            found.append(Cached(kernel, directory, disk_bytes(directory), used_at))
    return sorted(found, key=lambda one: -one.used_at)


def disk_bytes(path: Path) -> int:
    """What a file, or a directory with all that is in it, takes on the disk."""
    paths = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    total = 0
    for one in paths:
        try:
            total += one.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # another process tidies up, too
    return total


def leftovers(older_than_days: float, resolve: Callable[[str], KernelPlan]) -> Iterator[Leftover]:
    """What no later run would take, or nobody has used for so many days. `resolve` makes a plan of a spec's text."""
    oldest = time.time() - older_than_days * _DAY_S
    for cached in cached_kernels():
        if why := _superseded(cached.kernel, resolve):
            yield Leftover(cached.directory, f"{cached.kernel.spec}: {why}", cached.size_bytes)
        elif cached.used_at < oldest:
            why = f"not used for {(time.time() - cached.used_at) / _DAY_S:.0f} days"
            yield Leftover(cached.directory, f"{cached.kernel.spec}: {why}", cached.size_bytes)
    yield from unfinished()
    yield from _old_trees(oldest)
    yield from _old_lists(oldest)
    for pattern, what in (
        ("logs/*.log", "an old log"),
        ("manifests/*.json", "of a tree that was not read for long"),
        ("apt/descriptions/*.dsc", "of a source package that was not asked for long"),
    ):
        for path in sorted(cache_dir().glob(pattern)):
            if path.stat().st_mtime < oldest:
                yield Leftover(path, what, disk_bytes(path))


def _old_lists(oldest: float) -> Iterator[Leftover]:
    """Package lists of suites that were not read for long: of a mirror that the host has left, or of a suite named once."""
    for catalog in sorted(cache_dir().glob("apt/*.json")):
        if catalog.stat().st_mtime < oldest:
            for path in (catalog, catalog.with_suffix("")):
                yield Leftover(path, "package lists that were not read for long", disk_bytes(path))


def unfinished() -> Iterator[Leftover]:
    """What was being made when its maker ended; or is still being made: `remove` tells."""
    for directory in sorted(cache_dir().glob("kernels/[!.]*")):
        if directory.is_dir() and read_record(directory) is None:
            yield Leftover(directory, "a build that was not finished", disk_bytes(directory))
    for pattern in ("kernels/.*.new", "trees/.*.new"):
        for path in sorted(cache_dir().glob(pattern)):
            yield Leftover(path, "a download that was not finished", disk_bytes(path))


def _superseded(kernel: Kernel, resolve: Callable[[str], KernelPlan]) -> str | None:
    """Why a spec leads to another kernel today, or None if it does not, or that cannot be told.

    A tree, an image, a patch or a config of a person's own may come back to what it was: these go by age alone.
    """
    spec = parse_kernel_spec(kernel.spec)
    is_of_their_own = any("/" in name or "." in name for name in spec.patches) or kernel.user_fragments
    if spec.kind not in ("source", "debian") or is_of_their_own:
        return None
    try:
        plan = resolve(kernel.spec)
    except OomtrialError:
        return None  # apt offers nothing just now, or the patch went from the library
    if plan.key == kernel.key:
        return None
    if plan.source != kernel.source:
        return f"made of {kernel.source}; {plan.source} took its place"
    return "its config, patches or compiler have changed since"


def _old_trees(oldest: float) -> Iterator[Leftover]:
    """A tree of a linux-source package is superseded when packages of its series are offered, and it is made of none of them.
    One of a source package goes by age: its exact version may be asked for as long as somebody wants it."""
    offered = {Path(source.tree).name: source.version for source in known_sources()}
    for tree in sorted(cache_dir().glob("trees/[!.]*")):
        if not tree.is_dir():
            continue
        used_at = max(
            tree.stat().st_mtime, Path(f"{tree}.lock").stat().st_mtime if Path(f"{tree}.lock").exists() else 0
        )
        series = tree.name.removeprefix("linux-source-").rpartition("-")[0]
        is_of_package = tree.name.startswith("linux-source-")
        if is_of_package and tree.name not in offered and series in offered.values():
            yield Leftover(tree, "a newer package took its place", disk_bytes(tree))
        elif used_at < oldest:
            yield Leftover(tree, f"not built in for {(time.time() - used_at) / _DAY_S:.0f} days", disk_bytes(tree))


def remove(leftover: Leftover, *, dry_run: bool = False) -> bool:
    """Removes it, unless somebody uses it; says whether it did, or would."""
    with _alone(leftover.path) as is_alone:
        if is_alone and not dry_run:
            if leftover.path.is_dir():
                # The record first: half a kernel is none.
                (leftover.path / RECORD).unlink(missing_ok=True)
                shutil.rmtree(leftover.path, ignore_errors=True)
            else:
                leftover.path.unlink(missing_ok=True)
        return is_alone


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether nobody uses a part of the cache, nor will while this lasts."""
    with ExitStack() as stack:
        try:
            for lock in _locks(path):
                stack.enter_context(lock.acquire(timeout=0))
        except Timeout:
            yield False
            return
        record = path / RECORD
        if record.is_file():
            descriptor = os.open(record, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
        yield True


def _locks(path: Path) -> list[FileLock]:
    """The locks of those who may be making it."""
    if path.parent.name == "apt":
        return [FileLock(f"{path.with_suffix('')}.lock")]
    if path.parent.name == "trees":
        return [FileLock(path.with_name(f"{path.name.removeprefix('.').removesuffix('.new')}.lock"))]
    if path.parent.name == "kernels" and not (path / RECORD).is_file():
        # A build keeps its log there, under the lock of its tree.
        key = path.name.removeprefix(".").removesuffix(".new")
        trees = [FileLock(str(lock)) for lock in sorted(cache_dir().glob("trees/*.lock"))]
        return [FileLock(path.with_name(f".{key}.lock")), *trees]
    return []
