"""`oomtrial run`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ..progress import Reporter
from ..spec.boots import MOST_INTERIM_ROUNDS, WARM_UP, default_boots
from ..spec.machine import Accel
from .options import ACCEL, CLUSTER, CLUSTER_INSECURE, MEMORY, OWN_CONFIG, SEED, SNAPSHOTS
from .summary import print_run
from .values import Choice, IntRange

if TYPE_CHECKING:
    from ..experiment.experiment import Experiment

_OF_GUESTS = ("vcpus", "memory_mib", "accel", "snapshots", "append", "user_fragments")


class _Run(click.Command):
    """Kernels are options of `run`, and the words of some other commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises UsageError as click does, with the option for a kernel that stands alone."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            extra = re.search(r"extra arguments? \((\S+)", error.message)
            if extra is None:
                raise
            hint = f"write --kernel {extra[1].rstrip(')')}"
            raise click.UsageError(f"{error.message.rstrip('.')}; {hint}", ctx) from None


@click.command(cls=_Run)
@click.option(
    "--kernel",
    "--arm",
    "kernels",
    multiple=True,
    metavar="[LABEL=]SPEC",
    help="debian:VERSION, source:VERSION, tree:PATH[@REF] or image:PATH, see `kernels --help`; repeat it for more arms,"
    " the same one for stock against stock. host: the running kernel, on this machine's Docker Engine. LABEL is the name of"
    " the arm in tables and reports, as in fix=tree:~/linux+my.patch.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help='Scenario name, path of a .toml file, or "all". Repeatable.  [default: one-big-many-small]',
)
@click.option("--rounds", type=IntRange(1, 1_000_000), default=40, show_default=True, help="Rounds per arm.")
@click.option(
    "--boots",
    type=IntRange(1, 10_000),
    help="Boots per arm (on host: containers); rounds are spread over them.  [default: one per 12 rounds (per 25"
    " without snapshots, per 8 with --until-decided), but at least 8; 1 on host]",
)
@click.option(
    "--warm-up",
    type=IntRange(0, 100),
    metavar="N",
    help=f"Rounds at the start of each boot that are recorded and not counted.  [default: {WARM_UP}, on host 0]",
)
@click.option(
    "--amplify",
    is_flag=True,
    help="Patch every arm with scan-sleeps, which slows the OOM killer's scan: a few rounds then show whether a patch closes"
    " that window. The shares are not rates in the field.",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="Check after each turn of the arms, and stop once every arm is better or worse than stock. --rounds is then the maximum.",
)
@SEED
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the run.  [default: results/runs/RUN_ID]")
@click.option(
    "--vcpus",
    type=IntRange(1, 64),
    default=4,
    show_default=True,
    help="Virtual CPUs per guest. More of them than host cores widens the window for a second kill.",
)
@MEMORY
@ACCEL
@click.option(
    "--probes",
    type=Choice(["all", "kills", "none"]),
    default="all",
    show_default=True,
    help="Kernel probes. all: kills and their mechanism. kills: kills are classified, without the mechanism. none: kills are only counted.",
)
@SNAPSHOTS
@click.option("--append", default="", metavar="TEXT", help="Text appended to the guest's kernel command line.")
@click.option(
    "--may-harm-host",
    is_flag=True,
    help="On host, also run scenarios that can hurt the machine: without limits, unkillable, or over a quarter of its memory.",
)
@CLUSTER
@CLUSTER_INSECURE
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Resume an interrupted run from its record. Only the --cluster options can be combined with it.",
)
@OWN_CONFIG
@click.option("--dry-run", is_flag=True, help="Check everything and print what would be built and measured.")
@click.pass_context
def run(
    context: click.Context,
    kernels: tuple[str, ...],
    scenarios: tuple[str, ...],
    rounds: int,
    boots: int | None,
    warm_up: int | None,
    amplify: bool,
    until_decided: bool,
    seed: int,
    out: Path | None,
    vcpus: int,
    memory_mib: int,
    accel: str,
    probes: str,
    snapshots: bool,
    append: str,
    may_harm_host: bool,
    cluster: str | None,
    cluster_insecure: bool,
    resume: Path | None,
    user_fragments: tuple[Path, ...],
    dry_run: bool,
) -> None:
    """Measure kernels against each other and print the summary.

    --kernel host measures the running kernel in containers of the local Docker Engine, without a guest. Its figures are
    kept in a history of this machine. It creates only its own containers and removes them.
    """
    from ..experiment.driver import run_experiment
    from ..experiment.experiment import Experiment, resume_run
    from ..experiment.request import Request
    from ..spec.arm import Probes, name_arms
    from ..spec.arm import amplify as amplified

    if resume is not None:
        if given := _given(context, lambda name: name not in ("resume", "cluster", "cluster_insecure")):
            raise click.UsageError(f"{', '.join(given)} cannot be combined with --resume: the run's record holds it")
        with Reporter() as progress:
            experiment = resume_run(resume, progress, elsewhere=cluster is not None)
            has_run = run_experiment(experiment, cluster, insecure=cluster_insecure)
        _print_done(resume)
        if has_run:
            _remember(experiment)
        return
    if not kernels:
        raise click.MissingParameter(
            "Such as --kernel debian:6.12; `oomtrial kernels list` shows what there is",
            context,
            context.command.params[0],
        )
    arms = name_arms(amplified(kernels) if amplify else kernels, Probes(probes))
    is_host = any(arm.kernel == "host" for arm in arms)
    if is_host:
        _refuse_guest_options(context)
    with Reporter() as progress:
        if boots is None:
            boots = 1 if is_host else default_boots(rounds, restored=snapshots, until_decided=until_decided)
        if until_decided and rounds > MOST_INTERIM_ROUNDS * boots:
            progress.say(
                f"{rounds} rounds in {boots} boots: with more than {MOST_INTERIM_ROUNDS} rounds per boot, interim analyses are far apart, and the"
                " run decides late"
            )
        request = Request(
            arms,
            scenarios or ("one-big-many-small",),
            rounds,
            boots,
            seed,
            out,
            vcpus,
            memory_mib,
            Accel(accel),
            snapshots,
            append,
            user_fragments,
            may_harm_host,
            until_decided,
            WARM_UP * (not is_host) if warm_up is None else warm_up,
            amplify,
            runs=context.obj.runs,
        )
        experiment = Experiment(request, progress)
        if dry_run:
            experiment.check()
            lines = experiment.describe()
        else:
            run_experiment(experiment, cluster, insecure=cluster_insecure)
    if dry_run:
        click.echo("\n".join(lines))
        return
    _print_done(experiment.directory)
    _remember(experiment)


def _print_done(directory: Path) -> None:
    print_run(directory)
    click.echo(f"Evidence: {directory}\nNext: oomtrial report {shlex.quote(str(directory))}")


def _remember(experiment: Experiment) -> None:
    """Of the arm host, figures go to this machine's history."""
    if "host" in experiment.request.kernels:
        from ..runs.remember import remember

        for line in remember(experiment.directory):
            click.echo(line)


def _refuse_guest_options(context: click.Context) -> None:
    options = _given(context, lambda name: name in _OF_GUESTS)
    if options:
        raise click.UsageError(f"{options[0]} is for guests, and --kernel host boots none")


def _given(context: click.Context, which: Callable[[str], bool]) -> list[str]:
    """Options that stand on the command line."""
    return [
        option.opts[0]
        for option in context.command.params
        if which(str(option.name)) and context.get_parameter_source(str(option.name)) == ParameterSource.COMMANDLINE
    ]
