"""`oomtrial demo`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..progress import Reporter
from ..spec.boots import WARM_UP
from .options import SEED
from .summary import print_run
from .values import IntRange

# One boot of each kernel: these differ so much that a few rounds tell them apart, and a cold boot takes longer than all of these.
_ROUNDS = 24


@click.command()
@click.option("--rounds", type=IntRange(1, 1_000_000), default=_ROUNDS, show_default=True, help="Rounds per kernel.")
@click.option("--boots", type=IntRange(1, 10_000), default=1, show_default=True, help="Boots per kernel.")
@SEED
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the run.  [default: results/runs/RUN_ID]")
@click.pass_context
def demo(context: click.Context, rounds: int, boots: int, seed: int, out: Path | None) -> None:
    """Compare the newest available kernel: stock, with a fix, and broken on purpose.

    While these kernels are built, Debian's prebuilt kernel of that version is measured. Its figure comes first and is not
    pooled with the others.
    """
    from ..experiment.preflight import refuse_existing
    from ..experiment.request import Request
    from ..spec.plan import plan_blocks
    from ..studies.demo import control_line, run_demo

    if out is not None:
        refuse_existing(out)
    plan_blocks(["stock"], ["demo"], rounds, boots, seed)  # refused before kernels are built
    request = Request((), ("one-big-many-small",), rounds, boots, seed, out, warm_up=WARM_UP, runs=context.obj.runs)
    with Reporter() as progress:
        done = run_demo(request, progress)
    if control := control_line(print_run(done.directory)):
        click.echo(control)
    for line in done.first.lines if done.first else []:
        click.echo(line)
    click.echo(f"Evidence: {done.directory}\nNext: oomtrial report {shlex.quote(str(done.directory))}")
