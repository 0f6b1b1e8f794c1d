"""`oomtrial parse` as a user runs it: every format, every way in, every mistake; and `harness.parse_log`."""

import csv
import gzip
import io
import json
import lzma
import os
import pty
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import zstandard
from oomtext import Task, killed, reaped, report, stamped

import harness
from harness.errors import EvidenceError
from harness.tables.log import LOG_KILLS, LOG_TABLES

HOSTILE = b"\xffa\x1b[31m\x9b1m\xc2\x9b"  # no UTF-8, and escape sequences of seven bits and of eight
KILL_KEYS = {
    "pid", "comm", "time_s", "line", "boot", "decision", "report", "oom_memcg", "task_memcg", "domain_source", "total_vm_kb",
    "anon_rss_kb", "file_rss_kb", "shmem_rss_kb", "uid", "oom_score_adj", "margin_kb", "in_flight_kb", "overlap_estimated",
    "overlap_evidence", "complete",
}  # fmt: skip
LOCKUP = "watchdog: BUG: soft lockup - CPU#0 stuck for 23s!"


def encoded(lines):
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def story():
    """Four kills in three decisions: /a at 100 s, a global one at 200 s, and a group of two in /a/b at 300 s."""
    name = HOSTILE.decode("utf-8", "surrogateescape")
    in_a = [*report(12, "/a", tasks=[Task(12), Task(13)]), killed(12), reaped(12)]
    everywhere = report(20, None, tasks=[Task(20, name)], comm=name, invoker=name)
    everywhere = [*everywhere[:-1], LOCKUP, everywhere[-1], killed(20, name, "Out of memory"), reaped(20, name)]
    group = "Tasks in /a/b are going to be killed due to memory.oom.group set"
    in_b = [*report(30, "/a/b", margin=19000), killed(30), group, killed(30), killed(31), reaped(30), reaped(31)]
    return [*stamped(in_a), *stamped(everywhere, 200.0), *stamped(in_b, 300.0)]


def as_syslog(lines):
    """The same in a syslog of November: 22:13:20, 22:15:00 and 22:16:40."""
    for line in lines:
        uptime = float(line[1:13])
        minutes, seconds = divmod(13 * 60 + 20 + int(uptime) - 100, 60)
        yield f"Nov 14 22:{minutes:02d}:{seconds:02d} node1 kernel: {line[15:]}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The story, plain, packed and as a syslog; and files that are no log."""
    place = tmp_path_factory.mktemp("logs")
    data = encoded(story())
    (place / "kern.log").write_bytes(data)
    (place / "kern.log.gz").write_bytes(gzip.compress(data))
    (place / "packed-by-xz").write_bytes(lzma.compress(data))
    (place / "kern.zst").write_bytes(zstandard.compress(data))
    (place / "syslog").write_bytes(encoded(as_syslog(story())))
    (place / "turned").write_bytes(encoded(reversed([*as_syslog(story())])))
    (place / "empty").touch()
    (place / "text").write_text("nothing\nof interest\n")
    (place / "damaged.gz").write_bytes(gzip.compress(os.urandom(100_000))[:-5000])
    (place / "journal").write_bytes(b"LPKSHHRH" + bytes(4096))
    (place / "directory").mkdir()
    return place


@pytest.fixture(scope="session")
def piped(serve):
    """Runs `oomtrial parse` with this on its standard input."""
    return lambda arguments, stdin: serve(["parse", *arguments], stdin=stdin, timeout=120)


def parsed(done):
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return in_place(json.loads(done.stdout))


def in_place(document):
    """The document, when every index in it is a place in the array it speaks of."""
    reports, kills = document["reports"], document["kills"]
    assert [row["report"] for row in reports] == list(range(len(reports)))
    assert [row["kill"] for row in kills] == list(range(len(kills)))
    assert [row["release"] for row in document["releases"]] == list(range(len(document["releases"])))
    decisions = [row["decision"] for row in kills]
    assert sorted(set(decisions)) == list(range(len(set(decisions))))
    for row in kills:
        assert row["report"] is None or reports[row["report"]]["outcome"] == "killed"
        assert all(kills[index]["pid"] and index < row["kill"] for index in row["earlier_kills"])
    for row in document["releases"]:
        assert row["kill"] is None or kills[row["kill"]]["pid"] == row["pid"]
    for row in (*document["tasks"], *document["events"]):
        assert row["report"] is None or row["report"] < len(reports)
    return document


