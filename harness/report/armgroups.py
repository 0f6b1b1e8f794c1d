"""The table of arms in groups: what a verdict is read with, and its companions, which the page folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .legends import CLASSES, ENDED_EARLY, WAITS

_OPEN = "What was found"
_KILLS = "Kills, by class and mechanism"
_COSTS = "Time and costs of a round"
_EVIDENCE = "Quality of the evidence"
# By the label of a line that is not indented; the indented ones below it go with it.
_GROUPS = {
    "rounds / boots": _OPEN,
    "outcomes": _OPEN,
    "redundant kills per round": _OPEN,
    "rounds with a redundant kill": _OPEN,
    "kill to release, median": _OPEN,
    "kills, by class": _KILLS,
    "surplus kills, in total": _KILLS,
    "decisions, redundant": _KILLS,
    "trials that ended early": _EVIDENCE,
    "soft lockups, hung tasks": _EVIDENCE,
    "witnesses disagree in": _EVIDENCE,
    "records lost": _EVIDENCE,
}
_LEGENDS = {_KILLS: CLASSES, _EVIDENCE: ENDED_EARLY}
_NONE = {"0", "0 rounds", "-"}


@dataclass
class Row:
    """What is said of every arm."""

    label: str
    depth: int  # below how many others it is indented
    cells: list[str]


@dataclass
class Group:
    """Rows that belong together."""

    title: str
    rows: list[Row] = field(default_factory=list)

    @property
    def is_headline(self) -> bool:
        """Whether these rows stand above all others, open from the start."""
        return self.title == _OPEN

    @property
    def legend(self) -> str:
        """What the words of its rows mean; empty where they say it themselves."""
        legend = WAITS if any("Jain" in row.label for row in self.rows) else _LEGENDS.get(self.title, "")
        return f"{legend[:1].upper()}{legend[1:]}." if legend else ""

    @property
    def is_empty(self) -> bool:
        """Whether every figure is none: there is nothing to be seen in it."""
        return all(cell in _NONE for row in self.rows for cell in row.cells)


def group_rows(lines: Iterable[tuple[str, Sequence[str]]]) -> list[Group]:
    """Lines of the table of arms (`arm_lines`), each in one group, the headline first. A line that no group asks for is
    a cost."""
    groups = {title: Group(title) for title in (_OPEN, _KILLS, _COSTS, _EVIDENCE)}
    title = _OPEN
    for label, cells in lines:
        depth = (len(label) - len(label.lstrip())) // 2
        if not depth:
            title = _GROUPS.get(label, _COSTS)
        groups[title].rows.append(Row(label.strip(), depth, list(cells)))
    return [group for group in groups.values() if group.rows]
