"""`oomtrial bisect`: `git bisect run`, with a statistical verdict a step.

The tree is only read: git works in a bare clone of its own, which borrows the tree's objects, and each commit is built
as `tree:PATH@COMMIT`. A commit's rounds are kept, so a bisection that was interrupted goes on where it was.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from ..analysis.effects import count_effect
from ..analysis.rates import exact_test
from ..analysis.sequential import decide, likelihood_ratio
from ..analysis.tally import counted
from ..errors import BuildError, CheckFailedError, EvidenceError, GuestError, HostError, OomtrialError, UsageError
from ..experiment.experiment import Experiment
from ..experiment.request import Request
from ..kernels.tree import NoRepositoryError, find_commit
from ..progress import Reporter
from ..runs.record import RUN_FILE, RunStatus, read_run
from ..spec.arm import ArmSpec
from ..spec.boots import WARM_UP
from ..spec.machine import Accel
from ..system.paths import write_atomically
from ..system.process import environment, output_of
from ..tables.store import load_tables

EFFECTS = ("redundant", "hung")
# What `git bisect run` makes of an exit code: from 128 on it stops, and any other but 0 and 125 is "bad". An interpreter that
# cannot even import this module exits with 1, and that must not be a verdict: bad has a code of its own, others stop.
GOOD, BAD, SKIP, STOP = 0, 10, 125, 255
_ONLY_VERDICTS = f'"$@"; s=$?; case $s in {GOOD}|{BAD}|{SKIP}) exit $s;; *) exit {STOP};; esac'
_ONLY_SKIPPED = "# only skipped commits left to test"
_ALPHA = 0.01  # good and bad must differ at this level
_BATCHES = 4  # a step's rounds come in so many boots at most
_PLAN, _VERDICT, _ENDS = "bisect.json", "verdict.json", "ends"


class BisectPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a bisection was asked for, and what its two ends showed."""

    tree: str
    good: str  # commit IDs
    bad: str
    scenario: str
    rounds: int  # an end, and at most a step
    boots: int  # an end
    seed: int
    vcpus: int
    accel: Accel
    warm_up: int = 0  # rounds of each boot that are not counted; plans of before have none
    effect: str = ""  # which the ends differ in; empty until they are measured
    good_seen: tuple[int, int] = (0, 0)  # rounds with the effect, rounds
    bad_seen: tuple[int, int] = (0, 0)


class CommitVerdict(StrEnum):
    """What `git bisect` is told of a commit."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


_EXIT_CODES = {CommitVerdict.GOOD: GOOD, CommitVerdict.BAD: BAD, CommitVerdict.SKIP: SKIP}


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit showed."""

    commit: str
    subject: str
    verdict: CommitVerdict
    hits: int
    rounds: int
    reason: str = ""


def _git(where: Path, *arguments: str) -> str:
    return output_of(["git", "-C", str(where), *arguments]).strip()


def _commit(tree: Path, ref: str) -> str:
    try:
        return find_commit(tree, ref)
    except NoRepositoryError as error:
        raise UsageError(error.what, "give a git tree of the kernel") from error


def _write(path: Path, value: msgspec.Struct) -> None:
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value)))


def plan_bisection(
    tree: Path,
    good: str,
    bad: str,
    scenario: str,
    rounds: int,
    boots: int,
    seed: int,
    vcpus: int,
    accel: Accel,
    warm_up: int = WARM_UP,
) -> BisectPlan:
    """Raises UsageError when the tree is no git tree, or lacks a commit, or good is not an ancestor of bad."""
    if not tree.is_dir():
        raise UsageError(f"{tree} is not a directory", "give a git tree of the kernel")
    good_commit, bad_commit = _commit(tree, good), _commit(tree, bad)
    try:
        _git(tree, "merge-base", "--is-ancestor", good_commit, bad_commit)
    except HostError as error:
        raise UsageError(
            f"{good} is not an ancestor of {bad}", "git bisects between an older and a newer commit"
        ) from error
    return BisectPlan(
        tree=str(tree.resolve()),
        good=good_commit,
        bad=bad_commit,
        scenario=scenario,
        rounds=rounds,
        boots=boots,
        seed=seed,
        vcpus=vcpus,
        accel=accel,
        warm_up=warm_up,
    )


