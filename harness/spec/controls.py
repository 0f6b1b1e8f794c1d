"""Controls: kernels whose effect is known in advance. They test the harness, not the kernel.

Each one has its claim, written down before anything is measured: the share of rounds that show the effect on the
reference and on the control, which the harness must tell apart at the level ALPHA. Where the claim is "alike", the two
shares are those that it would have told apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..errors import UsageError, unknown
from .arm import Probes

# From this version on a task iterator of cgroups hides exiting victims from the OOM killer (a72f73c4dd9b, 7.0 and stable
# 6.19.9): stock has redundant kills in most rounds. Every control but one is then measured upon the patch that shows them.
HIDDEN_SINCE = "6.19.9"
REGRESSION_FIX = "see-exiting-victims"
ALPHA = 0.01  # of each control's test; one-sided where a direction is claimed
FEW_ROUNDS = 5  # where a round that shows the effect lasts until its deadline
_MAIN = "one-big-many-small"


class Effect(StrEnum):
    """What is counted in the rounds of a control; analysis/effects.py counts it."""

    REDUNDANT = "redundant"  # a redundant kill in the round
    SECOND_KILL = "second-kill"  # two kills or more, which is known without probes
    HUNG = "hung"  # the round reached its deadline
    RETRIES = "retries"  # far more failed charges than a round of the reference has


class Direction(StrEnum):
    """What a control claims about its share of rounds with the effect, compared with the reference's."""

    MORE = "more"
    ALIKE = "alike"


@dataclass(frozen=True)
class Control:
    """A comparison whose outcome is known in advance."""

    name: str
    patch: str  # of the control; empty for stock
    probes: Probes  # on the control; the reference has all
    reference_patch: str  # empty for stock
    scenario: str
    effect: Effect
    direction: Direction
    claim: tuple[float, float]  # shares of rounds with the effect, reference and control
    description: str
    rounds: int | None = None  # per arm; None: as the user asks
    kernels: tuple[str, str] = ("", "")  # the first and the last version it is for; empty: no bound
    # Where upstream hides exiting victims, its arm has REGRESSION_FIX, as the reference has.
    on_regression_fix: bool = True

    def is_for(self, release: str) -> bool:
        """Whether the control applies to a kernel version such as 7.3.4."""
        first, last = map(_numbers, self.kernels)
        version = _numbers(release)
        return version >= first and (not last or version[: len(last)] <= last)


CONTROLS = (
    Control("A/A", "", Probes.ALL, "", _MAIN, Effect.REDUNDANT, Direction.ALIKE, (0.10, 0.40), "stock does not differ from stock"),
    Control("observer", "", Probes.NONE, "", _MAIN, Effect.SECOND_KILL, Direction.ALIKE, (0.10, 0.40), "with probes and without, as many rounds have a second kill, within the interval"),
    Control(
        "hidden-victims", "", Probes.ALL, "", _MAIN, Effect.REDUNDANT, Direction.MORE, (0.25, 0.70),
        "stock hides exiting victims from the OOM killer: redundant kills in most rounds",
        kernels=(HIDDEN_SINCE, ""), on_regression_fix=False,
    ),
    Control(
        "hide-exiting-victims", "hide-exiting-victims", Probes.ALL, "", _MAIN, Effect.REDUNDANT, Direction.MORE, (0.25, 0.70),
        "exiting victims are hidden as on 7.x: redundant kills in most rounds", kernels=("", "6.19.8"),
    ),
    Control(
        "scan-sleeps", "scan-sleeps", Probes.ALL, "", _MAIN, Effect.REDUNDANT, Direction.MORE, (0.12, 0.45),
        "the scan of the tasks sleeps: redundant kills in about half of the rounds",
    ),
    Control(
        "recheck-margin", "scan-sleeps", Probes.ALL, "scan-sleeps+recheck-margin", _MAIN, Effect.REDUNDANT, Direction.MORE, (0.08, 0.40),
        "the margin is read again before the kill: the kills that a slow scan makes are gone",
    ),
    Control(
        "ignore-pending-victim", "ignore-pending-victim", Probes.ALL, "", _MAIN, Effect.REDUNDANT, Direction.MORE, (0.25, 0.70),
        "selection does not wait: redundant kills in most rounds",
    ),
    Control(
        "skip-before-unmap", "skip-before-unmap", Probes.ALL, "", _MAIN, Effect.REDUNDANT, Direction.MORE, (0.25, 0.70),
        "the victim is given up before it is unmapped: redundant kills in most rounds",
    ),
    Control(
        "early-reap-no-margin", "early-reap-no-margin", Probes.ALL, "", _MAIN, Effect.REDUNDANT, Direction.MORE, (0.12, 0.45),
        "an impatient reaper, no look at the margin: clearly more redundant kills",
    ),
    Control(
        "busy-wait", "busy-wait", Probes.ALL, "wait-for-victim", _MAIN, Effect.RETRIES, Direction.MORE, (0.05, 0.50),
        "waiters spin: more failed charges than any but one in 20 rounds of wait-for-victim",
    ),
    Control(
        "wait-forever", "wait-forever", Probes.ALL, "", _MAIN, Effect.HUNG, Direction.MORE, (0.02, 0.98),
        "the gate never opens: rounds hang", FEW_ROUNDS,
    ),
    Control(
        "gate-without-victim", "gate-without-victim", Probes.ALL, "", "no-victim-then-big", Effect.HUNG, Direction.MORE, (0.02, 0.98),
        "the gate is taken and no victim found: rounds hang", FEW_ROUNDS,
    ),
)  # fmt: skip


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))[:3]


def hides_victims(release: str) -> bool:
    """Whether stock of a version hides exiting victims from the OOM killer."""
    return _numbers(release) >= _numbers(HIDDEN_SINCE)


def choose_controls(names: Iterable[str], release: str) -> tuple[Control, ...]:
    """The controls with these names that apply to a kernel version, in the order above; without names, all that apply.

    Raises UsageError for a name that is unknown, or that is not for this version.
    """
    known = {control.name: control for control in CONTROLS}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise unknown("control", name, known)
        if not known[name].is_for(release):
            first, last = known[name].kernels
            bounds = f"from {first} on" if first else f"up to {last}"
            raise UsageError(f"control {name} does not apply to {release}", f"it applies to kernels {bounds}")
    return tuple(control for control in CONTROLS if (not wanted or control.name in wanted) and control.is_for(release))
