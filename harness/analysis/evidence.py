"""A pair of arms and what the tests say of it: four questions, each with one test, corrected for the number of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .anytime import anytime_p
from .arm import Arm
from .families import holm_factors
from .permutation import Pairs, paired_blocks
from .planning import ALPHA
from .shares import PairTest
from .tally import by_boot

QUESTIONS = ("redundant", "surplus", "failed", "starved")
ONE_SIDED = ("failed", "starved")  # at ALPHA / 2


@dataclass(frozen=True)
class Answer:
    """What the tests say of one question."""

    pair: PairTest | None  # None where an arm has no round to ask
    p_value: float | None
    side: str
    blocks: Pairs | None = None  # of a sequential run


@dataclass(frozen=True)
class Evidence:
    """A pair of arms and what the tests say of it."""

    arm: Arm
    base: Arm
    answers: dict[str, Answer]
    is_sequential: bool


@dataclass(frozen=True)
class Adjusted:
    """The p-values of a comparison, corrected for the number of them; 1 where there is nothing to test."""

    redundant: float
    surplus: float
    failed: float
    starved: float
    factors: dict[str, int]  # by which the level of each question is divided
    comparisons: int


def gather(arm: Arm, base: Arm, is_sequential: bool) -> Evidence:
    """What the tests say of an arm and its baseline, before any correction. `is_sequential`: by tests that may be repeated."""
    boots = [by_boot(side.by_boot) for side in (arm, base)]

    def ask(hits: str, rounds: str, side: str) -> Answer:
        mine, others = ([(getattr(b, hits), getattr(b, rounds)) for b in of if getattr(b, rounds)] for of in boots)
        if not mine or not others:
            return Answer(None, None, side)
        pair = PairTest(mine, others)
        if not is_sequential:
            return Answer(pair, pair.p_value(side), side)
        blocks = paired_blocks(arm.by_boot, base.by_boot, hits, rounds)
        return Answer(pair, anytime_p(blocks, side), side, blocks)

    return Evidence(
        arm,
        base,
        {
            "redundant": ask("redundant", "completed", "two-sided"),
            "surplus": ask("surplus", "completed", "two-sided"),
            "failed": ask("failed", "attempted", "greater"),
            "starved": ask("starved", "waits_known", "greater"),
        },
        is_sequential,
    )


def adjust(family: Sequence[Evidence]) -> list[Adjusted]:
    """The p-values of comparisons that belong together, each question corrected by Holm's method."""
    corrected = {name: holm_factors([each.answers[name].p_value for each in family], ALPHA) for name in QUESTIONS}
    return [
        Adjusted(
            **{name: corrected[name][place][0] for name in QUESTIONS},
            factors={name: corrected[name][place][1] for name in QUESTIONS},
            comparisons=len(family),
        )
        for place in range(len(family))
    ]
