"""Lines and tables on the terminal, or where a pipe leads."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

_PLAIN = str.maketrans({"\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-", "\N{NO-BREAK SPACE}": " "})
_INDENT = "    "  # of what is left of a line that is too long


def print_lines(console: Console, lines: Iterable[str], style: str = "") -> None:
    """Each line as it is; one that is too long continues indented, and no word is broken."""
    for line in lines:
        for part in wrapped(line, console.width):
            console.print(part, style=style, highlight=False, markup=False, soft_wrap=True)


def wrapped(line: str, width: int) -> list[str]:
    """A line in lines of at most `width` letters, all but the first indented. A longer word is not broken."""
    return textwrap.wrap(
        line, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    ) or [""]


def print_table(console: Console, table: Table) -> None:
    """On a terminal as rich draws it; elsewhere in ASCII and without blanks at the ends of lines, so that it can be pasted."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as shown:
        console.print(table)
    lines = [line.translate(_PLAIN).rstrip() for line in shown.get().splitlines()]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
