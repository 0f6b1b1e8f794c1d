"""`oomtrial try`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..progress import Reporter
from ..spec.boots import WARM_UP, default_boots
from ..spec.machine import Accel
from .options import ACCEL, MEMORY, OWN_CONFIG, SEED
from .output import console_on_stdout
from .values import IntRange

_MOST_ROUNDS = 200
_PLAIN_WIDTH = 100  # of a timeline, where standard output is no terminal


@click.command("try")
@click.argument("patches", nargs=-1, metavar="[PATCH]...")
@click.option(
    "--tree",
    type=click.Path(path_type=Path),
    default=".",
    metavar="PATH",
    help="Kernel tree. It is only read.  [default: the current directory]",
)
@click.option("--base", default="", metavar="REF", help="Compare with this commit of the tree instead of the tree as it is.")  # fmt: skip
@click.option("--scenario", metavar="NAME", help="Scenario name, or path of a .toml file.  [default: one-big-many-small]")  # fmt: skip
@click.option(
    "--rounds",
    type=IntRange(8, 1_000_000),
    default=_MOST_ROUNDS,
    show_default=True,
    help="Maximum rounds per arm. It ends as soon as the verdict is clear.",
)
@SEED
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the run.  [default: results/runs/RUN_ID]")
@click.option(
    "--vcpus",
    type=IntRange(1, 64),
    help="Virtual CPUs per guest.  [default: the number of host cores, at least 4 and at most 8]",
)
@MEMORY
@ACCEL
@OWN_CONFIG
@click.pass_context
def try_(
    context: click.Context,
    patches: tuple[str, ...],
    tree: Path,
    base: str,
    scenario: str | None,
    rounds: int,
    seed: int,
    out: Path | None,
    vcpus: int | None,
    memory_mib: int,
    accel: str,
    user_fragments: tuple[Path, ...],
) -> None:
    """Test a kernel tree: does it kill more or fewer processes than needed, with patches or without?

    \b
    oomtrial try a.patch b.patch    this tree, against the same with the patches
    oomtrial try --base v7.3        v7.3, against this tree with its commits and changes
    oomtrial try                    the newest released kernel, against this tree

    PATCH is a diff, a patch mail, a directory with a series, or a name from the library. Rounds are run until the verdict is
    clear. Prints the verdict, the timeline of one round per kernel, and the text for a patch mail.
    """
    from ..experiment.preflight import refuse_existing
    from ..experiment.request import Request, load_scenarios
    from ..report.comparisontable import print_comparison
    from ..report.timelinetext import timeline_text
    from ..runs.plaintext import text_of_run
    from ..studies.trying import SCENARIO, choose_arms, choose_vcpus, run_try
    from ..system.machine import machine_budget

    if out is not None:
        refuse_existing(out)
    names = (scenario or SCENARIO,)
    load_scenarios(names)
    boots = default_boots(rounds, restored=False, until_decided=True)
    request = Request(
        (),
        names,
        rounds,
        boots,
        seed,
        out,
        vcpus or choose_vcpus(machine_budget().cores),
        memory_mib,
        Accel(accel),
        config=user_fragments,
        warm_up=WARM_UP,
        runs=context.obj.runs,
        saves_snapshots=False,  # of a patched tree: it is seldom measured twice, and each costs more than a boot
    )
    with Reporter() as progress:
        tried = run_try(choose_arms(tree, base, patches, progress), request, progress)
    console = console_on_stdout(_PLAIN_WIDTH)
    for comparison in tried.summary.comparisons:
        print_comparison(console, comparison)
    for timeline in tried.timelines:
        console.print()
        console.print(timeline_text(timeline, console.width))
    click.echo(f"\n{text_of_run(tried.directory, 'mail')}")
    click.echo(f"Evidence: {tried.directory}\nNext: oomtrial report {shlex.quote(str(tried.directory))}")
