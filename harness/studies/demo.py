"""The demonstration: the newest kernel that can be had without trouble, stock, patched and broken on purpose.

Kernels take minutes to build. Meanwhile Debian's prebuilt kernel of the same version is measured, so that there is a figure
to see: it is disturbed by the builds, says so, and is pooled with nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from ..analysis.arm import Arm
from ..analysis.summary import Summary
from ..analysis.verdicts import Verdict
from ..errors import BuildError, GuestError, OomtrialError, UsageError
from ..experiment.driver import run_experiment
from ..experiment.experiment import Experiment
from ..experiment.request import Request
from ..kernels.kernel import KernelPlan, make_kernel, ready_kernel
from ..kernels.plan import plan_kernel
from ..progress import Reporter
from ..runs.record import read_run
from ..runs.tables import summarize
from ..spec.arm import name_arms
from ..spec.kernel import parse_kernel_spec
from ..system.process import kill_children, threads

# Newest first: versions that the library's patches were written for.
VERSIONS = ("7.3", "7.2", "6.18", "6.12", "6.1")
# Best first. The OOM killer of 7.0 and later does not see a victim that is exiting; older ones decide before it is released.
FIXES = ("see-exiting-victims", "recheck-margin", "wait-for-victim")
CONTROL = "ignore-pending-victim"
FIRST_ROUNDS = 12
_BUILDS_NICE = 10
_DISTURBED = "kernels were being built at the same time"


@dataclass(frozen=True)
class Offer:
    """What can be had of one version."""

    version: str
    why_not: str = ""  # its source cannot be had; empty where it can
    patches: frozenset[str] = frozenset()  # those of FIXES and CONTROL that its source takes


@dataclass(frozen=True)
class Choice:
    """What is compared."""

    version: str
    fix: str
    passed_over: str = ""  # which newer versions were not taken, and why, in a line

    @property
    def specs(self) -> tuple[str, ...]:
        """Stock, with the fix, and the control, in that order."""
        base = f"source:{self.version}"
        return (base, f"{base}+{self.fix}", f"{base}+{CONTROL}")


def choose(offers: Iterable[Offer]) -> Choice:
    """The first version whose source can be had and takes a fix and the control; offers after it are not looked at.

    Raises BuildError when there is none.
    """
    passed: list[Offer] = []
    for offer in offers:
        fix = next((name for name in FIXES if name in offer.patches), None)
        if not offer.why_not and fix and CONTROL in offer.patches:
            return Choice(offer.version, fix, f"{_reasons(passed)}; taking {offer.version}" if passed else "")
        why = offer.why_not or ("no fix in the library" if fix is None else f"no {CONTROL} in the library")
        passed.append(replace(offer, why_not=why))
    raise BuildError(
        f"no kernel for the demo: {_reasons(passed)}",
        "Debian 12 and 13 offer some; `oomtrial run --kernel tree:PATH` uses your own tree",
    )


def _reasons(passed: Sequence[Offer]) -> str:
    """Why each was not taken; versions of one reason together, in the words of the first."""
    alike: dict[str, list[Offer]] = {}
    for offer in passed:
        alike.setdefault(offer.why_not.replace(offer.version, ""), []).append(offer)
    return "; ".join(
        f"not {', '.join(offer.version for offer in offers)}: {offers[0].why_not}" for offers in alike.values()
    )


def offers(progress: Reporter, versions: Iterable[str] = VERSIONS) -> Iterator[Offer]:
    """What can be had here of each version; nothing is fetched but package lists."""
    for version in versions:
        try:
            plan_kernel(parse_kernel_spec(f"source:{version}"), progress)
        except BuildError as error:
            yield Offer(version, error.what)
            continue
        fix = next((name for name in FIXES if _takes(version, name, progress)), None)
        patches = [*([fix] if fix else []), *([CONTROL] if _takes(version, CONTROL, progress) else [])]
        yield Offer(version, patches=frozenset(patches))


def _takes(version: str, patch: str, progress: Reporter) -> bool:
    try:
        plan_kernel(parse_kernel_spec(f"source:{version}+{patch}"), progress)
    except (BuildError, UsageError):
        return False
    return True


@dataclass(frozen=True)
class FirstFigure:
    """The prebuilt kernel, measured while others were built."""

    kernel: str  # what it is, in words
    arm: Arm
    directory: Path

    @property
    def lines(self) -> list[str]:
        """The figure in two lines of text."""
        arm = self.arm
        share = "" if arm.rate is None else f", {100 * arm.rate:.1f} %"
        if arm.ci_low is not None and arm.ci_high is not None:
            share += f" ({100 * arm.ci_low:.1f} to {100 * arm.ci_high:.1f} %)"
        return [
            f"first figure: {self.kernel}: {arm.rounds_with_redundant} of {arm.completed_rounds} rounds with a redundant"
            f" kill{share}",
            f"  {_DISTURBED}, which widens the window for a second kill: it is not pooled with other runs; {self.directory}",
        ]


@dataclass(frozen=True)
class Demo:
    """What a demonstration left behind."""

    directory: Path
    first: FirstFigure | None


def control_line(summary: Summary) -> str:
    """What it means that the control is not shown to be worse than stock; empty where it is.

    A reader expects a kernel that is broken on purpose to be worse. From 7.0 on stock passes over exiting victims as that one does.
    """
    comparison = next((one for one in summary.comparisons if one.arm.endswith(f"+{CONTROL}")), None)
    if comparison is None or comparison.verdict == Verdict.WORSE:
        return ""
    return (
        f"{comparison.arm} never waits for an earlier victim; these rounds do not show that {comparison.baseline} kills"
        " less needlessly"
    )


def run_demo(request: Request, progress: Reporter) -> Demo:
    """Chooses, builds and measures; `request` says all but the arms.

    Raises BuildError when no kernel can be had or built, and what the parts of Experiment raise.
    """
    with progress.task("look for the newest kernel with patches in the library"):
        choice = choose(offers(progress))
    if choice.passed_over:
        progress.say(choice.passed_over)
    progress.say(f"Linux {choice.version}: stock, {choice.fix}, and {CONTROL}, a kernel that is broken on purpose")
    plans = [plan_kernel(parse_kernel_spec(text), progress) for text in choice.specs]
    missing = [plan for plan in plans if ready_kernel(plan) is None]
    first = _build_and_measure(missing, choice.version, request, progress) if missing else None
    experiment = Experiment(replace(request, arms=name_arms(choice.specs)), progress)
    run_experiment(experiment)
    return Demo(experiment.directory, first)


def _build_and_measure(
    plans: Sequence[KernelPlan], version: str, request: Request, progress: Reporter
) -> FirstFigure | None:
    """Builds kernels, and measures the prebuilt one beside that."""
    with threads(1) as pool:
        building = pool.submit(_build, plans, progress)
        try:
            first = _first_figure(version, request, progress)
            for line in first.lines if first else []:
                progress.say(line)
            _wait(building, progress)
        except BaseException:
            kill_children()  # the pool waits for its thread, and that for its compiler
            raise
    return first


def _wait(building: Future[None], progress: Reporter) -> None:
    if not building.done():
        progress.say("waiting for the kernels that are being built")
    building.result()


def _build(plans: Sequence[KernelPlan], progress: Reporter) -> None:
    # A nice value is a thread's own on Linux (sched(7)), and what it starts inherits it: the guest goes first.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BUILDS_NICE)
    for plan in plans:
        try:
            make_kernel(plan, progress)
        except OomtrialError as error:
            progress.say(f"{plan.spec.text}: {error.what}")  # at once: it ends the demo when the first figure is there
            raise


def _first_figure(version: str, request: Request, progress: Reporter) -> FirstFigure | None:
    """None, and a line that says why, where Debian has no such kernel or no guest boots with it."""
    own = replace(
        request,
        arms=name_arms([f"debian:{version}"]),
        rounds=FIRST_ROUNDS,
        boots=1,
        out=None,
        snapshots=False,  # nobody comes back to it
        disturbed=_DISTURBED,
    )
    try:
        experiment = Experiment(own, progress)
        run_experiment(experiment)
    except (BuildError, GuestError, UsageError) as error:
        progress.say(f"no first figure of debian:{version}: {error.what}")
        return None
    (kernel,) = read_run(experiment.directory).kernels
    (arm,) = summarize(experiment.directory).arms
    return FirstFigure(f"debian:{version} ({kernel.source})", arm, experiment.directory)
