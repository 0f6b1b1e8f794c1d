"""`oomtrial compare` and `oomtrial plan`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import CHECK_FAILED
from ..spec.boots import DEFAULT_ICC
from .options import COMPARE_FORMAT, FORMAT
from .output import console_on_stderr, console_on_stdout, print_json
from .values import RUN_PATH, FloatRange, IntRange


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RUN_PATH)
@click.option(
    "--baseline", metavar="ARM", help="Arm that the others are compared with.  [default: the first stock arm]"
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 7 if an arm is worse, or if the lower bound of its rate lies above X (redundant-rate>X). Repeatable.",
)
@COMPARE_FORMAT
@click.option(
    "--by-run/--pooled",
    default=None,
    help="Keep the arms of each run apart, or pool arms of one name.  [default: apart for the arm host, else pooled]",
)
def compare(
    runs: tuple[Path, ...], baseline: str | None, conditions: tuple[str, ...], output_format: str, by_run: bool | None
) -> None:
    """Compare the arms of a run, or of several runs that can be pooled, and give a verdict for each.

    Exit code 7 if an arm fails a condition of --fail-if. An undecided comparison fails none, and the output says so.
    """
    from ..analysis.checks import check_summary, parse_condition
    from ..report.ci import junit_xml, ktap
    from ..runs.plaintext import PLAIN_FORMATS, text_of_pool
    from ..runs.pool import pool_runs
    from ..runs.summary import summarize_pool

    parsed = [parse_condition(text) for text in conditions]
    pool = pool_runs(runs, by_run)
    summary = summarize_pool(pool, baseline)
    checks = check_summary(summary, parsed)
    if output_format == "json":
        print_json({"summary": summary, "checks": checks})
    elif output_format == "table":
        from ..report.comparisontable import print_checks
        from ..report.terminal import print_arms, print_summary, print_verdicts

        console = console_on_stdout()
        print_summary(console, summary)
        print_arms(console, [arm for record in pool.records for arm in record.arms])
        print_verdicts(console, summary, with_tests=True)
        print_checks(console, checks)
    elif output_format in PLAIN_FORMATS:
        from ..report.comparisontable import print_checks

        click.echo(text_of_pool(pool, summary, output_format), nl=False)
        print_checks(console_on_stderr(), checks)
    else:
        click.echo(
            junit_xml(summary, checks) if output_format == "junit" else ktap(summary, checks),
            nl=output_format == "junit",
        )
    if any(check.failed for check in checks):
        raise SystemExit(CHECK_FAILED)


@click.command()
@click.option("--rate", required=True, metavar="A", help="Share of rounds with a redundant kill today: 0.09 or 9%.")
@click.option(
    "--to",
    "shares",
    required=True,
    multiple=True,
    metavar="B",
    help="Share that the test should distinguish from it. Repeatable.",
)
@click.option(
    "--power",
    default="0.9",
    show_default=True,
    metavar="P",
    help="Probability that the test distinguishes them (power).",
)
@click.option(
    "--rounds-per-boot", type=IntRange(1, 100_000), default=5, show_default=True, help="Rounds counted per boot."
)
@click.option("--icc", type=FloatRange(0, 1), default=DEFAULT_ICC, show_default=True, metavar="R", help="Correlation of rounds within a boot (intraclass correlation).")  # fmt: skip
@click.option("--boots", type=IntRange(2, 10_000), help="Boots per arm, instead of --rounds-per-boot.")
@click.option(
    "--comparisons",
    type=IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Number of comparisons made at once: arms times scenarios.",
)
@click.option("--seconds-per-round", type=FloatRange(0), metavar="S", help="Needed for the duration.")
@click.option("--seconds-per-boot", type=FloatRange(0), default=0.0, metavar="S", help="Start of a boot, warm-up round included.")  # fmt: skip
@FORMAT
def plan(
    rate: str,
    shares: tuple[str, ...],
    power: str,
    rounds_per_boot: int,
    icc: float,
    boots: int | None,
    comparisons: int,
    seconds_per_round: float | None,
    seconds_per_boot: float,
    output_format: str,
) -> None:
    """Compute how many boots and rounds are needed to tell two shares of rounds apart.

    The test of `compare` runs on 2,000 simulated runs of each size.
    """
    import msgspec

    from ..analysis.checks import parse_share
    from ..analysis.planning import ALPHA, size_of
    from ..errors import UsageError
    from ..report.plantable import print_sizes

    base, wanted = parse_share(rate), parse_share(power)
    if not 0 < wanted < 1:
        raise UsageError(f"--power is {power}", "write a chance above 0 and below 1, such as 0.9")
    sizes = []
    for share in shares:
        if parse_share(share) == base:
            raise UsageError(f"--to {share} is --rate: no number of rounds distinguishes them")
        size = size_of(base, parse_share(share), wanted, ALPHA / comparisons, rounds_per_boot, icc, boots)
        if seconds_per_round is not None and size.rounds is not None and size.boots is not None:
            seconds = 2 * (size.rounds * seconds_per_round + size.boots * seconds_per_boot)
            size = msgspec.structs.replace(size, seconds=seconds)
        sizes.append(size)
    if output_format == "json":
        print_json(sizes)
        return
    print_sizes(console_on_stdout(), sizes)