def bisect(plan: BisectPlan, out: Path, effect: str | None, progress: Reporter) -> tuple[str | None, list[StepResult]]:
    """Bisects; returns the first bad commit, or None when only skipped ones are left, and what each commit showed.

    Raises CheckFailedError when the two ends do not differ, UsageError when `out` holds another bisection.
    """
    plan = _begin(plan, out, effect, progress)
    clone = out / "clone.git"
    if not (clone / "HEAD").is_file():
        shutil.rmtree(clone, ignore_errors=True)
        output_of(["git", "clone", "--quiet", "--bare", "--shared", plan.tree, str(clone)], deadline_s=600)
    _git(clone, "bisect", "start", "--no-checkout", plan.bad, plan.good)
    package, _, _ = __package__.partition(".")
    step = ["sh", "-c", _ONLY_VERDICTS, "sh", sys.executable, "-m", package, "bisect-step", str(out.absolute())]
    try:
        subprocess.run(
            ["git", "-C", str(clone), "bisect", "run", *step],
            stdout=subprocess.DEVNULL,
            check=False,
            env=environment({"PYTHONPATH": _with_this_package(os.environ.get("PYTHONPATH", ""))}),
        )
        log = _git(clone, "bisect", "log")
    finally:
        _git(clone, "bisect", "reset")
    first_bad = _first_bad(log)
    # The log says how it ended; git's exit code does not: 2.39 ends a run that a step has stopped with 1.
    if first_bad is None and _ONLY_SKIPPED not in log:
        raise EvidenceError(
            "a step could not be measured", f"fix that and run the same command again: it resumes {out}"
        )
    results = _results(out)
    kept = {plan.good: CommitVerdict.GOOD, plan.bad: CommitVerdict.BAD} | {
        each.commit: each.verdict for each in results
    }
    if odd := [commit for commit, verdict in _told(log) if kept.get(commit) != verdict]:
        raise EvidenceError(f"git was told a verdict of {odd[0][:12]} that no measurement in {out} gave")
    return first_bad, results


def _with_this_package(path: str) -> str:
    """PYTHONPATH for a step: it runs in git's directory, and is to be of this very code."""
    return os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [path])])


def _begin(plan: BisectPlan, out: Path, effect: str | None, progress: Reporter) -> BisectPlan:
    path = out / _PLAN
    if path.is_file():
        kept = msgspec.json.decode(path.read_bytes(), type=BisectPlan)
        asked = msgspec.structs.replace(plan, effect=kept.effect, good_seen=kept.good_seen, bad_seen=kept.bad_seen)
        if asked != kept:
            raise UsageError(f"{out} holds another bisection", "give the options of that one, or choose another --out")
        if kept.effect:
            progress.say(f"resuming the bisection in {out}")
            return kept
    out.mkdir(parents=True, exist_ok=True)
    _write(path, plan)
    plan = _measure_ends(plan, out, effect, progress)
    _write(path, plan)
    return plan


def _arm(plan: BisectPlan, commit: str) -> ArmSpec:
    path = plan.tree.replace("+", "++").replace("@", "@@")  # as a spec wants them
    kernel = f"tree:{path}@{commit}"
    return ArmSpec(kernel, kernel)


class _CannotMeasureError(Exception):
    """There is nothing to measure of a commit, which git bisect then skips."""

    def __init__(self, why: str, error: OomtrialError) -> None:
        super().__init__(f"{why}: {error.what}")
        self.error = error


