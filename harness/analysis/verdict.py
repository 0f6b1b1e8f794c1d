"""Arms against a baseline, in words that the numbers bear out.

| verdict | said when |
|---|---|
| worse | more rounds hang, panic or are lost, or redundant kills come in more rounds |
| better | redundant kills come in fewer rounds, so do surplus kills (processes were saved), and no more rounds fail |
| mixed | better here, and worse in another scenario |
| no difference shown | none of these, though a share half as large would have been seen, or processes were not saved |
| not enough rounds | none of these, and the rounds are too few; with how many more are wanted |

"Fall" and "rise" are tests at ALPHA, by boots from MIN_BOOTS boots an arm on, else by rounds (Fisher), else (a run that goes
until it is decided) by betting. Three questions are asked of every comparison: redundant kills (two-sided), surplus kills
(two-sided), failed rounds (one-sided, at ALPHA / 2). Each is corrected for the number of comparisons (Holm). "Better" needs
two of them at once, which takes no correction: its error is at most that of either.

What takes markedly longer than on the baseline is said beside any verdict (`harness/analysis/costs.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from .arm import Arm
from .betting import anytime_p, blocks_to_go
from .costs import costs_of
from .families import holm
from .permutation import boot_test, paired_blocks
from .power import ALPHA, POWER, rounds_needed
from .rates import Rate, compared, difference_interval, exact_test, rate_of, ratio_interval
from .tally import by_boot


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One arm against the baseline. Shares are of completed rounds with a redundant kill, unless said otherwise."""

    kernel: str
    scenario: str
    baseline: str
    difference: float | None  # of the shares
    difference_low: float | None  # 95 % interval
    difference_high: float | None
    ratio: float | None  # of the shares; None where the baseline has none
    ratio_low: float | None  # 95 % interval; None where neither has any
    ratio_high: float | None
    test: str  # what the p-values are of
    comparisons: int  # that the p-values are corrected for, by Holm's method
    p_value: float | None  # that the share is the baseline's, two-sided
    p_adjusted: float | None
    surplus_p_value: float | None  # the same of rounds with a surplus kill
    surplus_p_adjusted: float | None
    failed_p_value: float | None  # that no larger share of rounds fails, one-sided
    failed_p_adjusted: float | None
    rounds_wanted: int | None  # more an arm, where the verdict is that there are not enough
    verdict: str  # better, worse, mixed, no difference shown, or not enough rounds
    because: str
    costs: list[str]  # what takes markedly longer than on the baseline, in words


@dataclass(frozen=True)
class _PValues:
    """Of the three questions; None where there is nothing to test."""

    redundant: float | None
    surplus: float | None
    failed: float | None


@dataclass(frozen=True)
class _Evidence:
    """A pair of arms and what the tests say of it."""

    arm: Arm
    base: Arm
    rates: tuple[Rate, Rate]
    test: str
    raw: _PValues
    is_sequential: bool

    @property
    def design_effect(self) -> float:
        """Of the arm that has more of it: where no round is hit, none shows."""
        return max(rate.design_effect for rate in self.rates)


@dataclass(frozen=True)
class _Adjusted:
    """The p-values of a comparison, corrected for the number of them; 1 where there is nothing to test."""

    redundant: float
    surplus: float
    failed: float
    comparisons: int


def compare(arm: Arm, base: Arm) -> Comparison:
    """A single comparison."""
    return compare_all([(arm, base)])[0]


def compare_all(pairs: Sequence[tuple[Arm, Arm]], *, is_sequential: bool = False) -> list[Comparison]:
    """Arms against their baselines, corrected for the number of them.

    `is_sequential`: the run was looked at after every turn of its arms, and ended when it was decided.
    """
    gathered = [_gather(arm, base, is_sequential) for arm, base in pairs]
    families = [holm([getattr(found.raw, name) for found in gathered]) for name in ("redundant", "surplus", "failed")]
    results = [
        _judge(found, _Adjusted(redundant, surplus, failed, len(pairs)), costs)
        for found, redundant, surplus, failed, costs in zip(gathered, *families, costs_of(pairs), strict=True)
    ]
    worse = {(each.kernel, each.scenario) for each in results if each.verdict == "worse"}
    return [_mixed(each, [scenario for kernel, scenario in worse if kernel == each.kernel]) for each in results]


