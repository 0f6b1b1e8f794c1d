"""What a kernel takes for it: rounds, stalls or time in the kernel that last markedly longer than on the baseline.

A cost is said if its mean over completed rounds is MARKEDLY times the baseline's and more than a millisecond above it, and
a one-sided test at ALPHA, Holm-corrected for the number of comparisons, takes it for longer: a permutation of boots from
MIN_BOOTS boots an arm on, else Welch's test on rounds. Each kind of cost is a family by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from .arm import Arm
from .families import holm
from .permutation import boot_test
from .power import ALPHA
from .rates import MIN_BOOTS
from .tally import COSTS, by_boot

MARKEDLY = 1.5
_LEAST_MS = 1.0  # below, a ratio says nothing
_WORDS = {"duration": "rounds take", "stall": "stalls after a decision last", "system": "time in the kernel is"}


def costs_of(pairs: Sequence[tuple[Arm, Arm]]) -> list[list[str]]:
    """In words, of each arm against its baseline."""
    said: list[list[str]] = [[] for _ in pairs]
    for cost in COSTS:
        found = holm([_p_value(arm, base, cost) for arm, base in pairs])
        for words, p_value, (arm, base) in zip(said, found, pairs, strict=True):
            if p_value < ALPHA and (mine := _marked(arm, base, cost)):
                words.append(f"{_WORDS[cost]} {mine}, p = {p_value:.2g}")
    return said


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
    if all(len(side) >= MIN_BOOTS for side in boots):
        return boot_test(arm.by_boot, base.by_boot, total, rounds, "greater").p_value
    if any(sum(side) < 2 for side in boots):
        return None
    from scipy.stats import ttest_ind_from_stats

    figures = [
        (getattr(side, f"{cost}_ms_per_round"), getattr(side, f"{cost}_ms_sd"), sum(of))
        for side, of in zip((arm, base), boots, strict=True)
    ]
    if not any(sd for _, sd, _ in figures):
        return None  # Welch's test divides by the spread of rounds
    return float(ttest_ind_from_stats(*figures[0], *figures[1], equal_var=False, alternative="greater").pvalue)
