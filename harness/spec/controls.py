"""Controls: kernels of which it is known beforehand what the harness must see. They prove the harness, not the kernel.

Each one has its claim, written down before anything is measured: the share of rounds that show the effect on the
reference and on the control, which the harness must tell apart at the level ALPHA. Where the claim is "alike", the two
shares are those that it would have told apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import unknown

ALPHA = 0.01  # of each control's test; one-sided where a direction is claimed
FEW_ROUNDS = 5  # where a round that shows the effect lasts until its deadline
_MAIN = "one-big-many-small"


@dataclass(frozen=True)
class Control:
    """A comparison whose outcome is known."""

    name: str
    patch: str  # of the control; empty for stock
    probes: str  # on the control; the reference has all
    reference_patch: str  # empty for stock
    scenario: str
    effect: str  # redundant, second-kill, hung, or retries: see analysis/effects.py
    direction: str  # more, or alike
    claim: tuple[float, float]  # shares of rounds with the effect, reference and control
    says: str
    rounds: int | None = None  # an arm; None: as asked for


CONTROLS = (
    Control("A/A", "", "all", "", _MAIN, "redundant", "alike", (0.10, 0.40), "stock is like stock"),
    Control("observer", "", "none", "", _MAIN, "second-kill", "alike", (0.10, 0.40), "the probes change nothing"),
    Control(
        "ignore-pending-victim", "ignore-pending-victim", "all", "", _MAIN, "redundant", "more", (0.25, 0.70),
        "selection does not wait: redundant kills in most rounds",
    ),
    Control(
        "skip-before-unmap", "skip-before-unmap", "all", "", _MAIN, "redundant", "more", (0.25, 0.70),
        "the victim is given up before it is unmapped: redundant kills in most rounds",
    ),
    Control(
        "early-reap-no-margin", "early-reap-no-margin", "all", "", _MAIN, "redundant", "more", (0.12, 0.45),
        "an impatient reaper, no look at the margin: clearly more redundant kills",
    ),
    Control(
        "busy-wait", "busy-wait", "all", "wait-for-victim", _MAIN, "retries", "more", (0.05, 0.50),
        "waiters spin: more failed charges than any but one in 20 rounds of wait-for-victim",
    ),
    Control(
        "wait-forever", "wait-forever", "all", "", _MAIN, "hung", "more", (0.02, 0.98),
        "the gate never opens: rounds hang", FEW_ROUNDS,
    ),
    Control(
        "gate-without-victim", "gate-without-victim", "all", "", "no-victim-then-big", "hung", "more", (0.02, 0.98),
        "the gate is taken and no victim found: rounds hang", FEW_ROUNDS,
    ),
)  # fmt: skip


def choose_controls(names: Iterable[str]) -> tuple[Control, ...]:
    """The controls of these names, in our order; all of them for none.

    Raises UsageError for a name that is not there.
    """
    known = {control.name: control for control in CONTROLS}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise unknown("control", name, known)
    return tuple(control for control in CONTROLS if not wanted or control.name in wanted)
