"""Colours that colour-blind readers tell apart (Okabe and Ito, "Color Universal Design", 2008), each with a hatch or a
marker, so that print in black and white tells them apart too."""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis.killclass import KillClass

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#767676", "#D9D9D9"


@dataclass(frozen=True)
class Mark:
    """How one kind of thing looks."""

    color: str
    hatch: str


# Kills by class; what is to be seen first is dark and dense.
CLASSES = {
    KillClass.REDUNDANT: Mark(VERMILLION, "xxxx"),
    KillClass.FRUITLESS: Mark(PURPLE, "\\\\\\\\"),
    KillClass.PREMATURE: Mark(YELLOW, "...."),
    KillClass.NECESSARY: Mark(SKY, "////"),
    KillClass.COLLATERAL: Mark(BLUE, "--"),
    KillClass.UNKNOWN: Mark(PALE, ""),
}

# No arm has the colour of a verdict (GREEN is better, VERMILLION worse and that of redundant kills).
_COLORS = (BLACK, BLUE, PURPLE, ORANGE, SKY)
_SHAPES: tuple[tuple[str, str | tuple[int, tuple[int, ...]]], ...] = (
    ("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", (0, (6, 1, 1, 1, 1, 1))), ("P", (0, (1, 1))), ("X", (0, (8, 2))),
)  # fmt: skip


@dataclass(frozen=True)
class ArmStyle:
    """How an arm looks in every picture."""

    color: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


def arm_style(index: int) -> ArmStyle:
    """Of the arm at this place in the run; colours and shapes are of coprime numbers, so the first 35 arms differ."""
    marker, line = _SHAPES[index % len(_SHAPES)]
    return ArmStyle(_COLORS[index % len(_COLORS)], marker, line)
