"""The cells of a matrix in words: shares, rounds that failed, what changed since the earlier night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from ..analysis.arm import Arm
from ..analysis.armcounts import OUTCOMES
from ..analysis.families import p_words
from ..analysis.matrix import Cell, Change, Matrix, Night
from ..analysis.verdicts import Verdict
from ..spec.arm import ArmSpec
from .armnames import short_names
from .comparisontable import difference_words

SIGNS = {Change.DOWN: "▼"} | dict.fromkeys((Change.UP, Change.SURPLUS, Change.FAILS, Change.WORSE), "▲")
_NAME_LETTERS = 18
_ASCII_SIGNS = {"▲": "^", "▼": "v"}


def names_of(arms: Sequence[ArmSpec]) -> dict[str, str]:
    """What to call the arms, by their names: the name, or a short one where it is long or has a path."""
    short = short_names(arms)
    return {arm.name: short[arm.name] if "/" in arm.name or len(arm.name) > _NAME_LETTERS else arm.name for arm in arms}


def date_of(night: Night) -> str:
    """When a night began, UTC, by its name."""
    began = began_at(night.run_id)
    return f"{began:%-d %b %Y, %H:%M} UTC" if began else night.run_id


def began_at(run_id: str) -> datetime | None:
    """When a night began, UTC, by the date in its name; None if the name has none."""
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S")
    except ValueError:
        return None


def share_words(arm: Arm) -> str:
    """The share of completed rounds with a redundant kill; with kills of unknown class, its bounds."""
    if not arm.has_oracle:
        return "no share"
    if arm.rate is None:
        return "-"
    if arm.rounds_with_unknown and arm.rate_at_most is not None:
        return f"{100 * arm.rate:.1f}-{percent(arm.rate_at_most)}"
    return percent(arm.rate)


def percent(share: float | None) -> str:
    """A share (0 to 1) in per cent, with one decimal; "-" for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def interval_words(arm: Arm) -> str:
    """Its 95 % interval, in per cent; empty where there is none."""
    high = arm.ci_high_at_most if arm.rounds_with_unknown else arm.ci_high
    if not arm.has_oracle or arm.ci_low is None or high is None:
        return ""
    return f"{100 * arm.ci_low:.1f}-{100 * high:.1f}"


def failed_words(arm: Arm) -> str:
    """Rounds that did not complete, by how they ended; empty where all did."""
    if not arm.failed_rounds:
        return ""
    ended = Counter({name.replace("_", " "): arm.outcomes.get(name, 0) for name in OUTCOMES if name != "completed"})
    ended["never begun"] = arm.rounds_given_up
    parts = ", ".join(f"{count} {name}" for name, count in ended.items() if count)
    return f"{arm.failed_rounds} of {arm.completed_rounds + arm.failed_rounds} rounds failed: {parts}"


def not_run(arm: Arm) -> int:
    """Rounds that an interrupted night did not come to."""
    return arm.rounds_not_run - arm.rounds_given_up


def change_words(cell: Cell, change: Change) -> str:
    """What changed, short: for a cell."""
    before = share_words(cell.earlier) if cell.earlier is not None else "-"
    return {
        Change.UP: f"up from {before}",
        Change.DOWN: f"down from {before}",
        Change.SURPLUS: "more surplus kills",
        Change.FAILS: "more rounds fail",
        Change.WORSE: "worse",
    }[change]


def plain_sign(sign: str, *, is_ascii: bool) -> str:
    """The sign of a change, or its ASCII form."""
    return _ASCII_SIGNS.get(sign, sign) if is_ascii else sign


