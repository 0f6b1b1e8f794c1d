"""Secondary endpoints: figures that tell kernels apart by themselves. Their p-values decide no verdict.

| endpoint | says | does not say |
|---|---|---|
| re-entry | rounds that entered out_of_memory() again after their first kill | whether that killed anybody; nothing of patches that gate behind the entry |
| surplus | surplus kills per round | in how many rounds; the verdict has a test of its own for either, if the arm has more |
| decider | time from decisions to choices per round: how long deciders were stalled | why |

Their p-values are corrected for nothing. Means have one from MIN_BOOTS boots per arm on, by permutation of boots.
"""

from __future__ import annotations

import msgspec

from ..spec.boots import MIN_BOOTS
from .arm import Arm
from .families import p_words
from .permutation import boot_test
from .shares import PairTest
from .tally import by_boot


class Secondary(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint of an arm and its baseline."""

    endpoint: str  # re-entry, surplus or decider
    value: float  # a share of rounds, kills per round, or ms per round
    base_value: float
    p_value: float | None  # two-sided, uncorrected; None where there are too few boots
    words: str


def secondary_of(arm: Arm, base: Arm) -> list[Secondary]:
    """Those that both arms have rounds for."""
    endpoints = [
        _share(arm, base),
        _mean(arm, base, "surplus", "surplus_kills", "completed", 1, "{:.2f} surplus kills per round against {:.2f}"),
        _mean(arm, base, "decider", "decider_us", "decider_rounds", 1000, "deciders take {:.1f} ms per round against {:.1f} ms"),
    ]  # fmt: skip
    return [endpoint for endpoint in endpoints if endpoint is not None]


def _share(arm: Arm, base: Arm) -> Secondary | None:
    sides = [[(boot.reentered, boot.traced) for boot in by_boot(side.by_boot) if boot.traced] for side in (arm, base)]
    if not all(sides):
        return None
    (hits, rounds), (base_hits, base_rounds) = ([sum(each) for each in zip(*side, strict=True)] for side in sides)
    p_value = PairTest(*sides).p_value("two-sided")
    words = f"out_of_memory() entered again after the first kill in {hits} of {rounds} rounds against {base_hits} of {base_rounds}"
    return Secondary(
        endpoint="re-entry",
        value=hits / rounds,
        base_value=base_hits / base_rounds,
        p_value=p_value,
        words=f"{words}, {p_words(p_value)}",
    )


def _mean(arm: Arm, base: Arm, endpoint: str, total: str, rounds: str, divisor: int, words: str) -> Secondary | None:
    boots = [[boot for boot in by_boot(side.by_boot) if getattr(boot, rounds)] for side in (arm, base)]
    if not all(boots) or (endpoint == "surplus" and not (arm.has_oracle and base.has_oracle)):
        return None
    value, base_value = (
        sum(getattr(boot, total) for boot in side) / sum(getattr(boot, rounds) for boot in side) / divisor
        for side in boots
    )
    p_value = None
    if all(len(side) >= MIN_BOOTS for side in boots):
        p_value = boot_test(arm.by_boot, base.by_boot, total, rounds).p_value
    sentence = words.format(value, base_value) + (f", {p_words(p_value)}" if p_value is not None else "")
    return Secondary(endpoint=endpoint, value=value, base_value=base_value, p_value=p_value, words=sentence)
