"""The table of arms in groups: what a verdict is read with, and its companions, which the page folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_OPEN = "What was found"
_COSTS = "Time and costs of a round"
# By the label of a line that is not indented; the indented ones below it go with it.
_GROUPS = {
    "rounds / boots": _OPEN,
    "outcomes": _OPEN,
    "redundant kills per round": _OPEN,
    "rounds with a redundant kill": _OPEN,
    "kill to release, median": _OPEN,
    "kills": "Kills, by class and mechanism",
    "trials that ended early": "Quality of the evidence",
    "soft lockups, hung tasks": "Quality of the evidence",
    "witnesses disagree in": "Quality of the evidence",
    "records lost": "Quality of the evidence",
}
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
        return self.title == _OPEN

    @property
    def is_empty(self) -> bool:
        """Whether every figure is none: there is nothing to be seen in it."""
        return all(cell in _NONE for row in self.rows for cell in row.cells)


def group_rows(lines: Iterable[tuple[str, Sequence[str]]]) -> list[Group]:
    """Lines of the table of arms (`arm_lines`), each in one group, the headline first. A line that no group asks for is
    a cost."""
    groups = {
        title: Group(title) for title in (_OPEN, "Kills, by class and mechanism", _COSTS, "Quality of the evidence")
    }
    title = _OPEN
    for label, cells in lines:
        depth = (len(label) - len(label.lstrip())) // 2
        if not depth:
            title = _GROUPS.get(label, _COSTS)
        groups[title].rows.append(Row(label.strip(), depth, list(cells)))
    return [group for group in groups.values() if group.rows]
