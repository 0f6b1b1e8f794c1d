"""The page of a matrix: the newest night as a table, each cell over the nights, and the way to the runs' own pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..analysis.arm import Arm
from ..analysis.matrix import Cell, Change, Matrix, Night
from .matrixchart import draw_cell
from .matrixwords import (
    SIGNS,
    change_lines,
    change_words,
    columns_of,
    compared_words,
    date_of,
    failed_words,
    interval_words,
    names_of,
    not_run,
    rest_lines,
    share_words,
)
from .templating import page_environment

# By what is certain: a cell has the shade of the lower bound of its interval. Vermillion, lightened.
_SHADES = (
    (0.5, "#e08a4d", "50 % and more"),
    (0.2, "#eaad80", "20 to 50 %"),
    (0.05, "#f3cdb0", "5 to 20 %"),
    (0.01, "#f9e4d5", "1 to 5 %"),
    (0.0, "#fdf3ec", "above none, below 1 %"),
)
_NONE = "#ffffff"


@dataclass(frozen=True)
class _Change:
    sign: str
    words: str
    is_good: bool


@dataclass(frozen=True)
class _Shown:
    """A cell as it is shown."""

    is_measured: bool
    why: str  # there is nothing, or it is not compared
    share: str
    interval: str
    counts: str
    shade: str
    failed: str
    left: int  # rounds that an interrupted night did not come to
    changes: list[_Change]


@dataclass(frozen=True)
class _Panel:
    """A cell over the nights."""

    scenario: str
    now: str
    changes: list[_Change]
    svg: Markup


@dataclass(frozen=True)
class _Past:
    """A night in the list of nights."""

    date: str
    run_id: str
    state: str
    kernels: str
    failed: int
    worse: int
    better: int
    links: list[tuple[str, str]]


def render_matrix(matrix: Matrix, links: Mapping[str, Mapping[str, str]]) -> str:
    """The page. `links`: of the runs' own pages, by night and scenario."""
    night = matrix.newest
    names = names_of(night.arms)
    columns = columns_of(night)
    rows = [
        (
            scenario,
            links.get(night.run_id, {}).get(scenario, ""),
            [_shown(night, arm.name, scenario) for arm in night.arms],
        )
        for scenario in night.scenarios
    ]
    return (
        page_environment()
        .get_template("matrix.html.j2")
        .render(
            night=night,
            date=date_of(night),
            compared=compared_words(matrix),
            columns=[(names[arm.name], arm, version, news) for arm, version, news in columns],
            rows=rows,
            mood=_mood(night),
            changes=[
                (change, sure, links.get(night.run_id, {}).get(cell.scenario, ""))
                for cell, change, sure in change_lines(night, names)
            ],
            rest=rest_lines(night),
            shades=[*reversed(_SHADES)],
            panels=_panels(matrix, names),
            nights=[_past(past, links.get(past.run_id, {})) for past in reversed(matrix.nights)],
            matrix=matrix,
            tests=sum(cell.comparison is not None for cell in night.cells),
        )
    )


def _shown(night: Night, arm: str, scenario: str) -> _Shown:
    cell = night.cell(arm, scenario)
    if cell is None or cell.measured is None:
        why = cell.why_not if cell is not None else ""
        return _Shown(False, why, "", "", "", _NONE, "", 0, [])
    measured = cell.measured
    return _Shown(
        is_measured=True,
        why="" if len(cell.against) == 0 else cell.not_compared,
        share=share_words(measured),
        interval=interval_words(measured),
        counts=_counts(measured),
        shade=_shade(measured.ci_low) if measured.has_oracle else _NONE,
        failed=failed_words(measured),
        left=not_run(measured),
        changes=_changes(cell),
    )


def _counts(arm: Arm) -> str:
    if not arm.has_oracle:
        return "the scenario declares no demand"
    if not arm.completed_rounds:
        return "no completed round"
    hits = str(arm.rounds_with_redundant)
    if arm.rounds_with_unknown:
        hits += f" to {arm.rounds_with_redundant + arm.rounds_with_unknown}"
    return f"{hits} of {arm.completed_rounds} rounds"


def _shade(low: float | None) -> str:
    if not low:
        return _NONE
    return next(shade for least, shade, _ in _SHADES if low >= least)


def _changes(cell: Cell) -> list[_Change]:
    return [_Change(SIGNS[change], change_words(cell, change), change is Change.DOWN) for change in cell.changes]


def _panels(matrix: Matrix, names: Mapping[str, str]) -> list[tuple[str, list[_Panel]]]:
    """A row of pictures for each kernel; none while there is one night only."""
    if len(matrix.nights) == 1:
        return []
    night = matrix.newest
    rows = []
    for number, arm in enumerate(night.arms):
        panels = []
        for place, scenario in enumerate(night.scenarios):
            if not any(_is_measured(past, arm.name, scenario) for past in matrix.nights):
                continue
            cell = night.cell(arm.name, scenario)
            now = share_words(cell.measured) if cell is not None and cell.measured is not None else "not measured"
            svg = draw_cell(matrix.nights, arm.name, scenario, f"cell {number} {place}")
            panels.append(_Panel(scenario, now, _changes(cell) if cell is not None else [], Markup(svg)))
        rows.append((names[arm.name], panels))
    return rows


def _is_measured(night: Night, arm: str, scenario: str) -> bool:
    cell = night.cell(arm, scenario)
    return cell is not None and cell.measured is not None


def _past(night: Night, links: Mapping[str, str]) -> _Past:
    measured = [cell.measured for cell in night.cells if cell.measured is not None]
    return _Past(
        date=date_of(night),
        run_id=night.run_id,
        state=night.state,
        kernels=_kernels(night),
        failed=sum(arm.failed_rounds for arm in measured),
        worse=sum(_is_bad(cell.changes) for cell in night.cells),
        better=sum(Change.DOWN in cell.changes for cell in night.cells),
        links=[(scenario, links[scenario]) for scenario in night.scenarios if scenario in links],
    )


def _mood(night: Night) -> str:
    changes = [change for cell in night.cells for change in cell.changes]
    return "worse" if _is_bad(changes) else "better" if changes else "calm"


def _is_bad(changes: Sequence[Change]) -> bool:
    return any(change is not Change.DOWN for change in changes)


def _kernels(night: Night) -> str:
    names = names_of(night.arms)
    parts = []
    for arm, version, news in columns_of(night):
        name = names[arm.name]
        text = name if not version or version in name else f"{name} ({version})"
        parts.append(f"{text}, new" if news else text)
    return "; ".join(parts)
