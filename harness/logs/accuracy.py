"""How good `overlap_estimated` of a plain kernel log is, against the truth of the trace.

A kill's answer is yes, no or unknown. Precision of a yes (or no) is the share of them that the trace bears out; recall is
the share of overlapping kills that got a yes. Intervals are Clopper-Pearson; kills of one round are taken as independent.
"""

from __future__ import annotations

import io
import json
import lzma
from pathlib import Path
from typing import Any

import pandas as pd

from ..analysis.rates import exact_interval
from ..oomlog.reading import collect
from ..oomlog.records import Kill
from ..runs.record import read_run
from ..tables.schema import KILLS
from ..tables.store import load_table

_ANSWERS = {True: "yes", False: "no", None: "unknown"}


def captured_cases(directory: Path) -> pd.DataFrame:
    """Kills of captured logs (NAME.kmsg.xz) with the truth beside them (NAME.truth.json), one row a kill.

    `source` is the kernel, the last part of NAME. Threads that are printed again have no truth of their own.
    """
    rows = []
    for log in sorted(directory.glob("*.kmsg.xz")):
        name = log.name.removesuffix(".kmsg.xz")
        truth = json.loads((directory / f"{name}.truth.json").read_text())["kills"]
        overlapping = {kill["pid"]: kill["overlapping"] for kill in truth}
        for kill in collect(io.BytesIO(lzma.decompress(log.read_bytes()))).kills:
            if (known := overlapping.get(kill.killed.pid)) is not None:
                rows.append(_case(kill, known, name.rpartition("-")[2], name.rpartition("-")[0]))
    return pd.DataFrame(rows)


def run_cases(run: Path) -> pd.DataFrame:
    """Kills of a run with raw evidence, matched by the number of their record; `source` is the arm.

    Raises EvidenceError when the run or its table is missing or damaged.
    """
    read_run(run)
    kills, rows = load_table(run / "tables", KILLS), []
    for trial, found in kills.groupby("trial_id"):
        truth = {row.kmsg_sequence: row for row in found.itertuples()}
        with (run / "trials" / str(trial) / "kmsg.log").open("rb") as stream:
            for kill in collect(stream).kills:
                row: Any = truth.get(kill.where.sequence)
                if row is not None and not pd.isna(row.overlapping):
                    rows.append(_case(kill, bool(row.overlapping), row.arm, row.scenario))
    return pd.DataFrame(rows)


def _case(kill: Kill, overlapping: bool, source: str, scenario: str) -> dict[str, object]:
    words = kill.overlap_evidence.partition(":")[0]
    return {
        "source": source,
        "scenario": scenario,
        "pid": kill.killed.pid,
        "answer": _ANSWERS[kill.overlap_estimated],
        "evidence": "nothing shows it, but a victim is fresh" if words.startswith("nothing shows it") else words,
        "has_report": kill.report is not None,
        "overlapping": overlapping,
    }


def score(cases: pd.DataFrame, by: str = "source") -> pd.DataFrame:
    """Precision and recall, one row for all cases and one for each value of `by`.

    Shares stand in columns of their own, with `_low` and `_high` of the 95 % interval; null where there is nothing to share.
    """
    groups = [("all", cases), *cases.groupby(by, sort=True)]
    return pd.DataFrame([_score(str(name), found, by) for name, found in groups])


def _score(name: str, cases: pd.DataFrame, by: str) -> dict[str, object]:
    yes, no = cases["answer"] == "yes", cases["answer"] == "no"
    overlapping, told = cases["overlapping"], cases["overlapping"] & cases["has_report"]
    row: dict[str, object] = {
        by: name,
        "kills": len(cases),
        "overlapping": int(overlapping.sum()),
        "unknown": int((~yes & ~no).sum()),
    }
    for what, part, whole in (
        ("yes_right", yes & overlapping, yes),
        ("no_right", no & ~overlapping, no),
        ("found", yes & overlapping, overlapping),
        ("found_of_reported", yes & told, told),
    ):
        hits, total = int(part.sum()), int(whole.sum())
        interval = exact_interval(hits, total)
        row |= {f"{what}_count": hits, f"{what}_of": total, what: hits / total if total else None}
        row |= {f"{what}_low": interval[0] if interval else None, f"{what}_high": interval[1] if interval else None}
    return row


def evidence_counts(cases: pd.DataFrame) -> pd.DataFrame:
    """How often each kind of evidence is right: answer, evidence, and the kills that overlap and that do not."""
    counted = cases.groupby(["answer", "evidence", "overlapping"]).size().unstack(fill_value=0)
    counted = counted.reindex(columns=[True, False], fill_value=0)
    counted.columns = pd.Index(["overlapping", "not_overlapping"])
    return counted.reset_index().sort_values(["answer", "evidence"], ascending=False, ignore_index=True)
