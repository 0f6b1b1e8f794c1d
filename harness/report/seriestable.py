"""A series as text: a line for each version, and where the share changes."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from ..analysis.arm import Arm
from ..analysis.families import p_words
from ..analysis.series import Series, Step
from ..spec.machine import machine_words
from .lines import print_table
from .visible import visible


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def _row(arm: Arm) -> list[str]:
    """Where the class of some kills is not known, from the bound without them to the bound with them."""
    unknown = arm.rounds_with_unknown
    hits = f"{arm.rounds_with_redundant} to {arm.rounds_with_redundant + unknown}" if unknown else str(arm.rounds_with_redundant)  # fmt: skip
    share = _percent(arm.rate)
    if unknown and arm.rate is not None:
        share = f"{100 * arm.rate:.1f} to {_percent(arm.rate_at_most)}"
    return [
        f"{hits} of {arm.completed_rounds}",
        share,
        _interval(arm.ci_low, arm.ci_high_at_most if unknown else arm.ci_high),
    ]


def print_series(console: Console, series: Series) -> None:
    """Table, changes, and everything that a reader must know besides."""
    first = series.versions[0].arm
    console.print(
        visible(
            f"Series {series.run_id} ({series.state}): {series.scenario},"
            f" {machine_words(first.vcpus, first.host_cores, first.accel)}"
        ),
        highlight=False,
        markup=False,
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("version", no_wrap=True)
    table.add_column("kernel")
    for heading in ("rounds / boots", "redundant", "share", "95 % interval", "surplus", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for version in series.versions:
        arm = version.arm
        told = _row(arm) if arm.has_oracle else ["-", "-", "-"]
        surplus = f"{arm.rounds_with_surplus} of {arm.completed_rounds}" if arm.has_oracle else "-"
        table.add_row(
            visible(version.version), visible(version.name), f"{arm.rounds} / {arm.boots}", *told, surplus, str(arm.failed_rounds)
        )  # fmt: skip
    print_table(console, table)
    for line in change_lines(series):
        console.print(visible(line), style="bold", highlight=False, markup=False)
    for text in series.left_out:
        console.print(visible(f"left out: {text}"), highlight=False, markup=False)
    for text in series.notes:
        console.print(visible(f"note: {text}"), highlight=False, markup=False)


def change_lines(series: Series) -> list[str]:
    """Between which versions the share changes, or that no change is shown."""
    labels = labels_of(series)
    lines = []
    for step in series.steps:
        between = f"between {labels[step.older]} and {labels[step.newer]}"
        if step.is_change:
            lines.append(f"change: {between} the share {_difference(step, series)}, {_p_value(step, series.steps)}")
        if step.fails_more:
            lines.append(f"change: {between} more rounds fail, {p_words(step.comparison.failed_p_adjusted or 0.0)}")
    if not any(step.is_change for step in series.steps) and series.steps:
        nearest = min(
            series.steps, key=lambda step: 1.0 if step.comparison.p_value is None else step.comparison.p_value
        )
        where = f"{labels[nearest.older]} to {labels[nearest.newer]}"
        lines.append(
            f"no change shown between neighbours; the smallest p-value is from {where}, {_p_value(nearest, series.steps)}"
        )
    return lines


def labels_of(series: Series) -> dict[str, str]:
    """What a version is called in a sentence, by its name: the version alone where no other kernel has it."""
    versions = [version.version for version in series.versions]
    return {
        version.name: version.version if versions.count(version.version) == 1 else f"{version.version} ({version.name})"
        for version in series.versions
    }


def _difference(step: Step, series: Series) -> str:
    rates = {version.name: version.arm.rate for version in series.versions}
    comparison = step.comparison
    word = "rises" if (comparison.difference or 0) > 0 else "falls"
    text = f"{word} from {_percent(rates[step.older])} to {_percent(rates[step.newer])}"
    if comparison.difference is None or comparison.difference_low is None or comparison.difference_high is None:
        return text
    low, high = 100 * comparison.difference_low, 100 * comparison.difference_high
    return f"{text} ({100 * comparison.difference:+.1f} points, {low:+.1f} to {high:+.1f})"


def _p_value(step: Step, steps: Sequence[Step]) -> str:
    comparison = step.comparison
    if comparison.p_adjusted is None:
        return "not tested"
    many = f" (Holm, {len(steps)} steps)" if len(steps) > 1 else ""
    return f"{p_words(comparison.p_adjusted)}{many}"
