"""`oomtrial watch`."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def watch(as_json: bool) -> None:
    """Print the OOM kills of this machine as they happen, with domain, container, margin and estimated overlap.

    Reads the kernel log from /dev/kmsg, and container names from the local engine if there is one. Ctrl-C ends it with a
    summary and exit code 0. Exit code 3 if the kernel log may not be read.
    """
    from rich.console import Console

    from ..logs.follow import watch as follow
    from ..report.watchtext import WatchText, json_on_stdout

    follow(json_on_stdout if as_json else lambda: WatchText(Console()))
