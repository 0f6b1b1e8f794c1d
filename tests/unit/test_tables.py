"""Tables of a run: made anew from raw evidence, exported, loaded, and honest about what is damaged."""

import json
import shutil
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from click.testing import CliRunner

import harness
from harness.cli import cli
from harness.collectors.files import edited_files, read_trial, seal, write_trial
from harness.errors import EvidenceError, UsageError
from harness.report.armdocs import ARMS
from harness.report.armdocs import reference as arms_reference
from harness.report.tabledocs import reference
from harness.runs.export import export_set
from harness.runs.tables import rebuild_tables
from harness.tables.schema import FORMAT_VERSION, KILLS, TABLES
from harness.tables.store import load_tables, save_tables
from tests.unit.test_report import run as made_run  # noqa: F401

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def run(made_run, tmp_path):  # noqa: F811
    """A copy of a made-up run, to be damaged; its trials are sealed."""
    directory = tmp_path / "run"
    shutil.copytree(made_run, directory)
    for trial in (directory / "trials").iterdir():
        seal(trial)
    return directory


def contents(run):
    return {path.name: path.read_bytes() for path in (run / "tables").iterdir()}


def invoke(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_the_reference_is_that_of_the_schema():
    assert (Path(__file__).parents[2] / "docs" / "tables.md").read_text() == reference()


def test_tables_made_anew_are_the_same_bytes(run):
    before = contents(run)
    assert set(before) == {f"{table.name}.parquet" for table in TABLES}
    shutil.rmtree(run / "tables")
    assert rebuild_tables(run) == []
    assert contents(run) == before


@pytest.mark.parametrize("how", ["lost", "panicked"])
@pytest.mark.parametrize("missing", [("kmsg.log", "trace.log", "collector.jsonl"), ("trace.log", "collector.jsonl")])
def test_a_round_whose_last_records_went_with_its_guest_is_not_completed(run, how, missing):
    """The supervisor's end of the round came through, the collector's did not, or only the first part of it."""
    trial = run / "trials/001-1"
    for log in (trial / name for name in missing):
        lines = log.read_bytes().splitlines(True)
        log.write_bytes(b"".join(line for line in lines if b"round 1 end" not in line and b'"event":"end"' not in line))
    record = read_trial(trial)
    write_trial(trial, msgspec.structs.replace(record, outcome=how))
    seal(trial)
    assert rebuild_tables(run) == []
    rounds = load_tables(run / "tables", TABLES)["rounds"].set_index("trial_id")
    assert rounds.loc["001-1", "outcome"] == how
    assert load_tables(run / "tables", TABLES)["kills"]["trial_id"].eq("001-1").any()


def test_details_stand_beside_the_facts(run):
    found = load_tables(run / "tables", TABLES)
    assert found["runs"]["run_id"].tolist() == ["r<i>"]
    assert found["trials"][["trial_id", "outcome", "boot_id"]].values.tolist() == [
        ["001-1", "completed", "001-1"],
        ["002-1", "hung", "002-1"],
    ]
    events = found["trace_events"]
    marked = events[events["event"] == "mark_victim"]
    assert set(found["kills"]["pid"]) == set(marked["subject_pid"])
    counters = found["memory_events"].set_index(["trial_id", "round", "file", "key"])
    assert counters.loc[("001-1", 1, "memory.events", "oom_kill"), "after"] == 4


def test_edited_evidence_is_named_and_left_out_unless_it_is_accepted(run):
    log = run / "trials/001-1/kmsg.log"
    log.write_bytes(log.read_bytes().replace(b"Killed", b"Cilled"))
    (run / "trials/002-1/trace.log").unlink()
    assert edited_files(run / "trials/001-1") == ["kmsg.log"]
    result = invoke("tables", "rebuild", run)
    assert result.exit_code == EvidenceError.exit_code
    assert "001-1: kmsg.log changed since the trial ended; --accept-edited takes it" in result.output
    assert "002-1: trace.log changed" in result.output
    assert load_tables(run / "tables")["rounds"].empty
    assert invoke("tables", "rebuild", run, "--accept-edited").exit_code == 0
    assert len(load_tables(run / "tables")["rounds"]) == 3


def test_a_trial_without_checksums_is_taken_as_it_is(run):
    for trial in (run / "trials").iterdir():
        (trial / "checksums.json").unlink()
    (run / "trials/001-1/memcg.log").write_bytes(b"")
    assert rebuild_tables(run) == []


def test_a_damaged_table_is_named(run):
    table = run / "tables/kills.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(EvidenceError, match=r"cannot read .*kills\.parquet.*rebuild it from the raw evidence"):
        harness.load_run(run)
    for command in (("compare", run), ("summary", run), ("report", run)):
        result = invoke(*command)
        assert isinstance(result.exception, EvidenceError)
    assert rebuild_tables(run) == []
    assert len(harness.load_run(run).kills)


def test_a_table_of_a_newer_format_is_refused(run, monkeypatch):
    monkeypatch.setattr("harness.tables.schema.FORMAT_VERSION", FORMAT_VERSION + 1)
    save_tables(run / "tables", {"kills": KILLS.frame([])})
    with pytest.raises(EvidenceError, match=r"kills\.parquet was written by a newer oomtrial"):
        load_tables(run / "tables")


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 99}'])
def test_a_record_that_cannot_be_read_is_named(run, content):
    (run / "run.json").write_bytes(content)
    with pytest.raises(EvidenceError, match=r"run\.json"):
        harness.load_run(run)


