"""`oomtrial parse` and `harness.parse_log`, as a user runs them."""

import gzip
import io
import json
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from oomtext import killed, reaped, report, stamped

import harness
from harness.report.logdocs import reference
from harness.tables import logstore
from harness.tables.log import LOG_TABLES

ROOT = Path(__file__).parent.parent.parent
NAME = "a\udcffb\x1b[31m"
KEYS = {
    "pid",
    "comm",
    "time_s",
    "line",
    "boot",
    "decision",
    "report",
    "oom_memcg",
    "task_memcg",
    "domain_source",
    "total_vm_kb",
    "anon_rss_kb",
    "file_rss_kb",
    "shmem_rss_kb",
    "uid",
    "oom_score_adj",
    "margin_kb",
    "in_flight_kb",
    "overlap_estimated",
    "overlap_evidence",
    "complete",
}


@pytest.fixture
def log(tmp_path):
    """Two kills of /a, one of /b, a release; the last victim has a hostile name."""
    lines = [*report(12, "/a"), killed(12, anon=20000), *report(13, "/a", margin=19000), killed(13), *report(14, "/b")]
    text = "\n".join([*stamped(lines), *stamped([killed(14, NAME), reaped(14, NAME)], start=130)]) + "\n"
    path = tmp_path / "kern.log"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def document(oomtrial, *arguments):
    done = oomtrial("parse", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_json_document(oomtrial, log):
    found = document(oomtrial, log)
    assert [(k["pid"], k["domain"], k["report"]) for k in found["kills"]] == [
        (12, "/a", 0),
        (13, "/a", 1),
        (14, "/b", 2),
    ]
    assert set(found["kills"][0]) >= KEYS
    assert [k["overlap_estimated"] for k in found["kills"]] == [False, True, False]
    assert found["kills"][2]["comm"].encode("utf-8", "surrogateescape") == b"a\xffb\x1b[31m"
    assert [(r["pid"], r["kill"]) for r in found["releases"]] == [(14, 2)]
    assert [t["report"] for t in found["tasks"]] == [0, 1, 2]
    assert found["reports"][0]["memory_stats"]["file"] == 0
    assert found["missing"]["suppressed_reports"] == 0
    assert found["totals"]["kills"] == {"printed": 3, "at_least": 3, "at_most": 3}


def test_a_selection_keeps_indices_in_place(oomtrial, log):
    found = document(oomtrial, log, "--memcg", "/b")
    assert [(k["pid"], k["report"], k["decision"]) for k in found["kills"]] == [(14, 0, 0)]
    assert [r["oom_memcg"] for r in found["reports"]] == ["/b"]
    found = document(oomtrial, log, "--until", "120")
    assert [k["pid"] for k in found["kills"]] == [12, 13, 14]  # the last with its report, which began before
    done = oomtrial("parse", log, "--since", "2026-11-23T08:00:00Z")
    assert (done.returncode, "have no timestamp on the clock" in done.stderr) == (0, True)


def test_a_table_shows_no_escape_sequence(oomtrial, log):
    done = oomtrial("parse", log)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "a\\udcffb\\x1b[31m" in done.stdout
    assert "3 kills in 3 decisions, 3 reports, 1 boot" in done.stdout


def test_files_of_tables(oomtrial, log, tmp_path):
    assert oomtrial("parse", log, "--format", "parquet", "--out", tmp_path / "p").returncode == 0
    assert {path.name for path in (tmp_path / "p").iterdir()} == {f"{table.name}.parquet" for table in LOG_TABLES}
    assert pq.read_table(tmp_path / "p" / "kills.parquet").column("comm").to_pylist()[2] == "a\\xffb\x1b[31m"
    assert oomtrial("parse", log, "--format", "csv", "--out", tmp_path / "c").returncode == 0
    assert len(pd.read_csv(tmp_path / "c" / "tasks.csv")) == 3
    done = oomtrial("parse", log, "--format", "csv")
    assert [int(row) for row in pd.read_csv(io.StringIO(done.stdout))["pid"]] == [12, 13, 14]
    done = oomtrial("parse", log, "--format", "jsonl")
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()].count("kill") == 3


