"""How good the estimate is: the truth comes from raw evidence, intervals go by boot, kernels of different kinds stay apart."""

import shutil
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from handrun import EVIL_ARM, STOCK, write_hand_run

from benchmarks import estimator
from benchmarks.estimator import cases_of as cases_of_run
from benchmarks.estimator import refuse_unfinished, runs_table
from harness.analysis.rates import exact_interval, rate_of
from harness.logs.accuracy import captured_cases, evidence_counts, run_cases, score, table_cases
from harness.runs.record import RunStatus, read_run, write_run
from harness.tables.schema import KILLS
from harness.tables.store import load_table, save_tables

CAPTURED = Path(__file__).parents[1] / "data" / "captured"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_hand_run(tmp_path_factory.mktemp("accuracy") / "run")


def cases_of(*boots, group="stock", answer="no", scenario="s", is_later=True):
    """Kills that got one answer: for each boot, which of them overlap."""
    return pd.DataFrame(
        {
            "source": "k", "group": group, "scenario": scenario, "boot": f"{group}{number}", "pid": 1, "answer": answer,
            "evidence": "e", "has_report": True, "is_later": is_later, "overlapping": overlapping,
        }
        for number, boot in enumerate(boots)
        for overlapping in boot
    )  # fmt: skip


def test_the_truth_of_a_run_is_that_of_its_raw_evidence(run, tmp_path):
    """Its tables may be older than the rule for a release."""
    bare = tmp_path / "run"
    shutil.copytree(run, bare)
    shutil.rmtree(bare / "tables")
    cases = run_cases(bare)
    assert cases["overlapping"].tolist() == [False, True, True, False, True, True, False]
    assert cases["source"].tolist() == [STOCK] * 3 + [EVIL_ARM] * 4
    assert cases["group"].tolist() == ["stock"] * 3 + ["other patches"] * 4
    assert cases["is_later"].tolist() == [False, True, True, False, True, True, False]
    assert cases["boot"].tolist() == ["r<i>/001-1"] * 3 + ["r<i>/002-1"] * 4


def test_the_tables_of_an_exported_set_stand_in_for_raw_evidence(run, tmp_path):
    """They say the same, but that a kill of the round before is not known: the first kill of a round has none before it."""
    exported = tmp_path / "run"
    shutil.copytree(run, exported)
    shutil.rmtree(exported / "trials")
    expected, cases = run_cases(run), cases_of_run(exported)
    first = ~expected["is_later"]
    assert set(cases.loc[first, "evidence"]) == {"no kill before it"}
    pd.testing.assert_frame_equal(cases[~first], expected[~first])
    pd.testing.assert_frame_equal(
        cases.drop(columns=["answer", "evidence"]), expected.drop(columns=["answer", "evidence"])
    )
    assert any("| tables |" in line for line in runs_table([exported]))
    assert any("| raw evidence |" in line for line in runs_table([run]))


def test_the_other_victims_of_a_group_are_no_later_kills(tmp_path, run):
    """In tables as in raw evidence: they were decided on with the first one."""
    grouped = tmp_path / "run"
    shutil.copytree(run, grouped)
    kills = load_table(grouped / "tables", KILLS)
    kills[["decider_pid", "decision_time_us"]] = kills.loc[0, ["decider_pid", "decision_time_us"]].tolist()
    save_tables(grouped / "tables", {"kills": kills})
    assert not table_cases(grouped)["is_later"].any()


def test_kills_of_which_the_trace_does_not_tell_are_counted_and_in_no_share(run, tmp_path):
    lossy = tmp_path / "run"
    shutil.copytree(run, lossy)
    trace = lossy / "trials" / "001-1" / "trace.log"
    trace.write_text(trace.read_text() + "CPU:0 [LOST 5 EVENTS]\n")
    cases = run_cases(lossy)
    assert cases["overlapping"].isna().sum() == 2  # the first kill overlaps nothing, whatever the trace lost
    (row,) = score(cases[cases["group"] == "stock"]).to_dict("records")
    assert (row["kills"], row["no_truth"], row["yes_right_of"] + row["no_right_of"] + row["unknown"]) == (1, 2, 1)


