"""How good `overlap_estimated` is, against the truth of the trace: `python benchmarks/estimator.py [RUN ...]`.

Without arguments it reads tests/data/captured; with directories of runs (results/runs/RUN_ID), their kernel logs and the
kills table. `--by scenario` for a row a scenario. Prints Markdown; shares have their 95 % interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from harness.logs.accuracy import captured_cases, evidence_counts, run_cases, score

CAPTURED = Path(__file__).parent.parent / "tests" / "data" / "captured"


def share(row: pd.Series, name: str) -> str:
    """A share as it was counted, with its interval."""
    if not row[f"{name}_of"]:
        return "none"
    low, high = (100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{row[f'{name}_count']} of {row[f'{name}_of']} ({low:.0f} to {high:.0f} %)"


def table(cases: pd.DataFrame, by: str) -> Iterator[str]:
    """Precision and recall, for all and for each source or scenario."""
    yield f"| {by} | kills | overlapping | yes is right | no is right | unknown | overlaps found | of those with a report |"
    yield "|---|---|---|---|---|---|---|---|"
    for _, row in score(cases, by).iterrows():
        cells = (
            row[by], row["kills"], row["overlapping"], share(row, "yes_right"), share(row, "no_right"), row["unknown"],
            share(row, "found"), share(row, "found_of_reported"),
        )  # fmt: skip
        yield "| " + " | ".join(map(str, cells)) + " |"


def evidence(cases: pd.DataFrame) -> Iterator[str]:
    """How often each kind of evidence is right."""
    yield "| answer | evidence | overlapping | not |"
    yield "|---|---|---|---|"
    for row in evidence_counts(cases).itertuples():
        yield f"| {row.answer} | {row.evidence} | {row.overlapping} | {row.not_overlapping} |"


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--by", choices=["source", "scenario"], default="source")
    arguments = parser.parse_args()
    frames = [run_cases(run) for run in arguments.runs] or [captured_cases(CAPTURED)]
    cases = pd.concat(frames, ignore_index=True)
    print("\n".join([*table(cases, arguments.by), "", *evidence(cases)]))


if __name__ == "__main__":
    main()
