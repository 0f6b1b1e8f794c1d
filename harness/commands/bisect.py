"""`oomtrial bisect`, and its steps."""

from __future__ import annotations

import traceback
from pathlib import Path

import click

from ..errors import CHECK_FAILED, OomtrialError
from ..progress import Reporter
from ..spec.machine import ACCELERATIONS, Accel
from .options import VCPUS


@click.command()
@click.option("--tree", required=True, type=click.Path(path_type=Path), metavar="PATH", help="A git tree; only read.")
@click.option("--good", required=True, metavar="REF")
@click.option("--bad", required=True, metavar="REF")
@click.option("--scenario", default="one-big-many-small", show_default=True, help="Name or .toml file.")
@click.option(
    "--rounds", type=click.IntRange(8, 100_000), default=60, show_default=True, help="An end; a step at most."
)
@click.option("--boots", type=click.IntRange(1, 1000), default=2, show_default=True, help="Boots an end.")
@click.option(
    "--what", type=click.Choice(["redundant", "hung"]), help="Of the rounds.  [default: where the ends differ]"
)
@click.option("--seed", type=int, default=1, show_default=True)
@VCPUS
@click.option("--accel", type=click.Choice(ACCELERATIONS), default="auto", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The same again goes on.")
def bisect(
    tree: Path,
    good: str,
    bad: str,
    scenario: str,
    rounds: int,
    boots: int,
    what: str | None,
    seed: int,
    vcpus: int,
    accel: str,
    out: Path,
) -> None:
    """Find the commit at which redundant kills, or hangs, came or went: git bisect, with a statistical verdict a step.

    Good and bad are measured first. A step takes rounds until one of the two is 99 times likelier, and is skipped when
    --rounds are not enough. Exit code 7 when the ends do not differ, or only skipped commits are left.
    """
    from ..studies import bisect as bisection

    plan = bisection.plan_bisection(tree, good, bad, scenario, rounds, boots, seed, vcpus, Accel(accel))
    with Reporter() as progress:
        first_bad, verdicts = bisection.bisect(plan, out, what, progress)
    bisection.describe(out, first_bad, verdicts, click.echo)
    if first_bad is None:
        raise SystemExit(CHECK_FAILED)


@click.command("bisect-step", hidden=True)
@click.argument("out", type=click.Path(path_type=Path))
def bisect_step(out: Path) -> None:
    """One step of `oomtrial bisect`, for `git bisect run`."""
    from ..studies.bisect import STOP, step

    try:
        with Reporter() as progress:
            status = step(out, progress)
    except OomtrialError as error:
        click.echo(f"oomtrial: {error}", err=True)
        status = STOP
    except Exception:
        traceback.print_exc()
        status = STOP
    raise SystemExit(status)
