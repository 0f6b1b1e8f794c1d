"""`oomtrial controls`: the harness's own proof. Runs of controls beside their references, and a judgement of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..analysis.controls import ControlResult, judge_control
from ..errors import EvidenceError, UsageError
from ..experiment.experiment import Experiment
from ..experiment.request import Request
from ..kernels.build import BuildPlan
from ..kernels.plan import plan_kernel
from ..progress import Reporter
from ..runs.record import RunStatus, read_run
from ..spec.arm import ArmSpec
from ..spec.controls import REGRESSION_FIX, Control, choose_controls, hides_victims
from ..spec.kernel import parse_kernel_spec
from ..tables.store import load_tables


def _spec(base: str, *patches: str) -> str:
    return "+".join([base, *(patch for patch in patches if patch)])


def _repair(control: Control, release: str) -> str:
    return REGRESSION_FIX if control.on_regression_fix and hides_victims(release) else ""


def reference_arm(control: Control, base: str, release: str) -> ArmSpec:
    """The arm with which a control is compared. `release`: full version of the kernel that `base` names."""
    kernel = _spec(base, REGRESSION_FIX if hides_victims(release) else "", control.reference_patch)
    return ArmSpec(kernel, kernel)


def control_arm(control: Control, base: str, release: str) -> ArmSpec:
    """The control's own arm; one that is stock too has the control's name beside it."""
    kernel = _spec(base, _repair(control, release), control.patch)
    return ArmSpec(kernel if control.patch else f"{kernel} ({control.name})", kernel, control.probes)


def base_release(base: str, progress: Reporter) -> str:
    """The full version of the kernel that controls are laid upon.

    Raises UsageError for a kernel that takes no patch, and what planning it raises.
    """
    plan = plan_kernel(parse_kernel_spec(base), progress)
    if not isinstance(plan, BuildPlan):
        raise UsageError(f"{base} takes no patch, and most controls are patches", "name source:VERSION or tree:PATH")
    return plan.base.release


def _runs(controls: tuple[Control, ...]) -> dict[str, list[Control]]:
    """Controls that share a scenario and a number of rounds share a run, and their reference's rounds."""
    runs: dict[str, list[Control]] = {}
    for control in controls:
        name = control.scenario if control.rounds is None else f"{control.scenario}-few"
        runs.setdefault(name, []).append(control)
    return runs


def run_controls(
    base: str, names: tuple[str, ...], out: Path, progress: Reporter, request: Callable[..., Request]
) -> list[ControlResult]:
    """Measures controls on a stock kernel, a run for each scenario below `out`, and judges them.

    `request` makes a Request of arms, scenario, rounds (None: as asked for) and out.

    Raises what Experiment raises; runs that are there already are not measured again.
    """
    release = base_release(base, progress)
    controls = choose_controls(names, release)
    if hides_victims(release):
        progress.say(f"{base} is {release}, which hides exiting victims: controls and references have {REGRESSION_FIX}")
    experiments = []
    for name, members in _runs(controls).items():
        if (out / name / "run.json").is_file():
            if read_run(out / name).state != RunStatus.COMPLETE:
                raise UsageError(f"{out / name} holds an incomplete run", "remove it, or choose another --out")
            progress.say(f"{name}: measured already, {out / name}")
            continue
        arms = dict.fromkeys(
            [*(reference_arm(c, base, release) for c in members), *(control_arm(c, base, release) for c in members)]
        )
        experiment = Experiment(request(tuple(arms), members[0].scenario, members[0].rounds, out / name), progress)
        experiment.check()
        experiments.append(experiment)
    for experiment, prepared in [(experiment, experiment.prepare()) for experiment in experiments]:
        experiment.measure(prepared)
    return judge_controls(base, release, names, out)


def judge_controls(base: str, release: str, names: tuple[str, ...], out: Path) -> list[ControlResult]:
    """Judges controls by the tables of their runs.

    Raises EvidenceError when a run is missing.
    """
    results = []
    for name, members in _runs(choose_controls(names, release)).items():
        tables = load_tables(out / name / "tables")
        known = {arm.name for arm in read_run(out / name).arms}
        for control in members:
            reference = reference_arm(control, base, release).name
            arm = control_arm(control, base, release).name
            if missing := {reference, arm} - known:
                raise EvidenceError(f"{out / name} has no arm {min(missing)}", "measure it: choose another --out")
            results.append(judge_control(control, reference, arm, tables["rounds"], tables["kills"]))
    return results
