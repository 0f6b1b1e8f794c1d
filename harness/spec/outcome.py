"""How rounds and trials end: the words of tables, records and exit messages."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a round or a trial ended."""

    COMPLETED = "completed"
    HUNG = "hung"  # no progress within the deadline: a livelock, or an OOM killer that is disabled
    PANICKED = "panicked"
    LOST = "lost"  # the guest died; so it is called until the contrary is seen
    HARNESS_ERROR = "harness_error"
    REFUSED = "refused"  # a trial only: the scenario does not do here what it declares
    GUEST_LOST = "guest_lost"  # a trial only, until the guest has been asked why: the engine no longer answers


ROUND_OUTCOMES = (Outcome.COMPLETED, Outcome.HUNG, Outcome.PANICKED, Outcome.LOST, Outcome.HARNESS_ERROR)
