"""Kernels in the cache, and which parts of it can be removed."""

from __future__ import annotations

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
from ..system.locks import open_lock, try_lock
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
    """A part of the cache that can be removed."""

    path: Path
    why: str
    size_bytes: int


def cached_kernels() -> list[Cached]:
    """Finished kernels, the one that was used last first."""
    kernels = []
    for directory in cache_dir().glob("kernels/[!.]*"):
        if kernel := read_record(directory):
            used_at = (directory / RECORD).stat().st_mtime
            kernels.append(Cached(kernel, directory, disk_bytes(directory), used_at))
    return sorted(kernels, key=lambda cached: -cached.used_at)


def disk_bytes(path: Path) -> int:
    """What a file, or a directory with all that is in it, takes on the disk."""
    paths = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    total = 0
    for entry in paths:
        try:
            total += entry.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # another process tidies up, too
    return total


def leftovers(older_than_days: float, resolve: Callable[[str], KernelPlan]) -> Iterator[Leftover]:
    """Parts of the cache that no later run would use, or that were not used for so many days. `resolve` makes a plan of a spec's text."""
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
    for pattern, description in (
        ("logs/*.log", "an old log"),
        ("manifests/*.json", "file list of a tree that was not read recently"),
        ("apt/descriptions/*.dsc", "description of a source package that was not requested recently"),
    ):
        for path in sorted(cache_dir().glob(pattern)):
            if path.stat().st_mtime < oldest:
                yield Leftover(path, description, disk_bytes(path))


def _old_lists(oldest: float) -> Iterator[Leftover]:
    """Package lists of suites that were not read recently: of a mirror that the host has left, or of a suite named once."""
    for catalog in sorted(cache_dir().glob("apt/*.json")):
        if catalog.stat().st_mtime < oldest:
            for path in (catalog, catalog.with_suffix("")):
                yield Leftover(path, "package lists that were not read recently", disk_bytes(path))


def unfinished() -> Iterator[Leftover]:
    """Unfinished work of an ended process, or of a running one: `remove` finds out which."""
    for directory in sorted(cache_dir().glob("kernels/[!.]*")):
        if directory.is_dir() and read_record(directory) is None:
            yield Leftover(directory, "an unfinished build", disk_bytes(directory))
    for pattern in ("kernels/.*.new", "trees/.*.new"):
        for path in sorted(cache_dir().glob(pattern)):
            yield Leftover(path, "an unfinished download", disk_bytes(path))


def _superseded(kernel: Kernel, resolve: Callable[[str], KernelPlan]) -> str | None:
    """Why a spec selects another kernel today; None if it does not, or if that is unknown.

    A tree, an image, a patch or a config of the user may return to an earlier state: these are removed by age alone.
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
        return f"built from {kernel.source}, now replaced by {plan.source}"
    return "its config, patches or compiler have changed since"


def _old_trees(oldest: float) -> Iterator[Leftover]:
    """A tree of a linux-source package is superseded when packages of its series are offered, and it is made of none of them.
    A tree of a source package is removed by age: its exact version may be requested at any time."""
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
            yield Leftover(tree, "replaced by a newer package", disk_bytes(tree))
        elif used_at < oldest:
            yield Leftover(tree, f"not built in for {(time.time() - used_at) / _DAY_S:.0f} days", disk_bytes(tree))


def remove(leftover: Leftover, *, dry_run: bool = False) -> bool:
    """Removes it, unless a process uses it; returns whether it did, or would."""
    with _alone(leftover.path) as is_alone:
        if is_alone and not dry_run:
            if leftover.path.is_dir():
                # The record first: without it the directory is no kernel.
                (leftover.path / RECORD).unlink(missing_ok=True)
                shutil.rmtree(leftover.path, ignore_errors=True)
            else:
                leftover.path.unlink(missing_ok=True)
        return is_alone


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no process uses a part of the cache; none can start to within the context."""
    with ExitStack() as stack:
        try:
            for lock in _locks(path):
                stack.enter_context(lock.acquire(timeout=0))
        except Timeout:
            yield False
            return
        record = path / RECORD
        if record.is_file():
            descriptor = open_lock(record)
            stack.callback(os.close, descriptor)
            if not try_lock(descriptor):
                yield False
                return
        yield True


def _locks(path: Path) -> list[FileLock]:
    """The locks of processes that may be making it."""
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
