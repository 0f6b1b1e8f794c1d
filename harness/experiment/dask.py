"""Runs blocks on a Dask cluster: `oomtrial run --cluster tls://HOST:PORT`, or `local:N`. `pip install oomtrial[cluster]`.

Workers declare their resources (`dask worker --resources "cores=8 memory=30000 kvm=8"`, memory in MiB), and a block reserves
those of its guest: guests never oversubscribe a machine. A worker gets the kernels, images and binaries that its cache lacks,
by content key. The block of a lost worker is run by another one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import zstandard

from ..errors import HostError, UsageError
from ..guest.accel import kvm_openable
from ..kernels.kernel import RECORD
from ..runs.record import HostRecord
from ..spec.machine import Accel
from ..system.extras import require_extra
from ..system.locks import held
from ..system.machine import available_mib, machine_budget
from ..system.paths import cache_dir
from ..system.scratch import remove_leftovers
from ..system.sealed import is_intact, put_seal
from .artifacts import Artifacts, shipment
from .guests import machine_of_guests

LOCAL, TLS = "local:", "tls://"
INSECURE = "--cluster-insecure"
_CONNECT_S = 30
_RETRIES = 3  # of a block whose worker was lost, or fails otherwise
_QEMU_MIB = 256  # beside the guest's memory
_ZEROS = bytes(1 << 20)


def check_address(text: str, *, insecure: bool = False) -> None:
    """Raises UsageError when it is neither an address nor local:N, or one without TLS where that was not allowed."""
    if text.startswith(LOCAL):
        number = text.removeprefix(LOCAL)
        if not number.isdigit() or int(number) < 1:
            raise UsageError(f"--cluster {text}: {number!r} is not a number of workers", "write local:2")
    elif "://" not in text:
        raise UsageError(f"--cluster {text} is not an address", "write tls://HOST:PORT, or local:N")
    elif not text.startswith(TLS) and not insecure:
        raise UsageError(
            f"--cluster {text} has no TLS: anyone who reaches that port can run code as the users of its workers, and as you",
            f"start it with TLS (docs/cluster.md), or accept it without TLS: {INSECURE}",
        )


def _distributed() -> Any:
    require_extra("--cluster", "cluster")
    import distributed

    return distributed


class Cluster:
    """A connection to a scheduler; leaving it ends a local one with its workers."""

    def __init__(self, text: str, vcpus: int, memory_mib: int, *, insecure: bool = False) -> None:
        """`insecure`: accept a scheduler without TLS.

        Raises UsageError for a bad address, HostError when Dask is not installed.
        """
        check_address(text, insecure=insecure)
        self._text, self._vcpus, self._memory_mib = text, vcpus, memory_mib + _QEMU_MIB
        self._distributed = _distributed()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Cluster:
        """Raises HostError when nothing answers, or workers do not fit on this machine."""
        with contextlib.ExitStack() as stack:
            address = self._text
            if address.startswith(LOCAL):
                address = stack.enter_context(self._local(int(address.removeprefix(LOCAL))))
            try:
                self._client = stack.enter_context(self._distributed.Client(address, timeout=_CONNECT_S))
            except TypeError as error:  # Dask's way to say that certificates are missing
                raise HostError(
                    f"{address} needs certificates: distributed.comm.tls of Dask's config names none",
                    "docs/cluster.md explains how to make and name them",
                ) from error
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                raise HostError(f"no Dask scheduler answers at {address}: {error}") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _local(self, workers: int) -> Iterator[Any]:
        """Workers on this machine, which share its cores."""
        import dask

        from .localnodes import local_cluster

        cores, memory_mib = machine_budget().cores, available_mib()
        if workers * self._memory_mib > memory_mib:
            fit = memory_mib // self._memory_mib
            raise HostError(
                f"{workers} guests of {self._memory_mib} MiB do not fit: {memory_mib} MiB of memory are available",
                f"--cluster local:{max(fit, 1)}, or a smaller --memory",
            )
        resources = {"cores": max(1, cores // workers), "memory": self._memory_mib, "kvm": 1}
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="oomtrial-dask-"))
            stack.enter_context(held(Path(scratch)))
            stack.callback(remove_leftovers)  # of workers that were killed
            stack.enter_context(dask.config.set({"temporary-directory": scratch}))
            yield stack.enter_context(local_cluster(workers, resources))

    def prepare(self, prepared: Artifacts) -> HostRecord:
        """Sends the files that the workers' caches lack. Returns the machine, which is alike for all workers.

        Raises HostError when there is no worker, or one lacks the acceleration, UsageError when they differ.
        """
        names = shipment(prepared)
        answers: dict[str, dict[str, Any]] = self._client.run(_describe, names)
        if not answers:
            raise HostError(f"the scheduler at {self._text} has no workers", "start some: dask worker ADDRESS")
        for address, answer in answers.items():
            if prepared.accel == Accel.KVM and answer["kvm"]:
                raise HostError(f"worker {address} has no KVM: {answer['kvm']}", "--accel tcg")
        lacking = {address: answer["lacks"] for address, answer in answers.items() if answer["lacks"]}
        for name in sorted({name for names in lacking.values() for name in names}):
            content = pack_file(cache_dir() / name)
            self._client.run(unpack_file, name, content, workers=[a for a, names in lacking.items() if name in names])
        (first, answer), *others = answers.items()
        machine: HostRecord = answer["machine"]
        for address, other in others:
            if other["machine"] != machine:
                raise UsageError(
                    f"workers {first} and {address} differ: {machine} and {other['machine']}",
                    "their rounds must not be pooled; start workers on machines of one kind",
                )
        return machine

    @property
    def executor(self) -> Executor:
        """The executor for blocks; a block waits for a worker with room for its guest.

        Raises HostError when none will ever have it.
        """
        declared = {
            address: worker["resources"]
            for address, worker in self._client.scheduler_info(n_workers=-1)["workers"].items()
        }
        if not declared:
            raise HostError(f"the workers at {self._text} are gone", "their own output says why; then run this again")
        for address, has in declared.items():
            if not {"cores", "memory"} <= has.keys():
                raise HostError(
                    f"worker {address} declares no resources",
                    'start it with --resources "cores=N memory=MIB"',
                )
        if not any(has["memory"] >= self._memory_mib for has in declared.values()):
            raise HostError(
                f"no worker has {self._memory_mib} MiB for a guest", "a smaller --memory, or larger workers"
            )
        # vCPUs above cores are a condition of the experiment; a guest then takes all cores of a worker
        cores = min(self._vcpus, *(int(has["cores"]) for has in declared.values()))
        executor: Executor = self._client.get_executor(
            resources={"cores": cores, "memory": self._memory_mib}, retries=_RETRIES, pure=False
        )
        return executor


def _describe(names: list[str]) -> dict[str, Any]:
    """On a worker: files that its cache lacks, its machine, and why it has no KVM."""
    return {
        "machine": machine_of_guests(),
        "lacks": [name for name in names if not _has(name)],
        "kvm": kvm_openable(),
    }


def _has(name: str) -> bool:
    """Whether this worker's cache has a complete file; a kernel's record is not sealed, and counts if it exists."""
    path = cache_dir() / name
    return path.is_file() if path.name == RECORD else is_intact(path)


def pack_file(path: Path) -> bytes:
    """Content of a file, compressed with zstd."""
    return zstandard.ZstdCompressor(level=3, threads=-1).compress(path.read_bytes())


def unpack_file(name: str, content: bytes) -> None:
    """On a worker: puts a file into its cache, holes as holes, under its name once it is whole."""
    path = cache_dir() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            for block in zstandard.ZstdDecompressor().read_to_iter(content, write_size=len(_ZEROS)):
                if block == _ZEROS[: len(block)]:
                    file.seek(len(block), os.SEEK_CUR)
                else:
                    file.write(block)
            file.truncate()
        scratch.chmod(0o755 if path.parent.parent.name == "binaries" else 0o644)
        scratch.replace(path)
        put_seal(path)
    finally:
        scratch.unlink(missing_ok=True)
