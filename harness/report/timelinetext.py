"""The timeline of a round as text, for a terminal and for the message of a failed test. Plain ASCII but for names."""

from __future__ import annotations

from rich.cells import set_cell_size
from rich.text import Text

from ..analysis.killclass import KillClass
from ..analysis.mechanism import Mechanism
from .timeline import Life, Teardown, Timeline
from .visible import shorten, visible

_MAX_KILLS = 20
_NAME_CELLS, _SAY_CELLS = 22, 16
_STYLES = {
    KillClass.REDUNDANT: "bold red",
    KillClass.NECESSARY: "cyan",
    KillClass.PREMATURE: "yellow",
    KillClass.FRUITLESS: "magenta",
}


def timeline_text(timeline: Timeline, width: int = 100) -> Text:
    """The round in lines of at most `width` cells; `str()` of it is plain. Of many kills, the first ones."""
    text = Text()
    text.append(heading(timeline, max(width - 50, 10)) + "\n", style="bold")
    if timeline.disagreement:
        text.append(f"witnesses disagree: {visible(timeline.disagreement)}\n")
    shown = timeline.teardowns[:_MAX_KILLS]
    if timeline.has_times:
        _append_chart(text, timeline, shown, max(width - _NAME_CELLS - _SAY_CELLS - 2, 20))
    else:
        text.append("the trace shows no event of this round\n")
    _append_kills(text, timeline, shown, width)
    if len(timeline.teardowns) > len(shown):
        text.append(f"{len(timeline.teardowns) - len(shown)} more kills are not shown\n")
    for note in timeline.notes:
        text.append(f"note: {note}\n")
    return text


def heading(timeline: Timeline, arm_letters: int = 1000) -> str:
    """A round in one line."""
    kills, redundant = len(timeline.teardowns), len(timeline.redundant)
    return (
        f"{shorten(timeline.arm, arm_letters)}, round {visible(timeline.name)}: {timeline.outcome}, "
        f"{kills} kill{'s' * (kills != 1)}, {redundant} redundant"
    )


def explain(timeline: Timeline, teardown: Teardown) -> str:
    """Why a kill has its class, from its times; empty where nothing is to be said."""
    others = [other for other in timeline.teardowns if other.order in teardown.inside]
    if not others or teardown.decision_us is None:
        return ""
    open_ones = [other.order for other in others if other.release_us is None]
    if open_ones:
        return (
            f"decided while the memory of kill {open_ones[0]} was not free; it was not free later in this round either"
        )
    last = max(others, key=lambda other: other.release_us or 0)
    early = ((last.release_us or 0) - teardown.decision_us) / 1000
    room = f"; {_size(teardown.margin_bytes)} room as reported" if teardown.margin_bytes else ""
    return f"decided {early:.1f} ms before kill {last.order}'s memory was free{_mechanism(teardown)}{room}"


def _mechanism(teardown: Teardown) -> str:
    if teardown.mechanism == Mechanism.HIDDEN_VICTIM:
        return ", passed over it"
    if teardown.mechanism == Mechanism.GIVEN_UP_VICTIM:
        return ", had given it up"
    if teardown.mechanism == Mechanism.STALLED_DECIDER and teardown.choice_us is not None:
        return f", stalled {(teardown.choice_us - (teardown.decision_us or 0)) / 1000:.1f} ms"
    return ""


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.1f} MiB" if size_bytes >= 1 << 19 else f"{size_bytes >> 10} KiB"


