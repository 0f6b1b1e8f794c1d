"""Kernels by scenarios, night after night: what each cell shows, and whether it changed since the night before.

A cell is compared with the same cell of the newest earlier night that has rounds of it, by the tests of any comparison
(verdict.py), corrected by Holm's method for the number of cells that are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ..spec.arm import ArmSpec
from .arm import Arm
from .checks import Check, Condition, check_summary
from .planning import ALPHA
from .summary import Summary
from .verdict import Comparison, compare_all
from .verdicts import Verdict


class Change(StrEnum):
    """What changed in a cell since an earlier night."""

    UP = "up"  # the share of rounds with a redundant kill
    DOWN = "down"
    SURPLUS = "surplus"  # more rounds have a surplus kill, and no more are shown to have a redundant one
    FAILS = "fails"  # more rounds hang, panic or are lost
    WORSE = "worse"  # for another reason, which the comparison says


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One arm in one scenario of one night."""

    arm: str  # its name
    scenario: str
    measured: Arm | None  # None where nothing was measured
    why_not: str = ""  # the reason for that
    source: str = ""  # of the kernel: package and version, tree and commit
    version: str = ""  # such as 6.1.192; empty where it is not known
    key: str = ""  # of the kernel's content
    against: str = ""  # the earlier night that it is compared with
    earlier: Arm | None = None  # what was measured in that night
    earlier_source: str = ""
    is_same_kernel: bool = True  # as in that night
    not_compared: str = ""  # why it is compared with none
    comparison: Comparison | None = None

    @property
    def changes(self) -> list[Change]:
        """The changes that the tests show. An empty list does not mean "the same": the rounds may be too few."""
        comparison = self.comparison
        if comparison is None:
            return []
        changes = []
        if comparison.failed_p_adjusted is not None and comparison.failed_p_adjusted < ALPHA / 2:
            changes.append(Change.FAILS)
        if comparison.p_adjusted is not None and comparison.p_adjusted < ALPHA and comparison.difference:
            changes.append(Change.UP if comparison.difference > 0 else Change.DOWN)
        is_more = comparison.surplus_difference is not None and comparison.surplus_difference > 0
        is_shown = comparison.surplus_p_adjusted is not None and comparison.surplus_p_adjusted < ALPHA
        if is_more and is_shown and Change.UP not in changes:
            changes.append(Change.SURPLUS)
        if self.is_worse and not set(changes) - {Change.DOWN}:
            changes.append(Change.WORSE)
        return changes

    @property
    def is_worse(self) -> bool:
        """Whether the verdict of this night against the earlier ones is "worse"; False where nothing was compared."""
        return self.comparison is not None and self.comparison.verdict == Verdict.WORSE


class Night(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a matrix. `directory` is its name in the directory of the nights."""

    run_id: str
    directory: str
    state: str  # complete, or interrupted
    rounds: int  # planned per cell
    boots: int
    machine: str  # in words: what the kernels ran on
    arms: list[ArmSpec]  # all that were asked for, in their order
    scenarios: list[str]
    summaries: dict[str, str]  # what each scenario is, in a sentence
    conditions: dict[str, str]  # on which shares depend, kernels apart
    cells: list[Cell]
    notes: list[str]

    def cell(self, arm: str, scenario: str) -> Cell | None:
        """The cell of an arm and a scenario; None if the night has none."""
        return next((cell for cell in self.cells if (cell.arm, cell.scenario) == (arm, scenario)), None)


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """The nights of a matrix, old to new."""

    nights: list[Night]
    older: int  # nights that are left out, as they are older
    left_out: list[str]  # nights that cannot be read, each with why

    @property
    def newest(self) -> Night:
        """The last night. Raises IndexError in a matrix without nights."""
        return self.nights[-1]


def compare_with_earlier(night: Night, earlier: Sequence[Night]) -> Night:
    """The night with each cell compared. `earlier`: nights before it, old to new."""
    cells = [_with_earlier(cell, night, earlier) for cell in night.cells]
    numbers = [number for number, cell in enumerate(cells) if cell.earlier is not None and cell.measured is not None]
    pairs = [
        (cell.measured, _named(cell.earlier, f"night {cell.against}"))
        for cell in (cells[number] for number in numbers)
        if cell.measured is not None and cell.earlier is not None
    ]
    comparisons = compare_all(pairs) if pairs else []
    for number, comparison in zip(numbers, comparisons, strict=True):
        cells[number] = msgspec.structs.replace(cells[number], comparison=comparison)
    return msgspec.structs.replace(night, cells=cells)


def earlier_night(cell: Cell, earlier: Sequence[Night]) -> Night | None:
    """The newest earlier night that has rounds of this cell."""
    return next(
        (
            night
            for night in reversed(earlier)
            if (other := night.cell(cell.arm, cell.scenario)) is not None and other.measured is not None
        ),
        None,
    )


def _with_earlier(cell: Cell, night: Night, earlier: Sequence[Night]) -> Cell:
    cell = msgspec.structs.replace(cell, against="", earlier=None, comparison=None, not_compared="")
    if cell.measured is None:
        return cell
    before = earlier_night(cell, earlier)
    if before is None:
        return msgspec.structs.replace(cell, not_compared="no earlier night has it")
    if differs := _what_differs(cell, night, before):
        return msgspec.structs.replace(cell, against=before.run_id, not_compared=differs)
    other = before.cell(cell.arm, cell.scenario) or cell
    return msgspec.structs.replace(
        cell,
        against=before.run_id,
        earlier=other.measured,
        earlier_source=other.source,
        is_same_kernel=other.key == cell.key,
    )


def _what_differs(cell: Cell, night: Night, before: Night) -> str:
    """What forbids a comparison of two nights: something other than the kernel differs on which the share depends."""
    own = (f"scenario {cell.scenario}: ", f"arm {cell.arm}: ")
    for name, value in night.conditions.items():
        is_other = name.startswith(("scenario ", "arm ")) and not name.startswith(own)
        if not is_other and before.conditions.get(name, value) != value:
            return f"{name.removeprefix(own[0]).removeprefix(own[1])} is {value or 'none'}, was {before.conditions[name] or 'none'}"
    return ""


def _named(arm: Arm, name: str) -> Arm:
    """The same figures under another name."""
    return msgspec.convert(msgspec.to_builtins(arm) | {"kernel": name}, Arm)


def check_night(night: Night, conditions: Sequence[Condition]) -> tuple[Summary, list[Check]]:
    """Every condition on every cell; worse: than in the earlier night. With it the night as a summary."""
    compared = [cell.comparison for cell in night.cells if cell.comparison is not None]
    measured = [cell.measured for cell in night.cells if cell.measured is not None]
    summary = Summary(
        run_id=night.run_id, state=night.state, arms=measured, comparisons=compared, disagreements=[], notes=[]
    )
    checks = check_summary(summary, conditions)
    reasons = {(cell.arm, cell.scenario): cell.why_not or cell.not_compared for cell in night.cells}
    explained = [
        msgspec.structs.replace(check, because=f"not compared: {reasons[check.arm, check.scenario]}")
        if check.condition == Verdict.WORSE and reasons[check.arm, check.scenario]
        else check
        for check in checks
    ]
    absent = [
        Check(cell.scenario, cell.arm, condition.text, None, f"not measured: {cell.why_not}")
        for condition in conditions
        for cell in night.cells
        if cell.measured is None
    ]
    return summary, explained + absent
