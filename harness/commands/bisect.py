"""`oomtrial bisect`, and its steps."""

from __future__ import annotations

import traceback
from pathlib import Path

import click

from ..errors import CHECK_FAILED, OomtrialError
from ..progress import Reporter
from ..spec.machine import Accel
from .options import ACCEL, SEED, VCPUS, WARM_UP_ROUNDS
from .values import Choice, IntRange


@click.command()
@click.option(
    "--tree",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Git tree of the kernel. It is only read.",
)
@click.option("--good", required=True, metavar="REF", help="Older commit, without the effect.")
@click.option("--bad", required=True, metavar="REF", help="Newer commit, with the effect.")
@click.option(
    "--scenario", default="one-big-many-small", show_default=True, help="Scenario name, or path of a .toml file."
)
@click.option(
    "--rounds",
    type=IntRange(8, 100_000),
    default=60,
    show_default=True,
    help="Rounds per endpoint; maximum per step.",
)
@click.option("--boots", type=IntRange(1, 1000), default=2, show_default=True, help="Boots per endpoint.")
@WARM_UP_ROUNDS
@click.option(
    "--what",
    type=Choice(["redundant", "hung"]),
    help="What makes a round bad: a redundant kill, or that it does not complete.  [default: the one in which the endpoints differ more]",
)
@SEED
@VCPUS
@ACCEL
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the bisection. Reuse it to resume.",
)
def bisect(
    tree: Path,
    good: str,
    bad: str,
    scenario: str,
    rounds: int,
    boots: int,
    warm_up: int,
    what: str | None,
    seed: int,
    vcpus: int,
    accel: str,
    out: Path,
) -> None:
    """Find the commit that introduced or removed redundant kills or hangs: git bisect with a statistical verdict per step.

    Both endpoints are measured first. Each step runs rounds until one of the two is 99 times likelier, and is skipped if
    --rounds do not decide it. Exit code 7 if the endpoints do not differ, or if only skipped commits are left.
    """
    from ..studies import bisect as bisection

    plan = bisection.plan_bisection(tree, good, bad, scenario, rounds, boots, seed, vcpus, Accel(accel), warm_up)
    with Reporter() as progress:
        first_bad, verdicts = bisection.bisect(plan, out, what, progress)
    bisection.describe(out, first_bad, verdicts, click.echo)
    if first_bad is None:
        raise SystemExit(CHECK_FAILED)


@click.command("bisect-step", hidden=True)
@click.argument("out", type=click.Path(path_type=Path))
def bisect_step(out: Path) -> None:
    """Run one step of `oomtrial bisect`, for `git bisect run`."""
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
