"""The summary as text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from ..analysis.arm import Arm
from ..analysis.summary import Summary
from ..spec.arm import ArmSpec
from ..spec.machine import Accel, machine_words
from ..spec.outcome import Outcome
from .comparisontable import print_comparison
from .legends import CLASSES, ENDED_EARLY, OVERVIEW, WAITS
from .lines import print_lines, print_table
from .mechanismwords import mechanism_cells, mechanism_sentence
from .visible import visible

_DETAILED_SCENARIOS = 3  # more of them: one line each
_MAX_ARMS_PER_TABLE = 4  # in one table
_HEADING_LETTERS = 15  # of a heading's line: three arms then stand on a terminal of 80 columns


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(arm: Arm) -> str:
    """Where the class of some kills is not known, from the lower bound without them to the upper bound with them."""
    high = arm.ci_high_at_most if arm.rounds_with_unknown else arm.ci_high
    return "-" if arm.ci_low is None or high is None else f"{100 * arm.ci_low:.1f} to {100 * high:.1f} %"


def _share(arm: Arm) -> str:
    if not arm.rounds_with_unknown or arm.rate is None or arm.rate_at_most is None:
        return _percent(arm.rate)
    return f"{100 * arm.rate:.1f} to {100 * arm.rate_at_most:.1f} %"


def _up_to(known: int, unknown: int, between: str = " to ") -> str:
    """A count, or its bounds."""
    return f"{known}{between}{known + unknown}" if unknown else str(known)


def _hits(arm: Arm, between: str = " to ") -> str:
    return f"{_up_to(arm.rounds_with_redundant, arm.rounds_with_unknown, between)} of {arm.completed_rounds}"


def _latency(arm: Arm) -> str:
    return "-" if arm.kill_to_release_us_median is None else f"{arm.kill_to_release_us_median / 1000:.1f} ms"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _us_as_ms(value: int | None) -> str:
    return "-" if value is None else f"{value / 1000:.0f} ms"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _per_round(arm: Arm) -> str:
    if arm.redundant_per_round is None:
        return "-"
    if not arm.maybe_redundant_kills:
        return f"{arm.redundant_per_round:.2f}"
    return f"{arm.redundant_per_round:.2f} to {(arm.redundant_kills + arm.maybe_redundant_kills) / arm.rounds:.2f}"


def _estimated(arm: Arm) -> str:
    """Kills that the log alone takes to overlap; of how many it does not say."""
    return (
        f"{arm.overlaps_estimated}, {arm.overlaps_not_told} unknown"
        if arm.overlaps_not_told
        else str(arm.overlaps_estimated)
    )


def _native_lines(arms: list[Arm]) -> list[tuple[str, list[str]]]:
    """What is asked of a machine that no guest stands between."""
    if all(arm.accel != Accel.NATIVE for arm in arms):
        return []
    return [
        ("overlap estimated from the log", [_estimated(arm) for arm in arms]),
        ("  in rounds", [f"{arm.rounds_with_overlap_estimated} of {arm.completed_rounds}" for arm in arms]),
        ("kills outside the run", [str(arm.foreign_kills) for arm in arms]),
        ("rounds per minute", [_number(arm.rounds_per_minute) for arm in arms]),
        ("  a survivor waited for a page", [f"{_ms(arm.waited_ms_per_round)} per round" for arm in arms]),
    ]


def _outcomes(arm: Arm) -> str:
    parts = [f"{count} {name}" for name, count in arm.outcomes.items() if count]
    if arm.rounds_not_run:
        parts.append(f"{arm.rounds_not_run} not run")
    return ", ".join(parts) or "none"


def _incomplete(arm: Arm) -> str:
    """Rounds that did not complete, by outcome."""
    others = [f"{count} {name}" for name, count in arm.outcomes.items() if count and name != Outcome.COMPLETED]
    return "\n".join([*others, *([f"{arm.rounds_not_run} not run"] if arm.rounds_not_run else [])]) or "-"


def _starved(arm: Arm) -> str:
    return f"{_up_to(arm.starved_rounds, arm.maybe_starved_rounds)} rounds"


def _heading(kernel: str) -> str:
    """The name of an arm with a line for each patch; long lines end after a hyphen or a slash, never within a word."""
    base, *patches = kernel.split("+")
    parts = [base, *(f"+{patch}" for patch in patches)]
    return "\n".join(line for part in parts for line in _wrapped(part))


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in re.findall(r"[^-/ ]*[-/ ]|[^-/ ]+", text):
        if lines[-1] and len(lines[-1] + word.rstrip()) > _HEADING_LETTERS:
            lines.append("")
        lines[-1] += word
    return [line.rstrip() for line in lines]


def print_summary(console: Console, summary: Summary) -> None:
    """Arms side by side, scenario by scenario; then everything that a reader must know besides. The verdicts come last, by
    `print_verdicts`: they then stand next to the prompt."""
    scenarios = _scenarios(summary)
    if len(scenarios) > _DETAILED_SCENARIOS:
        _print_overview(console, summary)
    else:
        for scenario in scenarios:
            _print_scenario(console, summary, scenario)
    print_lines(console, [f"witnesses disagree: {text}" for text in summary.disagreements])
    print_lines(console, [f"note: {note}" for note in summary.notes])


def print_verdicts(console: Console, summary: Summary, *, with_tests: bool = False) -> None:
    """The comparisons, after an empty line; with the tests behind them on request."""
    scenarios = _scenarios(summary)
    if summary.comparisons:
        console.print()
    for comparison in summary.comparisons:
        if len(scenarios) > _DETAILED_SCENARIOS:
            heading = f"{comparison.scenario}: {comparison.arm} against {comparison.baseline}: {comparison.verdict}"
            print_lines(console, [visible(f"{heading}, {comparison.because}")])
        else:
            scenario = f"{comparison.scenario}: " if len(scenarios) > 1 else ""
            print_comparison(console, comparison, with_tests=with_tests, prefix=scenario)


def _scenarios(summary: Summary) -> list[str]:
    return list(dict.fromkeys(arm.scenario for arm in summary.arms))


def print_arms(console: Console, arms: Sequence[ArmSpec]) -> None:
    """The kernel of each arm whose name does not say it, each once."""
    for name, kernel in dict.fromkeys((arm.name, arm.kernel) for arm in arms if not arm.name.startswith(arm.kernel)):
        console.print(visible(f"arm {name}: {kernel}"), highlight=False, markup=False, soft_wrap=True)


def _print_title(console: Console, summary: Summary, subject: str) -> None:
    first = summary.arms[0]
    machine = machine_words(first.vcpus, first.host_cores, first.accel)
    console.print(f"Run {summary.run_id} ({summary.state}): {subject}, {machine}", highlight=False)


def _print_overview(console: Console, summary: Summary) -> None:
    """A line for each scenario and arm. Columns that a narrow terminal has no room for are left out, and named."""
    _print_title(console, summary, f"{len(_scenarios(summary))} scenarios")
    columns = list(_OVERVIEW_COLUMNS)
    table = _overview_table(summary, columns)
    left_out: list[str] = []
    for heading in _OVERVIEW_DROPPED_FIRST:
        if Measurement.get(console, console.options.update(width=_UNLIMITED_WIDTH), table).maximum <= console.width:
            break
        columns.remove(heading)
        left_out.append(heading)
        table = _overview_table(summary, columns)
    print_table(console, table)
    print_lines(console, [f"legend: {OVERVIEW}"], style="dim")
    if left_out:
        print_lines(console, [f"note: {console.width} columns have no room for: {', '.join(left_out)}"])


def _overview_table(summary: Summary, columns: Sequence[str]) -> Table:
    several = len({arm.arm for arm in summary.arms}) > 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("scenario", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for scenario in _scenarios(summary):
        if several:
            table.add_row(scenario)
        for arm in summary.arms:
            if arm.scenario == scenario:
                name = textwrap.indent(_heading(arm.arm), "  ") if several else scenario
                table.add_row(name, *(_OVERVIEW_COLUMNS[heading](arm) for heading in columns))
    return table


def _cell_text(arm: Arm, text: str) -> str:
    return text if arm.has_oracle else "-"


_OVERVIEW_COLUMNS: Mapping[str, Callable[[Arm], str]] = {
    "rounds": lambda arm: _cell_text(arm, _hits(arm, "-")),
    "95 % interval": lambda arm: _cell_text(arm, _interval(arm)),
    "kills": lambda arm: str(arm.kills),
    "surplus": lambda arm: _cell_text(arm, str(arm.surplus_kills)),
    "redundant": lambda arm: _cell_text(arm, _up_to(arm.redundant_kills, arm.maybe_redundant_kills, "-")),
    "incomplete": _incomplete,
    "release": _latency,
    "stall": lambda arm: _ms(arm.stall_ms_per_round),
}
_OVERVIEW_DROPPED_FIRST = ("stall", "release", "redundant", "kills")
_UNLIMITED_WIDTH = 10_000


def _print_scenario(console: Console, summary: Summary, scenario: str) -> None:
    _print_title(console, summary, scenario)
    arms = [arm for arm in summary.arms if arm.scenario == scenario]
    baseline = next(
        (comparison.baseline for comparison in summary.comparisons if comparison.scenario == scenario), None
    )
    for column_group in _tables_of(arms, baseline):
        print_table(console, _arms_table(column_group))
    legend = [CLASSES, ENDED_EARLY, *([WAITS] if _wait_lines(arms) else [])]
    print_lines(console, [f"legend: {'; '.join(legend)}"], style="dim")
    print_lines(console, [f"{arm.arm}: {says}" for arm in arms if (says := mechanism_sentence(arm))])


def _tables_of(arms: list[Arm], baseline: str | None) -> list[list[Arm]]:
    """The arms of each table; every table has the baseline, as all others are compared with it."""
    if len(arms) <= _MAX_ARMS_PER_TABLE:
        return [arms]
    first = [arm for arm in arms if arm.arm == baseline]
    others = [arm for arm in arms if arm.arm != baseline]
    room = _MAX_ARMS_PER_TABLE - len(first)
    return [first + others[place : place + room] for place in range(0, len(others), room)]


def arm_lines(arms: list[Arm]) -> list[tuple[str, list[str]]]:
    """What is said of every arm: a label, indented below what it belongs to, and a cell for each arm."""
    return [
        ("rounds / boots", [f"{arm.rounds} / {arm.boots}" for arm in arms]),
        *(
            [("  warm-up, not counted", [str(arm.warm_up_rounds) for arm in arms])]
            if any(arm.warm_up_rounds for arm in arms)
            else []
        ),
        ("outcomes", [_outcomes(arm) for arm in arms]),
        *(
            [("  a survivor starved in", [_starved(arm) for arm in arms])]
            if any(arm.starved_rounds or arm.maybe_starved_rounds for arm in arms)
            else []
        ),
        ("trials that ended early", [str(arm.trials_ended_early) for arm in arms]),
        *_class_lines(arms),
        ("surplus kills, in total", [_cell_text(arm, str(arm.surplus_kills)) for arm in arms]),
        *(
            [("decisions, redundant", [f"{arm.decisions}, {arm.redundant_decisions}" for arm in arms])]
            if any(arm.decisions != arm.kills for arm in arms)
            else []
        ),
        (
            "redundant kills per round",
            [_cell_text(arm, _per_round(arm)) for arm in arms],
        ),
        (
            "rounds with a redundant kill",
            [_cell_text(arm, _hits(arm)) for arm in arms],
        ),
        ("  share", [_cell_text(arm, _share(arm)) for arm in arms]),
        ("  95 % interval", [_cell_text(arm, _interval(arm)) for arm in arms]),
        *_native_lines(arms),
        ("kill to release, median", [_latency(arm) for arm in arms]),
        ("round duration, mean", [_ms(arm.duration_ms_per_round) for arm in arms]),
        ("  system time", [_ms(arm.system_ms_per_round) for arm in arms]),
        ("  memory PSI full", [_ms(arm.memory_full_ms_per_round) for arm in arms]),
        ("  stall after a decision", [_ms(arm.stall_ms_per_round) for arm in arms]),
        ("  kernel time of waiters", [_ms(arm.stall_system_ms_per_round) for arm in arms]),
        *_wait_lines(arms),
        ("  OOM entries without a kill", [_number(arm.oom_without_kill_per_round) for arm in arms]),
        ("soft lockups, hung tasks", [str(arm.trouble_lines) for arm in arms]),
        ("witnesses disagree in", [f"{arm.witness_disagreements} rounds" for arm in arms]),
        ("records lost", [str(arm.lost_records) for arm in arms]),
    ]


def _class_lines(arms: list[Arm]) -> list[tuple[str, list[str]]]:
    """All kills, and below them one line for each class: these add up to the first."""
    lines = [
        ("kills, by class", [str(arm.kills) for arm in arms]),
        ("  redundant", [_cell_text(arm, str(arm.redundant_kills)) for arm in arms]),
        *mechanism_cells(arms),
        ("  fruitless", [_cell_text(arm, str(arm.fruitless_kills)) for arm in arms]),
        ("  premature", [_cell_text(arm, str(arm.premature_kills)) for arm in arms]),
        ("  necessary", [_cell_text(arm, str(arm.necessary_kills)) for arm in arms]),
        ("  collateral", [str(arm.collateral_kills) for arm in arms]),
        ("  unknown", [str(arm.unknown_kills) for arm in arms]),
    ]
    if any(arm.has_oracle and arm.unknown_kills for arm in arms):
        lines.append(("    may be redundant", [_cell_text(arm, str(arm.maybe_redundant_kills)) for arm in arms]))
    return lines


def _wait_lines(arms: list[Arm]) -> list[tuple[str, list[str]]]:
    """How survivors waited; none where no arm has the figures, as in runs of older versions."""
    if all(arm.longest_wait_us_median is None for arm in arms):
        return []
    return [
        ("  longest wait, median", [_us_as_ms(arm.longest_wait_us_median) for arm in arms]),
        ("    in any round", [_us_as_ms(arm.longest_wait_us_most) for arm in arms]),
        (
            "  Jain's index of the waits",
            ["-" if arm.waits_jain_median is None else f"{arm.waits_jain_median:.2f}" for arm in arms],
        ),
    ]


def _arms_table(arms: list[Arm]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for arm in arms:
        table.add_column(_heading(arm.arm), justify="right", overflow="fold")
    for label, cells in arm_lines(arms):
        table.add_row(label, *cells)
    return table
