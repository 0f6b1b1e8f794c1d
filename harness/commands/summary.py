"""`oomtrial summary`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import SUMMARY_FORMAT
from .output import console_on_stdout, print_json
from .values import RUN_PATH

if TYPE_CHECKING:
    from ..analysis.summary import Summary


@click.command()
@click.argument("run_directory", metavar="RUN", type=RUN_PATH)
@SUMMARY_FORMAT
def summary(run_directory: Path, output_format: str) -> None:
    """Print the summary of a run."""
    if output_format == "table":
        print_run(run_directory)
        return
    if output_format != "json":
        from ..runs.plaintext import text_of_run

        click.echo(text_of_run(run_directory, output_format), nl=False)
        return
    from ..runs.tables import summarize

    print_json(summarize(run_directory))


def print_run(run_directory: Path) -> Summary:
    """Prints the summary of a run on the terminal, and returns it."""
    from ..report.reproduce import reproduce_lines
    from ..report.terminal import print_arms, print_summary, print_verdicts
    from ..runs.record import read_run
    from ..runs.tables import summarize

    console = console_on_stdout()
    summary = summarize(run_directory)
    print_summary(console, summary)
    record = read_run(run_directory)
    print_arms(console, record.arms)
    for line in reproduce_lines(record.command, record.provenance):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    print_verdicts(console, summary)
    return summary
