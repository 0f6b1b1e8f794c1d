"""The rules by which a pair of arms is called better, worse, or neither, and the reason in words. verdict.py has them as a table."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from ..spec.boots import DEFAULT_ICC
from .anytime import blocks_needed, turning_icc
from .arm import Arm
from .evidence import ONE_SIDED, Adjusted, Evidence, gather
from .families import p_words
from .planning import ALPHA, EFFECT, POWER, boots_needed, simulated_power
from .tally import by_boot
from .verdicts import Verdict

_MOST_ICC = 0.3  # that is planned for; estimates from a handful of boots can be far beyond


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
class Judgement:
    """A verdict with its reason."""

    verdict: Verdict
    because: str
    decided_by: tuple[str, ...] = ()  # the questions
    wanted: _Wanted | None = None


def judge(evidence: Evidence, adjusted: Adjusted, *, plans: bool = True) -> Judgement:
    """The verdict on a pair, from p-values that are corrected already. `plans`: with how many more boots an undecided one takes,
    which is simulated for a second or more."""
    arm, base = evidence.arm, evidence.base
    if adjusted.failed < ALPHA / 2:
        because = f"{_failures(arm)} did not complete, against {_failures(base)}, {p_words(adjusted.failed)}"
        return Judgement(Verdict.WORSE, because, ("failed",))
    if adjusted.starved < ALPHA / 2:
        return Judgement(Verdict.WORSE, f"{_starved_words(evidence)}, {p_words(adjusted.starved)}", ("starved",))
    if arm.rate is None or base.rate is None:
        return Judgement(Verdict.NOT_ENOUGH, "an arm has no completed round")
    if not (arm.has_oracle and base.has_oracle):
        return Judgement(
            Verdict.NO_DIFFERENCE,
            "the scenario declares no demand: only rounds that fail or starve a survivor can be compared",
        )
    unknown = arm.unknown_kills + base.unknown_kills
    note = f" ({unknown} kills of unknown class are left out)" if unknown else ""
    is_more = adjusted.redundant < ALPHA and arm.rate > base.rate
    if adjusted.surplus < ALPHA and _share(arm, "surplus") > _share(base, "surplus"):
        more = "redundant kills in more rounds, surplus kills too" if is_more else "surplus kills in more rounds"
        because = f"{more}: {_counts(evidence, 'surplus')}, {p_words(adjusted.surplus)}{note}"
        return Judgement(Verdict.WORSE, because, ("redundant", "surplus")[not is_more :])
    if is_more:
        return Judgement(
            Verdict.WORSE, f"redundant kills in more rounds, {p_words(adjusted.redundant)}{note}", ("redundant",)
        )
    if adjusted.surplus_kills < ALPHA / 2:
        because = f"more surplus kills per round: {_per_round(arm)} against {_per_round(base)}, {p_words(adjusted.surplus_kills)}{note}"
        return Judgement(Verdict.WORSE, because, ("surplus_kills",))
    if adjusted.redundant >= ALPHA:
        return _undecided(evidence, adjusted, "redundant", note, plans=plans)
    if reason := _not_better(evidence):
        return Judgement(Verdict.NO_DIFFERENCE, f"fewer redundant kills, but {reason}{note}")
    if adjusted.surplus >= ALPHA:
        if 2 * arm.rounds_with_surplus * base.completed_rounds <= base.rounds_with_surplus * arm.completed_rounds:
            judged = _undecided(evidence, adjusted, "surplus", note, plans=plans)
            because = f"fewer redundant kills, but surplus kills: {judged.because}"
            return Judgement(judged.verdict, because, wanted=judged.wanted)
        because = f"fewer redundant kills, but not fewer surplus kills: {_counts(evidence, 'surplus')}{note}"
        return Judgement(Verdict.NO_DIFFERENCE, because)
    because = f"redundant kills in fewer rounds, {p_words(adjusted.redundant)}; surplus kills too, {p_words(adjusted.surplus)}"
    return Judgement(Verdict.BETTER, f"{because}; as many rounds complete{note}", ("redundant", "surplus"))


def _share(arm: Arm, question: str) -> float:
    hits = arm.rounds_with_surplus if question == "surplus" else arm.rounds_with_redundant
    return hits / arm.completed_rounds


def _per_round(arm: Arm) -> str:
    return f"{sum(boot.surplus_kills for boot in arm.by_boot) / arm.completed_rounds:.2f}"


def _counts(evidence: Evidence, question: str) -> str:
    mine, others = (
        f"{round(_share(side, question) * side.completed_rounds)} of {side.completed_rounds}"
        for side in (evidence.arm, evidence.base)
    )
    return f"{mine} rounds against {others}"


def _not_better(evidence: Evidence) -> str:
    """What forbids the word "better" even if redundant and surplus kills come in fewer rounds."""
    arm, base = evidence.arm, evidence.base
    if (arm.surplus_per_round or 0) > (base.surplus_per_round or 0):
        return "not fewer surplus kills"
    if harm := harm_of(evidence):
        return harm
    if arm.rounds_with_unknown and not _falls_at_worst(evidence):
        return f"{arm.rounds_with_unknown} rounds have kills of unknown class, which may be redundant"
    return ""


def harm_of(evidence: Evidence) -> str:
    """What speaks against an arm though no test shows it: a larger share of rounds failed, or starved a survivor. Where waits
    were not all kept, the arm's count as starved, and the baseline's do not."""
    arm, base = evidence.arm, evidence.base
    attempted, base_attempted = (side.completed_rounds + side.failed_rounds for side in (arm, base))
    if arm.failed_rounds * base_attempted > base.failed_rounds * attempted:
        return f"{_failures(arm)} did not complete, against {_failures(base)}"
    maybe = arm.starved_rounds + arm.maybe_starved_rounds
    if maybe * max(1, _with_waits(base)) > base.starved_rounds * _with_waits(arm):
        return _starved_words(evidence)
    return ""


def _with_waits(arm: Arm) -> int:
    return sum(boot.waits_known + boot.waits_lost for boot in arm.by_boot)


def _starved_words(evidence: Evidence) -> str:
    arm, base = evidence.arm, evidence.base
    mine, others = (f"{side.starved_rounds} of {_with_waits(side)}" for side in (arm, base))
    limit = (
        "too long" if arm.starved_after_s is None else f"longer than {arm.starved_after_s:g} s, half of the deadline,"
    )
    maybe = f" ({arm.maybe_starved_rounds} more may have)" if arm.maybe_starved_rounds else ""
    return f"{mine} rounds starved a survivor{maybe}, against {others}: it waited {limit} for one page"


def _falls_at_worst(evidence: Evidence) -> bool:
    """Whether redundant kills would have fallen if every kill of unknown class were one, on this arm alone."""
    counts = [
        msgspec.structs.replace(boot, redundant=boot.redundant + boot.unknown, unknown=0)
        for boot in evidence.arm.by_boot
    ]
    worst = gather(msgspec.structs.replace(evidence.arm, by_boot=counts), evidence.base, evidence.is_sequential)
    answer = worst.answers["redundant"]
    if answer.pair is None or answer.p_value is None:
        return False
    return answer.p_value < ALPHA and bool(answer.pair.shares.share < answer.pair.shares.base_share)


def _undecided(evidence: Evidence, adjusted: Adjusted, question: str, note: str, *, plans: bool) -> Judgement:
    """No difference, or too few rounds to tell EFFECT times the baseline's share from it: an effect that was declared before,
    as the one that was seen is the larger the fewer rounds there are."""
    share, base_share = round(_share(evidence.arm, question), 3), round(_share(evidence.base, question), 3)
    finding = f"{p_words(getattr(adjusted, question))}{note}"
    if not share and not base_share:
        because = f"none in {evidence.base.completed_rounds} rounds of the baseline, and none here{note}"
        return Judgement(Verdict.NO_DIFFERENCE, because)
    if not plans:
        return Judgement(Verdict.NOT_ENOUGH, finding)
    # where the baseline has none, half of what is seen here
    expected = base_share * EFFECT if base_share else share * EFFECT
    goal = "half the baseline's share" if base_share else "half of this share against none"
    shares = f"{100 * expected:.1f} % against {100 * base_share:.1f} %"
    # Each comparison by itself at the level that Holm's method asks of the first.
    level = ALPHA / adjusted.comparisons
    boots, per_boot = _boots(evidence)
    if evidence.is_sequential:
        wanted = blocks_needed(base_share, expected, per_boot, level / 2, POWER)
    else:
        icc = _planned_icc(evidence, question)
        power = simulated_power(base_share, expected, boots, per_boot, icc, level)
        if power >= POWER:
            because = f"{finding}; a difference of {shares} would have been detected with power {power:.2f}"
            return Judgement(Verdict.NO_DIFFERENCE, because)
        wanted = boots_needed(base_share, expected, POWER, per_boot, icc, level)
    if wanted is None:
        return Judgement(Verdict.NOT_ENOUGH, f"{finding}; detecting {goal} would take more than 10,000 boots: {shares}")
    if evidence.is_sequential and wanted <= boots:
        return Judgement(
            Verdict.NO_DIFFERENCE, f"{finding}; a difference of {shares} would have been detected with power {POWER}"
        )
    more = max(1, wanted - boots)
    wants = _Wanted(more, more * per_boot, _time_of(evidence, more, per_boot))
    because = f"{finding}; detecting {goal} with power {POWER} takes {wants.words}: {shares}"
    return Judgement(Verdict.NOT_ENOUGH, because, wanted=wants)


def _boots(evidence: Evidence) -> tuple[int, int]:
    """Boots of the arm that has fewer, and rounds per boot."""
    sides = [[boot for boot in by_boot(side.by_boot) if boot.completed] for side in (evidence.arm, evidence.base)]
    fewer = min(sides, key=len)
    return len(fewer), max(1, round(sum(boot.completed for boot in fewer) / len(fewer)))


def _planned_icc(evidence: Evidence, question: str) -> float:
    """What was seen, if it is more than what is assumed of any machine."""
    pair = evidence.answers[question].pair
    seen = float(np.nan_to_num(pair.clusters.icc)) if pair is not None else 0.0
    return round(min(_MOST_ICC, max(DEFAULT_ICC, seen)), 2)


def _time_of(evidence: Evidence, boots: int, per_boot: int) -> float | None:
    """Minutes of both arms."""
    seconds = 0.0
    for side in (evidence.arm, evidence.base):
        if side.boot_s is None or not side.rounds_per_minute:
            return None
        # the warm-up round is one of them
        seconds += boots * (side.boot_s + (per_boot + 1) * 60 / side.rounds_per_minute)
    return seconds / 60


def _minutes(minutes: float) -> str:
    return f"{max(1, round(minutes))} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _failures(arm: Arm) -> str:
    return f"{arm.failed_rounds} of {arm.completed_rounds + arm.failed_rounds} rounds"


def icc_that_turns(evidence: Evidence, adjusted: Adjusted, judged: Judgement) -> float | None:
    """Of what decided the verdict, the least; of an undecided one, below which redundant kills would differ."""
    turns = []
    for name in judged.decided_by or ("redundant",):
        answer, level = evidence.answers[name], ALPHA / adjusted.factors[name]
        level = level / 2 if name in ONE_SIDED else level
        if answer.blocks is not None:
            turns.append(turning_icc(answer.blocks, answer.side, level))
        elif answer.pair is not None:
            turns.append(answer.pair.turning_icc(level, answer.side))
    return min((icc for icc in turns if icc is not None), default=None)
