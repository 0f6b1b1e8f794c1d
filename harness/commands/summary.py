"""`oomtrial summary`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import MAIL_FORMAT
from .output import console_on_stdout, print_json


@click.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@MAIL_FORMAT
def summary(run_directory: Path, style: str) -> None:
    """Print the summary of a run."""
    if style == "table":
        print_run(run_directory)
        return
    if style == "mail":
        from ..runs.mail import mail_of_run

        click.echo(mail_of_run(run_directory), nl=False)
        return
    from ..runs.tables import summarize

    print_json(summarize(run_directory))


def print_run(run_directory: Path) -> None:
    """The summary of a run on the terminal."""
    from ..report.terminal import print_summary
    from ..runs.tables import summarize

    print_summary(console_on_stdout(), summarize(run_directory))