def test_load_run_gives_frames_with_times_and_categories(run):
    found = harness.load_run(run)
    assert list(found.rounds["arm"].cat.categories) == [arm.name for arm in found.record.arms]
    assert (found.kills["release_time_ms"] - found.kills["mark_time_ms"]).dropna().min() >= 0
    assert not [name for name in found.kills if name.endswith("_us")]
    assert found.arms["redundant_kills"].tolist() == [2, 2]
    assert len(found.comparisons) == 1
    assert repr(found).startswith(f"<Run {found.record.run_id}, complete: 2 arms, 1 scenario, ")
    assert len(repr(found)) < 100


def test_times_are_floats_that_a_plot_takes_and_timedeltas_on_request(run):
    floats, deltas = harness.load_run(run), harness.load_run(run, timedeltas=True)
    assert floats.kills["decision_time_ms"].dtype == "float64"
    assert deltas.kills["decision_time"].dtype.kind == "m"
    known = floats.kills["decision_time_ms"].notna()
    assert (deltas.kills["decision_time"].dt.total_seconds() * 1000)[known].tolist() == pytest.approx(
        floats.kills["decision_time_ms"][known].tolist()
    )


def test_no_figure_of_a_frame_is_a_nullable_float(run):
    """Models take NaN, not NA."""
    loaded = harness.load_run(run)
    for frame in (loaded.rounds, loaded.kills, loaded.reports, loaded.releases, loaded.trials):
        assert [name for name, kind in frame.dtypes.items() if str(kind) == "Float64"] == []


def test_counted_rounds_are_those_without_the_warm_up():
    loaded = harness.load_run(DOCS.parent / "results/regression-7.x/7.3-2-vcpus")
    counted = loaded.rounds[~loaded.rounds.warm_up]
    assert len(counted) < len(loaded.rounds)
    assert len(counted) == loaded.arms["rounds"].sum()


def test_what_an_exported_set_lacks_is_said():
    loaded = harness.load_run(DOCS.parent / "results/example")
    for name in ("tasks", "trace_events", "foreign_kills"):  # the last is younger than this set
        with pytest.raises(EvidenceError, match=rf"results/example has no table {name}; it was exported without it"):
            getattr(loaded, name)


def test_an_exported_set_without_the_youngest_table_can_be_exported_again(tmp_path):
    export_set(DOCS.parent / "results/example", tmp_path / "set")
    assert len(harness.load_run(tmp_path / "set").kills) == len(harness.load_run(DOCS.parent / "results/example").kills)


def test_frames_of_two_runs_can_be_put_together(run):
    found = harness.load_run(run)
    frames = (found.rounds, found.kills, found.reports, found.releases, found.arms, found.comparisons, found.runs)
    frames += (found.trials, found.memory_events, found.foreign_kills, found.tasks, found.trace_events)
    assert [set(frame["run_id"]) <= {found.record.run_id} for frame in frames] == [True] * len(frames)
    assert {str(frame["arm"].dtype) for frame in frames if "arm" in frame} == {"category"}
    assert len({tuple(frame["arm"].cat.categories) for frame in frames if "arm" in frame}) == 1


def test_every_column_of_arms_is_documented(run):
    assert [column.name for column in ARMS.columns] == list(harness.load_run(run).arms.columns)
    assert arms_reference() in (DOCS / "notebooks.md").read_text()


def test_an_exported_set_is_small_says_what_the_run_says_and_names_no_path(run, tmp_path):
    record = json.loads((run / "run.json").read_text())
    stock = record["kernels"][0]["spec"]
    tree = "tree:/home/somebody/my linux@@/v6+/home/somebody/else.patch"
    record = json.loads(json.dumps(record).replace(json.dumps(stock), json.dumps(tree)))
    record["kernels"][0] |= {
        "image": "/home/somebody/.cache/oomtrial/kernels/k/bzImage",
        "source": "/home/somebody/my linux@/v6, Linux 6.1.3",
        "patches": {"/home/somebody/else.patch": "0" * 16},
    }
    record["command"] = ["oomtrial", "run", "--kernel", tree, "--out", "~somebody/out", "--append", "root=/dev/vda/x"]
    (run / "run.json").write_text(json.dumps(record))
    tables = load_tables(run / "tables", TABLES)
    for frame in tables.values():
        if "arm" in frame:
            frame["arm"] = frame["arm"].replace(stock, tree)
    tables["trials"]["reason"] = "see /home/somebody/console.log"
    save_tables(run / "tables", tables)
    out = tmp_path / "set"
    assert "/home/somebody/my linux@@/v6" in export_set(run, out)
    found = harness.load_run(out)
    assert found.record.arms[0].name == found.record.kernels[0].spec == "tree:v6+else.patch"
    assert found.record.command[-1] == "root=/dev/vda/x"
    assert found.record.kernels[0].source == "v6, Linux 6.1.3"
    assert set(load_tables(out / "tables")["rounds"]["arm"]) == {arm.name for arm in found.record.arms}
    for path in out.rglob("*.*"):
        assert b"somebody" not in path.read_bytes()
        assert path.suffix != ".parquet" or "somebody" not in pd.read_parquet(path).to_string()
    assert {path.stem for path in (out / "tables").iterdir()} == {
        table.name for table in TABLES if table.name not in ("tasks", "trace_events")
    }
    assert found.arms["redundant_kills"].equals(harness.load_run(run).arms["redundant_kills"])
    assert invoke("report", out).exit_code == 0
    assert invoke("compare", out).exit_code == 0
    with pytest.raises(UsageError, match="already holds a run"):
        export_set(run, out)
