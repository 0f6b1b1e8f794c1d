"""Effects that a round shows or not; the share of rounds that do is what arms are compared by.

| effect | a round shows it when |
|---|---|
| redundant | it completed with at least one redundant kill |
| second-kill | it completed with more than one "Killed process" record: needs no probe |
| hung | it did not complete |
| retries | it completed, and more charges failed (memory.events oom) than in 95 % of the reference's completed rounds |
"""

from __future__ import annotations

import pandas as pd

from .killclass import KillClass


def count_effect(effect: str, rounds: pd.DataFrame, kills: pd.DataFrame, reference: pd.DataFrame) -> tuple[int, int]:
    """Rounds that show an effect, and rounds that count, of one arm; `reference` are the rounds of the reference."""
    completed = rounds[rounds["outcome"] == "completed"]
    if effect == "hung":
        return len(rounds) - len(completed), len(rounds)
    if effect == "second-kill":
        return int((completed["kmsg_kills"] > 1).sum()), len(completed)
    if effect == "retries":
        base = reference[reference["outcome"] == "completed"]["memory_events_oom"].dropna()
        failed = completed["memory_events_oom"].dropna()
        return (int((failed > base.quantile(0.95)).sum()) if len(base) else 0), len(failed)
    redundant = kills[kills["kill_class"] == KillClass.REDUNDANT]
    hit = redundant.merge(completed, on=["trial_id", "round"])[["trial_id", "round"]].drop_duplicates()
    return len(hit), len(completed)
