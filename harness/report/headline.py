"""What the report page says first: its title, what was measured, and for each verdict the two shares that it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..analysis.arm import Arm
from ..analysis.summary import Summary
from ..analysis.verdict import Comparison
from ..analysis.verdicts import Verdict

# A shape for each verdict: colour is never alone.
_VERDICTS = {
    Verdict.BETTER: ("good", "▼"),
    Verdict.WORSE: ("bad", "▲"),
    Verdict.MIXED: ("open", "◆"),
    Verdict.NO_DIFFERENCE: ("open", "≈"),
    Verdict.NOT_ENOUGH: ("open", "?"),
}


@dataclass(frozen=True)
class Share:
    """One arm's share of completed rounds with a redundant kill."""

    name: str
    share: str
    counts: str
    interval: str


@dataclass(frozen=True)
class JudgedShares:
    """One arm against the baseline."""

    kind: str  # good, bad or open: how it looks
    sign: str
    shares: tuple[Share, Share]  # of the baseline, of the arm
    comparison: Comparison
    because: str  # begins a sentence
    difference: str


def title_of(summary: Summary, names: Mapping[str, str], date: str) -> str:
    """What was found, for a tab or a bookmark: the shares of the baseline and of the first arm that was compared with it."""
    first = summary.comparisons[0] if summary.comparisons else None
    wanted = [first.baseline, first.arm] if first else [summary.arms[0].arm]
    arms = {arm.arm: arm for arm in summary.arms}
    shares = ", ".join(f"{names.get(name, name)} {_percent(arms[name])}" for name in wanted)
    others = len(summary.arms) - len(wanted)
    more = f" and {others} more" if others else ""
    return ", ".join(
        filter(None, [f"Rounds with a redundant OOM kill: {shares}{more} ({summary.arms[0].scenario})", date])
    )


def heading_of(arms: Sequence[Arm], names: Mapping[str, str]) -> str:
    """The question that the run answers."""
    kernels = " and ".join(names.get(arm.arm, arm.arm) for arm in arms)
    if len(arms) == 1:
        return f"How often {kernels} kills a process needlessly at a memory limit"
    if len(arms) == 2:
        return f"Needless kills at a memory limit: {kernels}"
    return f"Needless kills at a memory limit: {len(arms)} kernels side by side"


def verdicts_of(summary: Summary, names: Mapping[str, str]) -> list[JudgedShares]:
    """Every comparison, in the order of the summary."""
    arms = {arm.arm: arm for arm in summary.arms}
    return [
        JudgedShares(
            *_VERDICTS.get(comparison.verdict, ("open", "•")),
            (share_of(arms[comparison.baseline], names), share_of(arms[comparison.arm], names)),
            comparison,
            _sentence(comparison.because),
            _difference(comparison),
        )
        for comparison in summary.comparisons
    ]


def _sentence(text: str) -> str:
    """With a capital, but for a symbol: p = 0.059."""
    return text if text[:2] == "p " else f"{text[:1].upper()}{text[1:]}"


def share_of(arm: Arm, names: Mapping[str, str]) -> Share:
    """The share with its counts and its interval; where the class of some kills is not known, as bounds."""
    name = names.get(arm.arm, arm.arm)
    high = arm.ci_high_at_most if arm.rounds_with_unknown else arm.ci_high
    if not arm.has_oracle:
        return Share(name, "-", "the scenario declares no demand", "")
    hits = str(arm.rounds_with_redundant)
    if arm.rounds_with_unknown:
        hits += f" to {arm.rounds_with_redundant + arm.rounds_with_unknown}"
    interval = (
        "" if arm.ci_low is None or high is None else f"95 % interval {100 * arm.ci_low:.1f} to {100 * high:.1f} %"
    )
    return Share(name, _percent(arm), f"{hits} of {arm.completed_rounds} rounds", interval)


def _percent(arm: Arm) -> str:
    if arm.rate is None or not arm.has_oracle:
        return "-"
    if arm.rounds_with_unknown and arm.rate_at_most is not None:
        return f"{100 * arm.rate:.1f} to {100 * arm.rate_at_most:.1f} %"
    return f"{100 * arm.rate:.1f} %"


def _difference(comparison: Comparison) -> str:
    low, high = comparison.difference_low, comparison.difference_high
    if comparison.difference is None or low is None or high is None:
        return ""
    return f"{100 * comparison.difference:+.1f} points ({100 * comparison.confidence:.4g} % interval {100 * low:+.1f} to {100 * high:+.1f})"
