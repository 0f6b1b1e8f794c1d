"""`oomtrial doctor`."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--clean", is_flag=True, help="Remove files, containers and memcgs that killed processes of oomtrial left behind."
)
def doctor(clean: bool) -> None:
    """Check what works on this machine and show how to get the rest. Exit code 3 if something required is missing."""
    if clean:
        from ..maintenance.cleanup import clean as clean_up

        count = 0
        for removed in clean_up():
            count += 1
            click.echo(f"removed {removed.what}: {removed.why}")
        if not count:
            click.echo("nothing was left behind")
        return
    from rich.console import Console

    from ..maintenance.doctor import diagnose, print_findings

    findings = diagnose()
    print_findings(Console(), findings)
    if any(finding.is_fatal for finding in findings):
        raise SystemExit(3)
