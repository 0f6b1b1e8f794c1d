"""What was tested and what it showed, in one paragraph for a patch's changelog."""

from __future__ import annotations

from collections.abc import Mapping

from ..analysis.arm import Arm
from ..analysis.families import p_words
from ..analysis.planning import ALPHA
from ..analysis.summary import Summary
from ..analysis.verdict import Comparison
from ..analysis.verdicts import Verdict
from ..spec.machine import Accel, machine_words
from ..units import format_count


def tested_sentences(summary: Summary, names: Mapping[str, str], specs: Mapping[str, str]) -> str:
    """Machine, scenarios, and for each arm its rounds with a redundant kill, with the verdict where it was compared.

    ``names`` and ``specs`` are short names and kernel specs by the name of the arm; a spec is given where the name does not say it.
    """
    boots = {arm.boots for arm in summary.arms}
    per_kernel = f", {format_count(min(boots), 'boot')} per kernel" if len(boots) == 1 else ""
    sentences = [f"with oomtrial {_machine(summary.arms[0])}{per_kernel}."]
    for scenario in dict.fromkeys(arm.scenario for arm in summary.arms):
        arms = [arm for arm in summary.arms if arm.scenario == scenario]
        verdicts = {one.arm: one for one in summary.comparisons if one.scenario == scenario}
        told = "; ".join(_arm(arm, names, specs, verdicts.get(arm.arm)) for arm in arms)
        what = "rounds with a redundant kill" if arms[0].has_oracle else "kills"
        sentences.append(f"{scenario}, {what}: {told}.")
    return " ".join(sentences)


def _machine(arm: Arm) -> str:
    if arm.accel == Accel.NATIVE:
        return f"in containers on {format_count(arm.host_cores, 'core')}, without a guest"
    return f"in guests with {machine_words(arm.vcpus, arm.host_cores, arm.accel)}"


def _arm(arm: Arm, names: Mapping[str, str], specs: Mapping[str, str], comparison: Comparison | None) -> str:
    name, spec = names[arm.arm], specs[arm.arm]
    said = [spec] if comparison is None and spec != name else []
    if comparison is not None:
        said += _verdict(comparison)
    if arm.failed_rounds:
        said.append(f"{format_count(arm.failed_rounds, 'round')} failed")
    counts = _counts(arm)
    return f"{name} {counts}" + (f" ({', '.join(said)})" if said else "")


def _verdict(comparison: Comparison) -> list[str]:
    """With the p-value of the counts that stand before it; with the reason, where they are none for it, nor the rounds that failed,
    which follow."""
    p_value, failed = comparison.p_adjusted, comparison.failed_p_adjusted
    is_said = (p_value is not None and p_value < ALPHA) or (failed is not None and failed < ALPHA / 2)
    if comparison.verdict == Verdict.WORSE and not is_said:
        return [f"{comparison.verdict}, {comparison.because}"]
    return [comparison.verdict] + ([] if p_value is None else [p_words(p_value)])


def _counts(arm: Arm) -> str:
    if not arm.has_oracle:
        return f"{arm.kills} in {format_count(arm.rounds, 'round')}"
    hits = str(arm.rounds_with_redundant)
    if arm.rounds_with_unknown:
        hits += f" to {arm.rounds_with_redundant + arm.rounds_with_unknown}"
    return f"{hits} of {arm.completed_rounds}"
