"""The timeline of a round as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from .drawing import PICTURE_DPI, look
from .palette import BLACK, CLASSES, GREY, ORANGE, PALE, VERMILLION
from .timeline import Life, Teardown, Timeline
from .visible import shorten

MAX_ROWS = 44  # processes with a row of their own
MAX_TICKS = 200  # beyond that many, a histogram
_BINS = 160
_ROW_INCHES = 0.175
_BYSTANDER = 0.66  # height of the row of a process that was not killed
_LEGEND_COLUMNS = 7
_WHOLE = 0.7  # a round of which less than this share matters is shown in part
_DASHES = (0, (3, 2))
_LISTED = "#444444"
# Lanes above the processes.
_GAP, _DECISIONS, _ENTRIES = 0, 1, 2
_LINE = 0.2  # of the height of the memory panel: what a line of words takes
_GAP_TEXT = 0.45  # of the width: what the words beside the arrow take


def draw_timeline(timeline: Timeline, title: str = "") -> Figure:
    """One row a process, below the decisions; what a redundant kill did not wait for as a band through all rows."""
    rows, folded = timeline.lives[:MAX_ROWS], timeline.lives[MAX_ROWS:]
    places, bottom = _places(timeline, rows)
    if folded:
        bottom += 1
    heights = [0.8] * bool(timeline.usage) + [_ROW_INCHES * (bottom + 0.8)]
    above, below = (0.36 if title else 0.1), 0.9
    total = sum(heights) + above + below + 0.15
    with look():
        figure = Figure(figsize=(9.6, total), dpi=PICTURE_DPI)
        grid = figure.add_gridspec(
            len(heights), 1, height_ratios=heights, hspace=0.15 / (sum(heights) / len(heights)),
            left=0.165, right=0.855, top=1 - above / total, bottom=below / total,
        )  # fmt: skip
        main = figure.add_subplot(grid[-1, 0])
        low, high = _view(timeline)
        main.set_xlim(low, high)
        if timeline.usage:
            _draw_memory(figure.add_subplot(grid[0, 0], sharex=main), timeline)
        _draw_rows(main, timeline, places, bottom, folded)
        whole = timeline.ms(timeline.end_us)
        main.set_xlabel(
            f"ms since {timeline.origin}"
            + (
                f"; shown in part, it {'took' if timeline.has_end else 'was seen for'} {whole:.0f} ms"
                if high < whole or low > 0
                else ""
            )
        )
        if timeline.outcome != "completed":
            more = "nothing more was seen" if timeline.teardowns or timeline.entries else "no entry of out_of_memory()"
            until = f" until {whole:.0f} ms" if timeline.has_end else ""
            main.text(high, _GAP, f"{timeline.outcome}: {more}{until}", ha="right", va="center", fontsize=8, fontweight="bold")  # fmt: skip
        _legend(figure, timeline)
        if title:
            figure.text(0.012, 1 - 0.08 / total, title, va="top", fontsize=9.5, fontweight="bold")
    return figure


def _places(timeline: Timeline, rows: Sequence[Life]) -> tuple[dict[int, float], float]:
    """The middle of each process's row, and where the rows end."""
    victims = {teardown.pid for teardown in timeline.teardowns}
    places, at = {}, _ENTRIES + 0.5
    for life in rows:
        height = 1.0 if life.pid in victims else _BYSTANDER
        places[life.pid] = at + height / 2
        at += height
    return places, at


def _view(timeline: Timeline) -> tuple[float, float]:
    """From when to when, in ms."""
    low, high = (timeline.ms(time_us) for time_us in timeline.focus(0.3))
    last = max(timeline.ms(timeline.end_us), 1.0)
    return (low, high) if high - low < _WHOLE * last else (0.0, last)


