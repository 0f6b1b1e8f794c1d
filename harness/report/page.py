"""The report of a run as one HTML page that needs nothing else: no network, no script, no file beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from markupsafe import Markup, escape

from ..analysis.mechanism import Mechanism
from ..analysis.summary import Summary
from ..analysis.tally import counted
from .armgroups import group_rows
from .armnames import with_short_names
from .charts import draw_charts, letter
from .drawing import to_svg
from .gaps import gap_lines
from .headline import heading_of, share_of, title_of, verdicts_of
from .mechanismwords import mechanism_sentence
from .palette import arm_style
from .picks import Pick, Picks
from .templating import page_environment
from .terminal import arm_lines
from .timeline import Timeline
from .timelinefigure import draw_timeline
from .timelinetext import explain, heading, timeline_text
from .visible import visible

_MAX_REASONS = 4
_MAX_DISAGREEMENTS = 50
_AFTER = re.compile(r"[/_:@]")
_MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖"}
# Rounds that are drawn together, by the mechanism of their first redundant kill.
_KINDS = {
    Mechanism.HIDDEN_VICTIM: "The OOM killer passed over a victim that was still exiting",
    Mechanism.STALLED_DECIDER: "The OOM killer stalled, and the earlier victim's memory was back when it chose",
    Mechanism.GIVEN_UP_VICTIM: "The OOM killer had given up an earlier victim that was still exiting",
    Mechanism.UNKNOWN: "A redundant kill whose reason the trace does not show",
}


@dataclass(frozen=True)
class Circumstances:
    """How a run was made: what is needed to read its figures, and to make it again."""

    date: str  # of its start; empty where it is not known
    measured: str  # in a sentence: the workload, its limit, how often it was run
    facts: list[tuple[str, str]]
    kernels: list[tuple[str, list[tuple[str, str]]]]  # each with what it was made of
    command: str


@dataclass(frozen=True)
class _DrawnRound:
    kind: str
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
    names: Mapping[str, str],
) -> str:
    """The page. `names`: what to call the arms, by their own names."""
    environment = page_environment()
    charts = [
        (chart, Markup(to_svg(chart.figure, chart.name, f"{chart.title}. {chart.caption}")))
        for chart in draw_charts(summary.arms, *counted(rounds, kills), names)
    ]
    drawn: dict[str, list[_DrawnRound]] = {}
    for pick, timeline in timelines:
        drawn_round = _draw(pick, replace(timeline, arm=names.get(timeline.arm, timeline.arm)))
        drawn.setdefault(drawn_round.kind, []).append(drawn_round)
    return environment.get_template("page.html.j2").render(
        summary=summary,
        notes=[with_short_names(note, names) for note in summary.notes],
        breakable=_breakable,
        title=title_of(summary, names, circumstances.date),
        heading=heading_of(summary.arms, names),
        arms=[
            (letter(index), _MARKERS[arm_style(index).marker], arm_style(index).color, _breakable(names.get(arm.arm, arm.arm)))
            for index, arm in enumerate(summary.arms)
        ],
        verdicts=verdicts_of(summary, names),
        only=share_of(summary.arms[0], names),
        groups=group_rows(arm_lines(summary.arms)),
        mechanisms=[(names.get(arm.arm, arm.arm), says) for arm in summary.arms if (says := mechanism_sentence(arm))],
        charts=charts,
        picks=picks,
        drawn=drawn,
        disagreements=summary.disagreements[:_MAX_DISAGREEMENTS],
        gaps=[(label, counts) for label, counts in gap_lines(summary.arms, rounds, kills) if any(counts)],
        circumstances=circumstances,
    )  # fmt: skip


def _breakable(name: str) -> Markup:
    """A name that a narrow column breaks between its parts; a browser by itself breaks after a hyphen only."""
    return Markup(_AFTER.sub(r"\g<0><wbr>", str(escape(visible(name)).replace("+", Markup("<wbr>+")))))


def _kind(pick: Pick, timeline: Timeline) -> str:
    for teardown in timeline.redundant:
        return _KINDS.get(Mechanism(teardown.mechanism or Mechanism.UNKNOWN), "")
    why = ", ".join(pick.why)
    return why[:1].upper() + why[1:]


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
        kind=_kind(pick, timeline),
        heading=title,
        anchor=f"round-{timeline.trial_id}-{timeline.round}",
        why=", ".join(pick.why),
        reasons=reasons,
        disagreement=timeline.disagreement,
        notes=timeline.notes,
        svg=Markup(svg),
        text=escape(str(timeline_text(timeline))),
    )
