"""Kernels in the cache and the plans that make them: the common part of all kinds of specs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from filelock import FileLock, Timeout

from ..errors import BuildError, OomtrialError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from ..system.locks import lock, open_lock
from ..system.paths import cache_dir, write_atomically
from ..system.sealed import is_intact, put_seal

RECORD = "kernel.json"

_log = logging.getLogger(__name__)


class Kernel(msgspec.Struct, frozen=True):
    """A kernel that is ready to boot, and where it comes from."""

    spec: str
    key: str  # content key of all that follows
    image: str  # path of the bzImage
    source: str  # package and version, tree and commit, or file
    patches: dict[str, str]  # name to content key, in order
    config_key: str  # empty where no config is known
    compiler: str  # empty where it was built elsewhere
    config_not_taken: list[str]  # options of the fragment that the result does not have
    initrd: str = ""  # path of the initramfs with its drivers; empty where they are built in
    user_fragments: list[str] = msgspec.field(
        default_factory=list, name="own_config"
    )  # the user's fragments that went into the config


class KernelPlan(Protocol):
    """A spec resolved to everything that its kernel depends on."""

    @property
    def spec(self) -> KernelSpec:
        """The spec that the plan was made of."""
        ...

    @property
    def key(self) -> str:
        """Content key: equal keys are equal kernels."""
        ...

    @property
    def source(self) -> str:
        """Origin of the kernel, for messages."""
        ...

    def make(self, progress: Reporter) -> Kernel:
        """Makes the kernel in its directory of the cache, unless it is there by now.

        Raises BuildError when a download, a patch or a compilation fails.
        """
        ...


def kernel_directory(plan: KernelPlan) -> Path:
    """The cache directory of a plan's kernel."""
    return cache_dir() / "kernels" / plan.key


def ready_kernel(plan: KernelPlan) -> Kernel | None:
    """The kernel of a plan if the cache has it complete and undamaged. A directory counts once it has `kernel.json`, which is written last."""
    kernel = read_record(kernel_directory(plan))
    if kernel is None or damaged_files(kernel):
        return None
    _log.debug("%s: in the cache as %s", plan.spec.text, kernel.image)
    return msgspec.structs.replace(kernel, spec=plan.spec.text)


def damaged_files(kernel: Kernel, *, deep: bool = False) -> list[Path]:
    """Files of a cached kernel that have changed since it was made. `deep`: compare the whole content."""
    paths = [Path(kernel.image), *([Path(kernel.initrd)] if kernel.initrd else [])]
    config = paths[0].with_name("config")
    paths += [config] if kernel.config_key else []
    return [path for path in paths if not is_intact(path, deep=deep)]


def read_record(directory: Path) -> Kernel | None:
    """The kernel in a directory of the cache, or None if it was never finished."""
    try:
        kernel = msgspec.json.decode((directory / RECORD).read_bytes(), type=Kernel)
    except (OSError, msgspec.DecodeError):
        return None
    # A cache may have been moved.
    initrd = str(directory / Path(kernel.initrd).name) if kernel.initrd else ""
    return msgspec.structs.replace(kernel, image=str(directory / Path(kernel.image).name), initrd=initrd)


def make_kernel(plan: KernelPlan, progress: Reporter) -> Kernel:
    """The kernel of a plan, from the cache or made now. Safe to call from several processes at once.

    Raises BuildError when a download, a patch or a compilation fails.
    """
    kernel = ready_kernel(plan)
    if kernel is None and (damaged := read_record(kernel_directory(plan))):
        names = ", ".join(path.name for path in damaged_files(damaged))
        progress.say(
            f"{plan.spec.text}: {names} in {kernel_directory(plan)} is damaged or from an older oomtrial; making it again"
        )
    return kernel or plan.make(progress)


def keep_kernel(plan: KernelPlan, kernel: Kernel, files: Mapping[str, bytes]) -> Kernel:
    """Puts a finished kernel into its directory, the record last.

    Raises BuildError when that cannot be written.
    """
    directory = kernel_directory(plan)
    try:
        for name, content in files.items():
            write_atomically(directory / name, content)
            put_seal(directory / name)
        write_atomically(directory / RECORD, msgspec.json.format(msgspec.json.encode(kernel)))
    except OomtrialError as error:
        raise BuildError(f"cannot store {plan.spec.text}: {error}") from error
    return kernel


@contextmanager
def wait_for(lock: FileLock, name: str, progress: Reporter) -> Iterator[int]:
    """Holds a lock; reports if another process has it. Yields its descriptor: a child that inherits it holds the lock too."""
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with progress.task(f"wait for another oomtrial that uses {name}"):
            lock.acquire()
    descriptor = lock._context.lock_file_fd  # filelock has no public name for it
    assert descriptor is not None
    try:
        yield descriptor
    finally:
        lock.release()


def hold_kernel(kernel: Kernel) -> int:
    """Protects a kernel from `oomtrial kernels prune` until the descriptor is closed; several processes may hold it."""
    descriptor = open_lock(Path(kernel.image).with_name(RECORD))
    lock(descriptor, shared=True)
    os.utime(descriptor)  # prune goes by the time of the last use
    return descriptor