def _draw_memory(axes: Axes, timeline: Timeline) -> None:
    mib = 1 << 20
    top = max([timeline.limit_bytes or 0, *(point.size_bytes for point in timeline.usage)]) / mib
    across = axes.get_yaxis_transform()
    labelled_until = -np.inf
    for point in timeline.usage:
        at = point.size_bytes / mib
        if point.source in ("before", "after"):
            edge, marker = (0, ">") if point.source == "before" else (1, "<")
            axes.plot([edge], [at], marker, color=BLACK, markersize=4, clip_on=False, transform=across)
            text = f"{at:.1f} {point.source} the round"
            if point.source == "before":
                axes.annotate(
                    text, (edge, at), (6, 0), xycoords=across, textcoords="offset points",
                    va="bottom" if at < 0.15 * top else "center", fontsize=7.5,
                )  # fmt: skip
            else:
                # below the limit's own words
                _say(axes, min(at, top - _LINE * top) if timeline.limit_bytes else at, text)
            continue
        low, high = timeline.ms(point.earliest_us), timeline.ms(point.latest_us)
        axes.plot([low, high], [at, at], color=BLACK, linewidth=2, solid_capstyle="butt", marker="|", markersize=5)
        middle, room = (low + high) / 2, 0.05 * np.ptp(axes.get_xlim())
        if middle - labelled_until > room:
            axes.annotate(
                f"{at:.1f}", (middle, at), (0, -7), textcoords="offset points", ha="center", va="center", fontsize=7.5
            )
            labelled_until = middle
    if timeline.limit_bytes:
        axes.axhline(timeline.limit_bytes / mib, color=VERMILLION, linewidth=0.9, linestyle=(0, (6, 2)))
        _say(axes, timeline.limit_bytes / mib, f"limit {timeline.limit_bytes / mib:.0f} MiB")
    axes.set_ylim(0, 1.1 * top or 1)
    axes.set_ylabel("usage, MiB", fontsize=8)
    axes.tick_params(labelbottom=False, bottom=False)
    axes.grid(axis="x", color=PALE, linewidth=0.5)


def _draw_rows(axes: Axes, timeline: Timeline, places: dict[int, float], bottom: float, folded: Sequence[Life]) -> None:
    victims = {teardown.pid: teardown for teardown in timeline.teardowns}
    axes.set_ylim(bottom + 0.2, _GAP - 0.75)
    _name(axes, _DECISIONS, "out_of_memory()", 8)
    _name(axes, _ENTRIES, f"entered, no kill: {len(timeline.entries) if timeline.has_entries else '?'}", 8)
    for start, end in _not_waited_for(timeline):
        axes.axvspan(start, end, facecolor=ORANGE, alpha=0.2, linewidth=0, zorder=0)
    drawn = [life for life in timeline.lives if life.pid in places]
    for life in drawn:
        is_victim = life.pid in victims
        _name(axes, places[life.pid], f"{shorten(life.name, 18)} {life.pid}", 8 if is_victim else 7)
        if not is_victim and life.fate != "alive at the end":
            _say(axes, places[life.pid], "fate unknown" if life.fate == "unknown" else life.fate)
    _draw_lives(axes, timeline, drawn, victims, places)
    for teardown in timeline.teardowns:
        _draw_teardown(axes, timeline, teardown, places.get(teardown.pid), bottom)
    _draw_gap(axes, timeline)
    _draw_ticks(axes, [timeline.ms(entry.time_us) for entry in timeline.entries], _ENTRIES)
    if folded:
        pids = {life.pid for life in folded}
        marks = [timeline.ms(t.mark_us) for t in timeline.teardowns if t.pid in pids and t.mark_us is not None]
        killed = sum(t.pid in pids for t in timeline.teardowns)
        _name(axes, bottom - 0.5, f"{len(folded)} more, {killed} killed", 8)
        _draw_ticks(axes, marks, bottom - 0.5)
    axes.set_yticks([])
    axes.axhline(_ENTRIES + 0.5, color=GREY, linewidth=0.5)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)


def _name(axes: Axes, row: float, text: str, size: float) -> None:
    axes.text(-0.008, row, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=size)


