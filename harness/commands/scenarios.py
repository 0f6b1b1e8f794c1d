"""`oomtrial scenarios`."""

from __future__ import annotations

import click

from .options import FORMAT
from .output import console_on_stdout, print_json


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@FORMAT
def scenarios(names: tuple[str, ...], style: str) -> None:
    """List the scenarios, or show some of them by name or by the path of their file."""
    from ..report.scenariotable import print_scenario, print_scenarios, scenario_row
    from ..spec.scenario import load_scenario, scenario_names

    found = [load_scenario(name) for name in names or scenario_names()]
    if style == "json":
        print_json([scenario_row(one) for one in found])
        return
    console = console_on_stdout()
    if names:
        for scenario in found:
            print_scenario(console, scenario)
    else:
        print_scenarios(console, found)
