"""The summary as text."""

from __future__ import annotations

import textwrap

from rich import box
from rich.console import Console
from rich.table import Table

from harness.analysis.summary import Arm, Summary


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(arm: Arm) -> str:
    return "-" if arm.ci_low is None or arm.ci_high is None else f"{100 * arm.ci_low:.1f} to {100 * arm.ci_high:.1f} %"


def _latency(arm: Arm) -> str:
    return "-" if arm.kill_to_release_us_median is None else f"{arm.kill_to_release_us_median / 1000:.1f} ms"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _outcomes(arm: Arm) -> str:
    parts = [f"{count} {name}" for name, count in arm.outcomes.items() if count]
    if arm.rounds_not_run:
        parts.append(f"{arm.rounds_not_run} not run")
    return ", ".join(parts) or "none"


def _heading(kernel: str) -> str:
    """The spec on lines that let three arms stand on a terminal of 80 columns."""
    base, *patches = kernel.split("+")
    return "\n".join([base, *(line for patch in patches for line in textwrap.wrap(f"+{patch}", 15))])


def arm_lines(summary: Summary) -> list[tuple[str, list[str]]]:
    """What is said of every arm: a label, indented below what it belongs to, and a cell for each arm."""
    lines: list[tuple[str, list[str]]] = [
        ("rounds / boots", [f"{arm.rounds} / {arm.boots}" for arm in summary.arms]),
        ("outcomes", [_outcomes(arm) for arm in summary.arms]),
        ("trials that ended early", [str(arm.trials_ended_early) for arm in summary.arms]),
        ("kills", [str(arm.kills) for arm in summary.arms]),
        ("  redundant", [str(arm.redundant_kills) for arm in summary.arms]),
        ("  surplus in all", [str(arm.surplus_kills) for arm in summary.arms]),
        ("  premature", [str(arm.premature_kills) for arm in summary.arms]),
        ("  collateral", [str(arm.collateral_kills) for arm in summary.arms]),
        ("  unknown", [str(arm.unknown_kills) for arm in summary.arms]),
        (
            "redundant a round",
            ["-" if arm.redundant_per_round is None else f"{arm.redundant_per_round:.2f}" for arm in summary.arms],
        ),
        (
            "rounds with a redundant kill",
            [f"{arm.rounds_with_redundant} of {arm.completed_rounds}" for arm in summary.arms],
        ),
        ("  share", [_percent(arm.rate) for arm in summary.arms]),
        ("  95 % interval", [_interval(arm) for arm in summary.arms]),
        ("kill to release, median", [_latency(arm) for arm in summary.arms]),
        ("round, mean", [_ms(arm.duration_ms_per_round) for arm in summary.arms]),
        ("  system time", [_ms(arm.system_ms_per_round) for arm in summary.arms]),
        ("  memory PSI full", [_ms(arm.memory_full_ms_per_round) for arm in summary.arms]),
        ("  memory.events oom", [_number(arm.oom_events_per_round) for arm in summary.arms]),
        ("witnesses disagree in", [f"{arm.witness_disagreements} rounds" for arm in summary.arms]),
        ("records lost", [str(arm.lost_records) for arm in summary.arms]),
    ]
    return lines


def print_summary(console: Console, summary: Summary) -> None:
    """Arms side by side as rows of a table, then comparisons, then everything that a reader must know besides."""
    first = summary.arms[0]
    console.print(
        f"Run {summary.run_id} ({summary.state}): {first.scenario}, {first.vcpus} vCPUs on {first.host_cores} host cores, {first.accel}",
        highlight=False,
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for arm in summary.arms:
        table.add_column(_heading(arm.kernel), justify="right", overflow="fold")
    for label, cells in arm_lines(summary):
        table.add_row(label, *cells)
    console.print(table)
    for comparison in summary.comparisons:
        difference = ""
        if (
            comparison.difference is not None
            and comparison.difference_low is not None
            and comparison.difference_high is not None
        ):
            difference = (
                f" ({100 * comparison.difference:+.1f} points,"
                f" {100 * comparison.difference_low:+.1f} to {100 * comparison.difference_high:+.1f})"
            )
        console.print(
            f"{comparison.kernel} against {comparison.baseline}: {comparison.verdict}{difference}",
            style="bold",
            highlight=False,
        )
        console.print(f"  {comparison.because}", highlight=False)
    for text in summary.disagreements:
        console.print(f"witnesses disagree: {text}", highlight=False, markup=False)
    for note in summary.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