def test_intervals_are_by_boot():
    """Eight boots in which all kills are alike are worth eight kills; eight that do not differ, nearly all."""
    clustered = score(cases_of(*[[True] * 10] * 2, *[[False] * 10] * 6)).iloc[0]
    mixed = score(cases_of(*[[True, True, *[False] * 6]] * 10)).iloc[0]
    assert (clustered["no_right_count"], clustered["no_right_of"], clustered["boots"]) == (60, 80, 8)
    expected = rate_of([0, 0, 10, 10, 10, 10, 10, 10], [10] * 8)
    assert (clustered["no_right_low"], clustered["no_right_high"]) == (expected.low, expected.high)
    alone = exact_interval(60, 80)
    assert clustered["no_right_low"] < alone[0] - 0.1
    assert clustered["no_right_high"] > alone[1] + 0.1
    assert mixed["no_right_low"] == pytest.approx(alone[0], abs=0.03)


def test_few_boots_are_taken_to_be_alike_even_where_every_answer_is_right():
    row = score(cases_of([False] * 50, [False] * 50)).iloc[0]
    assert row["no_right"] == 1
    assert row["no_right_low"] < exact_interval(100, 100)[0] - 0.01


def test_a_boot_without_the_answer_is_no_cluster_of_it():
    both = pd.concat([cases_of([False] * 3, [False] * 3), cases_of([True] * 5, answer="unknown").assign(boot="other")])
    row = score(both).iloc[0]
    expected = rate_of([3, 3], [3, 3])
    assert (row["boots"], row["no_right_low"]) == (3, expected.low)


def test_the_first_kills_of_rounds_are_counted_apart():
    """Nothing can be overlapped there: they are right whatever the estimate is worth."""
    cases = pd.concat([cases_of([False] * 40, is_later=False), cases_of([False, True, False])], ignore_index=True)
    row = score(cases).iloc[0]
    assert (row["no_right_count"], row["no_right_of"]) == (42, 43)
    assert (row["no_right_later_count"], row["no_right_later_of"]) == (2, 3)
    counted = evidence_counts(cases)[["overlapping", "not_overlapping", "first_of_round"]]
    assert counted.to_numpy().tolist() == [[1, 42, 40]]


def test_no_row_has_kernels_of_two_groups():
    cases = pd.concat(
        [
            cases_of([False], [False], scenario="a"),
            cases_of([False], scenario="b"),
            cases_of([True] * 9, group="ignore-pending-victim", scenario="a"),
        ]
    )
    rows = score(cases, "scenario")
    assert dict(zip(rows["scenario"], rows["kills"], strict=True)) == {
        "all: stock": 3,
        "a": 2,
        "b": 1,
        "all: ignore-pending-victim": 9,
    }
    assert evidence_counts(cases)[["group", "overlapping", "not_overlapping"]].to_numpy().tolist() == [
        ["stock", 0, 3],
        ["ignore-pending-victim", 9, 0],
    ]


def test_captured_logs_are_a_boot_each_and_the_control_stands_apart():
    cases = captured_cases(CAPTURED)
    assert cases.groupby("group")["source"].unique().map(sorted).to_dict() == {
        "ignore-pending-victim": ["ignore"],
        "stock": ["6.1", "6.12", "debian61"],
    }
    assert evidence_counts(cases)["first_of_round"].isna().all()
    assert cases["boot"].nunique() == len(list(CAPTURED.glob("*.kmsg.xz")))


def test_the_benchmark_prints_a_table_for_each_way_to_look(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["estimator", str(run), "--by", "group", "scenario"])
    estimator.main()
    out = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("| ") and "overlapping" in line] == [
        "group", "scenario", "kernels",
    ]  # fmt: skip
    assert "| all: other patches | 1 | 4 | 2 |" in out
    assert "Left out" not in out


def test_the_benchmark_says_how_many_kills_it_leaves_out(run, tmp_path, monkeypatch, capsys):
    lossy = tmp_path / "run"
    shutil.copytree(run, lossy)
    with (lossy / "trials" / "001-1" / "trace.log").open("a") as trace:
        trace.write("CPU:0 [LOST 5 EVENTS]\n")
    monkeypatch.setattr("sys.argv", ["estimator", str(lossy), "--group", "stock"])
    estimator.main()
    assert "Left out: 2 kills" in capsys.readouterr().out


def test_the_benchmark_names_its_runs_and_takes_each_run_once(run, tmp_path):
    assert any("r<i>" in line and STOCK in line for line in runs_table([run]))
    refuse_unfinished([run])
    with pytest.raises(SystemExit, match="is given twice"):
        refuse_unfinished([run, run])
    write_run(tmp_path, msgspec.structs.replace(read_run(run), state=RunStatus.RUNNING))
    with pytest.raises(SystemExit, match="is running, or was killed"):
        refuse_unfinished([tmp_path])
