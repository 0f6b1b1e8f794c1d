"""Arms against a baseline, in words that the numbers bear out.

| verdict | said when |
|---|---|
| worse | more rounds hang, panic or are lost, or starve a survivor, or have redundant kills, or surplus kills |
| better | redundant kills come in fewer rounds, so do surplus kills (processes were saved), and no more rounds fail or starve a survivor |
| mixed | better here; in another scenario worse, or more rounds fail or starve a survivor |
| no difference shown | none of these, though half the baseline's share would have been told from it, or processes were not saved |
| not enough rounds | none of these, and the rounds are too few; with how many more boots are wanted |

Four questions are asked of every comparison: redundant kills (two-sided), surplus kills (two-sided), failed rounds, and rounds
that starve a survivor (one-sided, at ALPHA / 2). The answer is a score test of shares whose counts are deflated for the likeness
of the rounds of a boot (shares.py); in a run that goes until it is decided, an e-process (sequential.py). Each question is corrected for the number
of comparisons (Holm); the baseline's own kernel measured again is outside that family. "Better" needs two of them at once, which
takes no correction: its error is at most that of either.

An arm is worse if a test shows that more of its rounds fail or starve a survivor. It is not better if the share of such rounds is
above the baseline's at all, in whatever scenario: one round is enough.

Surplus kills are as good a reason for "worse" as redundant ones. A kernel that makes waiting deciders sleep prevents
"overlapping" by construction, and with it "redundant"; whether processes that fitted were killed all the same is the
independent evidence.

What takes markedly longer than on the baseline is said beside any verdict (costs.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from ..spec.boots import DEFAULT_ICC, MIN_BOOTS
from .arm import Arm
from .costs import costs_of
from .families import holm_factors, p_words
from .likelihood import MOST_ICC
from .permutation import Pairs, boot_test, paired_blocks
from .planning import ALPHA, EFFECT, POWER, boots_needed, simulated_power
from .secondary import Secondary, secondary_of
from .sequential import anytime_p, blocks_needed, turning_icc
from .shares import PairTest
from .tally import by_boot
from .verdicts import Verdict

_MOST_ICC = 0.3  # that is planned for; estimates from a handful of boots can be far beyond


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


_QUESTIONS = ("redundant", "surplus", "failed", "starved")
_ONE_SIDED = ("failed", "starved")  # at ALPHA / 2


@dataclass(frozen=True)
class _Answer:
    """What the tests say of one question."""

    pair: PairTest | None  # None where an arm has no round to ask
    p_value: float | None
    side: str
    blocks: Pairs | None = None  # of a sequential run


@dataclass(frozen=True)
class _Evidence:
    """A pair of arms and what the tests say of it."""

    arm: Arm
    base: Arm
    answers: dict[str, _Answer]
    is_sequential: bool


@dataclass(frozen=True)
class _Adjusted:
    """The p-values of a comparison, corrected for the number of them; 1 where there is nothing to test."""

    redundant: float
    surplus: float
    failed: float
    starved: float
    factors: dict[str, int]  # by which the level of each question is divided
    comparisons: int


@dataclass(frozen=True)
class _Wanted:
    """More boots per arm."""

    boots: int
    rounds: int
    minutes: float | None

    @property
    def words(self) -> str:
        time = "" if self.minutes is None else f", about {_minutes(self.minutes)} for both arms"
        return f"{self.boots} more boots per arm ({self.rounds} rounds{time})"


@dataclass(frozen=True)
class _Verdict:
    """A verdict with its reason."""

    verdict: Verdict
    because: str
    decided_by: tuple[str, ...] = ()  # the questions
    wanted: _Wanted | None = None


def compare(arm: Arm, base: Arm) -> Comparison:
    """A single comparison."""
    return compare_all([(arm, base)])[0]


def compare_all(
    pairs: Sequence[tuple[Arm, Arm]], *, is_sequential: bool = False, nulls: Collection[str] = ()
) -> list[Comparison]:
    """Arms against their baselines, corrected for the number of them.

    `is_sequential`: the run was looked at after every turn of its arms, and ended when it was decided. `nulls`: arms that are
    the baseline's own kernel. Nothing is claimed of them, so each stands by itself, and costs the others nothing.
    """
    gathered = [_gather(arm, base, is_sequential) for arm, base in pairs]
    family = [n for n, (arm, _) in enumerate(pairs) if arm.arm not in nulls]
    families = [family, *([n] for n in range(len(pairs)) if n not in family)]
    adjusted: dict[int, _Adjusted] = {}
    for members in families:
        found = {name: holm_factors([gathered[n].answers[name].p_value for n in members], ALPHA) for name in _QUESTIONS}
        for place, number in enumerate(members):
            values = {name: found[name][place] for name in _QUESTIONS}
            adjusted[number] = _Adjusted(
                **{name: value for name, (value, _) in values.items()},
                factors={name: factor for name, (_, factor) in values.items()},
                comparisons=len(members),
            )
    results = [
        _judge(found, adjusted[number], costs, is_null=number not in family)
        for number, (found, costs) in enumerate(zip(gathered, costs_of(pairs), strict=True))
    ]
    against = [
        (each.arm, each.scenario, str(Verdict.WORSE) if each.verdict == Verdict.WORSE else _harm(found))
        for each, found in zip(results, gathered, strict=True)
    ]
    return [
        _mixed(each, {scenario: why for name, scenario, why in against if name == each.arm and why}) for each in results
    ]


def _mixed(comparison: Comparison, against: Mapping[str, str]) -> Comparison:
    """A kernel that hangs or starves a survivor elsewhere, if only once, is not called better here. `against`: what speaks
    against it, by scenario."""
    if comparison.verdict != Verdict.BETTER or not against:
        return comparison
    worse = sorted(scenario for scenario, why in against.items() if why == Verdict.WORSE)
    said = [f"worse in {', '.join(worse)}"] if worse else []
    said += [f"in {scenario} {why}" for scenario, why in sorted(against.items()) if why != Verdict.WORSE]
    because = f"{comparison.because}; but {'; '.join(said)}"
    return msgspec.structs.replace(comparison, verdict=Verdict.MIXED, because=because)


def _gather(arm: Arm, base: Arm, is_sequential: bool) -> _Evidence:
    boots = [by_boot(side.by_boot) for side in (arm, base)]

    def ask(hits: str, rounds: str, side: str) -> _Answer:
        mine, others = ([(getattr(b, hits), getattr(b, rounds)) for b in of if getattr(b, rounds)] for of in boots)
        if not mine or not others:
            return _Answer(None, None, side)
        pair = PairTest(mine, others)
        if not is_sequential:
            return _Answer(pair, pair.p_value(side), side)
        blocks = paired_blocks(arm.by_boot, base.by_boot, hits, rounds)
        return _Answer(pair, anytime_p(blocks, side), side, blocks)

    return _Evidence(
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


def _judge(found: _Evidence, adjusted: _Adjusted, costs: list[str], *, is_null: bool) -> Comparison:
    arm, base = found.arm, found.base
    judged = _verdict(found, adjusted)
    because = (
        f"{judged.because}; this arm is the baseline's own kernel, so any difference is chance"
        if is_null
        else judged.because
    )
    redundant, surplus, failed, starved = (found.answers[name] for name in _QUESTIONS)
    alpha = ALPHA / adjusted.factors["redundant"]
    difference, ratio = _intervals(redundant, alpha)
    surplus_difference, _ = _intervals(surplus, ALPHA / adjusted.factors["surplus"])
    pair = redundant.pair
    icc = float(pair.clusters.icc) if pair is not None else np.nan
    clustered = pair is not None and pair.is_estimated and not found.is_sequential
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
        test=_test_words(found),
        comparisons=adjusted.comparisons,
        p_value=redundant.p_value,
        p_adjusted=None if redundant.p_value is None else adjusted.redundant,
        surplus_p_value=surplus.p_value,
        surplus_p_adjusted=None if surplus.p_value is None else adjusted.surplus,
        failed_p_value=failed.p_value,
        failed_p_adjusted=None if failed.p_value is None else adjusted.failed,
        starved_p_value=starved.p_value,
        starved_p_adjusted=None if starved.p_value is None else adjusted.starved,
        permutation_p_value=boot_test(arm.by_boot, base.by_boot, "redundant", "completed").p_value
        if clustered
        else None,
        design_effect=None if pair is None else float(pair.clusters.design_effect),
        icc=None if np.isnan(icc) else icc,
        icc_turns=_turning_icc(found, adjusted, judged),
        boots_wanted=judged.wanted.boots if judged.wanted else None,
        rounds_wanted=judged.wanted.rounds if judged.wanted else None,
        minutes_wanted=judged.wanted.minutes if judged.wanted else None,
        verdict=judged.verdict,
        because=because,
        costs=costs,
        secondary=secondary_of(arm, base),
    )


_Interval = tuple[float | None, float | None]


def _intervals(answer: _Answer, alpha: float) -> tuple[_Interval, _Interval]:
    """Of the difference and of the ratio."""
    if answer.pair is None:
        return (None, None), (None, None)
    shares = answer.pair.shares
    low, high = (float(limit) for limit in shares.limits(alpha))
    ratio_low, ratio_high = (float(limit) for limit in shares.ratio_limits(alpha))
    if not shares.share and not shares.base_share:
        return (low, high), (None, None)
    return (low, high), (ratio_low, None if np.isinf(ratio_high) else ratio_high)


def _test_words(found: _Evidence) -> str:
    pair = found.answers["redundant"].pair
    if found.is_sequential:
        return (
            "e-process on blocks of the plan, valid for any number of interim analyses if rounds within a boot correlate by "
            f"at most {MOST_ICC}"
        )
    if pair is None:
        return "none"
    worth = "estimated" if pair.is_estimated else f"assumed (ICC {DEFAULT_ICC}): fewer than {MIN_BOOTS} boots per arm"
    return f"score test of shares with the boot as the cluster; correlation of rounds within a boot {worth}"


def _turning_icc(found: _Evidence, adjusted: _Adjusted, judged: _Verdict) -> float | None:
    """Of what decided the verdict, the least; of an undecided one, below which redundant kills would differ."""
    turns = []
    for name in judged.decided_by or ("redundant",):
        answer, level = found.answers[name], ALPHA / adjusted.factors[name]
        level = level / 2 if name in _ONE_SIDED else level
        if answer.blocks is not None:
            turns.append(turning_icc(answer.blocks, answer.side, level))
        elif answer.pair is not None:
            turns.append(answer.pair.turning_icc(level, answer.side))
    return min((each for each in turns if each is not None), default=None)


def _verdict(found: _Evidence, adjusted: _Adjusted) -> _Verdict:
    arm, base = found.arm, found.base
    if adjusted.failed < ALPHA / 2:
        because = f"{_failures(arm)} did not complete, against {_failures(base)}, {p_words(adjusted.failed)}"
        return _Verdict(Verdict.WORSE, because, ("failed",))
    if adjusted.starved < ALPHA / 2:
        return _Verdict(Verdict.WORSE, f"{_starved_words(found)}, {p_words(adjusted.starved)}", ("starved",))
    if arm.rate is None or base.rate is None:
        return _Verdict(Verdict.NOT_ENOUGH, "an arm has no completed round")
    if not (arm.has_oracle and base.has_oracle):
        return _Verdict(
            Verdict.NO_DIFFERENCE,
            "the scenario declares no demand: only rounds that fail or starve a survivor can be compared",
        )
    unknown = arm.unknown_kills + base.unknown_kills
    note = f" ({unknown} kills of unknown class are left out)" if unknown else ""
    is_more = adjusted.redundant < ALPHA and arm.rate > base.rate
    if adjusted.surplus < ALPHA and _share(arm, "surplus") > _share(base, "surplus"):
        more = "redundant kills in more rounds, surplus kills too" if is_more else "surplus kills in more rounds"
        because = f"{more}: {_counts(found, 'surplus')}, {p_words(adjusted.surplus)}{note}"
        return _Verdict(Verdict.WORSE, because, ("redundant", "surplus")[not is_more :])
    if is_more:
        return _Verdict(
            Verdict.WORSE, f"redundant kills in more rounds, {p_words(adjusted.redundant)}{note}", ("redundant",)
        )
    if adjusted.redundant >= ALPHA:
        return _undecided(found, adjusted, "redundant", note)
    if reason := _not_better(found):
        return _Verdict(Verdict.NO_DIFFERENCE, f"fewer redundant kills, but {reason}{note}")
    if adjusted.surplus >= ALPHA:
        if 2 * arm.rounds_with_surplus * base.completed_rounds <= base.rounds_with_surplus * arm.completed_rounds:
            judged = _undecided(found, adjusted, "surplus", note)
            because = f"fewer redundant kills, but surplus kills: {judged.because}"
            return _Verdict(judged.verdict, because, wanted=judged.wanted)
        because = f"fewer redundant kills, but not fewer surplus kills: {_counts(found, 'surplus')}{note}"
        return _Verdict(Verdict.NO_DIFFERENCE, because)
    because = f"redundant kills in fewer rounds, {p_words(adjusted.redundant)}; surplus kills too, {p_words(adjusted.surplus)}"
    return _Verdict(Verdict.BETTER, f"{because}; as many rounds complete{note}", ("redundant", "surplus"))


def _share(arm: Arm, what: str) -> float:
    hits = arm.rounds_with_surplus if what == "surplus" else arm.rounds_with_redundant
    return hits / arm.completed_rounds


def _counts(found: _Evidence, what: str) -> str:
    mine, others = (
        f"{round(_share(side, what) * side.completed_rounds)} of {side.completed_rounds}"
        for side in (found.arm, found.base)
    )
    return f"{mine} rounds against {others}"


def _not_better(found: _Evidence) -> str:
    """What forbids the word "better" even if redundant and surplus kills come in fewer rounds."""
    arm, base = found.arm, found.base
    if (arm.surplus_per_round or 0) > (base.surplus_per_round or 0):
        return "not fewer surplus kills"
    if harm := _harm(found):
        return harm
    if arm.rounds_with_unknown and not _falls_at_worst(found):
        return f"{arm.rounds_with_unknown} rounds have kills of unknown class, which may be redundant"
    return ""


def _harm(found: _Evidence) -> str:
    """What speaks against an arm though no test shows it: a larger share of rounds failed, or starved a survivor. Where waits
    were not all kept, the arm's count as starved, and the baseline's do not."""
    arm, base = found.arm, found.base
    attempted, base_attempted = (side.completed_rounds + side.failed_rounds for side in (arm, base))
    if arm.failed_rounds * base_attempted > base.failed_rounds * attempted:
        return f"{_failures(arm)} did not complete, against {_failures(base)}"
    maybe = arm.starved_rounds + arm.maybe_starved_rounds
    if maybe * max(1, _with_waits(base)) > base.starved_rounds * _with_waits(arm):
        return _starved_words(found)
    return ""


def _with_waits(arm: Arm) -> int:
    return sum(boot.waits_known + boot.waits_lost for boot in arm.by_boot)


def _starved_words(found: _Evidence) -> str:
    arm, base = found.arm, found.base
    mine, others = (f"{side.starved_rounds} of {_with_waits(side)}" for side in (arm, base))
    limit = (
        "too long" if arm.starved_after_s is None else f"longer than {arm.starved_after_s:g} s, half of the deadline,"
    )
    maybe = f" ({arm.maybe_starved_rounds} more may have)" if arm.maybe_starved_rounds else ""
    return f"{mine} rounds starved a survivor{maybe}, against {others}: it waited {limit} for one page"


def _falls_at_worst(found: _Evidence) -> bool:
    """Whether redundant kills would have fallen if every kill of unknown class were one, on this arm alone."""
    counts = [
        msgspec.structs.replace(boot, redundant=boot.redundant + boot.unknown, unknown=0) for boot in found.arm.by_boot
    ]
    worst = _gather(msgspec.structs.replace(found.arm, by_boot=counts), found.base, found.is_sequential)
    answer = worst.answers["redundant"]
    if answer.pair is None or answer.p_value is None:
        return False
    return answer.p_value < ALPHA and bool(answer.pair.shares.share < answer.pair.shares.base_share)


def _undecided(found: _Evidence, adjusted: _Adjusted, what: str, note: str) -> _Verdict:
    """No difference, or too few rounds to tell EFFECT times the baseline's share from it: an effect that was declared before,
    as the one that was seen is the larger the fewer rounds there are."""
    share, base_share = round(_share(found.arm, what), 3), round(_share(found.base, what), 3)
    said = f"{p_words(getattr(adjusted, what))}{note}"
    if not share and not base_share:
        because = f"none in {found.base.completed_rounds} rounds of the baseline, and none here{note}"
        return _Verdict(Verdict.NO_DIFFERENCE, because)
    # where the baseline has none, half of what is seen here
    expected = base_share * EFFECT if base_share else share * EFFECT
    goal = "half the baseline's share" if base_share else "half of this share against none"
    shares = f"{100 * expected:.1f} % against {100 * base_share:.1f} %"
    # Each comparison by itself at the level that Holm's method asks of the first.
    level = ALPHA / adjusted.comparisons
    boots, per_boot = _boots(found)
    if found.is_sequential:
        wanted = blocks_needed(base_share, expected, per_boot, level / 2, POWER)
    else:
        icc = _planned_icc(found, what)
        power = simulated_power(base_share, expected, boots, per_boot, icc, level)
        if power >= POWER:
            because = f"{said}; a difference of {shares} would have been detected with power {power:.2f}"
            return _Verdict(Verdict.NO_DIFFERENCE, because)
        wanted = boots_needed(base_share, expected, POWER, per_boot, icc, level)
    if wanted is None:
        return _Verdict(Verdict.NOT_ENOUGH, f"{said}; detecting {goal} would take more than 10,000 boots: {shares}")
    if found.is_sequential and wanted <= boots:
        return _Verdict(
            Verdict.NO_DIFFERENCE, f"{said}; a difference of {shares} would have been detected with power {POWER}"
        )
    more = max(1, wanted - boots)
    wants = _Wanted(more, more * per_boot, _time_of(found, more, per_boot))
    because = f"{said}; detecting {goal} with power {POWER} takes {wants.words}: {shares}"
    return _Verdict(Verdict.NOT_ENOUGH, because, wanted=wants)


def _boots(found: _Evidence) -> tuple[int, int]:
    """Boots of the arm that has fewer, and rounds per boot."""
    sides = [[boot for boot in by_boot(side.by_boot) if boot.completed] for side in (found.arm, found.base)]
    fewer = min(sides, key=len)
    return len(fewer), max(1, round(sum(boot.completed for boot in fewer) / len(fewer)))


def _planned_icc(found: _Evidence, what: str) -> float:
    """What was seen, if it is more than what is assumed of any machine."""
    pair = found.answers[what].pair
    seen = float(np.nan_to_num(pair.clusters.icc)) if pair is not None else 0.0
    return round(min(_MOST_ICC, max(DEFAULT_ICC, seen)), 2)


def _time_of(found: _Evidence, boots: int, per_boot: int) -> float | None:
    """Minutes of both arms."""
    seconds = 0.0
    for side in (found.arm, found.base):
        if side.boot_s is None or not side.rounds_per_minute:
            return None
        # the warm-up round is one of them
        seconds += boots * (side.boot_s + (per_boot + 1) * 60 / side.rounds_per_minute)
    return seconds / 60


def _minutes(minutes: float) -> str:
    return f"{max(1, round(minutes))} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _failures(arm: Arm) -> str:
    return f"{arm.failed_rounds} of {arm.completed_rounds + arm.failed_rounds} rounds"
