"""How good `overlap_estimated` is, against the truth of the trace: `python benchmarks/estimator.py [RUN ...]`.

Without arguments it reads tests/data/captured; with directories of runs (results/runs/RUN_ID), their kernel logs and the
kills table. Prints Markdown.
"""

from __future__ import annotations

import io
import json
import lzma
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.oomlog.reading import collect
from harness.oomlog.records import Kill

CAPTURED = Path(__file__).parent.parent / "tests" / "data" / "captured"
ANSWERS = {True: "yes", False: "no", None: "unknown"}


class Case(NamedTuple):
    """A kill with an answer and the truth."""

    source: str
    kill: Kill
    overlapping: bool


def captured() -> Iterator[Case]:
    """Kills of the captured logs. Threads that are printed again have no truth of their own."""
    for log in sorted(CAPTURED.glob("*.kmsg.xz")):
        name = log.name.removesuffix(".kmsg.xz")
        truth = {
            kill["pid"]: kill["overlapping"]
            for kill in json.loads((CAPTURED / f"{name}.truth.json").read_text())["kills"]
        }
        for kill in collect(io.BytesIO(lzma.decompress(log.read_bytes()))).kills:
            if truth.get(kill.killed.pid) is not None:
                yield Case(name.rpartition("-")[2], kill, truth[kill.killed.pid])


def measured(run: Path) -> Iterator[Case]:
    """Kills of a run, matched by the number of their record."""
    import pandas as pd

    kills = pd.read_parquet(run / "tables" / "kills.parquet")
    for trial, rows in kills.groupby("trial_id"):
        truth = dict(zip(rows["kmsg_sequence"], rows["overlapping"], strict=True))
        arms = dict(zip(rows["kmsg_sequence"], rows["arm"], strict=True))
        with (run / "trials" / str(trial) / "kmsg.log").open("rb") as stream:
            for kill in collect(stream).kills:
                overlapping = truth.get(kill.where.sequence)
                if overlapping is not None and not pd.isna(overlapping):
                    yield Case(arms[kill.where.sequence], kill, bool(overlapping))


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none"


def table(cases: list[Case]) -> Iterator[str]:
    """Precision and recall, for all and for each source."""
    yield "| kernels | kills | overlapping | yes is right | no is right | unknown | overlaps found | of those with a report |"
    yield "|---|---|---|---|---|---|---|---|"
    for source in ("all", *sorted({case.source for case in cases})):
        chosen = [case for case in cases if source in ("all", case.source)]
        count = Counter((case.kill.overlap_estimated, case.overlapping) for case in chosen)
        told = [case for case in chosen if case.overlapping and case.kill.report is not None]
        overlaps, yes, no = sum(case.overlapping for case in chosen), count[True, True], count[False, False]
        cells = (
            source, len(chosen), overlaps, share(yes, yes + count[True, False]), share(no, no + count[False, True]),
            count[None, True] + count[None, False], share(yes, overlaps),
            share(sum(case.kill.overlap_estimated is True for case in told), len(told)),
        )  # fmt: skip
        yield "| " + " | ".join(map(str, cells)) + " |"


def evidence(cases: list[Case]) -> Iterator[str]:
    """How often each kind of evidence is right."""
    yield "| answer | evidence | overlapping | not |"
    yield "|---|---|---|---|"
    count: Counter[tuple[str, str, bool]] = Counter()
    for case in cases:
        words = case.kill.overlap_evidence.partition(":")[0]
        kind = "nothing shows it, but a victim is fresh" if words.startswith("nothing shows it") else words
        count[ANSWERS[case.kill.overlap_estimated], kind, case.overlapping] += 1
    for answer, kind in sorted({key[:2] for key in count}, reverse=True):
        yield f"| {answer} | {kind} | {count[answer, kind, True]} | {count[answer, kind, False]} |"


def main() -> None:
    """Prints both tables."""
    runs = [Path(argument) for argument in sys.argv[1:]]
    cases = [case for run in runs for case in measured(run)] if runs else list(captured())
    print("\n".join([*table(cases), "", *evidence(cases)]))


if __name__ == "__main__":
    main()
