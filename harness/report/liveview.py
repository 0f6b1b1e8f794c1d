"""What a run has shown so far, on a terminal while it is going on: a line for each arm, and how near a decision is.

It is drawn anew only when something changed, so that it costs the rounds nothing.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..analysis.planning import ALPHA
from ..analysis.verdict import Comparison
from ..analysis.verdicts import DECIDED, Verdict
from .visible import visible

_MAX_ROWS = 12  # of several scenarios, beyond that many rows only the one that was measured last
_GAUGE = 10
_FIGURES = 56  # columns that the figures take beside the name
_STYLES = {Verdict.BETTER: "green", Verdict.WORSE: "red", Verdict.MIXED: "yellow"}
_LEAST_S = 1.0  # a block that took less was not run: it had been before, or its scenario was refused


@dataclass(frozen=True)
class ArmProgress:
    """One arm of one scenario, and its progress. Counts are of rounds."""

    arm: str
    scenario: str
    planned: int
    completed: int
    failed: int
    redundant: int  # with a redundant kill
    surplus: int  # with a surplus kill
    unknown: int  # with a kill that may be redundant, and no redundant one
    low: float | None  # 95 % interval of the share of completed rounds with a redundant kill
    high: float | None


class Pace:
    """How long the rounds that are left will take, by those that were run: guests and clean-up included."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._done = self._rounds = 0
        self._seconds = 0.0
        self._began, self._before = clock(), 0

    def begin_block(self, done: int) -> None:
        """A block is about to be run, with so many rounds done before."""
        self._began, self._before, self._done = self._clock(), done, done

    def round_done(self, done: int) -> None:
        """One more round of the block ended; `done` counts those of the run."""
        self._done = done

    def end_block(self, done: int) -> None:
        """The block ended; `done` counts the rounds of the run. Blocks that took next to no time do not count."""
        if (took := self._clock() - self._began) >= _LEAST_S:
            self._seconds, self._rounds = self._seconds + took, self._rounds + done - self._before
        self._before = self._done = done
        self._began = self._clock()

    def minutes_left(self) -> int | None:
        """None before there is anything to go by."""
        if not self._rounds:
            return None
        return math.ceil(self._seconds / self._rounds * max(0, self._total - self._done) / 60)


