"""The history of this machine as a table for the terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..report.lines import print_table
from ..report.visible import visible
from .history import Entry


def print_history(console: Console, entries: Sequence[Entry]) -> None:
    """A row per entry, oldest first, and below the table the directories that `oomtrial compare` takes."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("time (UTC)", "kernel", "scenario"):
        table.add_column(heading, overflow="fold")
    for heading in ("rounds", "redundant", "per minute", "release ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in entries:
        table.add_row(
            entry.time[:16].replace("T", " "),
            Text(visible(entry.kernel)),
            Text(visible(entry.scenario)),
            str(entry.rounds),
            _redundant(entry),
            _number(entry.rounds_per_minute),
            _number(None if entry.kill_to_release_us is None else entry.kill_to_release_us / 1000),
        )
    print_table(console, table)
    console.print(
        "redundant: completed rounds with a redundant kill. per minute: rounds. release: median time from a kill to the"
        " release of its memory."
    )
    for directory in dict.fromkeys(entry.directory for entry in entries):
        gone = "" if (Path(directory) / "run.json").exists() else "  (gone)"
        console.print(f"{_short(directory)}{gone}", highlight=False, markup=False, soft_wrap=True)


def _redundant(entry: Entry) -> str:
    if entry.rounds_with_redundant is None:
        return "-"
    known, unknown = entry.rounds_with_redundant, entry.rounds_with_unknown or 0
    share = f"{known}-{known + unknown}" if unknown else str(known)
    return f"{share} of {entry.completed}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _short(directory: str) -> str:
    """Relative to the current directory where it lies below it."""
    relative = os.path.relpath(directory)
    return visible(directory if relative.startswith("..") else relative)
