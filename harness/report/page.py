"""The report of a run as one HTML page that needs nothing else: no network, no script, no file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ..analysis.summary import Summary
from ..analysis.verdict import Comparison
from .charts import draw_charts, letter
from .drawing import to_svg
from .gaps import gap_lines
from .mechanismwords import mechanism_sentence
from .palette import arm_style
from .picks import Pick, Picks
from .terminal import arm_lines
from .timeline import Timeline
from .timelinefigure import draw_timeline
from .timelinetext import explain, heading, timeline_text
from .visible import visible

_MAX_REASONS = 4
_MAX_DISAGREEMENTS = 50
# A shape for each verdict: colour is never alone.
_VERDICTS = {
    "better": ("good", "▼"),
    "worse": ("bad", "▲"),
    "mixed": ("open", "◆"),
    "no difference shown": ("open", "≈"),
    "not enough rounds": ("open", "?"),
}
_MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖"}


@dataclass(frozen=True)
class Circumstances:
    """How a run was made: what is needed to read its figures, and to make it again."""

    facts: list[tuple[str, str]]
    kernels: list[tuple[str, list[tuple[str, str]]]]  # each with what it was made of
    command: str


@dataclass(frozen=True)
class _DrawnRound:
    heading: str
    anchor: str
    why: str
    reasons: list[str]
    disagreement: str | None
    notes: tuple[str, ...]
    svg: Markup
    text: Markup


def render_page(
    summary: Summary,
    rounds: pd.DataFrame,
    kills: pd.DataFrame,
    circumstances: Circumstances,
    picks: Picks,
    timelines: Sequence[tuple[Pick, Timeline]],
) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    charts = [
        (chart, Markup(to_svg(chart.figure, chart.name, f"{chart.title}. {chart.caption}")))
        for chart in draw_charts(summary.arms, rounds, kills)
    ]
    return environment.get_template("page.html.j2").render(
        summary=summary,
        arms=[
            (letter(index), _MARKERS[arm_style(index).marker], arm_style(index).color, arm.kernel)
            for index, arm in enumerate(summary.arms)
        ],
        verdicts=[(*_VERDICTS.get(each.verdict, ("open", "•")), each, _difference(each)) for each in summary.comparisons],
        arm_lines=[(label.strip(), label.startswith(" "), cells) for label, cells in arm_lines(summary.arms)],
        mechanisms=[(arm.kernel, says) for arm in summary.arms if (says := mechanism_sentence(arm))],
        charts=charts,
        picks=picks,
        timelines=[_draw(pick, timeline) for pick, timeline in timelines],
        disagreements=summary.disagreements[:_MAX_DISAGREEMENTS],
        gaps=[(label, counts) for label, counts in gap_lines(summary.arms, rounds, kills) if any(counts)],
        circumstances=circumstances,
    )  # fmt: skip


def _printable(value: object) -> object:
    """What the page shows; markup of ours is left as it is."""
    return (
        visible(value)
        if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable()
        else value
    )


def _difference(comparison: Comparison) -> str:
    low, high = comparison.difference_low, comparison.difference_high
    if comparison.difference is None or low is None or high is None:
        return ""
    return f"{100 * comparison.difference:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"


def _draw(pick: Pick, timeline: Timeline) -> _DrawnRound:
    explained = [(teardown, explain(timeline, teardown)) for teardown in timeline.redundant]
    reasons = [
        f"Kill {teardown.order} ({visible(teardown.name)} {teardown.pid}): {why}." for teardown, why in explained if why
    ]
    if len(reasons) > _MAX_REASONS:
        reasons[_MAX_REASONS:] = [f"And {len(reasons) - _MAX_REASONS} more redundant kills."]
    title = heading(timeline)
    svg = ""
    if timeline.has_times:
        words = " ".join([f"Timeline of {title}.", *reasons])
        svg = to_svg(draw_timeline(timeline), f"timeline {timeline.name}", words)
    return _DrawnRound(
        heading=title,
        anchor=f"round-{timeline.trial_id}-{timeline.round}",
        why=", ".join(pick.why),
        reasons=reasons,
        disagreement=timeline.disagreement,
        notes=timeline.notes,
        svg=Markup(svg),
        text=escape(str(timeline_text(timeline))),
    )
