"""Verdicts on an arm against its baseline: the words of summaries and tables. harness/analysis/verdict.py defines them."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """How an arm compares with its baseline."""

    BETTER = "better"
    WORSE = "worse"
    MIXED = "mixed"  # better here, and worse in another scenario
    NO_DIFFERENCE = "no difference shown"
    NOT_ENOUGH = "not enough rounds"


DECIDED = frozenset({Verdict.BETTER, Verdict.WORSE, Verdict.MIXED})
