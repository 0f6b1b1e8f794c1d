"""Arms against a baseline, in words that the numbers bear out.

| verdict | said when |
|---|---|
| worse | more rounds hang, panic or are lost, or starve a survivor, or have redundant kills, or surplus kills; or a round has more surplus kills |
| better | redundant kills come in fewer rounds, so do surplus kills (processes were saved), and no more rounds fail or starve a survivor |
| mixed | better here; in another scenario worse, or more rounds fail or starve a survivor |
| no difference shown | none of these, though half the baseline's share would have been told from it, or processes were not saved |
| not enough rounds | none of these, and the rounds are too few; with how many more boots are wanted |

Five questions are asked of every comparison: rounds with redundant kills (two-sided), rounds with surplus kills (two-sided), surplus kills
per round, failed rounds, and rounds that starve a survivor (one-sided, at ALPHA / 2). Surplus kills per round tell kernels apart where nearly
every round has one: there must be more in all, and more beyond the first of their round, by permutation of boots. The other answers are a
score test of shares whose counts are deflated for the likeness of the rounds of a boot (shares.py), in the one-sided ones that of each arm by
itself; in a run that goes until it is decided, an e-process (anytime.py). Each question is corrected for the number of comparisons (Holm); the
baseline's own kernel measured again is outside that family. "Better" needs two of them at once, which takes no correction: its error is at
most that of either.

An arm is worse if a test shows that more of its rounds fail or starve a survivor. It is not better if the share of such rounds is
above the baseline's at all, in whatever scenario: one round is enough.

Surplus kills are as good a reason for "worse" as redundant ones. A kernel that makes waiting deciders sleep prevents
"overlapping" by construction, and with it "redundant"; whether processes that fitted were killed all the same is the
independent evidence.

What takes markedly longer than on the baseline is said beside any verdict (costs.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np

from ..spec.boots import DEFAULT_ICC, MIN_BOOTS
from .arm import Arm
from .costs import costs_of
from .evidence import QUESTIONS, Adjusted, Answer, Evidence, adjust, gather
from .judgement import harm_of, icc_that_turns, judge
from .likelihood import MOST_ICC
from .permutation import boot_test
from .planning import ALPHA
from .secondary import Secondary, secondary_of
from .verdicts import Verdict


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One arm against the baseline. Shares are of completed rounds with a redundant kill, unless said otherwise."""

    arm: str = msgspec.field(name="kernel")  # as in Arm
    scenario: str
    baseline: str
    is_null: bool  # the baseline's own kernel, measured again: outside the family that is corrected
    difference: float | None  # of the shares
    difference_low: float | None  # interval of `confidence`
    difference_high: float | None
    confidence: float  # of the intervals: the level at which the comparison is tested
    ratio: float | None  # of the shares; None where the baseline has none
    ratio_low: float | None  # interval of `confidence`; None where neither has any
    ratio_high: float | None  # None where the baseline's share may be none
    surplus_difference: float | None  # of the shares of rounds with a surplus kill
    surplus_difference_low: float | None
    surplus_difference_high: float | None
    test: str  # what the p-values are of
    comparisons: int  # that the p-values are corrected for, by Holm's method
    p_value: float | None  # that the share is the baseline's, two-sided
    p_adjusted: float | None
    surplus_p_value: float | None  # the same of rounds with a surplus kill
    surplus_p_adjusted: float | None
    surplus_kills_p_value: float | None  # that a round has no more surplus kills, one-sided; evidence.py
    surplus_kills_p_adjusted: float | None
    failed_p_value: float | None  # that no larger share of rounds fails, one-sided
    failed_p_adjusted: float | None
    starved_p_value: float | None  # the same of rounds that starve a survivor; None where waits are not recorded
    starved_p_adjusted: float | None
    permutation_p_value: float | None  # beside p_value: permutation of boots; None below MIN_BOOTS boots
    design_effect: float | None  # by which the counts are deflated
    icc: float | None  # estimated correlation of two rounds of one boot; None where no hit shows it
    icc_turns: float | None  # correlation at which the verdict would turn; None where none would
    boots_wanted: int | None  # more per arm, where the verdict is that there are not enough rounds
    rounds_wanted: int | None  # in those
    minutes_wanted: float | None  # of both arms; None where the run does not say how long boots and rounds take
    verdict: Verdict
    because: str
    costs: list[str]  # what takes markedly longer than on the baseline, in words
    secondary: list[Secondary]  # decide nothing

    @property
    def kernel(self) -> str:
        """The arm's name, as earlier versions call it."""
        return self.arm


def compare(arm: Arm, base: Arm) -> Comparison:
    """A single comparison."""
    return compare_all([(arm, base)])[0]


def compare_all(
    pairs: Sequence[tuple[Arm, Arm]],
    *,
    is_sequential: bool = False,
    nulls: Collection[str] = (),
    is_interim: bool = False,
) -> list[Comparison]:
    """Arms against their baselines, corrected for the number of them.

    `is_sequential`: the run was looked at after every turn of its arms, and ended when it was decided. `nulls`: arms that are
    the baseline's own kernel. Nothing is claimed of them, so each stands by itself, and costs the others nothing.
    `is_interim`: for the question whether a run is decided, so without costs, secondary endpoints, and what an undecided one would take.
    """
    gathered = [gather(arm, base, is_sequential) for arm, base in pairs]
    family = [n for n, (arm, _) in enumerate(pairs) if arm.arm not in nulls]
    families = [family, *([n] for n in range(len(pairs)) if n not in family)]
    adjusted: dict[int, Adjusted] = {}
    for members in families:
        adjusted |= zip(members, adjust([gathered[number] for number in members]), strict=True)
    costs = [list[str]() for _ in pairs] if is_interim else costs_of(pairs)
    results = [
        _comparison_of(evidence, adjusted[number], costly, is_null=number not in family, is_interim=is_interim)
        for number, (evidence, costly) in enumerate(zip(gathered, costs, strict=True))
    ]
    against = [
        (
            comparison.arm,
            comparison.scenario,
            str(Verdict.WORSE) if comparison.verdict == Verdict.WORSE else harm_of(evidence),
        )
        for comparison, evidence in zip(results, gathered, strict=True)
    ]
    return [
        _mixed(comparison, {scenario: why for name, scenario, why in against if name == comparison.arm and why})
        for comparison in results
    ]


