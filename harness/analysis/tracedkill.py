"""What the trace shows of one kill, as the rules of its class ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class TracedKill(msgspec.Struct, frozen=True, kw_only=True):
    """Who decided a kill and when, and when its victim's memory was back. Times are microseconds on the trace's clock; None:
    the trace does not show it."""

    domain: str | None = None  # of the OOM, as the trace names its memcg; 0x0 is the machine
    hog: int | None = None  # of the scenario; None: the victim is none of them
    decider_pid: int | None = None
    decision_us: int | None = None  # entry of out_of_memory()
    choice_after_us: int | None = None  # from the decision to the end of the scan for a victim
    mark_us: int | None = None
    release_us: int | None = None
    reaped_us: int | None = None  # end of the oom_reaper's work
    exit_us: int | None = None  # of the last thread

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> TracedKill:
        """From a row of the table of kills, with None for nulls."""
        return cls(
            domain=row["domain"],
            hog=row["hog"],
            decider_pid=row["decider_pid"],
            decision_us=row["decision_time_us"],
            choice_after_us=row["decision_to_choice_us"],
            mark_us=row["mark_time_us"],
            release_us=row["release_time_us"],
            reaped_us=row["reaped_time_us"],
            exit_us=row["exit_time_us"],
        )

    def has_decision_of(self, other: TracedKill) -> bool:
        """Whether one decision killed both: with memory.oom.group it kills many."""
        return (self.decider_pid, self.decision_us) == (other.decider_pid, other.decision_us)

    def is_held(self, time_us: int) -> bool | None:
        """Whether the victim's memory was not back at a time. None: it had exited by then, and the trace has no release:
        another process had its mm pinned, and released it at some time."""
        if self.release_us is not None:
            return self.release_us > time_us
        return True if self.exit_us is None or self.exit_us >= time_us else None
