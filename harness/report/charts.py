"""Pictures of a run: what the arms did, side by side. They show shares and quantiles, so their size does not grow with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter

from ..analysis.arm import Arm
from .drawing import PICTURE_DPI, look
from .palette import BLACK, GREY, PALE, VERMILLION, arm_style
from .visible import visible

_WIDTH = 4.6
_NAME_LETTERS = 48
_LINE_INCHES = 0.17
_MAX_BINS = 30
_ECDF_POINTS = 300
_COSTS = (
    ("duration_us", "round, ms", 1000),
    ("system_us", "system time, ms", 1000),
    ("memory_full_us", "memory PSI full, ms", 1000),
    ("memory_events_oom", "memory.events oom", 1),
)
# Rounds by what was killed in them.
_ROUNDS: dict[str, dict[str, Any]] = {
    "no redundant kill": {"facecolor": PALE, "edgecolor": GREY},
    "of unknown class": {"facecolor": "white", "edgecolor": GREY, "hatch": "...."},
    "a redundant kill": {"facecolor": VERMILLION, "edgecolor": BLACK, "hatch": "xxxx"},
}


@dataclass(frozen=True)
class Chart:
    """One picture with what it says in words."""

    name: str  # of its file
    title: str
    caption: str
    figure: Figure


def letter(index: int) -> str:
    """What the arm at this place is called in pictures."""
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def label(index: int, name: str) -> str:
    """Letter and name of the arm at a place; a long name is shortened in its middle."""
    shown = visible(name)
    if len(shown) > _NAME_LETTERS:
        shown = f"{shown[: _NAME_LETTERS // 2]}…{shown[-_NAME_LETTERS // 2 :]}"
    return f"{letter(index)} {shown}"


def draw_charts(
    arms: Sequence[Arm], rounds: pd.DataFrame, kills: pd.DataFrame, names: Mapping[str, str] | None = None
) -> list[Chart]:
    """Every picture of a run. `arms` in the order of the summary; `names`: what to call them, by their own names."""
    labels = {arm.arm: label(place, (names or {}).get(arm.arm, arm.arm)) for place, arm in enumerate(arms)}
    with look():
        return [
            _rates(arms, labels),
            _kills_per_round(arms, labels, rounds, kills),
            _releases(arms, labels, kills),
            _costs(arms, labels, rounds),
        ]


def _figure(inches: float) -> Figure:
    return Figure(figsize=(_WIDTH, inches), dpi=PICTURE_DPI)


def _place(figure: Figure, axes: Axes, left: float, right: float, above: float, below: float) -> None:
    """Puts axes at margins in inches."""
    width, height = figure.get_size_inches()
    axes.set_position((left / width, below / height, 1 - (left + right) / width, 1 - (above + below) / height))


def _rates(arms: Sequence[Arm], labels: Mapping[str, str]) -> Chart:
    figure = _figure(0.36 * len(arms) + 0.62)
    axes = figure.add_subplot()
    _place(figure, axes, 0.15, 1.45, 0.08, 0.5)
    for index, arm in enumerate(arms):
        style = arm_style(index)
        axes.text(0, index - 0.34, labels[arm.arm], va="center", fontsize=8.5, transform=axes.get_yaxis_transform())
        if arm.rate is None or arm.ci_low is None or arm.ci_high is None:
            axes.text(
                1.02, index, "no completed round", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5
            )
            continue
        low, high = 100 * arm.ci_low, 100 * arm.ci_high
        axes.plot(
            [low, high], [index, index], color=style.color, linewidth=2, solid_capstyle="butt", marker="|", markersize=7
        )
        axes.plot(
            [100 * arm.rate],
            [index],
            style.marker,
            color=style.color,
            markersize=6,
            markerfacecolor="white" if arm.unknown_kills else style.color,
            clip_on=False,
            zorder=3,
        )
        share = f"{100 * arm.rate:.1f} % ({arm.rounds_with_redundant} of {arm.completed_rounds})"
        axes.text(1.02, index, share, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
        if arm.unknown_kills:
            text = f"{arm.unknown_kills} kills unknown"
            axes.text(1.02, index - 0.36, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    highest = max((arm.ci_high for arm in arms if arm.ci_high is not None), default=0.0)
    axes.set_xlim(0, min(100.0, 104 * highest) or 1)
    axes.set_ylim(len(arms) - 0.6, -0.65)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel("% of completed rounds with a redundant kill")
    methods = "; ".join(dict.fromkeys(arm.ci_method for arm in arms))
    caption = f"Share of completed rounds, with its 95 % interval ({methods})."
    if any(arm.unknown_kills for arm in arms):
        caption += " Hollow points: kills of unknown class may be redundant and are not in the share."
    return Chart("rates", "Rounds with a redundant kill", caption, figure)


def _kills_per_round(
    arms: Sequence[Arm], labels: Mapping[str, str], rounds: pd.DataFrame, kills: pd.DataFrame
) -> Chart:
    key = ["trial_id", "round"]
    counts = rounds.loc[rounds["outcome"] == "completed", ["arm", *key]].copy()
    index = pd.MultiIndex.from_frame(counts[key])
    counts["kills"] = kills.groupby(key, observed=True).size().reindex(index, fill_value=0).to_numpy()
    for name in ("redundant", "unknown"):
        counts[name] = index.isin(pd.MultiIndex.from_frame(kills.loc[kills["kill_class"] == name, key]))
    most = int(counts["kills"].max()) if len(counts) else 1
    step = max(1, math.ceil((most + 1) / _MAX_BINS))
    edges = np.arange(0, most + step + 1, step)
    height = 0.52
    figure = _figure((height + 0.24) * len(arms) + 0.85)
    total = figure.get_size_inches()[1]
    panels: list[tuple[Axes, float]] = []
    for place, arm in enumerate(arms):
        axes = figure.add_subplot()
        above = 0.24 + place * (height + 0.24)
        _place(figure, axes, 0.45, 0.15, above, total - above - height)
        mine = counts[counts["arm"] == arm.arm]
        scale, at = 100 / max(len(mine), 1), edges[:-1] + (step - 1) / 2
        below = np.zeros(len(at))
        unknown = mine["unknown"] & ~mine["redundant"]
        for those, look_of in zip(
            (~mine["redundant"] & ~unknown, unknown, mine["redundant"]), _ROUNDS.values(), strict=True
        ):
            share = np.histogram(mine.loc[those, "kills"], bins=edges)[0] * scale
            seen = share > 0
            axes.bar(at[seen], share[seen], 0.8 * step, below[seen], linewidth=0.6, **look_of)
            below += share
        axes.set_title(f"{labels[arm.arm]}, n = {len(mine)}", loc="left", fontsize=8.5, pad=3)
        axes.set_xlim(-0.6 * step, edges[-1] - 1 + 0.6 * step)
        panels.append((axes, np.max(below)))
        axes.tick_params(axis="y", labelsize=7.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
        if arm is not arms[-1]:
            axes.tick_params(labelbottom=False)
    highest = max(share for _, share in panels) or 1
    for axes, _ in panels:
        axes.set_ylim(0, 1.08 * highest)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=2))
    panels[-1][0].set_xlabel("kills in a round" + (f" (bars of {step})" if step > 1 else ""))
    shown = [name for name in _ROUNDS if name != "of unknown class" or counts["unknown"].any()]
    handles = [Patch(label=name, **_ROUNDS[name]) for name in shown]
    figure.legend(handles=handles, loc="lower right", ncols=len(handles), bbox_to_anchor=(1, 0), borderpad=0.2)
    return Chart(
        "kills-per-round",
        "Kills in a round",
        "% of completed rounds, by how many processes the kernel killed in it.",
        figure,
    )


def _releases(arms: Sequence[Arm], labels: Mapping[str, str], kills: pd.DataFrame) -> Chart:
    figure = _figure(2.5 + _LINE_INCHES * len(arms))
    axes = figure.add_subplot()
    _place(figure, axes, 0.5, 0.15, 0.08, 0.54 + _LINE_INCHES * len(arms))
    traced = kills[kills["mark_time_us"].notna()]
    latency = ((traced["release_time_us"] - traced["mark_time_us"]) / 1000).astype("Float64")
    open_ended = 0
    for place, arm in enumerate(arms):
        style = arm_style(place)
        mine = latency[traced["arm"] == arm.arm]
        known = np.sort(mine.dropna().to_numpy(dtype=float))
        open_ended += len(mine) - len(known)
        says = f"{labels[arm.arm]}: {len(mine)} kills"
        if len(known) < len(mine):
            says += f", {len(mine) - len(known)} not released"
        if len(known):
            # What was not released by the end of its round stays below 100 %: it is not left out.
            shares = np.arange(1, len(known) + 1) / len(mine)
            if len(known) > _ECDF_POINTS:
                keep = np.unique(np.linspace(0, len(known) - 1, _ECDF_POINTS).round().astype(int))
                known, shares = known[keep], shares[keep]
            known, shares = np.insert(known, 0, known[0]), np.insert(shares, 0, 0)
            axes.step(
                np.maximum(known, 1e-3),
                100 * shares,
                where="post",
                color=style.color,
                linestyle=style.line,
                linewidth=1.4,
            )
        axes.plot([], [], color=style.color, linestyle=style.line, linewidth=1.4, label=says)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_formatter(_plain)
    axes.xaxis.set_minor_formatter(_plain if high < 20 * low else NullFormatter())
    axes.tick_params(axis="x", which="minor", labelsize=7.5)
    axes.set_ylim(0, 101)
    axes.set_xlabel("ms from a kill (mark) to its release, log scale")
    axes.set_ylabel("% of kills released")
    axes.grid(color=PALE, linewidth=0.5)
    figure.legend(loc="lower left", bbox_to_anchor=(0.02, 0), borderpad=0.2, labelspacing=0.25, handlelength=3.2)
    untraced = len(kills) - len(traced)
    caption = "Share of kills whose memory was free again, by the time since the kill."
    if open_ended:
        caption += f" {open_ended} kills have no release in their round, so the line of their arm ends below 100 %."
    if untraced:
        caption += f" {untraced} kills without a trace are left out."
    return Chart("release", "From kill to release", caption, figure)


def _plain(value: float, _position: float) -> str:
    return f"{value:g}"


def _costs(arms: Sequence[Arm], labels: Mapping[str, str], rounds: pd.DataFrame) -> Chart:
    completed = rounds[rounds["outcome"] == "completed"]
    rows = math.ceil(len(_COSTS) / 2)
    panel = 0.2 * len(arms) + 0.1
    figure = _figure(rows * (panel + 0.5) + 0.15 + _LINE_INCHES * len(arms))
    total = figure.get_size_inches()[1]
    missing = 0
    for position, (column, title, divisor) in enumerate(_COSTS):
        axes = figure.add_subplot()
        above = 0.25 + (position // 2) * (panel + 0.5)
        left = 0.3 if position % 2 == 0 else _WIDTH / 2 + 0.3
        _place(figure, axes, left, _WIDTH - left - (_WIDTH / 2 - 0.45), above, total - above - panel)
        for place, arm in enumerate(arms):
            every = completed.loc[completed["arm"] == arm.arm, column]
            values = every.dropna().to_numpy(dtype=float) / divisor
            missing += len(every) - len(values)
            if len(values):
                _draw_quantiles(axes, place, values)
        axes.set_title(title, loc="left", fontsize=8.5, pad=3)
        axes.set_yticks(range(len(arms)), [letter(place) for place in range(len(arms))])
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=PALE, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.locator_params(axis="x", nbins=4)
    handles = [_arm_handle(place, labels[arm.arm]) for place, arm in enumerate(arms)]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.02, 0), borderpad=0.2, labelspacing=0.25)
    caption = "Of completed rounds: the median, half of all rounds (thick), 90 % of them (thin)."
    if missing:
        caption += f" {missing} figures are missing."
    return Chart("costs", "Costs of a round", caption, figure)


def _draw_quantiles(axes: Axes, place: int, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    style = arm_style(place)
    low, quarter, middle, three_quarters, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    axes.plot([low, high], [place, place], color=style.color, linewidth=0.9)
    axes.plot(
        [quarter, three_quarters], [place, place], color=style.color, linewidth=4, solid_capstyle="butt", alpha=0.55
    )
    axes.plot(
        [middle], [place], style.marker, color=style.color, markersize=5, markeredgecolor="white", markeredgewidth=0.6
    )


def _arm_handle(place: int, name: str) -> Line2D:
    style = arm_style(place)
    return Line2D([], [], color=style.color, marker=style.marker, markersize=5, linewidth=1, label=name)
