"""The history of this machine's own figures: one line of JSON for each scenario of each run on the arm `host`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import platformdirs

from ..spec.arm import Probes

_FILE = "history.jsonl"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found in one scenario. Times are means or medians as in the summary; None where there was no evidence."""

    time: str  # ISO 8601, when it was written down
    run_id: str
    directory: str  # of the run: what `oomtrial compare` takes
    kernel: str
    engine: str
    cpu: str
    cores: int
    arm: str
    probes: Probes = Probes.ALL
    scenario: str
    scenario_version: str
    rounds: int
    completed: int
    rounds_per_minute: float | None
    kills: int
    surplus_kills: int | None  # None where the scenario declares no demand
    rounds_with_redundant: int | None
    rounds_with_unknown: int | None  # with kills that may be redundant, and nobody knows
    rounds_with_overlap_estimated: int
    kill_to_release_us: int | None
    round_ms: float | None
    stall_ms: float | None
    waited_ms: float | None
    foreign_kills: int


def history_path() -> Path:
    """In the user's state directory; ``OOMTRIAL_STATE`` names another one."""
    override = os.environ.get("OOMTRIAL_STATE")
    return (Path(override) if override else platformdirs.user_state_path("oomtrial")) / _FILE


def read_history() -> list[Entry]:
    """All entries, oldest first; a line that is damaged, or of another version, is passed over."""
    try:
        lines = history_path().read_bytes().splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.DecodeError:
            continue
    return entries