class LiveView:
    """A table for the terminal. Threads: it is drawn by rich's, and changed by the one that measures."""

    def __init__(self, names: Mapping[str, str], pace: Pace, *, until_decided: bool) -> None:
        """`names`: what to call the arms, by their own names."""
        self._names, self.pace, self._until_decided = names, pace, until_decided
        self._arms: Sequence[ArmProgress] = ()
        self._comparisons: Sequence[Comparison] = ()
        self._latest, self._version = "", 0
        self._drawn: tuple[tuple[object, ...], list[Segment]] | None = None

    def update(self, arms: Iterable[ArmProgress], comparisons: Iterable[Comparison], latest: str) -> None:
        """`latest`: the scenario that was measured last."""
        self._arms, self._comparisons, self._latest = tuple(arms), tuple(comparisons), latest
        self._version += 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        key = (options.max_width, self._version, self.pace.minutes_left())
        if self._drawn is None or self._drawn[0] != key:
            segments: list[Segment] = []
            for part in self._parts(options.max_width):
                segments += console.render(part, options.update(height=None))
            self._drawn = key, segments
        yield from self._drawn[1]

    def _parts(self, width: int) -> Iterable[Table | Text]:
        if not self._arms:
            yield Text("No figures yet: they appear after each block.", style="dim")
            return
        scenarios = list(dict.fromkeys(arm.scenario for arm in self._arms))
        shown = scenarios if len(self._arms) <= _MAX_ROWS else [self._latest]
        for scenario in shown:
            if len(scenarios) > 1:
                yield Text(
                    scenario if len(shown) > 1 else f"{scenario} (one of {len(scenarios)} scenarios)", style="bold"
                )
            yield self._table([arm for arm in self._arms if arm.scenario == scenario], max(12, width - _FIGURES))
        for comparison in self._comparisons if self._until_decided else ():
            if comparison.scenario in shown and not comparison.is_null:
                yield self._nearness(comparison)
        left = ""
        if (minutes := self.pace.minutes_left()) is not None:
            left = f"{'At most' if self._until_decided else 'About'} {minutes} min left. "
        yield Text(
            f"{left}Redundant, surplus: rounds with such a kill. Share: of completed rounds with a redundant one.",
            style="dim",
        )

    def _table(self, arms: Sequence[ArmProgress], name_letters: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", overflow="fold")
        for heading in ("rounds", "redundant", "surplus", "share", "95 % interval"):
            table.add_column(heading, justify="right", no_wrap=True)
        for arm in arms:
            name = visible(self._names.get(arm.arm, arm.arm))
            table.add_row(Text("\n".join(_lines(name, name_letters))), *_cells(arm))
        return table

    def _nearness(self, comparison: Comparison) -> Text:
        name = visible(self._names.get(comparison.arm, comparison.arm))
        text = Text(f"{name}: ")
        p_value = deciding_p(comparison)
        p_value_text = "" if p_value is None else "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
        if comparison.verdict in DECIDED:
            text.append(comparison.verdict, style=_STYLES[comparison.verdict])
            return text.append(f", {p_value_text}" if p_value_text else "")
        share = nearness(p_value)
        filled = math.floor(share * _GAUGE)
        text.append("█" * filled + "░" * (_GAUGE - filled))
        text.append(f" open, {p_value_text or 'not tested'} (decided below {ALPHA:g})")
        if comparison.rounds_wanted:
            text.append(f"; about {comparison.rounds_wanted} more rounds per arm at this rate")
        return text


def deciding_p(comparison: Comparison) -> float | None:
    """The p-value that a verdict waits for: "better" takes rounds with redundant and with surplus kills to be fewer, "worse" more of
    either, or more surplus kills per round, which are tested at half of the level."""
    asked = (
        (comparison.p_adjusted, comparison.difference),
        (comparison.surplus_p_adjusted, comparison.surplus_difference),
    )
    tests = [(p_value, difference or 0.0) for p_value, difference in asked if p_value is not None]
    if comparison.surplus_kills_p_adjusted is not None:
        tests.append((min(1.0, 2 * comparison.surplus_kills_p_adjusted), 1.0))
    if not tests:
        return None
    rising = [p_value for p_value, difference in tests if difference >= 0]
    return min(rising) if rising else max(p_value for p_value, _ in tests)


def nearness(p_value: float | None) -> float:
    """How much of the evidence for a decision is there, from 0 to 1: on the log scale, on which evidence adds up."""
    if p_value is None or p_value <= 0:
        return 0.0 if p_value is None else 1.0
    return min(1.0, max(0.0, math.log(p_value) / math.log(ALPHA)))


def _cells(arm: ArmProgress) -> tuple[str, ...]:
    rounds = f"{arm.completed + arm.failed}/{arm.planned}"
    if not arm.completed:
        return rounds, "-", "-", "-", "-"
    at_most = arm.redundant + arm.unknown
    share = f"{100 * arm.redundant / arm.completed:.1f} %"
    if arm.unknown:
        share = f"{100 * arm.redundant / arm.completed:.0f} to {100 * at_most / arm.completed:.0f} %"
    interval = "-" if arm.low is None or arm.high is None else f"{100 * arm.low:.1f} to {100 * arm.high:.1f} %"
    redundant = f"{arm.redundant}-{at_most}" if arm.unknown else str(arm.redundant)
    return rounds, redundant, str(arm.surplus), share, interval


def _lines(name: str, width: int) -> Iterable[str]:
    """A name on lines that break between its patches; a patch that is longer, after a hyphen or a slash."""
    line = ""
    for number, part in enumerate(name.split("+")):
        piece = f"+{part}" if number else part
        if line and len(line) + len(piece) > width:
            yield line
            line = ""
        for word in [piece] if len(line) + len(piece) <= width else re.findall(r"[^-/]*[-/]|[^-/]+", piece):
            if line and len(line) + len(word) > width:
                yield line
                line = ""
            line += word
    yield line
