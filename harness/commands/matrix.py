"""`oomtrial matrix`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ..errors import CHECK_FAILED, OomtrialError, UsageError
from ..progress import Reporter
from ..spec.boots import WARM_UP, default_boots
from ..spec.machine import Accel
from ..system.extras import require_extra
from .options import ACCEL, CLUSTER, CLUSTER_INSECURE, MEMORY, OWN_CONFIG, SEED, SNAPSHOTS, VCPUS
from .output import console_on_stdout, print_json
from .values import Choice, IntRange

if TYPE_CHECKING:
    from ..analysis.checks import Condition
    from ..analysis.matrix import Matrix

_DEFAULT_SCENARIO = "one-big-many-small"
_OF_SITE = ("out", "output_format", "conditions")  # options that measure nothing


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Directory of the matrix: DIR/nights has a run for each night, DIR/index.html is the page.")  # fmt: skip
@click.option(
    "--kernels",
    "--kernel",
    "kernels",
    multiple=True,
    metavar="[LABEL=]SPEC",
    help="Kernel spec, as for `run`. Repeatable. A LABEL names the same row every night, whatever SPEC is. Without"
    " --kernels nothing is measured, and the page is written again.",
)
@click.option(
    "--scenarios",
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help=f'Scenario name, path of a .toml file, or "all". Repeatable.  [default: {_DEFAULT_SCENARIO}]',
)
@click.option("--rounds", type=IntRange(1, 1_000_000), default=40, show_default=True, help="Rounds per kernel and scenario.")  # fmt: skip
@click.option("--boots", type=IntRange(1, 10_000), help="Boots per kernel and scenario; rounds are spread over them.  [default: one per 12 rounds, but at least 8; 1 on host]")  # fmt: skip
@SEED
@VCPUS
@MEMORY
@ACCEL
@SNAPSHOTS
@OWN_CONFIG
@CLUSTER
@CLUSTER_INSECURE
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 7 if a cell is worse than in the night before (worse), or if the lower bound of its rate lies above X"
    " (redundant-rate>X). Repeatable.",
)
@click.option(
    "--format",
    "output_format",
    type=Choice(["table", "json", "junit", "ktap"]),
    default="table",
    show_default=True,
    help="Output format. junit and ktap: a test for each cell, which fails where the cell is worse than in the night before.",
)
@click.pass_context
def matrix(
    context: click.Context,
    out: Path,
    kernels: tuple[str, ...],
    scenarios: tuple[str, ...],
    rounds: int,
    boots: int | None,
    seed: int,
    vcpus: int,
    memory_mib: int,
    accel: str,
    snapshots: bool,
    user_fragments: tuple[Path, ...],
    cluster: str | None,
    cluster_insecure: bool,
    conditions: tuple[str, ...],
    output_format: str,
) -> None:
    """Measure kernels in scenarios once a night, and show what changed since the night before.

    Each call adds a night to DIR. The same call again resumes a night that was interrupted; every round counts once. The
    page DIR/index.html has a cell for each kernel and scenario, its line over the nights, and links to the reports.
    """
    require_extra("matrix", "report")  # before a night is measured
    from ..analysis.checks import parse_condition
    from ..experiment.request import Request
    from ..spec.arm import name_arms
    from ..studies.matrixsite import PAGE, write_site
    from ..studies.nightly import add_night

    parsed = [parse_condition(text) for text in conditions]
    if not kernels and (given := _measurement_options_given(context)):
        raise UsageError(f"{given[0]} is of a night that is measured", "add --kernels SPEC, or leave it out")
    with Reporter() as progress:
        if kernels:
            arms = name_arms(kernels)
            is_host = any(arm.kernel == "host" for arm in arms)
            request = Request(
                arms,
                scenarios or (_DEFAULT_SCENARIO,),
                rounds,
                boots or (1 if is_host else default_boots(rounds, restored=snapshots)),
                seed,
                None,
                vcpus,
                memory_mib,
                Accel(accel),
                snapshots,
                config=user_fragments,
                warm_up=WARM_UP * (not is_host),
            )
            try:
                add_night(out, request, progress, cluster, insecure=cluster_insecure)
            except OomtrialError as error:
                if error.exit_code != UsageError.exit_code:  # what earlier nights found is shown all the same
                    with contextlib.suppress(OomtrialError):
                        write_site(out, progress)
                raise
        shown = write_site(out, progress)
    failed = _print_matrix(shown, output_format, parsed)
    click.echo(f"page: {out / PAGE}", err=output_format != "table")
    if failed:
        raise SystemExit(CHECK_FAILED)


def _print_matrix(matrix: Matrix, output_format: str, parsed: list[Condition]) -> bool:
    """Prints the newest night. Returns whether a cell fails a condition."""
    from ..analysis.checks import parse_condition
    from ..analysis.matrix import check_night
    from ..report.ci import junit_xml, ktap

    asked = parsed or ([parse_condition("worse")] if output_format in ("junit", "ktap") else [])
    summary, checks = check_night(matrix.newest, asked)
    if output_format == "json":
        print_json({"nights": len(matrix.nights), "newest": matrix.newest, "checks": checks})
    elif output_format == "table":
        from ..report.comparisontable import print_checks
        from ..report.matrixtable import print_matrix

        console = console_on_stdout()
        print_matrix(console, matrix)
        print_checks(console, [check for check in checks if check.failed])
    else:
        click.echo(
            junit_xml(summary, checks) if output_format == "junit" else ktap(summary, checks),
            nl=output_format == "junit",
        )
    return bool(parsed) and any(check.failed for check in checks)


def _measurement_options_given(context: click.Context) -> list[str]:
    """Options on the command line that only a measurement needs."""
    return [
        option.opts[0]
        for option in context.command.params
        if option.name not in _OF_SITE and context.get_parameter_source(str(option.name)) == ParameterSource.COMMANDLINE
    ]
