"""A summary as CSV: a row for each arm of each scenario."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from ..analysis.arm import Arm
from ..analysis.summary import Summary

_OF_ARM = ("rounds", "boots", "completed_rounds", "failed_rounds", "kills")
_WITH_ORACLE = (  # empty where the scenario declares no demand
    "redundant_kills", "fruitless_kills", "premature_kills", "necessary_kills", "surplus_kills", "rounds_with_redundant",
    "rounds_with_unknown", "rounds_with_surplus", "rate", "ci_low", "ci_high",
)  # fmt: skip
_EVIDENCE = (
    "collateral_kills", "unknown_kills", "kill_to_release_us_median", "duration_ms_per_round", "stall_ms_per_round",
    "longest_wait_us_median", "longest_wait_us_most", "waits_jain_median", "lost_records", "witness_disagreements",
)  # fmt: skip
_OF_COMPARISON = (
    "baseline", "verdict", "difference", "difference_low", "difference_high", "p_value", "p_adjusted", "because",
)  # fmt: skip
COLUMNS = ("scenario", "arm", "kernel", *_OF_ARM, *_WITH_ORACLE, *_EVIDENCE, *_OF_COMPARISON)


def csv_text(summary: Summary, specs: Mapping[str, str]) -> str:
    """`specs`: the kernel spec by the name of the arm. Rates are shares of 1, columns are named as in `--format json`; the
    baseline's own row has no verdict."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    compared = {(comparison.arm, comparison.scenario): comparison for comparison in summary.comparisons}
    for arm in summary.arms:
        row: dict[str, object] = {"scenario": arm.scenario, "arm": arm.arm, "kernel": specs.get(arm.arm, "")}
        row |= {name: getattr(arm, name) for name in _names(arm)}
        if comparison := compared.get((arm.arm, arm.scenario)):
            row |= {name: getattr(comparison, name) for name in _OF_COMPARISON}
        writer.writerow({key: "" if value is None else value for key, value in row.items()})
    return out.getvalue()


def _names(arm: Arm) -> tuple[str, ...]:
    return (*_OF_ARM, *(_WITH_ORACLE if arm.has_oracle else ()), *_EVIDENCE)
