"""The summary of a run, or of runs that were pooled: one entry an arm, and each arm against the baseline."""

from __future__ import annotations

import msgspec

from .arm import Arm
from .verdict import Comparison


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `oomtrial summary --format json` prints."""

    run_id: str
    state: str  # complete, running or interrupted
    arms: list[Arm]
    comparisons: list[Comparison]
    disagreements: list[str]  # each witness disagreement, with its round
    notes: list[str]
