"""Small pictures of a matrix: one cell over the nights, the share of rounds with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.matrix import Cell, Change, Night
from .drawing import look, to_svg
from .matrixwords import began_at, percent
from .palette import BLACK, BLUE, GREEN, GREY, PALE, VERMILLION

_WIDTH, _HEIGHT = 2.7, 1.25
_TOPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.42, 0.16, 0.1, 0.24  # inches


def draw_cell(nights: Sequence[Night], arm: str, scenario: str, name: str) -> str:
    """The line of one cell as SVG, with a description to be read aloud. `name` keeps its ids apart from other pictures'."""
    measured = [
        (place, night, cell)
        for place, night in enumerate(nights)
        if (cell := night.cell(arm, scenario)) is not None and cell.measured is not None
    ]
    with look():
        figure = _draw(nights, measured)
    return to_svg(figure, name, _described(measured, arm, scenario))


def _described(measured: Sequence[tuple[int, Night, Cell]], arm: str, scenario: str) -> str:
    shares = [percent(cell.measured.rate) for _, _, cell in measured if cell.measured is not None]
    return f"{scenario} on {arm}, share of rounds with a redundant kill, nights from old to new: {', '.join(shares)}"


def _draw(nights: Sequence[Night], measured: Sequence[tuple[int, Night, Cell]]) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes(
        (_LEFT / _WIDTH, _BELOW / _HEIGHT, 1 - (_LEFT + _RIGHT) / _WIDTH, 1 - (_ABOVE + _BELOW) / _HEIGHT)
    )
    times = _times(nights)
    top = _top([cell for _, _, cell in measured])
    xs, ys = [], []
    for place, _, cell in measured:
        arm, at = cell.measured, times[place]
        if arm is None:
            continue
        if cell.earlier is not None and not cell.is_same_kernel:
            axes.axvline(at, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        if arm.failed_rounds:
            axes.plot([at], [0], "x", color=BLACK, markersize=5, clip_on=False, zorder=4)
        high = arm.ci_high_at_most if arm.rounds_with_unknown else arm.ci_high
        if arm.rate is None or arm.ci_low is None or high is None or not arm.has_oracle:
            continue
        axes.plot(
            [at, at], [100 * arm.ci_low, 100 * high], color=BLUE, alpha=0.35, linewidth=2.4, solid_capstyle="butt"
        )
        xs.append(at)
        ys.append(100 * arm.rate)
        _mark(axes, at, 100 * arm.rate, cell.changes)
    axes.plot(xs, ys, "-o", color=BLUE, linewidth=1, markersize=2.2, zorder=2)
    axes.set_ylim(0, 100 * top)
    axes.set_yticks([0, 100 * top], ["0", f"{100 * top:g} %"], fontsize=7.5)
    margin = max(0.5, 0.04 * (times[-1] - times[0]))
    axes.set_xlim(times[0] - margin, times[-1] + margin)
    ends = [0, len(times) - 1] if len(times) > 1 else [0]
    axes.set_xticks([times[place] for place in ends], [_day(nights[place]) for place in ends], fontsize=7.5)
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    if len(ends) > 1:
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.tick_params(length=2)
    axes.grid(axis="y", color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    return figure


def _mark(axes: Axes, at: float, share: float, changes: Sequence[Change]) -> None:
    if Change.DOWN in changes:
        axes.plot([at], [share], "v", color=GREEN, markersize=6.5, clip_on=False, zorder=3)
    elif changes:
        axes.plot([at], [share], "^", color=VERMILLION, markersize=6.5, clip_on=False, zorder=3)


def _times(nights: Sequence[Night]) -> list[float]:
    """In days; nights whose name has no date stand a day apart."""
    began = [moment for night in nights if (moment := began_at(night.run_id)) is not None]
    if len(began) < len(nights):
        return [float(place) for place in range(len(nights))]
    return [(moment - began[0]).total_seconds() / 86_400 for moment in began]


def _day(night: Night) -> str:
    began = began_at(night.run_id)
    return f"{began:%-d %b}" if began else night.run_id[:8]


def _top(cells: Sequence[Cell]) -> float:
    highest = max((cell.measured.rate or 0.0 for cell in cells if cell.measured is not None), default=0.0)
    bounds = [
        cell.measured.ci_high for cell in cells if cell.measured is not None and cell.measured.ci_high is not None
    ]
    highest = max([highest, *bounds])
    return next((top for top in _TOPS if highest <= top), 1.0)