def pids(document):
    return [row["pid"] for row in document["kills"]]


# Formats


def test_json_is_one_document(oomtrial, place):
    found = parsed(oomtrial("parse", place / "kern.log", "--format", "json"))
    for name in ("reports", "kills", "releases", "tasks", "events"):
        assert isinstance(found[name], list)
        assert found[name]
    assert found["missing"]["suppressed_reports"] == 0
    assert all(set(row) >= KILL_KEYS for row in found["kills"])
    assert [(row["pid"], row["domain"], row["report"], row["decision"]) for row in found["kills"]] == [
        (12, "/a", 0, 0), (20, "global", 1, 1), (30, "/a/b", 2, 2), (31, "/a/b", 2, 2),
    ]  # fmt: skip
    assert [(row["pid"], row["kill"]) for row in found["releases"]] == [(12, 0), (20, 1), (30, 2), (31, 3)]
    assert [row["report"] for row in found["tasks"]] == [0, 0, 1, 2]
    assert [(row["kind"], row["report"]) for row in found["events"]] == [("soft-lockup", 1)]
    assert found["totals"]["kills"] == {"printed": 4, "at_least": 4, "at_most": 4}
    first = found["kills"][0]
    assert (first["total_vm_kb"], first["anon_rss_kb"], first["margin_kb"], first["complete"]) == (2000, 1000, 0, True)


def test_names_that_are_no_text_come_back_from_json(oomtrial, place):
    for style in ("json", "jsonl"):
        done = oomtrial("parse", place / "kern.log", "--format", style)
        assert "\x1b" not in done.stdout
        rows = [json.loads(done.stdout)] if style == "json" else map(json.loads, done.stdout.splitlines())
        kills = next(iter(rows))["kills"] if style == "json" else [row for row in rows if row["type"] == "kill"]
        assert kills[1]["comm"].encode("utf-8", "surrogateescape") == HOSTILE


def test_json_lines_say_the_same_as_the_document(oomtrial, place):
    document = parsed(oomtrial("parse", place / "kern.log", "--format", "json"))
    done = oomtrial("parse", place / "kern.log", "--format", "jsonl")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for name in ("reports", "kills", "releases", "tasks", "events"):
        kind = name.removesuffix("s")
        assert [{k: v for k, v in row.items() if k != "type"} for row in rows if row["type"] == kind] == document[name]
    assert {row["type"] for row in rows} >= {"missing", "totals"}


def test_csv_on_standard_output_is_the_kills(oomtrial, place):
    done = oomtrial("parse", place / "kern.log", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert (done.returncode, list(rows[0])) == (0, [column.name for column in LOG_KILLS.columns])
    assert [(int(row["pid"]), row["domain"]) for row in rows] == [
        (12, "/a"), (20, "global"), (30, "/a/b"), (31, "/a/b"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ("kern.log",),
        ("syslog", "kern.zst"),
        ("empty", "text"),
        ("turned",),
        ("gone", "damaged.gz"),
        ("damaged.gz", "kern.log"),
    ],
    ids=" ".join,
)
def test_csv_is_the_same_without_compiled_code(oomtrial, place, names):
    arguments = ("parse", *(place / name for name in names), "--format", "csv")
    done = oomtrial(*arguments)
    without = {**os.environ, "OOMTRIAL_NO_COMPILED_READER": "1"}
    python = subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, env=without)
    assert (done.returncode, done.stdout, done.stderr) == (python.returncode, python.stdout, python.stderr)
    assert len(done.stdout.splitlines()) == {"gone": 0, "empty": 1, "syslog": 9}.get(names[0], 5)


def test_a_table_never_shows_an_escape_sequence(oomtrial, place):
    done = oomtrial("parse", place / "kern.log", "--memcg", "*")
    assert done.returncode == 0
    assert not {"\x1b", "\x9b"} & set(done.stdout)
    assert "a\\x1b[31m" in done.stdout
    assert "4 kills in 3 decisions, 3 reports, 1 boot" in done.stdout


