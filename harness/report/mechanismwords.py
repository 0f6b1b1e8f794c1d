"""Why an arm's redundant kills were made, in words."""

from __future__ import annotations

from ..analysis.arm import Arm
from ..analysis.mechanism import Mechanism, MechanismCount

_SAYS = {
    Mechanism.STALLED_DECIDER: "the task that ran the OOM killer stalled{} between its decision and its choice of a victim, and the"
    " earlier victim's memory was back by then",
    Mechanism.HIDDEN_VICTIM: "the earlier victim was still exiting when the next was chosen{}, and the OOM killer passed over it",
    Mechanism.GIVEN_UP_VICTIM: "the earlier victim was still exiting when the next was chosen{}, and the OOM killer no longer waited"
    " for it: the oom_reaper had already reaped it",
    Mechanism.UNKNOWN: "the trace does not show why",
}  # fmt: skip


def mechanism_sentence(arm: Arm) -> str:
    """How many of the arm's redundant kills have which mechanism; empty where the trace says it of none."""
    counts = {Mechanism(name): count for name, count in arm.redundant_mechanisms.items() if count.kills}
    if not set(counts) - {Mechanism.UNKNOWN}:
        return ""
    phrases: list[str] = []
    for mechanism, count in counts.items():
        of_all = "" if phrases else f" of {arm.redundant_kills} redundant kills"
        phrases.append(f"in {count.kills}{of_all} {_SAYS[mechanism].format(_delay(mechanism, count))}")
    return "; ".join(phrases)


def _delay(mechanism: Mechanism, count: MechanismCount) -> str:
    median_us = count.decision_to_choice_us_median
    least_us, most_us = count.decision_to_choice_us_least, count.decision_to_choice_us_most
    if median_us is None or least_us is None or most_us is None:
        return ""
    delay = f"{median_us / 1000:.1f} ms"
    if least_us < most_us:
        delay += f" (median; {least_us / 1000:.1f} to {most_us / 1000:.1f})"
    return f" for {delay}" if mechanism is Mechanism.STALLED_DECIDER else f", {delay} after the decision"


def mechanism_cells(arms: list[Arm]) -> list[tuple[str, list[str]]]:
    """Lines of the table of arms; none where no trace says anything of it."""
    if not any(mechanism_sentence(arm) for arm in arms):
        return []
    lines = [
        ("    decider stalled", [_kills(arm, Mechanism.STALLED_DECIDER) for arm in arms]),
        ("      stall, median", [_median(arm, Mechanism.STALLED_DECIDER) for arm in arms]),
        ("    victim passed over", [_kills(arm, Mechanism.HIDDEN_VICTIM) for arm in arms]),
    ]
    for mechanism, label in (
        (Mechanism.GIVEN_UP_VICTIM, "    victim given up"),
        (Mechanism.UNKNOWN, "    mechanism unknown"),
    ):
        if any(arm.redundant_mechanisms[mechanism].kills for arm in arms):
            lines.append((label, [_kills(arm, mechanism) for arm in arms]))
    return lines


def _kills(arm: Arm, mechanism: Mechanism) -> str:
    return str(arm.redundant_mechanisms[mechanism].kills) if arm.redundant_kills else "-"


def _median(arm: Arm, mechanism: Mechanism) -> str:
    median_us = arm.redundant_mechanisms[mechanism].decision_to_choice_us_median
    return "-" if median_us is None else f"{median_us / 1000:.1f} ms"
