"""A block of the plan as work for any concurrent.futures.Executor: in this process, in others, on other machines.

What goes there can be pickled, and what comes back is a block's evidence as bytes: nothing need be shared but the cache's
content (harness/experiment/dask.py ships it). A block that is run twice, as its worker was lost, comes back once, and counts once.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..errors import EvidenceError
from ..progress import Reporter, Task
from ..runs.record import HostRecord
from ..spec.plan import Block
from ..spec.scenarios import decode
from ..system.locks import held
from ..system.scratch import BLOCK_SCRATCH, remove_leftovers
from .artifacts import Artifacts, at_home
from .block import BlockRunner, RunState
from .guests import TrialGuests, machine_of_guests
from .places import GuestTrials
from .request import Request
from .resume import BlockState, refuse_unlike


@dataclass(frozen=True)
class BlockJob:
    """Everything that a block needs."""

    request: Request
    scenarios: dict[str, str]  # name to TOML
    prepared: Artifacts
    block: Block
    state: BlockState
    host: HostRecord  # the machine that its rounds count for
    cache: Path  # where the paths of `prepared` are


@dataclass(frozen=True)
class BlockResult:
    """The result of a block, with its evidence."""

    block: Block
    problem: str | None
    refused: str  # why the scenario does not do what it declares; else empty
    said: tuple[str, ...]
    trials: bytes  # a tar of the directories of its trials
    concurrent_guests: int = 0  # the most other guests on its machine when one of its own started


class RecordingReporter(Reporter):
    """Keeps messages, to be shown elsewhere."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keeps a message."""
        self.said.append(text)

    def updated(self, task: Task) -> None:
        """Ignores progress."""


def run_block(job: BlockJob) -> BlockResult:
    """Runs a block in a directory of its own.

    Raises UsageError on a machine that is not like the one that the run is of, HostError when this one lacks something.
    """
    refuse_unlike(job.host, machine_of_guests(), "this worker's")
    progress = RecordingReporter()
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{BLOCK_SCRATCH}{os.getpid()}-") as scratch, held(Path(scratch)):
        request = dataclasses.replace(job.request, out=Path(scratch))
        scenarios = {name: decode(name, text) for name, text in job.scenarios.items()}
        run_state = RunState({job.block.index: job.state})
        trials = GuestTrials(TrialGuests(request, at_home(job.prepared, job.cache), progress))
        problem = BlockRunner(request, scenarios, Path(scratch), progress, trials, run_state).run(job.block)
        refused = run_state.refused.get((job.block.arm, job.block.scenario), "")
        packed = _pack(Path(scratch) / "trials")
        return BlockResult(job.block, problem, refused, tuple(progress.said), packed, run_state.concurrent_guests)


def _pack(directory: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=1) as tar:
        for trial in sorted(directory.glob("*/")):
            tar.add(trial, arcname=trial.name)
    return packed.getvalue()


def unpack_trials(packed: bytes, run: Path) -> list[str]:
    """Unpacks trials from an archive into a run's directory, each completely or not at all. Returns their names.

    Raises EvidenceError when they are not what a block sends.
    """
    trials = run / "trials"
    trials.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=run) as scratch:
        try:
            with tarfile.open(fileobj=io.BytesIO(packed), mode="r:xz") as tar:
                for entry in tar:
                    _unpack(tar, entry, Path(scratch))
        except (tarfile.TarError, EOFError, OSError) as error:
            raise EvidenceError(f"a block's evidence cannot be read: {error}") from error
        names = sorted(path.name for path in Path(scratch).iterdir())
        for name in names:
            shutil.rmtree(trials / name, ignore_errors=True)
            (Path(scratch) / name).rename(trials / name)
    return names


def _unpack(tar: tarfile.TarFile, entry: tarfile.TarInfo, directory: Path) -> None:
    """Unpacks a file of a trial, or its directory. Python's own `data` filter is not in Debian 12's 3.11.2.

    Raises TarError for anything else: a link, a path that leads elsewhere.
    """
    parts = entry.name.split("/")
    if len(parts) > 2 or any(part in ("", ".", "..") for part in parts):
        raise tarfile.TarError(f"{entry.name} is not a file of a trial")
    path = directory.joinpath(*parts)
    if entry.isdir() and len(parts) == 1:
        path.mkdir(exist_ok=True)
    elif entry.isreg() and len(parts) == 2:
        content = tar.extractfile(entry)
        assert content is not None
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(content, file)
    else:
        raise tarfile.TarError(f"{entry.name} is not a file of a trial")


def run_all(
    executor: Executor,
    jobs: list[BlockJob],
    run: Path,
    progress: Reporter,
    task: Task,
    work: Callable[[BlockJob], BlockResult] = run_block,
) -> list[BlockResult]:
    """Runs blocks side by side; their evidence is in the run's directory as soon as each has ended.

    Raises what a block raises; the other blocks are cancelled then, and a resumed run runs them.
    """
    results = []
    futures = [executor.submit(work, job) for job in jobs]
    try:
        for future in as_completed(futures):
            result = future.result()
            unpack_trials(result.trials, run)
            for text in result.said:
                progress.say(text)
            results.append(result)
            block = result.block
            task.update(
                done=task.done + block.rounds, detail=f"{block.arm}, {block.scenario}, boot {block.boot} is done"
            )
    finally:
        for future in futures:
            future.cancel()
    return sorted(results, key=lambda result: result.block.index)