def test_files_of_every_format(oomtrial, place, tmp_path):
    for style in ("csv", "parquet", "json", "jsonl"):
        done = oomtrial("parse", place / "kern.log", "--format", style, "--out", tmp_path / "a" / style)
        assert (done.returncode, done.stderr) == (0, "")
    names = {table.name for table in LOG_TABLES}
    assert {path.name for path in (tmp_path / "a/csv").iterdir()} == {f"{name}.csv" for name in names}
    assert {path.name for path in (tmp_path / "a/parquet").iterdir()} == {f"{name}.parquet" for name in names}
    document = in_place(json.loads((tmp_path / "a/json/oomlog.json").read_bytes()))
    lines = [json.loads(line) for line in (tmp_path / "a/jsonl/oomlog.jsonl").read_bytes().splitlines()]
    assert pids(document) == [row["pid"] for row in lines if row["type"] == "kill"] == [12, 20, 30, 31]
    for table in LOG_TABLES:
        stored = pq.read_table(tmp_path / "a/parquet" / f"{table.name}.parquet")
        frame = pd.read_csv(tmp_path / "a/csv" / f"{table.name}.csv")
        assert stored.column_names == list(frame.columns) == [column.name for column in table.columns]
        assert stored.num_rows == len(frame) > 0 or table.name == "zones"
        assert all(stored.schema.field(column.name).metadata[b"unit"] is not None for column in table.columns)
    assert pq.read_table(tmp_path / "a/parquet/kills.parquet").column("pid").to_pylist() == [12, 20, 30, 31]


def test_a_table_is_not_written_to_files(oomtrial, place, tmp_path):
    done = oomtrial("parse", place / "kern.log", "--out", tmp_path / "out")
    assert done.returncode == 2 or list((tmp_path / "out").iterdir())


# Ways in


def test_standard_input_named_or_not(piped, place):
    for arguments in (["-"], []):
        for name in ("kern.log", "kern.log.gz"):
            done = piped([*arguments, "--format", "json"], (place / name).read_bytes())
            assert pids(parsed(done)) == [12, 20, 30, 31]


def test_no_file_and_a_terminal_is_a_mistake():
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "parse"],
            stdin=slave, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(master)
        os.close(slave)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "standard input is a terminal" in done.stderr


def test_standard_input_named_twice(piped, place):
    done = piped(["-", "-", "--format", "json"], (place / "kern.log").read_bytes())
    assert b"Traceback" not in done.stderr


def test_a_pipe_that_has_a_name(piped, place, tmp_path):
    """`oomtrial parse <(ssh host dmesg)`: what is read cannot be opened again."""
    if len(os.sched_getaffinity(0)) == 1:
        pytest.xfail("needs a second core")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    with subprocess.Popen(["cp", place / "kern.log", fifo]) as feeder:
        try:
            done = piped([fifo, "--format", "json"], b"")
        finally:
            feeder.kill()
    assert pids(parsed(done)) == [12, 20, 30, 31]


def test_several_files_packed_or_not(oomtrial, place):
    names = [str(place / name) for name in ("kern.log", "kern.log.gz", "packed-by-xz", "kern.zst")]
    found = parsed(oomtrial("parse", *names, "--format", "json"))
    assert pids(found) == [12, 20, 30, 31] * 4
    assert [row["file"] for row in found["kills"]] == [name for name in names for _ in range(4)]
    assert [row["boot"] for row in found["kills"]] == [boot for boot in (1, 2, 3, 4) for _ in range(4)]
    assert [row["kill"] for row in found["releases"]] == list(range(16))
    assert (found["files"], found["boots"]) == (names, 4)


# What is asked for