def change_lines(night: Night, names: Mapping[str, str], *, is_ascii: bool = False) -> list[tuple[Cell, str, str]]:
    """For each change its cell, what changed, and how sure that is and on which kernel; cells that are worse first."""
    lines = []
    ordered = sorted(night.cells, key=lambda cell: not cell.is_worse)
    for cell in ordered:
        for change in cell.changes:
            sign = plain_sign(SIGNS[change], is_ascii=is_ascii)
            where = f"{cell.scenario} on {names.get(cell.arm, cell.arm)}"
            text, sure = _said(cell, change)
            lines.append((cell, f"{sign} {where}: {text}", f"{sure}; {_kernel_words(cell)}"))
    return lines


def rest_lines(night: Night) -> list[str]:
    """How many cells did not change, cannot be told, or were not compared, with why."""
    unchanged = [cell for cell in night.cells if cell.comparison is not None and not cell.changes]
    few = [cell for cell in unchanged if cell.comparison and cell.comparison.verdict == Verdict.NOT_ENOUGH]
    lines = []
    if unchanged:
        told = f"; in {len(few)} of them the rounds are too few to show a share half as large" if few else ""
        lines.append(f"{_cells(len(unchanged))}: no change shown{told}")
    reasons = Counter(f"not compared: {cell.not_compared}" for cell in night.cells if cell.not_compared)
    reasons.update(f"not measured: {cell.why_not}" for cell in night.cells if cell.measured is None)
    return lines + [f"{_cells(count)} {why}" for why, count in reasons.items()]


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"


def _said(cell: Cell, change: Change) -> tuple[str, str]:
    """What changed, and what the test says of it."""
    comparison, now, before = cell.comparison, cell.measured, cell.earlier
    if comparison is None or now is None or before is None:
        return change, ""
    many = f" (Holm, {comparison.comparisons} cells)" if comparison.comparisons > 1 else ""
    if change in (Change.UP, Change.DOWN):
        word = "up" if change is Change.UP else "down"
        shares = f"{word} from {share_words(before)} to {share_words(now)}"
        return shares, f"{difference_words(comparison)}, {p_words(comparison.p_adjusted or 0.0)}{many}"
    if change is Change.SURPLUS:
        counts = f"{now.rounds_with_surplus} of {now.completed_rounds}, {before.rounds_with_surplus} of {before.completed_rounds} before"
        return f"surplus kills in more rounds, {counts}", f"{p_words(comparison.surplus_p_adjusted or 0.0)}{many}"
    if change is Change.FAILS:
        counts = f"{now.failed_rounds} of {now.completed_rounds + now.failed_rounds}, {before.failed_rounds} of {before.completed_rounds + before.failed_rounds} before"
        return f"more rounds fail, {counts}", f"{p_words(comparison.failed_p_adjusted or 0.0)}{many}"
    return "worse", comparison.because


def _kernel_words(cell: Cell) -> str:
    if cell.is_same_kernel:
        return "the kernel is the same"
    if cell.source == cell.earlier_source:
        return f"the kernel was built anew ({cell.source})"
    return f"the kernel is {cell.source}, and was {cell.earlier_source}"


def compared_words(matrix: Matrix) -> str:
    """With which night the newest is compared."""
    night = matrix.newest
    compared = Counter(cell.against for cell in night.cells if cell.comparison is not None)
    if not compared:
        return "the first night: nothing to compare it with" if len(matrix.nights) == 1 else "no cell could be compared"
    dates = {each.run_id: date_of(each) for each in matrix.nights}
    before = ", ".join(f"the night of {dates.get(run_id, run_id)}" for run_id in sorted(compared, reverse=True))
    return f"compared with {before}"


def columns_of(night: Night) -> list[tuple[ArmSpec, str, str]]:
    """The arms with the version of their kernel, and whether it is another one than before, in words."""
    columns = []
    for arm in night.arms:
        cells = [cell for cell in night.cells if cell.arm == arm.name]
        version = next((cell.version for cell in cells if cell.version), "")
        is_new = any(cell.earlier is not None and not cell.is_same_kernel for cell in cells)
        columns.append((arm, version, "new kernel" if is_new else ""))
    return columns
