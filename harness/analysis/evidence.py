"""A pair of arms and what the tests say of it: five questions, each with one test, corrected for the number of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..spec.boots import MIN_BOOTS
from .anytime import anytime_p
from .arm import Arm
from .betting import bet_p
from .families import holm_factors
from .permutation import Pairs, boot_test, paired_blocks
from .planning import ALPHA
from .shares import PairTest
from .tally import by_boot

QUESTIONS = ("redundant", "surplus", "surplus_kills", "failed", "starved")
ONE_SIDED = ("surplus_kills", "failed", "starved")  # at ALPHA / 2


@dataclass(frozen=True)
class Answer:
    """What the tests say of one question."""

    pair: PairTest | None  # None where an arm has no round to ask, and of what is no share of rounds
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
    surplus_kills: float
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
            "surplus_kills": _more_surplus_kills(arm, base, is_sequential),
            "failed": ask("failed", "attempted", "greater"),
            "starved": ask("starved", "waits_known", "greater"),
        },
        is_sequential,
    )


def _more_surplus_kills(arm: Arm, base: Arm, is_sequential: bool) -> Answer:
    """Whether the arm has more surplus kills per round, and not only because more rounds have one, which is a question of its own: it has
    more in all, and more beyond the first of their round. The larger of the two p-values counts.

    By permutation of boots, or by bets on blocks, neither of which assumes how the kills of a round or of a boot are distributed. Not
    asked where it has no more; the permutation takes MIN_BOOTS boots.
    """
    boots = [[boot for boot in by_boot(side.by_boot) if boot.completed] for side in (arm, base)]
    if not (arm.has_oracle and base.has_oracle and all(boots)) or (
        min(map(len, boots)) < MIN_BOOTS and not is_sequential
    ):
        return Answer(None, None, "greater")
    p_values = []
    for kills in ("surplus_kills", "further_surplus_kills"):
        mean, base_mean = (sum(getattr(b, kills) for b in side) / sum(b.completed for b in side) for side in boots)
        if mean <= base_mean:
            return Answer(None, None, "greater")
        counts = arm.by_boot, base.by_boot, kills, "completed"
        p_values.append(bet_p(paired_blocks(*counts), 1) if is_sequential else boot_test(*counts, "greater").p_value)
    return Answer(None, max(p_values), "greater")


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
