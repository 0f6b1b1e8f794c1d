"""Classes of kills: the words of tables, summaries and pictures. harness/analysis/redundancy.py defines them."""

from __future__ import annotations

from enum import StrEnum


class KillClass(StrEnum):
    """The class of one kill."""

    REDUNDANT = "redundant"  # surplus, and overlapping
    FRUITLESS = "fruitless"  # surplus only
    PREMATURE = "premature"  # overlapping only
    NECESSARY = "necessary"
    COLLATERAL = "collateral"  # the victim is none of the workload's hogs
    UNKNOWN = "unknown"  # evidence is missing
