"""`oomtrial series`."""

from __future__ import annotations

from pathlib import Path

import click

from ..progress import Reporter
from ..spec.boots import WARM_UP, default_boots
from ..spec.machine import Accel
from ..system.extras import require_extra
from .options import ACCEL, CLUSTER, CLUSTER_INSECURE, FORMAT, MEMORY, OWN_CONFIG, SEED, SNAPSHOTS, VCPUS
from .output import console_on_stdout, print_json
from .values import IntRange

_DEFAULT_SCENARIO = "one-big-many-small"


@click.command()
@click.argument("versions", metavar="VERSION...", nargs=-1)
@click.option(
    "--scenario", metavar="NAME", help=f"Scenario name, or path of a .toml file.  [default: {_DEFAULT_SCENARIO}]"
)
@click.option("--rounds", type=IntRange(1, 1_000_000), default=40, show_default=True, help="Rounds per version.")
@click.option("--boots", type=IntRange(1, 10_000), help="Boots per version; rounds are spread over them.  [default: one per 12 rounds, but at least 8]")  # fmt: skip
@SEED
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the run.  [default: results/runs/RUN_ID]")
@VCPUS
@MEMORY
@ACCEL
@SNAPSHOTS
@OWN_CONFIG
@CLUSTER
@CLUSTER_INSECURE
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Resume an interrupted series from its record.")  # fmt: skip
@click.option("--from", "from_runs", is_flag=True, help="Measure nothing; each VERSION is the directory of a run.")
@click.option("--svg", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write the picture as SVG to this directory, instead of the run's.")  # fmt: skip
@click.option(
    "--png",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the picture as PNG to this directory, instead of the run's.",
)
@FORMAT
@click.pass_context
def series(
    context: click.Context,
    versions: tuple[str, ...],
    scenario: str | None,
    rounds: int,
    boots: int | None,
    seed: int,
    out: Path | None,
    vcpus: int,
    memory_mib: int,
    accel: str,
    snapshots: bool,
    user_fragments: tuple[Path, ...],
    cluster: str | None,
    cluster_insecure: bool,
    resume: Path | None,
    from_runs: bool,
    svg: Path | None,
    png: Path | None,
    output_format: str,
) -> None:
    """Measure several kernel versions and show between which two the share of redundant kills changes.

    VERSION is a kernel spec or a bare version, which means Debian's prebuilt kernel (debian:VERSION) or, if there is none,
    its source (source:VERSION). Versions that are not available are reported in one line, and the others are measured.
    """
    from ..errors import UsageError
    from ..experiment.request import Request
    from ..report.seriestable import print_series
    from ..studies.series import measure_series, read_series

    if resume is not None and (versions or from_runs):
        raise UsageError("--resume continues a series as recorded", "leave out the versions and --from")
    if from_runs and not versions:
        raise UsageError("--from needs the directory of a run", "such as `oomtrial series --from results/runs/RUN_ID`")
    wanted = [(directory, kind) for directory, kind in ((svg, "svg"), (png, "png")) if directory is not None]
    if wanted or not from_runs or len(versions) == 1:
        require_extra("the picture of a series", "report")  # before anything is measured
    if from_runs:
        runs = list(map(Path, versions))
    elif resume is not None:
        runs = [_resume(resume, cluster, insecure=cluster_insecure)]
    else:
        request = Request(
            (),
            (scenario or _DEFAULT_SCENARIO,),
            rounds,
            boots or default_boots(rounds, restored=snapshots),
            seed,
            out,
            vcpus,
            memory_mib,
            Accel(accel),
            snapshots,
            config=user_fragments,
            warm_up=WARM_UP,
            runs=context.obj.runs,
        )
        with Reporter() as progress:
            runs, scenario = [measure_series(versions, request, progress, cluster, insecure=cluster_insecure)], None
    found = read_series(runs, scenario)
    if output_format == "json":
        print_json(found)
    else:
        print_series(console_on_stdout(), found)
    if not wanted and len(runs) == 1:
        wanted = [(runs[0], "svg"), (runs[0], "png")]
    for directory, kind in wanted:
        from ..report.serieschart import write_picture

        click.echo(f"picture: {write_picture(found, directory, kind)}", err=output_format == "json")


def _resume(run: Path, cluster: str | None, *, insecure: bool) -> Path:
    from ..experiment.driver import run_experiment
    from ..experiment.experiment import resume_run

    with Reporter() as progress:
        run_experiment(
            resume_run(run, progress, elsewhere=cluster is not None), cluster, insecure=insecure, command="series"
        )
    return run
