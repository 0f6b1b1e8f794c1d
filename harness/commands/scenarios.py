"""`oomtrial scenarios`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from .output import console_on_stdout, print_json
from .sections import SectionedGroup
from .values import Choice


class DefaultToShowGroup(SectionedGroup):
    """`scenarios NAME` is `scenarios show NAME`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Inserts `show` unless the first argument is a subcommand or asks for help (click.Group.parse_args)."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultToShowGroup)
def scenarios() -> None:
    """List the scenarios, print the file of one, or write a new one.

    \b
    oomtrial scenarios              list them
    oomtrial scenarios NAME         print the TOML file of one
    oomtrial scenarios new NAME     write a template to NAME.toml
    oomtrial scenarios check FILE   how many kills the declared demand needs, limit by limit
    oomtrial scenarios --schema     print the JSON schema of scenario files
    """


@scenarios.command("show")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--format",
    "output_format",
    type=Choice(["table", "toml", "json"]),
    help="Output format.  [default: toml with NAME, else table]",
)
@click.option("--schema", is_flag=True, help="Print the JSON schema of scenario files, for an editor.")
def show_scenarios(names: tuple[str, ...], output_format: str | None, schema: bool) -> None:
    """List all scenarios, or print the TOML file of one. NAME is the name of a scenario, or the path of a .toml file."""
    from ..report.scenariotable import print_scenarios, scenario_row
    from ..spec.scenarios import load_scenario, scenario_names, scenario_schema

    if schema:
        print_json(scenario_schema())
        return
    found = [load_scenario(name) for name in names or scenario_names()]
    output_format = output_format or ("toml" if names else "table")
    if output_format == "json":
        print_json([scenario_row(one) for one in found])
    elif output_format == "toml":
        for scenario in found:
            heading = f"# {scenario.name}\n" if len(found) > 1 else ""
            click.echo(f"{heading}{scenario.text.rstrip()}")
    else:
        print_scenarios(console_on_stdout(), found)


@scenarios.command()
@click.argument("name", metavar="NAME")
def new(name: str) -> None:
    """Write a commented scenario file to NAME.toml. An existing file is not overwritten."""
    from ..errors import HostError, UsageError
    from ..spec.scenarios import scenario_template

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    try:
        with path.open("x") as file:
            file.write(scenario_template())
    except FileExistsError:
        raise UsageError(f"{path} exists already", "choose another name") from None
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error
    word = shlex.quote(str(path))
    click.echo(
        f"{path}\nNext: oomtrial scenarios check {word}\n      oomtrial run --kernel debian:6.12 --scenario {word}"
    )


@scenarios.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def check(names: tuple[str, ...]) -> None:
    """Check the declared demand of a scenario without running it.

    Prints for each limit how many kills are needed and how much room the survivors leave. A run checks the same on every kernel
    before its first round, with real processes. Exit code 7: a limit leaves too little room, so a run would refuse the scenario.
    """
    from ..errors import CHECK_FAILED
    from ..report.demandtable import demand_lines
    from ..spec.demand import check_demand
    from ..spec.scenarios import load_scenario

    failed = False
    for scenario in [load_scenario(name) for name in names]:
        checks = check_demand(scenario)
        failed |= any(each.is_too_tight for each in checks)
        for line in demand_lines(scenario, checks):
            click.echo(line)
    if failed:
        raise SystemExit(CHECK_FAILED)