def _not_waited_for(timeline: Timeline) -> list[tuple[float, float]]:
    """The teardowns inside of which redundant kills were decided, as times that do not overlap."""
    orders = {order for teardown in timeline.redundant for order in teardown.inside}
    spans = sorted(
        (timeline.ms(t.mark_us), timeline.ms(timeline.end_us if t.release_us is None else t.release_us))
        for t in timeline.teardowns
        if t.order in orders and t.mark_us is not None
    )
    merged: list[tuple[float, float]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _draw_lives(
    axes: Axes, timeline: Timeline, lives: Sequence[Life], victims: dict[int, Teardown], places: dict[int, float]
) -> None:
    """All at once: a collection is drawn much faster than its members."""
    lines, grown, listed, ends = [], [], [], []
    for life in lives:
        row, killed = places[life.pid], victims.get(life.pid)
        end_us = killed.mark_us if killed and killed.mark_us is not None else life.end_us or timeline.end_us
        end = timeline.ms(end_us)
        if life.start_us is not None:
            lines.append([(timeline.ms(life.start_us), row), (end, row)])
        if life.full_us is not None and life.full_us < end_us:
            grown.append(_bar(timeline.ms(life.full_us), end, row, 0.5 if killed else 0.36))
        most = max([life.touched_bytes or 1, *(reading.size_bytes for reading in life.rss)])
        for reading in life.rss:
            height = 0.8 * (1.0 if killed else _BYSTANDER) * reading.size_bytes / most
            until = timeline.ms(min(reading.latest_us, end_us))
            listed.append(_bar(timeline.ms(reading.earliest_us), until, row, height))
        if killed is None and life.fate != "alive at the end":
            ends.append([(end, row - 0.2), (end, row + 0.2)])
    axes.add_collection(LineCollection(lines, colors=GREY, linewidths=0.8), autolim=False)
    axes.add_collection(PatchCollection(grown, facecolor=PALE, edgecolor=GREY, linewidth=0.5), autolim=False)
    axes.add_collection(PatchCollection(listed, facecolor="none", edgecolor=_LISTED, linewidth=0.6), autolim=False)
    axes.add_collection(LineCollection(ends, colors=BLACK, linewidths=0.8), autolim=False)


def _bar(start: float, end: float, row: float, height: float) -> Rectangle:
    return Rectangle((start, row - height / 2), end - start, height)


def _draw_teardown(axes: Axes, timeline: Timeline, teardown: Teardown, row: float | None, bottom: float) -> None:
    if teardown.mark_us is None:
        if row is not None:
            _say(axes, row, f"{teardown.order} {teardown.kill_class}, no trace")
        return
    mark = timeline.ms(teardown.mark_us)
    end = timeline.ms(timeline.end_us if teardown.release_us is None else teardown.release_us)
    style = CLASSES[teardown.kill_class]
    bar: dict[str, Any] = {
        "facecolor": style.color,
        "edgecolor": BLACK,
        "linewidth": 0.6,
        "hatch": style.hatch,
        "zorder": 2,
    }
    if teardown.decision_us is not None:
        decided = timeline.ms(teardown.decision_us)
        axes.add_patch(Rectangle((decided, _DECISIONS - 0.36), mark - decided, 0.72, **bar))
        if teardown.choice_us is not None:
            chosen = timeline.ms(teardown.choice_us)
            axes.plot([chosen, chosen], [_DECISIONS - 0.36, _DECISIONS + 0.36], color=BLACK, linewidth=1.4, zorder=2.1)
        if teardown.is_redundant and row is not None:
            axes.plot(
                [decided, decided], [_GAP - 0.4, bottom], color=VERMILLION, linewidth=0.9, linestyle=_DASHES, zorder=1.2
            )
    if row is None:
        return
    axes.plot([mark, mark], [_DECISIONS + 0.36, row], color=BLACK, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1.5)
    if teardown.release_us is None:
        bar["linestyle"] = "--"
    axes.add_patch(Rectangle((mark, row - 0.4), end - mark, 0.8, **bar))
    open_end = ", open" if teardown.release_us is None else ""
    _say(axes, row, f"{teardown.order} {teardown.kill_class}{open_end}", teardown.is_redundant)


def _say(axes: Axes, row: float, text: str, is_bold: bool = False) -> None:
    axes.text(
        1.008, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8,
        fontweight="bold" if is_bold else "normal",
    )  # fmt: skip


def _draw_gap(axes: Axes, timeline: Timeline) -> None:
    """How long before a release the first redundant kill was decided."""
    for teardown in timeline.redundant:
        waits = [t for t in timeline.teardowns if t.order in teardown.inside and t.release_us is not None]
        if teardown.decision_us is None or not waits:
            continue
        last = max(waits, key=lambda t: t.release_us or 0)
        start, end = timeline.ms(teardown.decision_us), timeline.ms(last.release_us or 0)
        axes.annotate("", (end, _GAP), (start, _GAP), arrowprops={"arrowstyle": "<->", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0})  # fmt: skip
        text = f"kill {teardown.order} decided {end - start:.1f} ms before kill {last.order}'s memory was free"
        low, high = axes.get_xlim()
        left, right = start - low, high - end
        if max(left, right) > _GAP_TEXT * (high - low):
            place, offset, ha, va = (
                (start, (-5, 0), "right", "center") if left > right else (end, (5, 0), "left", "center")
            )
        else:
            place, offset, ha, va = (low + high) / 2, (0, 3), "center", "bottom"
        axes.annotate(
            text, (place, _GAP), offset, textcoords="offset points", ha=ha, va=va, fontsize=8, fontweight="bold"
        )
        return


def _draw_ticks(axes: Axes, times_ms: list[float], lane: float) -> None:
    """Ticks, or how dense they are when they are many."""
    if len(times_ms) <= MAX_TICKS:
        ticks = [[(time, lane - 0.3), (time, lane + 0.3)] for time in times_ms]
        axes.add_collection(LineCollection(ticks, colors=BLACK, linewidths=0.7), autolim=False)
        return
    low, high = axes.get_xlim()
    counts, edges = np.histogram(times_ms, bins=_BINS, range=(low, high))
    tops = lane + 0.42 - 0.84 * counts / np.max(counts, initial=1)
    axes.fill_between(edges, lane + 0.42, [*tops, tops[-1]], step="post", color=GREY, linewidth=0)
    _say(axes, lane, f"up to {np.max(counts)} in {(high - low) / _BINS:.1f} ms")


def _legend(figure: Figure, timeline: Timeline) -> None:
    def patches() -> Iterable[Patch | Line2D]:
        if any(life.start_us is not None for life in timeline.lives):
            yield Line2D([], [], color=GREY, linewidth=0.8, label="alive")
        if any(life.full_us is not None for life in timeline.lives):
            yield Patch(facecolor=PALE, edgecolor=GREY, linewidth=0.5, label="done growing")
        if any(life.rss for life in timeline.lives):
            yield Patch(facecolor="none", edgecolor=_LISTED, linewidth=0.6, label="rss as reported: height")
        for name, style in CLASSES.items():
            if any(teardown.kill_class == name for teardown in timeline.teardowns):
                yield Patch(facecolor=style.color, edgecolor=BLACK, hatch=style.hatch, linewidth=0.6, label=name)
        if timeline.redundant:
            yield Line2D([], [], color=VERMILLION, linewidth=0.9, linestyle=_DASHES, label="redundant kill decided")
            yield Patch(facecolor=ORANGE, alpha=0.3, label="not waited for")

    handles = list(patches())
    if not handles:
        return
    columns = math.ceil(len(handles) / math.ceil(len(handles) / _LEGEND_COLUMNS))
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0.0), ncols=columns, columnspacing=1.4,
        handlelength=2, borderpad=0.2,
    )  # fmt: skip
