"""What a kernel takes for it: rounds, stalls or time in the kernel that last markedly longer than on the baseline.

A cost is said if its mean over completed rounds is MARKEDLY times the baseline's and more than a millisecond above it, and
a one-sided permutation test of boots at ALPHA, Holm-corrected for the number of comparisons, takes it for longer. Each kind
of cost is a family by itself.

Below MIN_BOOTS boots per arm no cost is said. A test on rounds takes them as independent, and how long a round takes is
mostly the boot's: stock against stock, with 2 boots, had p < 0.05 for the duration in a third of draws.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..spec.boots import MIN_BOOTS
from .arm import Arm
from .families import holm, p_words
from .permutation import boot_test
from .planning import ALPHA
from .tally import COSTS, by_boot

MARKEDLY = 1.5
_LEAST_MS = 1.0  # below, a ratio says nothing
_WORDS = {"duration": "rounds take", "stall": "stalls after a decision last", "system": "time in the kernel is"}


def costs_of(pairs: Sequence[tuple[Arm, Arm]]) -> list[list[str]]:
    """In words, of each arm against its baseline."""
    costs: list[list[str]] = [[] for _ in pairs]
    for cost in COSTS:
        marked = [_marked(arm, base, cost) for arm, base in pairs]
        if not any(marked):
            continue  # the tests take a moment each
        p_values = holm([_p_value(arm, base, cost) for arm, base in pairs])
        for words, p_value, longer in zip(costs, p_values, marked, strict=True):
            if longer and p_value < ALPHA:
                words.append(f"{_WORDS[cost]} {longer}, {p_words(p_value)}")
    return costs


def _marked(arm: Arm, base: Arm, cost: str) -> str:
    """How much longer; empty if not markedly."""
    mine, others = (getattr(side, f"{cost}_ms_per_round") for side in (arm, base))
    if mine is None or others is None or mine <= MARKEDLY * others or mine - others <= _LEAST_MS:
        return ""
    times = f"{mine / others:.1f} times as long, " if others else ""
    return f"{times}{mine:.0f} ms against {others:.0f} ms"


def _p_value(arm: Arm, base: Arm, cost: str) -> float | None:
    rounds, total = f"{cost}_rounds", f"{cost}_us"
    boots = [[getattr(boot, rounds) for boot in by_boot(side.by_boot) if getattr(boot, rounds)] for side in (arm, base)]
    if any(len(side) < MIN_BOOTS for side in boots):
        return None
    return boot_test(arm.by_boot, base.by_boot, total, rounds, "greater").p_value
