"""Accuracy of `overlap_estimated` from a plain kernel log, compared with the trace.

A kill's answer is yes, no or unknown. Precision of a yes (or no) is the share of them that the trace bears out; recall is
the share of overlapping kills that got a yes. Kills of one boot are alike, so intervals are by boot (analysis/rates.py).
Kernels that kill in other ways than a stock one are groups of their own: no share is of two groups.

A round begins when the memory of the one before is back: its first kill overlaps nothing. What is right of such a kill says
little, so the kills after another one of their round are counted apart.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ..analysis.rates import rate_of
from ..analysis.redundancy import classify
from ..collectors.files import TrialState
from ..collectors.rounds import read_evidence
from ..oomlog.reading import collect
from ..oomlog.records import Kill
from ..runs.record import RunRecord, read_run
from ..runs.tables import kept_rounds
from ..spec.scenarios import decode
from ..tables.build import trial_rows
from ..tables.schema import KILLS, ROUNDS
from ..tables.store import load_tables

STOCK = "stock"
_OTHERS = "other patches"
# Controls whose kills a log shows in another way than a stock kernel's.
_GROUP_OF_PATCH = {
    "ignore-pending-victim": "ignore-pending-victim",  # overlaps in most rounds
    "early-reap-no-margin": "no look at the margin",  # they kill while there is room
    "no-margin-check": "no look at the margin",
}
_COLUMNS = ("source", "group", "scenario", "boot", "pid", "answer", "evidence", "has_report", "is_later", "overlapping")
_ANSWERS = {True: "yes", False: "no", None: "unknown"}


def captured_cases(directory: Path) -> pd.DataFrame:
    """Kills of captured logs (NAME.kmsg.xz) with the truth from the trace (NAME.truth.json), one row per kill.

    `source` is the kernel, the last part of NAME; each log is of a boot of its own. Threads that are printed again have no
    truth of their own, and are no row. The logs have no rounds: `is_later` is null.
    """
    rows = []
    for log in sorted(directory.glob("*.kmsg.xz")):
        name = log.name.removesuffix(".kmsg.xz")
        scenario, _, source = name.rpartition("-")
        group = "ignore-pending-victim" if source == "ignore" else STOCK
        truth = json.loads((directory / f"{name}.truth.json").read_text())["kills"]
        overlapping = {kill["pid"]: kill["overlapping"] for kill in truth}
        for kill in collect(io.BytesIO(lzma.decompress(log.read_bytes()))).kills:
            if (known := overlapping.get(kill.killed.pid)) is not None:
                rows.append(_case(kill, known, None, source, group, scenario, name))
    return pd.DataFrame(rows, columns=_COLUMNS)


def run_cases(run: Path) -> pd.DataFrame:
    """Kills of a run with raw evidence, with the truth that its trace gives today, whatever its tables say; one row per kill.

    `source` is the kernel spec. `is_later`: another kill of its round came before. `overlapping` is null where the trace is
    incomplete, and for kills outside the rounds that count. Raises EvidenceError when the run or a trial's evidence is missing or damaged.
    """
    record = read_run(run)
    kernels = {arm.name: arm.kernel for arm in record.arms}
    directories = sorted((run / "trials").glob("*/"))
    kept = kept_rounds(directories)
    rows: list[dict[str, object]] = []
    for directory in directories:
        rows += _trial_cases(directory, record, kernels, kept)
    return pd.DataFrame(rows, columns=_COLUMNS)


def table_cases(run: Path) -> pd.DataFrame:
    """The same from the tables alone, of an exported set: its raw evidence is not there to be read again.

    The estimate in the tables was made from the records of one round at a time, so it does not know the kills of the round
    before: the first kill of a round is a "no" in any case. Raises EvidenceError when a table is missing or damaged.
    """
    record = read_run(run)
    kernels = {arm.name: arm.kernel for arm in record.arms}
    groups = {kernel.spec: _group(kernel.patches) for kernel in record.kernels}
    tables = load_tables(run / "tables", (KILLS, ROUNDS))
    round_ = ["trial_id", "round"]
    kills = tables["kills"].merge(tables["rounds"][[*round_, "boot_id"]], on=round_, how="left", validate="many_to_one")
    kills = kills.sort_values([*round_, "order"], ignore_index=True)
    decision = kills[["decider_pid", "decision_time_us"]]
    first_decision = decision.iloc[kills.groupby(round_)["order"].transform("idxmin")].reset_index(drop=True)
    sources = kills["arm"].map(lambda arm: kernels.get(arm, arm))
    is_of_first = decision.eq(first_decision).fillna(False).all(axis=1)
    answers = kills["overlap_estimated"].astype(object)
    cases = {
        "source": sources,
        "group": sources.map(lambda source: groups.get(source, STOCK)),
        "scenario": kills["scenario"],
        "boot": record.run_id + "/" + kills["boot_id"].fillna(kills["trial_id"]).astype(str),
        "pid": kills["pid"],
        "answer": answers.where(answers.notna(), None).map(_ANSWERS),
        "evidence": kills["overlap_evidence"].fillna("").map(_kind_of_evidence),
        "has_report": kills["report"].notna(),
        "is_later": kills.duplicated(round_) & ~is_of_first,
        "overlapping": kills["overlapping"].astype(object).where(kills["overlapping"].notna(), None),
    }
    # of the types that a frame made of rows has: pandas has more than one for text
    return pd.DataFrame({name: column.tolist() for name, column in cases.items()}, columns=_COLUMNS)


def _trial_cases(
    directory: Path, record: RunRecord, kernels: dict[str, str], kept: dict[str, range]
) -> Iterator[dict[str, object]]:
    evidence = read_evidence(directory)
    trial = evidence.record
    text = next(scenario.text for scenario in record.scenarios if scenario.name == trial.scenario)
    scenario = decode(trial.scenario, text)
    counting = kept[trial.trial_id]
    if trial.state == TrialState.INTERRUPTED:  # without the round that was cut off
        counting = range(counting.start, min(counting.stop, trial.first_round + evidence.rounds_finished))
    facts = trial_rows(evidence, scenario, counting)
    kills = classify(KILLS.frame(facts["kills"]), ROUNDS.frame(facts["rounds"]), {trial.scenario: scenario})
    facts_of = kills[["round", "overlapping"]].itertuples(index=False, name=None)
    truth: dict[Any, tuple[Any, Any]] = dict(zip(kills["kmsg_sequence"], facts_of, strict=True))
    kernel = kernels.get(trial.arm, trial.arm)
    group = _group(next((k.patches for k in record.kernels if k.spec == kernel), {}))
    boot = f"{record.run_id}/{evidence.boot_id or trial.trial_id}"
    first: dict[Any, int] = {}  # decision by round
    with (directory / "kmsg.log").open("rb") as stream:
        for kill in collect(stream).kills:
            number, known = truth.get(kill.location.sequence, (None, None))
            is_later = None if number is None else kill.decision != first.setdefault(number, kill.decision)
            overlapping = None if known is None or pd.isna(known) else bool(known)
            yield _case(kill, overlapping, is_later, kernel, group, trial.scenario, boot)


def _group(patches: dict[str, str]) -> str:
    """The kernels among which a patched one counts."""
    special = (_GROUP_OF_PATCH[name] for name in patches if name in _GROUP_OF_PATCH)
    return next(special, _OTHERS if patches else STOCK)


def _case(
    kill: Kill, overlapping: bool | None, is_later: bool | None, source: str, group: str, scenario: str, boot: str
) -> dict[str, object]:
    return {
        "source": source,
        "group": group,
        "scenario": scenario,
        "boot": boot,
        "pid": kill.killed.pid,
        "answer": _ANSWERS[kill.overlap_estimated],
        "evidence": _kind_of_evidence(kill.overlap_evidence),
        "has_report": kill.report is not None,
        "is_later": is_later,
        "overlapping": overlapping,
    }


def _kind_of_evidence(text: str) -> str:
    """The evidence without its numbers."""
    words = text.partition(":")[0]
    return "nothing shows it, but a victim is fresh" if words.startswith("nothing shows it") else words


def score(cases: pd.DataFrame, by: str = "source") -> pd.DataFrame:
    """Precision and recall: for each group of kernels one row for all its cases, and one for each value of `by` in it.

    Shares stand in columns of their own, with `_low` and `_high` of the 95 % interval by boot; null where there is nothing
    to share. `no_truth` counts the kills of which the trace does not tell; they are in no share.
    """
    rows = []
    for group in sorted(cases["group"].unique(), key=lambda name: (name != STOCK, name)):
        within = cases[cases["group"] == group]
        parts = list(within.groupby(by, sort=True))
        rows.append(_score(f"all: {group}", within, by))
        prefix = "" if group == STOCK else f"{group}: "
        rows += [_score(prefix + str(value), found, by) for value, found in parts if len(parts) > 1]
    return pd.DataFrame(rows)


def _score(name: str, cases: pd.DataFrame, by: str) -> dict[str, object]:
    no_truth = int(cases["overlapping"].isna().sum())
    cases = cases[cases["overlapping"].notna()]
    yes, no = cases["answer"] == "yes", cases["answer"] == "no"
    overlapping, is_later = cases["overlapping"].astype(bool), cases["is_later"].eq(True)
    row: dict[str, object] = {
        by: name,
        "boots": int(cases["boot"].nunique()),
        "kills": len(cases),
        "overlapping": int(overlapping.sum()),
        "unknown": int((~yes & ~no).sum()),
        "no_truth": no_truth,
    }
    for what, part, whole in (
        ("yes_right", yes & overlapping, yes),
        ("no_right", no & ~overlapping, no),
        ("no_right_later", no & ~overlapping & is_later, no & is_later),
        ("found", yes & overlapping, overlapping),
        ("found_of_reported", yes & overlapping & cases["has_report"], overlapping & cases["has_report"]),
    ):
        row |= _share(what, part, whole, cases["boot"])
    return row


def _share(what: str, part: pd.Series, whole: pd.Series, boots: pd.Series) -> dict[str, Any]:
    by_boot = pd.DataFrame({"hits": part, "of": whole}).groupby(boots).sum()
    rate = rate_of(by_boot["hits"].tolist(), by_boot["of"].tolist())
    return {
        f"{what}_count": rate.hits,
        f"{what}_of": rate.rounds,
        what: rate.share,
        f"{what}_low": rate.low,
        f"{what}_high": rate.high,
    }


def evidence_counts(cases: pd.DataFrame) -> pd.DataFrame:
    """How often each kind of evidence is right: group, answer, evidence, and the kills that overlap and that do not.

    `first_of_round` counts those that do not overlap because nothing could be overlapped; null where there are no rounds.
    """
    cases = cases[cases["overlapping"].notna()].astype({"overlapping": bool})
    cases = cases.assign(
        not_overlapping=~cases["overlapping"], first_of_round=cases["is_later"].map({True: 0, False: 1})
    )
    by_evidence = cases.groupby(["group", "answer", "evidence"])
    counted = by_evidence[["overlapping", "not_overlapping"]].sum()
    counted["first_of_round"] = by_evidence["first_of_round"].sum(min_count=1).astype("Int64")
    counted = counted.reset_index()
    order = counted["group"].map(lambda name: (name != STOCK, name))
    return counted.assign(order=order).sort_values(
        ["order", "answer", "evidence"], ascending=[True, False, False], ignore_index=True
    ).drop(columns="order")  # fmt: skip