def _mixed(comparison: Comparison, against: Mapping[str, str]) -> Comparison:
    """A kernel that hangs or starves a survivor elsewhere, if only once, is not called better here. `against`: what speaks
    against it, by scenario."""
    if comparison.verdict != Verdict.BETTER or not against:
        return comparison
    worse = sorted(scenario for scenario, why in against.items() if why == Verdict.WORSE)
    objections = [f"worse in {', '.join(worse)}"] if worse else []
    objections += [f"in {scenario} {why}" for scenario, why in sorted(against.items()) if why != Verdict.WORSE]
    because = f"{comparison.because}; but {'; '.join(objections)}"
    return msgspec.structs.replace(comparison, verdict=Verdict.MIXED, because=because)


def _comparison_of(
    evidence: Evidence, adjusted: Adjusted, costs: list[str], *, is_null: bool, is_interim: bool
) -> Comparison:
    arm, base = evidence.arm, evidence.base
    judged = judge(evidence, adjusted, plans=not is_interim)
    because = (
        f"{judged.because}; this arm is the baseline's own kernel, so any difference is chance"
        if is_null
        else judged.because
    )
    redundant, surplus, surplus_kills, failed, starved = (evidence.answers[name] for name in QUESTIONS)
    alpha = ALPHA / adjusted.factors["redundant"]
    difference, ratio = _intervals(redundant, alpha)
    surplus_difference, _ = _intervals(surplus, ALPHA / adjusted.factors["surplus"])
    pair = redundant.pair
    icc = float(pair.clusters.icc) if pair is not None else np.nan
    clustered = pair is not None and pair.is_estimated and not evidence.is_sequential
    return Comparison(
        arm=arm.arm,
        scenario=arm.scenario,
        baseline=base.arm,
        is_null=is_null,
        difference=None if arm.rate is None or base.rate is None else arm.rate - base.rate,
        difference_low=difference[0],
        difference_high=difference[1],
        confidence=1 - alpha,
        ratio=None if arm.rate is None or not base.rate else arm.rate / base.rate,
        ratio_low=ratio[0],
        ratio_high=ratio[1],
        surplus_difference=None
        if surplus.pair is None
        else float(surplus.pair.shares.share - surplus.pair.shares.base_share),
        surplus_difference_low=surplus_difference[0],
        surplus_difference_high=surplus_difference[1],
        test=_test_words(evidence),
        comparisons=adjusted.comparisons,
        p_value=redundant.p_value,
        p_adjusted=None if redundant.p_value is None else adjusted.redundant,
        surplus_p_value=surplus.p_value,
        surplus_p_adjusted=None if surplus.p_value is None else adjusted.surplus,
        surplus_kills_p_value=surplus_kills.p_value,
        surplus_kills_p_adjusted=None if surplus_kills.p_value is None else adjusted.surplus_kills,
        failed_p_value=failed.p_value,
        failed_p_adjusted=None if failed.p_value is None else adjusted.failed,
        starved_p_value=starved.p_value,
        starved_p_adjusted=None if starved.p_value is None else adjusted.starved,
        permutation_p_value=boot_test(arm.by_boot, base.by_boot, "redundant", "completed").p_value
        if clustered
        else None,
        design_effect=None if pair is None else float(pair.clusters.design_effect),
        icc=None if np.isnan(icc) else icc,
        icc_turns=icc_that_turns(evidence, adjusted, judged),
        boots_wanted=judged.wanted.boots if judged.wanted else None,
        rounds_wanted=judged.wanted.rounds if judged.wanted else None,
        minutes_wanted=judged.wanted.minutes if judged.wanted else None,
        verdict=judged.verdict,
        because=because,
        costs=costs,
        secondary=[] if is_interim else secondary_of(arm, base),
    )


_Interval = tuple[float | None, float | None]


def _intervals(answer: Answer, alpha: float) -> tuple[_Interval, _Interval]:
    """Of the difference and of the ratio."""
    if answer.pair is None:
        return (None, None), (None, None)
    shares = answer.pair.shares
    low, high = (float(limit) for limit in shares.limits(alpha))
    ratio_low, ratio_high = (float(limit) for limit in shares.ratio_limits(alpha))
    if not shares.share and not shares.base_share:
        return (low, high), (None, None)
    return (low, high), (ratio_low, None if np.isinf(ratio_high) else ratio_high)


def _test_words(evidence: Evidence) -> str:
    pair = evidence.answers["redundant"].pair
    if evidence.is_sequential:
        return (
            "e-process on blocks of the plan, valid for any number of interim analyses if rounds within a boot correlate by "
            f"at most {MOST_ICC}"
        )
    if pair is None:
        return "none"
    worth = "estimated" if pair.is_estimated else f"assumed (ICC {DEFAULT_ICC}): fewer than {MIN_BOOTS} boots per arm"
    return f"score test of shares with the boot as the cluster; correlation of rounds within a boot {worth}"
