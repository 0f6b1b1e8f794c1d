"""What the evidence of each arm lacks, and what was odd: nothing is dropped without a word."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from ..analysis.arm import Arm
from ..analysis.killclass import KillClass

_ROUNDS: tuple[tuple[str, Callable[[pd.DataFrame], int]], ...] = (
    ("completed rounds that lack a witness", lambda r: _count((r["outcome"] == "completed") & ~r["witnesses_checked"].fillna(False))),
    ("lost records of the kernel log", lambda r: int(r["lost_kmsg_records"].sum())),
    ("lost trace events", lambda r: int(r["lost_trace_events"].sum())),
    ("missed probe hits", lambda r: int(r["missed_probes"].sum())),
    ("reports suppressed by the kernel's rate limit", lambda r: int(r["suppressed_reports"].sum())),
    ("lines of user space that look like a kill", lambda r: int(r["forged_kills"].sum())),
    ("soft lockup and hung task lines", lambda r: int(r["trouble_lines"].sum())),
    ("rounds in which the supervisor itself ran out of memory", lambda r: _count(r["supervisor_invoked"].fillna(False))),
    ("rounds whose memory did not come back to its baseline", lambda r: _count(~r["baseline_clean"].fillna(True))),
)  # fmt: skip
_KILLS: tuple[tuple[str, Callable[[pd.DataFrame], int]], ...] = (
    ("kills without a report", lambda k: _count(k["report"].isna())),
    ("kills without a trace", lambda k: _count(k["mark_time_us"].isna())),
    ("traced kills without a release in their round", lambda k: _count(k["mark_time_us"].notna() & k["release_time_us"].isna())),
    ("kills of unknown class", lambda k: _count(k["kill_class"] == KillClass.UNKNOWN)),
)  # fmt: skip


def _count(condition: pd.Series) -> int:
    return int(condition.sum())


def gap_lines(arms: list[Arm], rounds: pd.DataFrame, kills: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """A label and a count for each arm."""
    lines = [
        ("rounds planned but never begun", [arm.rounds_not_run for arm in arms]),
        ("trials that ended early", [arm.trials_ended_early for arm in arms]),
    ]
    for frame, questions in ((rounds, _ROUNDS), (kills, _KILLS)):
        mine = [frame[frame["arm"] == arm.arm] for arm in arms]
        lines += [(text, [question(part) for part in mine]) for text, question in questions]
    return lines
