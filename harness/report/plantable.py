"""Sample sizes as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from ..analysis.power import Size


def _share(value: float) -> str:
    return f"{100 * value:g} %"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def print_sizes(console: Console, sizes: Sequence[Size]) -> None:
    """A line for each size."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    timed = any(size.seconds is not None for size in sizes)
    headings = ("from", "to", "power", "independent rounds", "design effect", "rounds an arm", "boots an arm")
    for heading in (*headings, *(["two arms take"] if timed else [])):
        table.add_column(heading, justify="right")
    for size in sizes:
        cells = [_share(size.rate), _share(size.to), f"{size.power:.2f}"]
        cells += ["-" if size.needed is None else str(size.needed), f"{size.design_effect:.2f}"]
        if size.rounds is None or size.boots is None:
            cells += ["no number is enough", "-"]
        else:
            cells += [str(size.rounds), str(size.boots)]
        if timed:
            cells.append("-" if size.seconds is None else _duration(size.seconds))
        table.add_row(*cells)
    console.print(table)
