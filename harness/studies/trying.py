"""`oomtrial try`: a kernel tree against the same with patches, its commits upon a base, or the newest release."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..analysis.killclass import KillClass
from ..analysis.summary import Summary
from ..errors import BuildError, UsageError
from ..experiment.driver import run_experiment
from ..experiment.experiment import Experiment
from ..experiment.request import Request
from ..kernels.debversion import is_candidate
from ..kernels.listing import Listed, listed_kernels
from ..kernels.offers import offers_of
from ..kernels.tree import require_kernel_tree
from ..progress import Reporter
from ..report.timeline import Timeline
from ..runs.report import open_report
from ..spec.arm import ArmSpec, name_arms
from ..system.machine import machine_budget
from ..tables.store import load_tables

SCENARIO = (
    "one-big-many-small"  # of the scenarios with one needed kill that in which stock kernels lose a second process most
)
_LEAST_VCPUS, _MOST_VCPUS = 4, 8  # fewer narrow the window for a second kill; more guests' memory than it shows


@dataclass(frozen=True)
class Choice:
    """What is compared: the first arm is the baseline."""

    arms: tuple[ArmSpec, ...]
    description: str  # in a sentence


@dataclass(frozen=True)
class Tried:
    """What a trial left behind."""

    directory: Path
    summary: Summary
    timelines: list[Timeline]  # a round of each arm


def choose_arms(tree: Path, base: str, patches: Sequence[str], progress: Reporter) -> Choice:
    """The arms of a trial of a tree. `base`: a ref of the tree, or empty. `patches`: names of the library, or paths.

    Raises UsageError when the tree is no kernel tree, BuildError when nothing can be had that it could be compared with.
    """
    if not tree.is_dir():
        raise UsageError(f"{tree} is not a directory", "name the top of a kernel tree with --tree")
    if not (base and patches):  # the files as they are are measured
        require_kernel_tree(tree, str(tree))
    path = _escaped(str(tree), "+@")
    as_it_is = f"tree:{path}"
    before = f"{as_it_is}@{base}" if base else as_it_is
    if patches:
        patched = "+".join([before, *map(_patch, patches)])
        names = ", ".join(patches)
        arms = name_arms([f"base={before}", f"patched={patched}"])
        return Choice(arms, f"base: {tree}{f' at {base}' if base else ' as it is'}; patched: the same with {names}")
    if base:
        return Choice(
            name_arms([f"base={before}", f"tree={as_it_is}"]), f"base: {tree} at {base}; tree: {tree} as it is"
        )
    release = newest_release(listed_kernels(offers_of(progress)))
    arms = name_arms([release.spec, f"tree={as_it_is}"])
    return Choice(arms, f"{release.spec} ({release.version}), the newest release available; tree: {tree} as it is")


def newest_release(listed: Iterable[Listed]) -> Listed:
    """The newest source that is no release candidate; it is built with the same config as the tree.

    Raises BuildError when there is none.
    """
    sources = [kernel for kernel in listed if kernel.spec.startswith("source:") and not is_candidate(kernel.version)]
    if not sources:
        raise BuildError(
            "no released kernel is available to compare the tree with", "name one of its commits with --base"
        )
    return sources[-1]  # the oldest come first


def _patch(name: str) -> str:
    """A patch as a spec wants it: a bare file name is a path."""
    is_file = "/" not in name and Path(name).exists()
    return _escaped(f"./{name}" if is_file else name, "+")


def _escaped(text: str, marks: str) -> str:
    for mark in marks:
        text = text.replace(mark, mark * 2)
    return text


def choose_vcpus(cores: int) -> int:
    """As many as cores, and 4 at least: vCPUs that wait for their core widen the window for a second kill."""
    return max(_LEAST_VCPUS, min(cores, _MOST_VCPUS))


def run_try(choice: Choice, request: Request, progress: Reporter) -> Tried:
    """Builds and measures until the verdict is clear; `request` says all but the arms.

    Raises what the parts of Experiment raise.
    """
    progress.say(choice.description)
    progress.say(
        f"{', '.join(request.scenarios)}; {request.vcpus} vCPUs on {machine_budget().cores} host cores;"
        f" up to {request.rounds} rounds in {request.boots} boots per arm, until it is decided"
    )
    experiment = Experiment(replace(request, arms=choice.arms, until_decided=True), progress)
    run_experiment(experiment)
    return read_try(experiment.directory)


def read_try(run: Path) -> Tried:
    """What is shown of a trial that was run."""
    tables = load_tables(run / "tables")
    rounds = one_round_per_arm(tables["rounds"], tables["kills"])
    report = open_report(run, tuple(f"{trial}/{number}" for trial, number in rounds), len(rounds))
    return Tried(run, report.summary, [timeline for _, timeline in report.timelines])


def one_round_per_arm(rounds: pd.DataFrame, kills: pd.DataFrame) -> list[tuple[str, int]]:
    """For each arm the first round with a redundant kill, else the first that completed, else none."""
    redundant = kills[kills["kill_class"] == KillClass.REDUNDANT]
    chosen = []
    for arm in rounds["arm"].drop_duplicates():
        for table in (
            redundant[redundant["arm"] == arm],
            rounds[(rounds["arm"] == arm) & (rounds["outcome"] == "completed")],
        ):
            if len(table):
                first = table.sort_values(["trial_id", "round"]).iloc[0]
                chosen.append((str(first["trial_id"]), int(first["round"])))
                break
    return chosen
