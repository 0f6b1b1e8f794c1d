"""`oomtrial parse`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..errors import EvidenceError
from .output import console_on_stdout


@click.command()
@click.argument("files", metavar="[FILE ...|-]", nargs=-1)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "jsonl", "csv", "parquet"]),
    default="table",
    show_default=True,
    help="csv without --out gives the kills alone.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write files there.")
@click.option("--since", metavar="TIME", help="Seconds of uptime, or a date such as 2026-11-23T08:00:00Z.")
@click.option("--until", metavar="TIME", help="As --since.")
@click.option("--memcg", metavar="GLOB", help="Only kills whose OOM domain or victim lies in it; global is one too.")
@click.option("--explain", metavar="WHO", help="Say what the log proves of a pid, container, pod, unit or memcg.")
def parse(
    files: tuple[str, ...],
    style: str,
    out: Path | None,
    since: str | None,
    until: str | None,
    memcg: str | None,
    explain: str | None,
) -> None:
    """Say what the OOM killer did, from any kernel log: dmesg, syslog, journalctl, /dev/kmsg; plain, .gz, .xz, .zst.

    Without FILE, or for -, standard input is read. A log without any OOM line is a result (exit code 0), and so are
    lines that speak of a kill and cannot be read: they are counted and shown. A log that cannot be read is an error (6),
    after the others were read.
    """
    from ..logs.parse import ParseRequest, parse_files

    if not files and sys.stdin.isatty():
        raise click.UsageError("no FILE, and standard input is a terminal: name a log, or pipe one in")
    console = console_on_stdout()
    request = ParseRequest(files or ("-",), style, out, since, until, memcg, explain)
    if not parse_files(request, console, lambda line: click.echo(f"oomtrial: {line}", err=True)):
        raise SystemExit(EvidenceError.exit_code)
