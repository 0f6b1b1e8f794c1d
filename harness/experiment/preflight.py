"""Checks of a request before a run: can it work at all, and on this machine?"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

from ..errors import HostError, UsageError
from ..kernels.config import lacks
from ..kernels.kernel import Kernel
from ..runs.record import RUN_FILE
from ..spec.arm import AMPLIFIER
from ..spec.boots import MIN_BOOTS
from ..spec.kernel import KernelSpec
from ..spec.scenario import Scenario
from ..system.machine import available_mib
from .request import Request

_NEEDED_FILES, _WANTED_FILES = 128, 1024  # a run of one guest has 16 open


def refuse_existing(directory: Path) -> None:
    """Raises UsageError when the directory already holds a run."""
    if (directory / RUN_FILE).exists():
        raise UsageError(f"{directory} already holds a run", "choose another --out, or resume the run with --resume")


def refuse_unspeakable(directory: Path) -> None:
    """Raises UsageError for a path that no record could hold: JSON is UTF-8."""
    try:
        str(directory.absolute()).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the run's directory, {str(directory.absolute())!r}, is not UTF-8", "choose another --out"
        ) from None


def require_writable(directory: Path) -> None:
    """Raises HostError when a directory could not be made or written to."""
    existing = directory.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise HostError(
            f"cannot make the run's directory {directory}: {existing} is not a directory", "choose another --out"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise HostError(
            f"cannot make the run's directory {directory}: {existing} may not be written", "choose another --out"
        )


def require_descriptors() -> None:
    """Raises HostError when this process may open too few files for a run. Raises the soft limit as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft != resource.RLIM_INFINITY and soft < _NEEDED_FILES:
        raise HostError(
            f"a run opens up to {_NEEDED_FILES} files at a time; the limit here is {soft}", f"ulimit -n {_WANTED_FILES}"
        )


def refuse_undecidable(request: Request, specs: list[KernelSpec]) -> None:
    """Raises UsageError when interim checks of the run can never be decided anything."""
    if len(request.arms) < 2 or not any(
        set(spec.patches) <= ({AMPLIFIER} if request.amplified else set()) for spec in specs
    ):
        raise UsageError("--until-decided needs arms to compare", "name a stock kernel and another one")
    if request.boots < MIN_BOOTS:
        raise UsageError(
            f"--until-decided with {request.boots} boots per arm can never be decided",
            f"ask for {MIN_BOOTS} or more",
        )


def refuse_little_memory(memory_mib: int, scenarios: Iterable[Scenario]) -> None:
    """Raises UsageError when a guest is too small for a scenario, HostError when this machine is too small for the guest."""
    for scenario in scenarios:
        need_mib = sum(limit.bytes for limit in scenario.limits) // (1 << 20) + 512
        if memory_mib < need_mib:
            raise UsageError(f"--memory {memory_mib} MiB is too little for {scenario.name}", f"it needs {need_mib} MiB")
    if (available := available_mib()) < memory_mib + 256:
        raise HostError(f"a guest of {memory_mib} MiB does not fit: {available} MiB of memory are available")


def lacking(kernel: Kernel, scenario: Scenario) -> str | None:
    """Why a kernel cannot run a scenario, or None."""
    options = lacks(kernel, scenario.needed_options)
    return f"{kernel.spec} lacks {', '.join(options)}, which scenario {scenario.name} needs" if options else None
