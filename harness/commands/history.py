"""`oomtrial history`."""

from __future__ import annotations

import click

from .output import console_on_stdout, print_json
from .values import IntRange


@click.command()
@click.option("--last", type=IntRange(1), default=20, show_default=True, metavar="N", help="Entries to show.")
@click.option("--json", "as_json", is_flag=True, help="Print all entries as JSON.")
def history(last: int, as_json: bool) -> None:
    """List earlier runs on host with their figures.

    An entry is one scenario of one run of this machine's own kernel. `oomtrial compare` compares the directories of two runs.
    """
    from ..runs.history import history_path, read_history
    from ..runs.historytable import print_history

    entries = read_history()
    if as_json:
        print_json(entries)
    elif entries:
        print_history(console_on_stdout(), entries[-last:])
    else:
        click.echo(f"No run on host yet ({history_path()}).\nNext: oomtrial run --kernel host --rounds 50")
