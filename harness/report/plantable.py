"""Sample sizes as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from ..analysis.planning import Size
from .lines import print_table


def _share(value: float) -> str:
    return f"{100 * value:g} %"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def print_sizes(console: Console, sizes: Sequence[Size]) -> None:
    """A line for each size."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    timed = any(size.seconds is not None for size in sizes)
    headings = ("from", "to", "power", "boots per arm", "rounds per boot", "rounds per arm", "design effect")
    for heading in (*headings, *(["two arms take"] if timed else [])):
        table.add_column(heading, justify="right")
    for size in sizes:
        cells = [_share(size.rate), _share(size.to)]
        if size.power is None:
            cells += ["-", "no number is enough", "-", "-", "-"]
        else:
            cells += [f"{size.power:.2f}", str(size.boots), str(size.rounds_per_boot), str(size.rounds)]
            cells += [f"{size.design_effect:.2f}"]
        if timed:
            cells.append("-" if size.seconds is None else _duration(size.seconds))
        table.add_row(*cells)
    print_table(console, table)
