"""The newest night of a matrix on a terminal: scenarios as rows, kernels as columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..analysis.matrix import Cell, Change, Matrix, Night
from ..spec.arm import ArmSpec
from .lines import print_lines, print_table
from .matrixwords import (
    SIGNS,
    change_lines,
    change_words,
    columns_of,
    compared_words,
    date_of,
    interval_words,
    names_of,
    not_run,
    plain_sign,
    rest_lines,
    share_words,
)
from .visible import visible

_CELL_WIDTH = 18  # of "100.0 % 98.0-100.0"
_NAME_WIDTH = 18  # of scenarios: three kernels fit 80 columns
_GAP = 2  # between columns


def print_matrix(console: Console, matrix: Matrix) -> None:
    """The table, the changes in words, and everything that a reader must know besides."""
    night = matrix.newest
    names = names_of(night.arms)
    is_ascii = console.options.ascii_only
    interrupted = "" if night.state == "complete" else f" ({night.state})"
    _say(console, f"Night of {date_of(night)}{interrupted}: {compared_words(matrix)}", "bold")
    _say(
        console,
        "Share of completed rounds with a redundant OOM kill, and its 95 % interval;"
        f" {night.rounds} rounds in {night.boots} boot{'s' * (night.boots != 1)} per cell, {night.machine}",
    )
    columns = columns_of(night)
    most = max(1, (console.width - _NAME_WIDTH) // (_CELL_WIDTH + _GAP))
    console.print()
    for start in range(0, len(columns), most):
        print_table(console, _table(night, columns[start : start + most], names, is_ascii=is_ascii))
        console.print()
    for _, change, sure in change_lines(night, names, is_ascii=is_ascii):
        _say(console, change, "bold")
        _say(console, f"  {sure}")
    for line in rest_lines(night):
        _say(console, line)
    for text in matrix.left_out:
        _say(console, f"left out: night {text}")


def _say(console: Console, text: str, style: str = "") -> None:
    print_lines(console, [visible(text)], style)


def _table(
    night: Night, columns: Sequence[tuple[ArmSpec, str, str]], names: Mapping[str, str], *, is_ascii: bool
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("scenario", max_width=_NAME_WIDTH, overflow="fold")
    for arm, version, news in columns:
        lines = [visible(names[arm.name]), "" if version in names[arm.name] else version, news]
        table.add_column(Text("\n".join(filter(None, lines))), min_width=_CELL_WIDTH, overflow="fold")
    for scenario in night.scenarios:
        cells = [night.cell(arm.name, scenario) for arm, *_ in columns]
        table.add_row(
            _broken(visible(scenario)),
            *(Text("-") if cell is None else _cell(cell, is_ascii=is_ascii) for cell in cells),
        )
    return table


def _broken(name: str) -> Text:
    """A name in lines that end after a hyphen, where it is too long for one."""
    lines = [""]
    for part in re.split(r"(?<=-)", name):
        if lines[-1] and len(lines[-1]) + len(part) > _NAME_WIDTH:
            lines.append("  ")
        lines[-1] += part
    return Text("\n".join(lines))


def _cell(cell: Cell, *, is_ascii: bool) -> Text:
    if cell.measured is None:
        return Text("not measured")
    arm = cell.measured
    shown = Text(f"{share_words(arm):<7} {interval_words(arm)}".rstrip())
    if arm.failed_rounds:
        shown.append(f"\n{arm.failed_rounds} of {arm.completed_rounds + arm.failed_rounds} failed", style="bold")
    if left := not_run(arm):
        shown.append(f"\n{left} rounds not run")
    for change in cell.changes:
        sign = plain_sign(SIGNS[change], is_ascii=is_ascii)
        style = "bold green" if change is Change.DOWN else "bold red"
        shown.append(f"\n{sign} {change_words(cell, change)}", style=style)
    return shown
