"""`oomtrial doctor`."""

from __future__ import annotations

import click
from rich.console import Console


@click.command()
@click.option("--clean", is_flag=True, help="Remove what a kill or a power cut left; nothing of a live process.")
def doctor(clean: bool) -> None:
    """Say what works on this machine, and how to get the rest. Exit code 3 when something needed is missing."""
    if clean:
        from ..maintenance.cleanup import clean as clean_up

        count = 0
        for removed in clean_up():
            count += 1
            click.echo(f"removed {removed.what}: {removed.why}")
        if not count:
            click.echo("nothing was left behind")
        return
    from ..maintenance.doctor import diagnose, print_findings

    findings = diagnose()
    print_findings(Console(), findings)
    if any(finding.is_fatal for finding in findings):
        raise SystemExit(3)