def _mixed(comparison: Comparison, worse_in: list[str]) -> Comparison:
    """A kernel that hangs elsewhere is not called better here."""
    if comparison.verdict != "better" or not worse_in:
        return comparison
    because = f"{comparison.because}; but worse in {', '.join(sorted(worse_in))}"
    return msgspec.structs.replace(comparison, verdict="mixed", because=because)


def _gather(arm: Arm, base: Arm, is_sequential: bool) -> _Evidence:
    boots = [by_boot(side.by_boot) for side in (arm, base)]
    rates = [rate_of([b.redundant for b in side], [b.completed for b in side]) for side in boots]
    is_clustered = all(rate.is_clustered for rate in rates)
    tests = []

    def ask(hits: str, rounds: str, side: str) -> float | None:
        mine, others = ([sum(getattr(b, name) for b in of) for name in (hits, rounds)] for of in boots)
        if not mine[1] or not others[1]:
            return None
        if is_sequential:
            blocks = paired_blocks(arm.by_boot, base.by_boot, hits, rounds)
            up = anytime_p(blocks, 1)
            tests.append("betting on blocks of the plan (e-process): holds however often was looked")
            return up if side == "greater" else min(1.0, 2 * min(up, anytime_p(blocks, -1)))
        if is_clustered:
            found = boot_test(arm.by_boot, base.by_boot, hits, rounds, side)
            tests.append(f"permutation of {found.units}")
            return found.p_value
        tests.append("Fisher's exact test, rounds of a boot taken as independent")
        return exact_test(mine[0], mine[1], others[0], others[1], side)

    raw = _PValues(
        redundant=ask("redundant", "completed", "two-sided"),
        surplus=ask("surplus", "completed", "two-sided"),
        failed=ask("failed", "attempted", "greater"),
    )
    return _Evidence(arm, base, (rates[0], rates[1]), tests[0] if tests else "none", raw, is_sequential)


def _judge(found: _Evidence, adjusted: _Adjusted, costs: list[str]) -> Comparison:
    arm, base = found.arm, found.base
    verdict, because, wanted = _verdict(found, adjusted)
    counts = compared(*found.rates)
    difference, ratio = difference_interval(*counts), ratio_interval(*counts)
    return Comparison(
        kernel=arm.kernel,
        scenario=arm.scenario,
        baseline=base.kernel,
        difference=None if arm.rate is None or base.rate is None else arm.rate - base.rate,
        difference_low=difference[0] if difference else None,
        difference_high=difference[1] if difference else None,
        ratio=None if arm.rate is None or not base.rate else arm.rate / base.rate,
        ratio_low=ratio[0] if ratio else None,
        ratio_high=ratio[1] if ratio else None,
        test=found.test,
        comparisons=adjusted.comparisons,
        p_value=found.raw.redundant,
        p_adjusted=None if found.raw.redundant is None else adjusted.redundant,
        surplus_p_value=found.raw.surplus,
        surplus_p_adjusted=None if found.raw.surplus is None else adjusted.surplus,
        failed_p_value=found.raw.failed,
        failed_p_adjusted=None if found.raw.failed is None else adjusted.failed,
        rounds_wanted=wanted,
        verdict=verdict,
        because=because,
        costs=costs,
    )


def _verdict(found: _Evidence, adjusted: _Adjusted) -> tuple[str, str, int | None]:
    """The verdict, why, and how many more rounds an arm it would take."""
    arm, base = found.arm, found.base
    if adjusted.failed < ALPHA / 2:
        return "worse", f"{_failures(arm)} did not complete, against {_failures(base)}, {_p(adjusted.failed)}", None
    if arm.rate is None or base.rate is None:
        return "not enough rounds", "an arm has no completed round", None
    if not (arm.has_oracle and base.has_oracle):
        return "no difference shown", "the scenario declares no demand: only failed rounds can be compared", None
    unknown = arm.unknown_kills + base.unknown_kills
    note = f" ({unknown} kills of unknown class are left out)" if unknown else ""
    if adjusted.redundant >= ALPHA:
        return _undecided(found, adjusted, "redundant", note)
    if arm.rate > base.rate:
        return "worse", f"redundant kills in more rounds, {_p(adjusted.redundant)}{note}", None
    if reason := _not_better(found):
        return "no difference shown", f"fewer redundant kills, but {reason}{note}", None
    if adjusted.surplus >= ALPHA:
        if 2 * arm.rounds_with_surplus * base.completed_rounds <= base.rounds_with_surplus * arm.completed_rounds:
            verdict, because, wanted = _undecided(found, adjusted, "surplus", note)
            return verdict, f"fewer redundant kills, but surplus kills: {because}", wanted
        seen = [f"{side.rounds_with_surplus} of {side.completed_rounds}" for side in (arm, base)]
        because = f"fewer redundant kills, but no fewer surplus kills: in {seen[0]} rounds, against {seen[1]}{note}"
        return "no difference shown", because, None
    because = f"redundant kills in fewer rounds, {_p(adjusted.redundant)}; surplus kills too, {_p(adjusted.surplus)}"
    return "better", f"{because}; as many rounds complete{note}", None


