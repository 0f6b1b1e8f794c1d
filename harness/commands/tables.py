"""`oomtrial tables`: of a run, made anew or taken elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import EvidenceError
from .sections import SectionedGroup
from .values import RUN_PATH


@click.group(cls=SectionedGroup)
def tables() -> None:
    """Rebuild or export the tables of a run."""


@tables.command("rebuild")
@click.argument("run_directory", metavar="RUN", type=RUN_PATH)
@click.option("--accept-edited", is_flag=True, help="Also accept raw files that changed after their trial ended.")
def tables_rebuild(run_directory: Path, accept_edited: bool) -> None:
    """Rebuild a run's tables from its raw evidence. Exit code 6 if some of the evidence was left out."""
    from ..runs.tables import rebuild_tables

    problems = rebuild_tables(run_directory, accept_edited)
    for problem in problems:
        click.echo(f"left out: {problem}", err=True)
    click.echo(f"{run_directory / 'tables'}")
    if problems:
        raise SystemExit(EvidenceError.exit_code)


@tables.command("export")
@click.argument("run_directory", metavar="RUN", type=RUN_PATH)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def tables_export(run_directory: Path, directory: Path) -> None:
    """Copy a run's tables and record without the raw evidence and without this machine's paths, to keep or to send.

    summary, compare, report and oomtrial.load_run accept the copy in place of the run.
    """
    from ..runs.export import export_set

    for text in export_set(run_directory, directory):
        click.echo(f"without its directories: {text}", err=True)
    click.echo(f"{directory}")
