"""`oomtrial watch`."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def watch(as_json: bool) -> None:
    """Print the OOM kills of this machine as they come: domain, container, margin, and whether an overlap is estimated.

    The kernel log is read at /dev/kmsg, names come from the container engine, if there is one. Ctrl-C ends it, with a
    summary and exit code 0. Exit code 3 where the kernel log may not be read.
    """
    from rich.console import Console

    from ..logs.follow import watch as follow
    from ..report.watchtext import WatchText, json_on_stdout

    follow(json_on_stdout if as_json else lambda: WatchText(Console()))