SELECTIONS = [
    ("kern.log", ["--since", "200"], [20, 30, 31]),
    ("kern.log", ["--until", "150.5"], [12]),
    ("kern.log", ["--since", "150", "--until", "250"], [20]),
    ("syslog", ["--since", "2026-11-14T22:15:00Z"], [20, 30, 31]),
    ("syslog", ["--until", "2023-11-14 22:14"], [12]),
    ("syslog", ["--since", "2023-11-15"], []),
    ("kern.log", ["--memcg", "/a"], [12, 30, 31]),
    ("kern.log", ["--memcg", "/a/*"], [30, 31]),
    ("kern.log", ["--memcg", "global"], [20]),
    ("kern.log", ["--memcg", "/a", "--since", "250"], [30, 31]),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), SELECTIONS)
def test_a_part_of_a_log(oomtrial, place, name, arguments, expected):
    found = parsed(oomtrial("parse", place / name, *arguments, "--format", "json"))
    assert pids(found) == expected
    assert len(found["reports"]) == len({row["report"] for row in found["kills"]})
    assert found["totals"]["kills"]["printed"] == len(expected)


def test_what_is_selected_whole_is_whole(oomtrial, place):
    whole = parsed(oomtrial("parse", place / "kern.log", "--format", "json"))
    assert parsed(oomtrial("parse", place / "kern.log", "--since", "0", "--format", "json")) == whole


def test_records_without_the_clock_that_is_asked_for_are_counted(oomtrial, place):
    done = oomtrial("parse", place / "kern.log", "--since", "2026-11-14", "--format", "json")
    assert pids(json.loads(done.stdout)) == []
    (line,) = done.stderr.splitlines()
    assert "have no timestamp on the clock" in line


# Mistakes and bad input

