"""Verdicts with the numbers behind them, and checks, as text."""

from __future__ import annotations

from rich.console import Console

from ..analysis.checks import Check
from ..analysis.verdict import Comparison
from .visible import visible

_WORDS = {True: "FAILED", False: "passed", None: "not decided"}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"


def _p_value(raw: float | None, adjusted: float | None, comparisons: int) -> str:
    if raw is None or adjusted is None:
        return "nothing to test"
    return f"p = {raw:.2g}" + (f" ({adjusted:.2g} of {comparisons} comparisons)" if comparisons > 1 else "")


def comparison_lines(comparison: Comparison, *, with_tests: bool) -> list[str]:
    """A verdict: the first line is its heading."""
    difference = ""
    if comparison.difference is not None and comparison.difference_low is not None:
        low, high = _percent(comparison.difference_low), _percent(comparison.difference_high)
        difference = f" ({_percent(comparison.difference)} points, {low} to {high})"
    lines = [
        f"{comparison.kernel} against {comparison.baseline}: {comparison.verdict}{difference}",
        f"  {comparison.because}",
        *(f"  at a cost: {cost}" for cost in comparison.costs),
    ]
    if with_tests:
        many = comparison.comparisons
        if comparison.ratio is not None and comparison.ratio_low is not None and comparison.ratio_high is not None:
            lines.append(
                f"  {comparison.ratio:.2f} times the baseline's share ({comparison.ratio_low:.2f} to {comparison.ratio_high:.2f})"
            )
        lines.append(
            f"  redundant {_p_value(comparison.p_value, comparison.p_adjusted, many)}; "
            f"surplus {_p_value(comparison.surplus_p_value, comparison.surplus_p_adjusted, many)}; "
            f"failed rounds {_p_value(comparison.failed_p_value, comparison.failed_p_adjusted, many)}"
        )
        lines.append(f"  test: {comparison.test}")
    return [visible(line) for line in lines]


def print_comparison(console: Console, comparison: Comparison, *, with_tests: bool = False) -> None:
    """A verdict, in words; with the tests behind it on request."""
    heading, *rest = comparison_lines(comparison, with_tests=with_tests)
    console.print(heading, style="bold", highlight=False, markup=False)
    for line in rest:
        console.print(line, highlight=False, markup=False)


def print_checks(console: Console, checks: list[Check]) -> None:
    """A line for each."""
    for check in checks:
        text = f"check {check.scenario}, {check.arm}, {check.condition}: {_WORDS[check.failed]}, {check.because}"
        style = "bold red" if check.failed else ""
        console.print(visible(text), highlight=False, markup=False, style=style)
