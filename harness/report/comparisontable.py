"""Verdicts with the numbers behind them, and checks, as text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from ..analysis.checks import Check
from ..analysis.families import p_words
from ..analysis.planning import ALPHA
from ..analysis.verdict import Comparison
from ..analysis.verdicts import DECIDED, Verdict
from .lines import print_lines
from .visible import visible

_COLOURS = {Verdict.BETTER: "green", Verdict.WORSE: "red"}
_WORDS = {True: "FAILED", False: "passed", None: "not decided"}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"


def _p_value(raw: float | None, adjusted: float | None, comparisons: int) -> str:
    if raw is None or adjusted is None:
        return "not tested"
    if p_words(raw) == p_words(adjusted):
        return p_words(adjusted)
    return f"{p_words(adjusted)} ({p_words(raw)} before the correction for {comparisons} comparisons)"


def difference_words(comparison: Comparison) -> str:
    """The difference of the shares with its interval, and the level of that where it is not the usual one."""
    if comparison.difference is None or comparison.difference_low is None:
        return ""
    low, high = _percent(comparison.difference_low), _percent(comparison.difference_high)
    level = "" if comparison.confidence == 1 - ALPHA else f" at {100 * comparison.confidence:.4g} %"
    return f"{_percent(comparison.difference)} points, {low} to {high}{level}"


def _likeness(comparison: Comparison) -> str:
    """How alike rounds of a boot are, and at what likeness the verdict would turn."""
    if comparison.design_effect is None:
        return ""
    seen = "" if comparison.icc is None else f"estimated ICC {max(0.0, comparison.icc):.3f}, "
    turns = comparison.icc_turns
    if comparison.verdict in DECIDED:
        sensitivity = (
            f"the verdict holds up to an ICC of {turns:.2f}" if turns is not None else "no ICC would change the verdict"
        )
    else:
        sensitivity = f"the difference would be significant with an ICC below {turns:.3f}" if turns is not None else ""
    return f"correlation of rounds within a boot: {seen}design effect {comparison.design_effect:.2f}" + (
        f"; {sensitivity}" if sensitivity else ""
    )


def comparison_lines(comparison: Comparison, *, with_tests: bool) -> list[str]:
    """A verdict: the first line is its heading."""
    difference = difference_words(comparison)
    lines = [
        f"{comparison.arm} against {comparison.baseline}: {comparison.verdict}{f' ({difference})' if difference else ''}",
        f"  {comparison.because}",
        *(f"  at a cost: {cost}" for cost in comparison.costs),
    ]
    if with_tests:
        lines += [f"  {line}" for line in _test_lines(comparison)]
    return [visible(line) for line in lines]


def _test_lines(comparison: Comparison) -> Iterator[str]:
    many = comparison.comparisons
    if comparison.ratio is not None and comparison.ratio_low is not None:
        high = "no bound" if comparison.ratio_high is None else f"{comparison.ratio_high:.2f}"
        yield f"{comparison.ratio:.2f} times the baseline's share ({comparison.ratio_low:.2f} to {high})"
    if comparison.surplus_difference is not None:
        low, high = _percent(comparison.surplus_difference_low), _percent(comparison.surplus_difference_high)
        yield f"rounds with a surplus kill: {_percent(comparison.surplus_difference)} points, {low} to {high}"
    yield (
        f"redundant {_p_value(comparison.p_value, comparison.p_adjusted, many)}; "
        f"surplus {_p_value(comparison.surplus_p_value, comparison.surplus_p_adjusted, many)}; "
        f"failed rounds {_p_value(comparison.failed_p_value, comparison.failed_p_adjusted, many)}"
    )
    if comparison.surplus_kills_p_value is not None:
        yield f"more surplus kills per round {_p_value(comparison.surplus_kills_p_value, comparison.surplus_kills_p_adjusted, many)}"
    if comparison.starved_p_value is not None:
        yield f"starved rounds {_p_value(comparison.starved_p_value, comparison.starved_p_adjusted, many)}"
    yield f"test: {comparison.test}"
    if likeness := _likeness(comparison):
        yield likeness
    if comparison.permutation_p_value is not None:
        yield f"for comparison: permutation test of boots, {p_words(comparison.permutation_p_value)}, uncorrected"
    for endpoint in comparison.secondary:
        part = (
            "of which the verdict asks only whether it is more"
            if endpoint.endpoint == "surplus"
            else "not part of the verdict"
        )
        yield f"secondary endpoint, {part}: {endpoint.words}"


def print_comparison(console: Console, comparison: Comparison, *, with_tests: bool = False, prefix: str = "") -> None:
    """A verdict, in words; with the tests behind it on request. Its heading has a colour if it is decided."""
    heading, *rest = comparison_lines(comparison, with_tests=with_tests)
    print_lines(console, [visible(prefix) + heading], style=f"bold {_COLOURS.get(comparison.verdict, '')}".strip())
    print_lines(console, rest)


def print_checks(console: Console, checks: list[Check]) -> None:
    """A line for each."""
    for check in checks:
        text = f"check {check.scenario}, {check.arm}, {check.condition}: {_WORDS[check.failed]}, {check.because}"
        style = "bold red" if check.failed else ""
        print_lines(console, [visible(text)], style)