# arguments, exit code, words; PLACE is where the files are
BAD = [
    (["PLACE/gone"], 6, "No such file or directory"),
    (["PLACE/directory"], 6, "is a directory"),
    ([sys.executable], 6, "is binary"),
    (["/proc/self/mem"], 6, "cannot read"),  # as root too
    (["PLACE/damaged.gz"], 6, "is a damaged archive"),
    (["PLACE/journal"], 6, "journalctl -k -o json --file"),
    (["PLACE/empty"], 0, "is empty"),
    (["PLACE/text"], 0, "no OOM line in 2 lines"),
    (["PLACE/kern.log", "--format", "parquet"], 2, "add --out DIR"),
    (["PLACE/kern.log", "--since", "yesterday"], 2, "not a time: 'yesterday'"),
    (["PLACE/kern.log", "--until", "25:00"], 2, "not a time: '25:00'"),
    (["PLACE/kern.log", "--format", "xml"], 2, "'xml' is not one of"),
    (["PLACE/kern.log", "--sinse", "1"], 2, "No such option"),
    (["PLACE/kern.log", "--format", "csv", "--out", "PLACE/text"], 2, "is a file"),
    (["PLACE/kern.log", "--format", "csv", "--out", "PLACE/text/below"], 3, "cannot write to"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_bad_input_is_one_line(oomtrial, place, arguments, code, words):
    done = oomtrial("parse", *(argument.replace("PLACE", str(place)) for argument in arguments))
    (line,) = done.stderr.splitlines()
    assert (done.returncode, line[:10]) == (code, "oomtrial: ")
    assert words in line


def test_an_empty_log_is_a_document_too(oomtrial, place):
    found = json.loads(oomtrial("parse", place / "empty", "--format", "json").stdout)
    assert [found[name] for name in ("reports", "kills", "releases", "tasks", "events")] == [[]] * 5
    header = oomtrial("parse", place / "text", "--format", "csv").stdout
    assert [column.strip('"') for column in header.strip().split(",")] == [column.name for column in LOG_KILLS.columns]


def test_bad_files_do_not_hide_a_good_one(oomtrial, place):
    bad = [place / name for name in ("gone", "directory", "damaged.gz", "journal", "empty", "text")]
    done = oomtrial("parse", *bad[:3], place / "kern.log", *bad[3:], sys.executable, "--format", "json")
    assert done.returncode == 6
    assert pids(in_place(json.loads(done.stdout))) == [12, 20, 30, 31]
    assert len(done.stderr.splitlines()) == 7
    assert all(line.startswith("oomtrial: ") for line in done.stderr.splitlines())
    assert "4 kills in 3 decisions" in oomtrial("parse", *bad, place / "kern.log").stdout


def cut_archive(path):
    """The story, much else, and an archive that ends too soon: everything up to the last bytes can be read."""
    noise = (f"[  400.{n:06d}] {os.urandom(30).hex()}" for n in range(50_000))
    packed = gzip.compress(encoded([*story(), *noise]), 1)
    path.write_bytes(packed[:-10_000])
    return path


def test_what_stands_before_the_damage_is_read(oomtrial, place, tmp_path):
    cut = cut_archive(tmp_path / "cut.gz")
    done = oomtrial("parse", cut, place / "kern.log", "--format", "json")
    found = in_place(json.loads(done.stdout))
    assert done.returncode == 6
    assert [(row["pid"], Path(row["file"]).name) for row in found["kills"]] == [
        (pid, name) for name in ("cut.gz", "kern.log") for pid in (12, 20, 30, 31)
    ]
    done = oomtrial("parse", cut, "--format", "json")
    assert (done.returncode, pids(json.loads(done.stdout))) == (6, [12, 20, 30, 31])


def test_a_line_without_an_end_hides_no_kill(oomtrial, tmp_path):
    """32 MiB without a newline between two kills: more than any chunk."""
    lines = [encoded(stamped([killed(pid)])) for pid in (12, 13)]
    (tmp_path / "log").write_bytes(lines[0] + b"x" * (32 << 20) + b"\n" + lines[1])
    done = oomtrial("parse", tmp_path / "log", "--format", "json")
    assert (done.returncode, pids(json.loads(done.stdout))) == (0, [12, 13])


# From Python


def test_frames(place):
    types = {"int": "Int64", "float": "Float64", "string": "string", "bool": "boolean", "list": "object"}
    found = harness.parse_log(place / "kern.log")
    empty = harness.parse_log(io.BytesIO(b""))
    for table in LOG_TABLES:
        frame = getattr(found, table.name)
        for one in (frame, getattr(empty, table.name)):
            assert list(one.columns) == [column.name for column in table.columns]
            assert {name: str(kind) for name, kind in one.dtypes.items()} == {
                column.name: types[column.type] for column in table.columns
            }
        assert len(getattr(empty, table.name)) == 0
    assert found.kills["pid"].tolist() == [12, 20, 30, 31]
    assert found.kills["report"].tolist() == [0, 1, 2, 2]
    assert len(found.tasks) == 4
    assert found.missing["forged_kills"] == 0
    assert found.totals["kills"]["printed"] == 4
    assert empty.totals["kills"] == {"printed": 0, "at_least": 0, "at_most": 0}


def test_frames_of_a_name_a_path_and_a_stream(place):
    packed = place / "kern.zst"
    assert harness.parse_log(str(packed)).kills["pid"].tolist() == [12, 20, 30, 31]
    assert harness.parse_log(io.BytesIO((place / "kern.log").read_bytes())).kills["pid"].tolist() == [12, 20, 30, 31]
    with gzip.open(place / "kern.log.gz") as stream:
        assert harness.parse_log(stream).kills["pid"].tolist() == [12, 20, 30, 31]


def test_frames_of_what_cannot_be_read(place):
    for name in ("gone", "directory", "damaged.gz", "journal"):
        with pytest.raises(EvidenceError):
            harness.parse_log(place / name)


def test_what_is_missing_agrees_with_its_number(oomtrial):
    corpus = Path(__file__).parents[1] / "data/corpus"
    one = oomtrial("parse", corpus / "16-5.3rc3-memcgv1-callerprefix.txt").stdout
    many = oomtrial("parse", corpus / "12-4.18+3.10el7-memcgv1-mixed.txt").stdout
    assert "\n  1 incomplete report\n" in one
    assert "\n  3 incomplete reports\n" in many


@pytest.mark.parametrize(
    ("text", "says"), [("", "standard input is empty"), ("a word\n", "standard input: no OOM line in 1 line")]
)
def test_standard_input_is_called_so(text, says):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "parse"], input=text, capture_output=True, text=True, check=True
    )
    assert done.stderr == f"oomtrial: {says}\n"