def _not_better(found: _Evidence) -> str:
    """What forbids the word "better" even if redundant and surplus kills come in fewer rounds."""
    arm, base = found.arm, found.base
    if (arm.surplus_per_round or 0) > (base.surplus_per_round or 0):
        return "no fewer surplus kills"
    attempted, base_attempted = (side.completed_rounds + side.failed_rounds for side in (arm, base))
    if arm.failed_rounds * base_attempted > base.failed_rounds * attempted:
        return f"{_failures(arm)} did not complete, against {_failures(base)}"
    if arm.rounds_with_unknown and not _falls_at_worst(found):
        return f"{arm.rounds_with_unknown} rounds have kills of unknown class, which may be redundant"
    return ""


def _falls_at_worst(found: _Evidence) -> bool:
    """Whether redundant kills would have fallen if every kill of unknown class were one, on this arm alone."""
    counts = [
        msgspec.structs.replace(boot, redundant=boot.redundant + boot.unknown, unknown=0) for boot in found.arm.by_boot
    ]
    worst = _gather(msgspec.structs.replace(found.arm, by_boot=counts), found.base, found.is_sequential)
    p_value, (mine, others) = worst.raw.redundant, worst.rates
    return p_value is not None and p_value < ALPHA and (mine.share or 0.0) < (others.share or 0.0)


def _undecided(found: _Evidence, adjusted: _Adjusted, what: str, note: str) -> tuple[str, str, int | None]:
    """No difference, or too few rounds to see one: that which was seen, or half the baseline's share where it is less."""
    arm, base = found.arm, found.base
    p_value, hits, base_hits = adjusted.redundant, arm.rounds_with_redundant, base.rounds_with_redundant
    if what == "surplus":
        p_value, hits, base_hits = adjusted.surplus, arm.rounds_with_surplus, base.rounds_with_surplus
    share, base_share = hits / arm.completed_rounds, base_hits / base.completed_rounds
    said = f"{_p(p_value)}{note}"
    if hits + base_hits == 0:
        return "no difference shown", f"none in {base.completed_rounds} rounds of the baseline, nor here{note}", None
    as_seen = 2 * abs(share - base_share) >= base_share
    expected = share if as_seen else base_share / 2
    shares = f"{100 * expected:.1f} % against {100 * base_share:.1f} %"
    if found.is_sequential and as_seen:
        blocks = paired_blocks(arm.by_boot, base.by_boot, what, "completed")
        togo = blocks_to_go(blocks, 1 if share > base_share else -1, ALPHA / 2 / adjusted.comparisons)
        if togo is not None:
            wanted = math.ceil(togo * min(arm.completed_rounds, base.completed_rounds) / max(1, blocks.shape[2]))
            return "not enough rounds", f"{said}; {wanted} more an arm if it goes on as it did ({shares})", wanted
    # Each comparison by itself at the level that Holm's method asks of the first.
    needed = rounds_needed(base_share, expected, POWER, ALPHA / adjusted.comparisons)
    if needed is None:
        return "not enough rounds", f"{said}; more than a million for {shares}", None
    wanted = math.ceil(needed * found.design_effect) - min(arm.completed_rounds, base.completed_rounds)
    if wanted > 0:
        if_so = "if the shares are as seen" if as_seen else "to tell half the baseline's share"
        return "not enough rounds", f"{said}; {wanted} more an arm for power {POWER} {if_so}: {shares}", wanted
    return "no difference shown", f"{said}; {shares} would have been told with power {POWER}", None


def _failures(arm: Arm) -> str:
    return f"{arm.failed_rounds} of {arm.completed_rounds + arm.failed_rounds} rounds"


def _p(value: float) -> str:
    return f"p = {value:.2g}"
