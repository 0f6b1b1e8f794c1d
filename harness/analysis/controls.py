"""Whether the harness tells a control from its reference, as the control claims."""

from __future__ import annotations

import msgspec
import pandas as pd

from ..spec.controls import ALPHA, Control
from .effects import count_effect
from .power import exact_power
from .rates import difference_interval, exact_test
from .tally import counted


class ControlResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a control. Counts are of rounds."""

    control: str
    reference: str  # names of the arms
    arm: str
    description: str = msgspec.field(name="says")  # the key in JSON
    effect: str
    direction: str
    reference_hits: int
    reference_rounds: int
    hits: int
    rounds: int
    difference_low: float | None  # 95 % interval of the difference of the shares
    difference_high: float | None
    p_value: float | None
    power: float | None  # to tell the claimed shares apart at ALPHA with so many rounds
    claim: tuple[float, float]
    passed: bool


def judge_control(
    control: Control, reference: str, arm: str, rounds: pd.DataFrame, kills: pd.DataFrame
) -> ControlResult:
    """Judges a control by the rounds and kills of the run that holds it and its reference, both named by arm.

    It passes when Fisher's exact test finds what was claimed: p below ALPHA for "more" (one-sided), not below it for
    "alike" (two-sided). An arm without rounds fails.
    """
    rounds, kills = counted(rounds, kills)
    base_rounds, arm_rounds = rounds[rounds["arm"] == reference], rounds[rounds["arm"] == arm]
    base_kills, arm_kills = kills[kills["arm"] == reference], kills[kills["arm"] == arm]
    base_hits, base_count = count_effect(control.effect, base_rounds, base_kills, base_rounds)
    hits, count = count_effect(control.effect, arm_rounds, arm_kills, base_rounds)
    interval = difference_interval(hits, count, base_hits, base_count)
    p_value = power = None
    if count and base_count:
        side = "two-sided" if control.direction == "alike" else "greater"
        p_value = exact_test(hits, count, base_hits, base_count, side)
        power = exact_power(*control.claim, base_count, count, ALPHA, side)
    passed = p_value is not None and (p_value >= ALPHA if control.direction == "alike" else p_value < ALPHA)
    return ControlResult(
        control=control.name,
        reference=reference,
        arm=arm,
        description=control.description,
        effect=control.effect,
        direction=control.direction,
        reference_hits=base_hits,
        reference_rounds=base_count,
        hits=hits,
        rounds=count,
        difference_low=interval[0] if interval else None,
        difference_high=interval[1] if interval else None,
        p_value=p_value,
        power=power,
        claim=control.claim,
        passed=passed,
    )