def _measure(
    plan: BisectPlan, commits: tuple[str, ...], rounds: int, boots: int, directory: Path, progress: Reporter
) -> None:
    """A run of these commits, unless it is there.

    Raises _CannotMeasureError when a commit is no kernel tree, or cannot be built, or does not boot in a guest.
    """
    if (directory / RUN_FILE).is_file():
        if read_run(directory).state == RunStatus.COMPLETE:
            return
        shutil.rmtree(directory)  # cut off by an interruption
    arms = tuple(_arm(plan, commit) for commit in commits)
    request = Request(
        arms, (plan.scenario,), rounds, boots, plan.seed, directory, plan.vcpus, accel=plan.accel, warm_up=plan.warm_up
    )
    experiment = Experiment(request, progress)
    try:
        experiment.check()
        prepared = experiment.prepare()
    except BuildError as error:
        raise _CannotMeasureError("cannot be built", error) from error
    except UsageError as error:
        raise _CannotMeasureError("cannot be measured", error) from error
    try:
        experiment.measure(prepared)
    except GuestError as error:
        raise _CannotMeasureError("does not boot in a guest", error) from error


def _seen(plan: BisectPlan, directory: Path, commit: str, effect: str) -> tuple[int, int]:
    tables, arm = load_tables(directory / "tables"), _arm(plan, commit).name
    rounds, kills = counted(tables["rounds"], tables["kills"])
    rounds, kills = rounds[rounds["arm"] == arm], kills[kills["arm"] == arm]
    return count_effect(effect, rounds, kills, rounds)


def _measure_ends(plan: BisectPlan, out: Path, effect: str | None, progress: Reporter) -> BisectPlan:
    try:
        _measure(plan, (plan.good, plan.bad), plan.rounds, plan.boots, out / _ENDS, progress)
    except _CannotMeasureError as failure:
        raise failure.error from None
    results = {}
    for name in EFFECTS if effect is None else (effect,):
        good, bad = (_seen(plan, out / _ENDS, commit, name) for commit in (plan.good, plan.bad))
        results[name] = (exact_test(*bad, *good), good, bad)
        progress.say(
            f"rounds {_what(name)}: good {good[0]} of {good[1]}, bad {bad[0]} of {bad[1]}, p = {results[name][0]:.2g}"
        )
    name = min(results, key=lambda key: results[key][0])
    p_value, good, bad = results[name]
    if p_value >= _ALPHA:
        raise CheckFailedError(
            f"good and bad do not differ: {bad[0]} of {bad[1]} rounds {_what(name)} against {good[0]} of {good[1]}",
            "use more --rounds with another --out, or another scenario",
        )
    return msgspec.structs.replace(plan, effect=name, good_seen=good, bad_seen=bad)


def _what(effect: str) -> str:
    return {"redundant": "with a redundant kill", "hung": "not completed"}[effect]


def step(out: Path, progress: Reporter) -> int:
    """Judges the commit that git proposes; returns the exit code that `git bisect run` understands."""
    plan = msgspec.json.decode((out / _PLAN).read_bytes(), type=BisectPlan)
    commit = _commit(out / "clone.git", "BISECT_HEAD")
    with contextlib.suppress(HostError):  # git has no bisection there
        number, steps = _place(out / "clone.git")
        subject = _git(out / "clone.git", "log", "-1", "--format=%s", commit)
        progress.say(f"step {number} of about {steps}: {commit[:12]} {subject}")
    path = out / "steps" / commit / _VERDICT
    if path.is_file():
        result = msgspec.json.decode(path.read_bytes(), type=StepResult)
    else:
        result = _judge(plan, out, commit, progress)
        _write(path, result)
    progress.say(
        f"{commit[:12]} {result.subject}: {result.verdict}"
        f" ({result.hits} of {result.rounds} rounds{', ' + result.reason if result.reason else ''})"
    )
    return _EXIT_CODES[result.verdict]