def _append_chart(text: Text, timeline: Timeline, shown: tuple[Teardown, ...], columns: int) -> None:
    low, high = timeline.focus(0.2)
    scale = columns / max(high - low, 1)

    def column(time_us: int) -> int:
        return min(max(int((time_us - low) * scale), 0), columns - 1)

    def line(name: str, cells: list[tuple[str, str]], says: str = "", style: str = "") -> None:
        text.append(set_cell_size(name, _NAME_CELLS) + "|")
        for cell, cell_style in cells:
            text.append(cell, style=cell_style)
        text.append("|" + f" {says}".rstrip() + "\n", style=style)

    def blank() -> list[tuple[str, str]]:
        return [(" ", "")] * columns

    ruler = f"{timeline.ms(low):.0f} ms"
    right = f"{timeline.ms(high):.0f} of {timeline.ms(timeline.end_us):.0f} ms since {timeline.origin}"
    text.append(" " * _NAME_CELLS + ruler + right.rjust(columns + 2 - len(ruler)) + "\n", style="dim")
    decisions, alarms, entries = blank(), blank(), blank()
    for teardown in sorted(shown, key=lambda teardown: teardown.is_redundant):
        if teardown.decision_us is None or teardown.mark_us is None:
            continue
        for at in range(column(teardown.decision_us), column(teardown.mark_us) + 1):
            decisions[at] = (str(teardown.order % 10), _STYLES.get(teardown.kill_class, ""))
        if teardown.is_redundant:
            alarms[column(teardown.decision_us)] = ("!", "bold red")
    for entry in timeline.entries:
        if low <= entry.time_us <= high:
            entries[column(entry.time_us)] = (":", "")
    line("out_of_memory(), kill", decisions)
    if any(cell.strip() for cell, _ in alarms):
        line("redundant one decided", alarms)
    line("  entered, no kill", entries, str(len(timeline.entries)) if timeline.has_entries else "?")
    lives = {life.pid: life for life in timeline.lives}
    for teardown in shown:
        cells = blank()
        _fill_life(cells, timeline, lives.get(teardown.pid), teardown, column)
        style = _STYLES.get(teardown.kill_class, "")
        line(
            f"{shorten(teardown.name, 14)} {teardown.pid}", cells, f"{teardown.order} {teardown.kill_class}",
            style if teardown.is_redundant else "",
        )  # fmt: skip
    victims = {teardown.pid for teardown in timeline.teardowns}
    others = [life.fate for life in timeline.lives if life.pid not in victims]
    if others:
        fates = ", ".join(f"{others.count(fate)} {fate}" for fate in dict.fromkeys(others))
        text.append(f"other processes: {fates}\n")
    text.append(
        ". alive  - done growing  # teardown  X teardown of a redundant kill  digits: deciding that kill\n", style="dim"
    )


def _fill_life(cells: list[tuple[str, str]], timeline: Timeline, life: Life | None, teardown: Teardown, column) -> None:  # type: ignore[no-untyped-def]
    end_us = teardown.mark_us or (life.end_us if life else None) or timeline.end_us
    if life and life.start_us is not None:
        for at in range(column(life.start_us), column(end_us) + 1):
            cells[at] = ("-" if life.full_us is not None and column(life.full_us) <= at else ".", "")
    if teardown.mark_us is None:
        return
    release_us = timeline.end_us if teardown.release_us is None else teardown.release_us
    mark = "X" if teardown.is_redundant else "#"
    for at in range(column(teardown.mark_us), column(release_us) + 1):
        cells[at] = (mark, _STYLES.get(teardown.kill_class, ""))


def _append_kills(text: Text, timeline: Timeline, shown: tuple[Teardown, ...], width: int) -> None:
    if not shown:
        return

    def ms(time_us: int | None) -> str:
        return f"{'-' if time_us is None else format(timeline.ms(time_us), '.1f'):>10}"

    text.append(
        f"kill  {'victim':<22}{'decided':>10}{'chosen':>10}{'marked':>10}{'released':>10}  class\n", style="bold"
    )
    for teardown in shown:
        name = set_cell_size(f"{teardown.pid} {shorten(teardown.name, 14)}", 22)
        times = "".join(map(ms, (teardown.decision_us, teardown.choice_us, teardown.mark_us, teardown.release_us)))
        style = _STYLES.get(teardown.kill_class, "") if teardown.is_redundant else ""
        text.append(f"{teardown.order:>4}  {name}{times}  {teardown.kill_class}\n", style=style)
        if why := explain(timeline, teardown):
            text.append(shorten(f"      {why}", width) + "\n", style=style)
