"""A summary as a Markdown table of plain ASCII: arms as rows, for an issue or a merge request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..analysis.arm import Arm
from ..analysis.summary import Summary
from ..spec.machine import machine_words
from .comparisontable import comparison_lines
from .visible import visible

_HEADINGS = (
    "arm", "rounds / boots", "redundant in rounds", "share", "95 % interval", "surplus in rounds", "failed rounds", "kills",
    "kill to release, median", "round, mean", "verdict",
)  # fmt: skip


def markdown_text(summary: Summary, specs: Mapping[str, str]) -> str:
    """`specs`: the kernel spec by the name of the arm; those that a name does not say are listed below the table."""
    blocks = []
    for scenario in dict.fromkeys(arm.scenario for arm in summary.arms):
        blocks.append(_heading(summary, scenario))
        blocks.append(_table(summary, scenario))
        blocks += [_sentences(summary, scenario)]
    blocks.append(
        "\n".join(f"- {_plain(name)}: `{_plain(spec)}`" for name, spec in specs.items() if not name.startswith(spec))
    )
    blocks.append("\n".join(f"- {_plain(note)}" for note in (*summary.disagreements, *summary.notes)))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _heading(summary: Summary, scenario: str) -> str:
    first = summary.arms[0]
    machine = machine_words(first.vcpus, first.host_cores, first.accel)
    return f"**{_plain(scenario)}**, {machine}; run {summary.run_id} ({summary.state})"


def _table(summary: Summary, scenario: str) -> str:
    verdicts = {
        comparison.arm: comparison.verdict for comparison in summary.comparisons if comparison.scenario == scenario
    }
    rows = [_HEADINGS, ["---", *["---:"] * (len(_HEADINGS) - 2), "---"]]
    rows += [[*_cells(arm), verdicts.get(arm.arm, "")] for arm in summary.arms if arm.scenario == scenario]
    return "\n".join(_row(row) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _cells(arm: Arm) -> list[str]:
    latency = arm.kill_to_release_us_median
    oracle = [
        f"{_up_to(arm.rounds_with_redundant, arm.rounds_with_unknown)} of {arm.completed_rounds}",
        _percent(arm.rate) if not arm.rounds_with_unknown else f"{_percent(arm.rate)} to {_percent(arm.rate_at_most)}",
        _interval(arm),
        str(arm.rounds_with_surplus),
    ]
    return [
        _plain(arm.arm).replace("|", "\\|"),
        f"{arm.rounds} / {arm.boots}",
        *(oracle if arm.has_oracle else ["-"] * len(oracle)),
        str(arm.failed_rounds),
        str(arm.kills),
        "-" if latency is None else f"{latency / 1000:.1f} ms",
        "-" if arm.duration_ms_per_round is None else f"{arm.duration_ms_per_round:.0f} ms",
    ]


def _sentences(summary: Summary, scenario: str) -> str:
    """A bullet for each comparison."""
    bullets = []
    for comparison in summary.comparisons:
        if comparison.scenario == scenario:
            heading, *rest = (line.strip() for line in comparison_lines(comparison, with_tests=False))
            bullets.append(f"- **{_plain(heading)}**: {_plain('; '.join(rest))}")
    return "\n".join(bullets)


def _up_to(known: int, unknown: int) -> str:
    return f"{known} to {known + unknown}" if unknown else str(known)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(arm: Arm) -> str:
    high = arm.ci_high_at_most if arm.rounds_with_unknown else arm.ci_high
    return "-" if arm.ci_low is None or high is None else f"{100 * arm.ci_low:.1f} to {100 * high:.1f} %"


def _plain(text: str) -> str:
    return visible(text).encode("ascii", "backslashreplace").decode()
