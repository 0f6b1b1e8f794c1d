"""The judgement of controls as text."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from ..analysis.controls import ControlResult
from ..spec.controls import ALPHA
from .lines import print_table

_EFFECTS = {
    "redundant": "a redundant kill",
    "second-kill": "a second kill",
    "hung": "not completed",
    "retries": "many failed charges",
}


def _share(hits: int, rounds: int) -> str:
    return f"{hits}/{rounds}"


def print_controls(console: Console, results: list[ControlResult], machine: str) -> None:
    """One line a control; below, what each claims."""
    console.print(machine, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (
        ("control", "left"), ("rounds with", "left"), ("reference", "right"), ("control", "right"),
        ("difference", "right"), ("p", "right"), ("power", "right"), ("as claimed", "left"),
    ):  # fmt: skip
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for result in results:
        difference = "-"
        if result.difference_low is not None and result.difference_high is not None:
            difference = f"{100 * result.difference_low:+.0f} to {100 * result.difference_high:+.0f}"
        table.add_row(
            result.control,
            _EFFECTS[result.effect],
            _share(result.reference_hits, result.reference_rounds),
            _share(result.hits, result.rounds),
            difference,
            "-" if result.p_value is None else f"{result.p_value:.2g}",
            "-" if result.power is None else f"{result.power:.2f}",
            ("alike" if result.direction == "alike" else "told apart") if result.passed else "NO",
        )
    print_table(console, table)
    for result in results:
        low, high = result.claim
        verb = "would have told" if result.direction == "alike" else "must tell"
        console.print(
            f"{result.control}: {result.description}; {verb} {100 * low:.0f} % from {100 * high:.0f} % of rounds",
            highlight=False,
        )
    failed = [result.control for result in results if not result.passed]
    console.print(
        f"{len(results) - len(failed)} of {len(results)} controls behave as claimed"
        f" (Fisher's exact test, level {ALPHA}; the difference is a 95 % interval in points; power is for the claimed shares)",
        highlight=False, style="bold" if not failed else "bold red",
    )  # fmt: skip
