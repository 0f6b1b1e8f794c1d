"""How good `overlap_estimated` is, against the truth of the trace: `python benchmarks/estimator.py [RUN ...]`.

Without arguments it reads tests/data/captured: the thresholds were set by logs like these. With directories of runs
(results/runs/RUN_ID) it reads their raw evidence, or the tables of an exported set, and prints first which runs these are. `--by scenario` for a row a
scenario, `--by group` for a row a kind of kernel; several give a table each. `--group stock` for these kernels alone. Prints
Markdown; shares have their 95 % interval by boot.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from harness.logs.accuracy import captured_cases, evidence_counts, run_cases, score, table_cases
from harness.runs.record import RunStatus, read_run

CAPTURED = Path(__file__).parent.parent / "tests" / "data" / "captured"


def share(row: pd.Series, name: str) -> str:
    """A share as it was counted, with its interval."""
    if not row[f"{name}_of"]:
        return "none"
    low, high = (100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{row[f'{name}_count']} of {row[f'{name}_of']} ({low:.0f} to {high:.0f} %)"


def table(cases: pd.DataFrame, by: str) -> Iterator[str]:
    """Precision and recall, for each group of kernels, and each source or scenario in it."""
    yield (
        f"| {by} | boots | kills | overlapping | yes is right | no is right | of those after a kill of their round | unknown "
        "| overlaps found | of those with a report |"
    )
    yield 10 * "|---" + "|"
    rows = score(cases, by)
    for _, row in rows.iterrows():
        cells = (
            row[by], row["boots"], row["kills"], row["overlapping"], share(row, "yes_right"), share(row, "no_right"),
            share(row, "no_right_later"), row["unknown"], share(row, "found"), share(row, "found_of_reported"),
        )  # fmt: skip
        yield "| " + " | ".join(map(str, cells)) + " |"


def evidence(cases: pd.DataFrame) -> Iterator[str]:
    """How often each kind of evidence is right."""
    yield "| kernels | answer | evidence | overlapping | not | of those the first kill of its round |"
    yield 6 * "|---" + "|"
    for row in evidence_counts(cases).to_dict("records"):
        first = "" if pd.isna(row["first_of_round"]) else row["first_of_round"]
        cells = (row["group"], row["answer"], row["evidence"], row["overlapping"], row["not_overlapping"], first)
        yield "| " + " | ".join(map(str, cells)) + " |"


def runs_table(runs: Sequence[Path]) -> Iterator[str]:
    """Which runs the figures are of."""
    yield "| run | read from | state | vCPUs | kernels | scenarios | planned boots |"
    yield 7 * "|---" + "|"
    for run in runs:
        record = read_run(run)
        releases = {provenance.spec: provenance.release for provenance in record.provenance}
        kernels = ", ".join(
            f"{kernel.spec} ({releases.get(kernel.spec) or kernel.source})" for kernel in record.kernels
        )
        scenarios = ", ".join(scenario.name for scenario in record.scenarios)
        read_from = "raw evidence" if has_raw_evidence(run) else "tables"
        yield f"| {record.run_id} | {read_from} | {record.state} | {record.vcpus} | {kernels} | {scenarios} | {len(record.blocks)} |"


def has_raw_evidence(run: Path) -> bool:
    """Whether a run's own files are there, and not only the tables that were exported from it."""
    return (run / "trials").is_dir()


def cases_of(run: Path) -> pd.DataFrame:
    """The kills of a run, from the best that there is of it."""
    return run_cases(run) if has_raw_evidence(run) else table_cases(run)


def refuse_unfinished(runs: Sequence[Path]) -> None:
    """Ends the program where a run is still going on, or is given twice. Of an interrupted one the finished rounds count."""
    records = [read_run(run) for run in runs]
    for run, record in zip(runs, records, strict=True):
        if record.state == RunStatus.RUNNING:
            raise SystemExit(f"{run} is {record.state}, or was killed: wait for it, resume it, or leave it out")
        if sum(other.run_id == record.run_id for other in records) > 1:
            raise SystemExit(f"{run} is given twice: its ID is {record.run_id}")


def main() -> None:
    """Prints the runs and all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--by", nargs="+", choices=["source", "scenario", "group"], default=["source"])
    parser.add_argument("--group", action="append", help="only these kernels: stock, ignore-pending-victim, ...")
    arguments = parser.parse_args()
    refuse_unfinished(arguments.runs)
    frames = [cases_of(run) for run in arguments.runs] or [captured_cases(CAPTURED)]
    cases = pd.concat(frames, ignore_index=True)
    if arguments.group:
        cases = cases[cases["group"].isin(arguments.group)]
    if cases.empty:
        raise SystemExit("no kills: name runs with raw evidence, or another --group")
    if arguments.runs:
        print("\n".join([*runs_table(arguments.runs), ""]))
    for by in arguments.by:
        print("\n".join([*table(cases, by), ""]))
    if left_out := int(cases["overlapping"].isna().sum()):
        print(f"Left out: {left_out} kills of which the trace does not tell, or outside the rounds that count.\n")
    print("\n".join(evidence(cases)))


if __name__ == "__main__":
    main()