def _place(clone: Path) -> tuple[int, int]:
    """Which step the bisection is at, and how many git estimates in all."""
    log = _git(clone, "bisect", "log").splitlines()
    number = 1 + sum(line.startswith(tuple(f"git bisect {word} " for word in CommitVerdict)) for line in log)
    good = _git(clone, "for-each-ref", "--format=%(objectname)", "refs/bisect/good-*").splitlines()
    known = _git(clone, "rev-list", "--bisect-vars", "refs/bisect/bad", "--not", *good)
    left = next((int(line.partition("=")[2]) for line in known.splitlines() if line.startswith("bisect_steps=")), 0)
    return number, number + left


def _judge(plan: BisectPlan, out: Path, commit: str, progress: Reporter) -> StepResult:
    def result(verdict: CommitVerdict, reason: str = "") -> StepResult:
        subject = _git(out / "clone.git", "log", "-1", "--format=%s", commit)
        return StepResult(commit=commit, subject=subject, verdict=verdict, hits=hits, rounds=rounds, reason=reason)

    hits = rounds = 0
    for number, size in enumerate(_batch_sizes(plan.rounds), start=1):
        batch = out / "steps" / commit / str(number)
        try:
            _measure(plan, (commit,), size, 1, batch, progress)
        except _CannotMeasureError as error:
            return result(CommitVerdict.SKIP, str(error))
        batch_hits, batch_rounds = _seen(plan, batch, commit, plan.effect)
        hits, rounds = hits + batch_hits, rounds + batch_rounds
        if side := decide(likelihood_ratio(hits, rounds, plan.good_seen, plan.bad_seen)):
            return result(CommitVerdict.BAD if side > 0 else CommitVerdict.GOOD)
        if not rounds:
            return result(CommitVerdict.SKIP, f"none of {size} rounds counts")
    lost = plan.rounds - rounds
    return result(CommitVerdict.SKIP, f"undecided; {lost} rounds more do not count" if lost else "undecided")


def _batch_sizes(rounds: int) -> list[int]:
    """The rounds of a step, boot by boot. What is lost of a boot is not made up for: the next one is another batch."""
    return [rounds // _BATCHES + (number < rounds % _BATCHES) for number in range(_BATCHES)]


def _first_bad(log: str) -> str | None:
    """git's word for it, when it came to an end."""
    found = re.search(r"^# first bad commit: \[([0-9a-f]+)\]", log, re.MULTILINE)
    return found[1] if found else None


def _told(log: str) -> list[tuple[str, str]]:
    """What git has been told: commits and verdicts."""
    found = re.findall(r"^git bisect (good|bad|skip) ([0-9a-f]{40,64})$", log, re.MULTILINE)
    return [(commit, verdict) for verdict, commit in found]


def _results(out: Path) -> list[StepResult]:
    paths = sorted((out / "steps").glob(f"*/{_VERDICT}"), key=lambda path: path.stat().st_mtime_ns)
    return [msgspec.json.decode(path.read_bytes(), type=StepResult) for path in paths]


def describe(plan_path: Path, first_bad: str | None, results: list[StepResult], say: Callable[[str], None]) -> None:
    """Prints what a bisection found."""
    plan = msgspec.json.decode((plan_path / _PLAN).read_bytes(), type=BisectPlan)
    say(f"rounds {_what(plan.effect)} in {plan.scenario}, {plan.vcpus} vCPUs:")
    ends = ((plan.good, "good", plan.good_seen), (plan.bad, "bad", plan.bad_seen))
    for commit, name, (hits, rounds) in ends:
        say(f"  {commit[:12]}  {name:4}  {hits:4} of {rounds:<4} (given)")
    for result in results:
        reason = f" ({result.reason})" if result.reason else ""
        say(
            f"  {result.commit[:12]}  {result.verdict:4}  {result.hits:4} of {result.rounds:<4} {result.subject}{reason}"
        )
    if first_bad:
        subject = _git(Path(plan.tree), "log", "-1", "--format=%s", first_bad)
        say(f"first bad commit: {first_bad[:12]} {subject}")
    else:
        say("no first bad commit: only commits that were skipped are left")
