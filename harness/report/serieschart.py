"""The picture of a series: the share of rounds by kernel version."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.series import Series, Version
from ..system.paths import write_atomically
from .charts import Chart
from .drawing import PICTURE_DPI, look, to_png, to_svg
from .palette import BLUE, GREY, PALE, VERMILLION
from .seriestable import change_lines, labels_of
from .visible import shorten

_HEIGHT = 3.1
_VERSION_INCHES, _LEAST_INCHES, _MOST_INCHES = 0.78, 4.6, 11.0
_LABEL_LETTERS = 22
_BESIDE = 0.11  # redundant stands left of its place, surplus right


def draw_series(series: Series) -> Chart:
    """Redundant and surplus shares with their intervals, versions from old to new; a change is marked between its two."""
    with look():
        return _draw(series)


def write_picture(series: Series, directory: Path, kind: str) -> Path:
    """The picture as series.svg or series.png. Returns its path."""
    chart = draw_series(series)
    path = directory / f"{chart.name}.{kind}"
    description = f"{chart.title}. {chart.caption}"
    content = to_svg(chart.figure, chart.name, description).encode() if kind == "svg" else to_png(chart.figure)
    write_atomically(path, content)
    return path


def _draw(series: Series) -> Chart:
    versions = series.versions
    width = min(max(_LEAST_INCHES, _VERSION_INCHES * len(versions) + 0.8), _MOST_INCHES)
    figure = Figure(figsize=(width, _HEIGHT), dpi=PICTURE_DPI)
    axes = figure.add_subplot()
    places = {version.name: place for place, version in enumerate(versions)}
    known = [(place, version.arm.rate) for place, version in enumerate(versions) if version.arm.rate is not None]
    axes.plot([place - _BESIDE for place, _ in known], [100 * rate for _, rate in known], color=PALE, linewidth=1)
    for place, version in enumerate(versions):
        arm = version.arm
        is_hollow = bool(arm.rounds_with_unknown)
        _point(axes, place - _BESIDE, arm.rate, arm.ci_low, arm.ci_high, VERMILLION, "o", is_hollow=is_hollow)
        _point(axes, place + _BESIDE, version.surplus_rate, version.surplus_low, version.surplus_high, BLUE, "^")
        if arm.rate is None:
            axes.text(place, 2, "no completed\nround", ha="center", va="bottom", fontsize=7.5, color=GREY)
    for step in series.steps:
        if step.is_change:
            axes.axvspan(
                places[step.older] + 0.3, places[step.newer] - 0.3, color=PALE, alpha=0.6, linewidth=0, zorder=0
            )
    axes.plot([], [], "o", color=VERMILLION, markersize=5, label="with a redundant kill (counts below)")
    axes.plot([], [], "^", color=BLUE, markersize=5, label="with a surplus kill")
    if any(step.is_change for step in series.steps):
        axes.fill_between([], [], color=PALE, alpha=0.6, linewidth=0, label="change")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.06, 1.0),
        ncols=3,
        borderpad=0.1,
        handletextpad=0.2,
        columnspacing=1.0,
        handlelength=1.2,
    )
    axes.set_xlim(-0.6, len(versions) - 0.4)
    axes.set_ylim(0, _top(versions))
    axes.set_ylabel("% of completed rounds")
    labels = labels_of(series)
    axes.set_xticks(range(len(versions)), [_under(version, labels[version.name]) for version in versions], fontsize=7.5)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_position((0.5 / width, 0.62 / _HEIGHT, 1 - 0.6 / width, 1 - 0.95 / _HEIGHT))
    methods = "; ".join(dict.fromkeys(version.arm.ci_method for version in versions))
    caption = " ".join(
        [
            f"Share of completed rounds of {series.scenario} by kernel version, with its 95 % interval ({methods}).",
            *(f"{line[0].upper()}{line[1:]}." for line in change_lines(series)),
        ]
    )
    if any(version.arm.rounds_with_unknown for version in versions):
        caption += " Hollow points: kills of unknown class may be redundant and are not in the share."
    return Chart("series", "Rounds with a redundant kill, by kernel version", caption, figure)


def _point(
    axes: Axes,
    place: float,
    share: float | None,
    low: float | None,
    high: float | None,
    color: str,
    marker: str,
    *,
    is_hollow: bool = False,
) -> None:
    if share is None or low is None or high is None:
        return
    axes.plot([place, place], [100 * low, 100 * high], color=color, linewidth=1.6, marker="_", markersize=6)
    face = "white" if is_hollow else color
    axes.plot(
        [place], [100 * share], marker, color=color, markersize=5.5, markerfacecolor=face, clip_on=False, zorder=3
    )


def _top(versions: list[Version]) -> float:
    bounds = [
        bound for version in versions for bound in (version.arm.ci_high, version.surplus_high) if bound is not None
    ]
    return min(100.0, 108 * max(bounds, default=1.0)) or 1.0


def _under(version: Version, label: str) -> str:
    arm = version.arm
    name = label.replace(" (", "\n(", 1)
    lines = [shorten(part, _LABEL_LETTERS) for part in name.split("\n")]
    lines.append(f"{arm.rounds_with_redundant} of {arm.completed_rounds}")
    if arm.failed_rounds:
        lines.append(f"{arm.failed_rounds} failed")
    return "\n".join(lines)
