"""`oomtrial report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..system.extras import require_extra
from .output import console_on_stdout, require_parent
from .values import RUN_PATH, IntRange

if TYPE_CHECKING:
    from ..report.timeline import Timeline

_PLAIN_WIDTH = 100  # where standard output is no terminal


@click.command()
@click.argument("run_directory", metavar="RUN", type=RUN_PATH)
@click.option("--scenario", metavar="NAME", help="Scenario to report, if the run has several.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write the page to.  [default: RUN/report.html]",
)
@click.option("--round", "rounds", multiple=True, metavar="TRIAL/ROUND", help="Draw the timeline of this round. Repeatable.  [default: rounds with a redundant kill first]")  # fmt: skip
@click.option("--max-rounds", type=IntRange(0, 1000), default=12, show_default=True, help="Maximum number of rounds drawn by default.")  # fmt: skip
@click.option("--svg", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write the pictures as SVG files to this directory, instead of the page.")  # fmt: skip
@click.option(
    "--png",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the pictures as PNG files to this directory, instead of the page.",
)
@click.option("--trace", type=click.Path(path_type=Path), metavar="FILE", help="Write the rounds as a trace for ui.perfetto.dev, instead of the page.")  # fmt: skip
@click.option("--text", is_flag=True, help="Print the timelines as text, instead of the page.")
@click.option("--mail", is_flag=True, help="Print the summary for a patch mail, instead of the page.")
def report(
    run_directory: Path,
    scenario: str | None,
    out: Path | None,
    rounds: tuple[str, ...],
    max_rounds: int,
    svg: Path | None,
    png: Path | None,
    trace: Path | None,
    text: bool,
    mail: bool,
) -> None:
    """Write the report of a run as one HTML page that needs no network.

    By default it draws rounds with a redundant kill, rounds in which the witnesses disagree, and rounds that did not complete.
    """
    for path in (out, trace):
        if path is not None:
            require_parent(path)
    wants_page = out is not None or not (svg or png or trace or text or mail)
    if wants_page or svg or png:
        require_extra("report", "report")
    if mail:
        from ..runs.mail import mail_of_run

        click.echo(mail_of_run(run_directory, scenario=scenario), nl=False)
        if not (out or svg or png or trace or text):
            return
    from ..runs.report import open_report, write_trace

    opened = open_report(run_directory, rounds, max_rounds, scenario)
    for directory, kind in ((svg, "svg"), (png, "png")):
        if directory is not None:
            from ..runs.reportpage import write_pictures

            for path in write_pictures(opened, directory, kind):
                click.echo(path)
    if trace is not None:
        write_trace(opened, trace)
        click.echo(trace)
    if text:
        _print_rounds([timeline for _, timeline in opened.timelines])
    if wants_page:
        from ..runs.reportpage import write_page

        path = out or run_directory / "report.html"
        write_page(opened, path)
        click.echo(path)


def _print_rounds(timelines: list[Timeline]) -> None:
    from ..report.timelinetext import timeline_text

    console = console_on_stdout(_PLAIN_WIDTH)
    for timeline in timelines:
        console.print(timeline_text(timeline, console.width))
