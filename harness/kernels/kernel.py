"""A kernel that can be booted, and the plan that leads to it: what all kinds of specs have in common."""

from __future__ import annotations

import fcntl
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
from ..system.paths import cache_dir, write_atomically
from ..system.sealed import is_intact, put_seal

RECORD = "kernel.json"


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
    )  # the fragments of a person's own that went into the config


class KernelPlan(Protocol):
    """A spec resolved to everything that its kernel depends on."""

    @property
    def spec(self) -> KernelSpec: ...

    @property
    def key(self) -> str:
        """Of the content: equal keys are equal kernels."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        ...

    def make(self, progress: Reporter) -> Kernel:
        """Makes the kernel in its directory of the cache, unless it is there by now.

        Raises BuildError when a download, a patch or a compilation fails.
        """
        ...


def kernel_directory(plan: KernelPlan) -> Path:
    """Where the kernel of a plan is kept."""
    return cache_dir() / "kernels" / plan.key


def ready_kernel(plan: KernelPlan) -> Kernel | None:
    """The kernel of a plan if the cache has it, whole. A directory counts once `kernel.json` stands in it: written last."""
    kernel = read_record(kernel_directory(plan))
    if kernel is None or damaged_files(kernel):
        return None
    return msgspec.structs.replace(kernel, spec=plan.spec.text)


def damaged_files(kernel: Kernel, *, deep: bool = False) -> list[Path]:
    """What of a kernel in the cache is not what it was when it was made. `deep`: told by all of the content."""
    paths = [Path(kernel.image), *([Path(kernel.initrd)] if kernel.initrd else [])]
    config = paths[0].with_name("config")
    paths += [config] if kernel.config_key else []
    return [path for path in paths if not is_intact(path, deep=deep)]


def read_record(directory: Path) -> Kernel | None:
    """The kernel that a directory of the cache holds, or None: then it was never finished."""
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
            f"{plan.spec.text}: {names} in {kernel_directory(plan)} is damaged, or of an older oomtrial; made again"
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
        raise BuildError(f"cannot keep {plan.spec.text}: {error}") from error
    return kernel


@contextmanager
def wait_for(lock: FileLock, what: str, progress: Reporter) -> Iterator[int]:
    """Holds a lock; says so if another process has it first. Gives its descriptor: whoever inherits it holds the lock, too."""
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with progress.task(f"wait for another oomtrial that uses {what}"):
            lock.acquire()
    descriptor = lock._context.lock_file_fd  # filelock has no public name for it
    assert descriptor is not None
    try:
        yield descriptor
    finally:
        lock.release()


def hold_kernel(kernel: Kernel) -> int:
    """Keeps `oomtrial kernels prune` away from a kernel until the descriptor is closed; many may hold it."""
    descriptor = os.open(Path(kernel.image).with_name(RECORD), os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.utime(descriptor)  # prune goes by the time of the last use
    return descriptor
