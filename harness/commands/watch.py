"""`oomtrial watch`."""

from __future__ import annotations

from contextlib import ExitStack

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    help="Also serve counters for Prometheus at this address: kills and estimated overlaps by container, pod and unit, and"
    " lost records of the kernel log. Without HOST, on 127.0.0.1 only.",
)
def watch(as_json: bool, metrics: str | None) -> None:
    """Print the OOM kills of this machine as they happen, with domain, container, usage, margin and estimated overlap.

    Reads the kernel log from /dev/kmsg, and container names from the local engine if there is one. Ctrl-C ends it with a
    summary and exit code 0. Exit code 3 if the kernel log may not be read.
    """
    from rich.console import Console

    from ..logs.follow import watch as follow
    from ..report.watchtext import WatchText, json_on_stdout

    make_out = json_on_stdout if as_json else lambda: WatchText(Console())
    if metrics is None:
        follow(make_out)
        return
    from ..logs.metrics import Metrics, parse_address

    host, port = parse_address(metrics)
    with ExitStack() as serving:
        meter = Metrics()
        port, stop = meter.serve(host, port)
        serving.callback(stop)
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"metrics: http://{shown}:{port}/metrics", err=True)
        follow(make_out, meter)