def test_columns_of_a_file_are_encoded_by_what_they_hold(oomtrial, log, tmp_path):
    """Differences for what only grows, dictionaries for what repeats; a list's values too."""
    assert oomtrial("parse", log, "--format", "parquet", "--out", tmp_path / "p").returncode == 0
    group = pq.ParquetFile(tmp_path / "p" / "kills.parquet").metadata.row_group(0)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    growing = {name for name, column in columns.items() if "DELTA_BINARY_PACKED" in column.encodings}
    assert growing == {"kill", "decision", "report", "line", "offset"}
    repeating = {name for name, column in columns.items() if column.has_dictionary_page}
    assert {"comm", "anon_rss_kb", "oom_memcg", "earlier_kills.list.element"} <= repeating
    assert not repeating & growing
    assert columns["pid"].statistics.max == 14


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_the_place_of_the_output_is_printed_as_it_is(oomtrial, log, tmp_path, kind):
    """What looks like markup of rich is a name like any other."""
    directory = tmp_path / "[bold]tables[1]"
    done = oomtrial("parse", log, "--format", kind, "--out", directory)
    assert done.stdout == (f"{directory}/oomlog.json\n" if kind == "json" else f"{directory}\n")


def test_several_logs_and_bad_ones_among_them(oomtrial, log, tmp_path):
    packed, empty, text = tmp_path / "old.gz", tmp_path / "empty", tmp_path / "text"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(packed.read_bytes()[:-20])
    journal = tmp_path / "system.journal"
    journal.write_bytes(b"LPKSHHRH" + bytes(100))
    empty.touch()
    text.write_text("nothing\n")
    done = oomtrial("parse", log, packed, empty, text, tmp_path, tmp_path / "gone", sys.executable, journal, damaged)
    assert done.returncode == 6
    assert "12 kills" not in done.stdout
    assert done.stdout.count("kern.log") == 1
    lines = done.stderr.splitlines()
    assert all(line.startswith("oomtrial: ") for line in lines)
    for words in (
        "is empty",
        "no OOM line in 1 line",
        "is a directory",
        "No such file",
        "is binary",
        "journal file",
        "damaged archive",
    ):
        assert sum(words in line for line in lines) == 1, words


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{tmp}/gone"], 6, "No such file"),
        (["{log}", "--format", "parquet"], 2, "add --out DIR"),
        (["{log}", "--since", "yesterday"], 2, "not a time"),
        (["{empty}"], 0, "is empty"),
    ],
)
def test_bad_input_is_one_line(oomtrial, log, tmp_path, arguments, code, words):
    (tmp_path / "empty").touch()
    done = oomtrial("parse", *(a.format(tmp=tmp_path, log=log, empty=tmp_path / "empty") for a in arguments))
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert words in done.stderr


def test_frames_for_a_notebook(log):
    found = harness.parse_log(log)
    assert found.kills["pid"].dtype == "Int64"
    assert found.kills["overlap_estimated"].dtype == "boolean"
    assert found.kills["time_s"].dtype == "Float64"
    assert found.tasks.merge(found.reports[["report", "page_kb"]], on="report")["page_kb"].tolist() == [4, 4, 4]
    assert found.totals["kills"]["printed"] == 3
    assert found.memory_stats["name"].tolist() == ["anon", "file"] * 3
    with log.open("rb") as stream:
        assert harness.parse_log(stream).kills["pid"].tolist() == [12, 13, 14]
    empty = harness.parse_log(io.BytesIO(b""))
    for table in LOG_TABLES:
        assert list(getattr(empty, table.name).columns) == [column.name for column in table.columns]


def test_the_reference_is_that_of_the_code():
    assert (ROOT / "docs" / "oom-log-reference.md").read_text() == reference()


def test_a_store_that_has_written_all_it_had_still_ends_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(logstore, "_GROUP_BYTES", 0)  # every table is written as soon as it comes, the last one too
    store = logstore.LogStore(tmp_path, "parquet")
    store.close()
    assert {path.stem for path in tmp_path.iterdir()} == {table.name for table in LOG_TABLES}
