"""`oomtrial parse`."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import click

from ..errors import EvidenceError
from .output import console_on_stdout
from .values import Choice


@click.command()
@click.argument("files", metavar="[FILE ...|-]", nargs=-1)
@click.option(
    "--format",
    "output_format",
    type=Choice(["table", "json", "jsonl", "csv", "parquet"]),
    default="table",
    show_default=True,
    help="Output format. csv without --out prints the table of kills.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the tables as files to this directory.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Ignore records before this time: seconds of uptime, or a date such as 2026-11-23T08:00:00Z.",
)
@click.option("--until", metavar="TIME", help="Ignore records after this time; same forms as --since.")
@click.option(
    "--memcg",
    metavar="GLOB",
    help="Show only kills whose OOM domain or victim is in a matching memcg; global stands for the whole machine.",
)
@click.option("--explain", metavar="WHO", help="Say what the log proves about a pid, container, pod, unit or memcg.")
def parse(
    files: tuple[str, ...],
    output_format: str,
    out: Path | None,
    since: str | None,
    until: str | None,
    memcg: str | None,
    explain: str | None,
) -> None:
    """Read OOM kills from any kernel log: dmesg, syslog, journalctl, /dev/kmsg; plain, .gz, .xz or .zst.

    Without FILE, or for -, standard input is read. A log without any OOM line is a valid result (exit code 0). Lines that
    mention a kill but cannot be read are counted and shown. If a file cannot be read, the others are read first, and the
    exit code is 6.
    """
    gc.disable()  # imports alone make enough objects for several searches for cycles
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts threads for algebra, of which there is none here
    from ..logs.parse import ParseRequest, parse_files
    from ..oomlog.compiled import keep_memory

    keep_memory()
    gc.freeze()
    gc.enable()
    if not files and sys.stdin.isatty():
        raise click.UsageError("no FILE, and standard input is a terminal: name a log, or pipe one in")
    request = ParseRequest(files or ("-",), output_format, out, since, until, memcg, explain)
    if not parse_files(request, console_on_stdout, lambda line: click.echo(f"oomtrial: {line}", err=True)):
        raise SystemExit(EvidenceError.exit_code)
