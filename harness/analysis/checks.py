"""Checks of a comparison, for continuous integration: `--fail-if`.

| condition | an arm fails it when | undecided, and no failure, when |
|---|---|---|
| worse | its verdict is worse | there are not enough rounds |
| redundant-rate>X | its whole 95 % interval lies above X | X lies within the interval, or no round completed |

An interval that straddles X fails nobody: a check that fails by chance is soon ignored. It is shown as skipped, with the
interval, and more rounds decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import msgspec

from ..errors import UsageError, nearest
from .arm import Arm
from .summary import Summary
from .verdict import Comparison
from .verdicts import Verdict

_RATE = re.compile(r"redundant-rate\s*>\s*(\d*\.?\d+)\s*(%?)")


class Condition(msgspec.Struct, frozen=True):
    """A condition as it was typed; `limit` is a share of rounds, None for worse."""

    text: str
    limit: float | None


class Check(msgspec.Struct, frozen=True):
    """One condition on one arm of one scenario."""

    scenario: str
    arm: str
    condition: str
    failed: bool | None  # None: not decided
    because: str


def parse_share(text: str) -> float:
    """A share of rounds: 0.05 or 5%.

    Raises UsageError for anything that is none.
    """
    number, percent, _ = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"not a share of rounds: {text!r}", "write 0.05 or 5%")
    return share


def parse_condition(text: str) -> Condition:
    """Raises UsageError for what is no condition."""
    if text.strip() == Verdict.WORSE:
        return Condition(Verdict.WORSE, None)
    if match := _RATE.fullmatch(text.strip()):
        return Condition(text.strip(), parse_share(match[1] + match[2]))
    near = nearest(text.strip(), [Verdict.WORSE.value])
    raise UsageError(
        f"unknown condition {text!r}", f"did you mean {near}?" if near else "write worse, or redundant-rate>0.05"
    )


def check_summary(summary: Summary, conditions: Iterable[Condition]) -> list[Check]:
    """Every condition on every arm but the baseline; on that one too where it is alone."""
    verdicts = {(comparison.arm, comparison.scenario): comparison for comparison in summary.comparisons}
    baselines = {(comparison.baseline, comparison.scenario) for comparison in summary.comparisons}
    checks = []
    for condition in conditions:
        for arm in summary.arms:
            where = arm.arm, arm.scenario
            if where not in baselines:
                failed, because = (
                    _worse(verdicts.get(where)) if condition.limit is None else _above(arm, condition.limit)
                )
                checks.append(Check(arm.scenario, arm.arm, condition.text, failed, because))
    return checks


def _worse(comparison: Comparison | None) -> tuple[bool | None, str]:
    if comparison is None:
        return None, "there is no baseline to compare with"
    because = f"{comparison.verdict}: {comparison.because}"
    return (None if comparison.verdict == Verdict.NOT_ENOUGH else comparison.verdict == Verdict.WORSE), because


def _above(arm: Arm, limit: float) -> tuple[bool | None, str]:
    if not arm.has_oracle:
        return None, "the scenario declares no demand, so no kill is classified as redundant"
    if arm.ci_low is None or arm.ci_high is None:
        return None, "not enough rounds: none completed"
    seen = (
        f"{arm.rounds_with_redundant} of {arm.completed_rounds} rounds have a redundant kill,"
        f" 95 % interval {100 * arm.ci_low:.1f} to {100 * arm.ci_high:.1f} %"
    )
    if arm.ci_low > limit:
        return True, seen
    if arm.ci_high <= limit and arm.rounds_with_unknown:
        return None, f"{seen}; {arm.rounds_with_unknown} more have kills of unknown class"
    return (False, seen) if arm.ci_high <= limit else (None, f"not enough rounds: {seen}")
