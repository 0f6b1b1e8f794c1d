"""Real OOM reports of twenty years against a hand-checked index, as they are and in every wrapping."""

import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pytest
import zstandard

from harness.logs.files import open_log
from harness.oomlog.located import ReportParts
from harness.oomlog.reading import Collected, Reader, collect
from harness.oomlog.scan import Chunk, read_chunk
from harness.oomlog.tasks import TaskTable

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
INDEX = {row["file"]: row for row in csv.DictReader((CORPUS / "INDEX.tsv").read_text().splitlines(), delimiter="\t")}
FILES = sorted(path for path in CORPUS.iterdir() if path.name.partition(".txt")[1])


def content(path):
    with open_log(str(path)) as log:
        return log.stream.read()


def numbers(text):
    return [] if text == "-" else [int(word) for word in text.split()]


def parse(data):
    return collect(io.BytesIO(data))


@pytest.mark.parametrize("name", INDEX)
def test_kills_and_reports_are_those_of_the_index(name):
    found = parse(content(find(name)))
    row = INDEX[name]
    # a victim printed twice for one group kill is one kill
    expected = list(dict.fromkeys(numbers(row["victims_in_order"])))
    assert [kill.killed.pid for kill in found.kills] == expected
    assert [release.reaped.pid for release in found.releases] == numbers(row["reaped_in_order"])
    assert len(found.reports) == int(row["n_invoked"])
    assert sum(report.tasks is not None for report in found.reports) == int(row["n_task_tables"])
    assert sum(report.has_summary for report in found.reports) == int(row["n_oomkill_lines"])
    assert sum(other.kind == "skipped" for other in found.others) == int(row["n_skip_exiting"])


def test_a_file_of_three_excerpts_has_a_kill_from_each():
    found = parse(content(CORPUS / "12-4.18+3.10el7-memcgv1-mixed.txt"))
    assert [(kill.killed.pid, kill.report.index, kill.domain) for kill in found.kills] == [
        (2746, 0, "/leaker"),
        (2746, 1, "/leaker"),
        (3206, 2, "/leaker"),
    ]


def find(name):
    return next(path for path in FILES if path.name.startswith(name))


def only(name):
    found = parse(content(find(name)))
    return found, found.kills[0], found.reports[0]


def test_a_sacrificed_shmem_field_of_rhel_7():
    _, kill, report = only("04-")
    assert (kill.killed.total_vm_kb, kill.killed.anon_rss_kb, kill.killed.shmem_rss_kb) == (33914892, 20629004, 0)
    assert (kill.domain, kill.domain_source, report.kernel) == ("global", "known", "3.10.0-514.6.1.el7.x86_64")
    assert [zone.name for zone, _ in report.zones] == ["DMA", "DMA32", "Normal", "Normal"]
    assert report.tasks.row_count == 85


def test_sizes_are_in_pages_of_the_kernel():
    _, _, report = only("36-")
    assert report.page_kb == 64


def test_a_table_with_a_foreign_line_is_whole():
    found, _, report = only("24-")
    assert (report.tasks.row_count, report.tasks.damaged, report.tasks.foreign) == (61, 0, 1)
    assert found.reports[1].outcome == "panic"
    assert found.reports[1].header.gfp_mask == 0
    assert (report.margin_kb, found.reports[1].domain) == (20, "global")


def test_a_group_kill_is_one_decision_and_pasted_lines_count_once():
    found, kill, report = only("33-")
    assert {kill.decision for kill in found.kills} == {0}
    assert kill.group == "/build-kernel-tmpfs" == report.oom_memcg
    assert found.missing.duplicate_lines == 3  # the head of the group, and two kills
    assert report.tasks.row_count == 153
    assert all(kill.killed.is_complete for kill in found.kills)


def test_lines_wrapped_within_words_are_put_together():
    _, kill, report = only("38-")
    assert (report.oom_memcg, report.task_memcg, kill.killed.anon_rss_kb) == ("/test512mb", "/test512mb", 522880)
    assert report.tasks.comms() == ["stress", "stress"]
    assert report.tasks.columns[-1] == "oom_score_adj"


def test_a_storm_of_twenty_reports():
    found = parse(content(find("03-")))
    assert sum(report.tasks.row_count for report in found.reports if report.tasks) > 15000
    assert found.missing.dropped_by_syslog == 3382
    assert all(kill.domain == "global" for kill in found.kills)


def test_reaped_victims_whose_kill_is_not_there_are_known_to_be_missing():
    found, _, _ = only("20-")
    assert found.missing.releases_without_kill == 5
    assert [release.kill for release in found.releases] == [None] * 5


def test_localised_dates():
    _, kill, report = only("25-")
    assert kill.location.clock == "wall"
    assert kill.location.wall_s == report.location.wall_s == 1754970843.0


# The same report in every wrapping: what is found must not depend on it.
SAMPLES = ["16-", "24-", "26-", "29-", "32-"]


def bare_lines(name):
    """Lines of a report without their prefix, those of other programs left out."""
    from harness.oomlog.prefix import peel

    return [peel(line).text for line in content(find(name)).decode().splitlines() if line.strip()]


def brief(found: Collected):
    return (
        [(k.killed, k.decision, k.report.index if k.report else None, k.domain, k.task_memcg) for k in found.kills],
        [
            (r.domain, r.margin_kb, r.header, r.tasks and r.tasks.values.tolist(), r.stats.get("anon"))
            for r in found.reports
        ],
        [(r.reaped, r.kill) for r in found.releases],
    )


def journald(lines):
    for n, line in enumerate(lines):
        yield json.dumps(
            {
                "_TRANSPORT": "kernel",
                "SYSLOG_FACILITY": "0",
                "_BOOT_ID": "a" * 32,
                "__REALTIME_TIMESTAMP": str(1700000000000000 + n * 50),
                "_SOURCE_MONOTONIC_TIMESTAMP": str(100000000 + n * 50),
                "_HOSTNAME": "node1",
                "MESSAGE": line,
            }
        )


def kmsg(lines):
    for n, line in enumerate(lines):
        yield f"4,{n},{100000000 + n * 50},-,caller=T77;{line}"
        if n % 3 == 0:
            yield " SUBSYSTEM=none"


WRAPPINGS = {
    "bare": lambda ls: ls,
    "uptime": lambda ls: [f"[  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "caller": lambda ls: [f"[  100.{n:06d}][ T1234] {line}" for n, line in enumerate(ls)],
    "dmesg -T": lambda ls: [f"[Tue Nov 14 22:13:20 2023] {line}" for line in ls],
    "dmesg -T de": lambda ls: [f"[Di Mär 14 22:13:20 2023] {line}" for line in ls],
    "dmesg -T ja": lambda ls: [f"[火 3月 14 22:13:20 2023] {line}" for line in ls],
    "dmesg -x": lambda ls: [f"kern  :warn  : [  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "dmesg -r": lambda ls: [f"<4>[  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "dmesg -d": lambda ls: [f"[  100.{n:06d} <    0.000001>] {line}" for n, line in enumerate(ls)],
    "dmesg iso": lambda ls: [f"2023-11-14T22:13:20,{n:06d}+00:00 {line}" for n, line in enumerate(ls)],
    "dmesg colour": lambda ls: [f"\x1b[32m[  100.{n:06d}] \x1b[0m{line}" for n, line in enumerate(ls)],
    "syslog": lambda ls: [f"Nov  4 22:13:20 node1 kernel: {line}" for line in ls],
    "syslog uptime": lambda ls: [f"Nov 14 22:13:20 node1 kernel: [  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "busybox": lambda ls: [f"Nov 14 22:13:20 node1 kern.warn kernel: [  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "rsyslog iso": lambda ls: [f"2023-11-14T22:13:20.{n:06d}+01:00 node1 kernel: [  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "iso pri": lambda ls: [f"2023-11-14T22:13:20.{n:06d}+01:00 node1 kernel: <4>[  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "rfc 5424": lambda ls: [f'<4>1 2023-11-14T22:13:20.{n:06d}Z node1 kernel - - [x@1 a="b]"] {line}' for n, line in enumerate(ls)],
    "journalctl short": lambda ls: [f"Nov 14 22:13:20 node1 kernel: {line}" for line in ls],
    "short-iso": lambda ls: [f"2023-11-14T22:13:20+0000 node1 kernel: {line}" for line in ls],
    "short-precise": lambda ls: [f"Nov 14 22:13:20.123456 node1 kernel: {line}" for line in ls],
    "short-monotonic": lambda ls: [f"[  100.{n:06d}] node1 kernel: {line}" for n, line in enumerate(ls)],
    "short-unix": lambda ls: [f"1700000000.{n:06d} node1 kernel: {line}" for n, line in enumerate(ls)],
    "short-full": lambda ls: [f"Tue 2023-11-14 22:13:20 UTC node1 kernel: {line}" for line in ls],
    "journald json": journald,
    "kmsg": kmsg,
    "docker json": lambda ls: [json.dumps({"log": f"[  100.{n:06d}] {line}\n", "stream": "stdout", "time": "2023-11-14T22:13:20.123456789Z"}) for n, line in enumerate(ls)],
    "cri": lambda ls: [f"2023-11-14T22:13:20.123456789Z stdout F [  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "quoted mail": lambda ls: [f"> > [  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "quoted mail wrapped before the mask": lambda ls: [f"> > {part}" for n, line in enumerate(ls) for part in f"[  100.{n:06d}] {line}".replace("oom-killer: ", "oom-killer:\n").split("\n")],
    "tab in the stamp": lambda ls: [f"[\t100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "tab behind the stamp": lambda ls: [f"[  100.{n:06d}]\t{line}" for n, line in enumerate(ls)],
    "tabs with a caller": lambda ls: [f"[\t100.{n:06d}][\tT1234]\t{line}" for n, line in enumerate(ls)],
    "tabs in quoted mail": lambda ls: [f"> > [\t100.{n:06d}]\t{line}" for n, line in enumerate(ls)],
    "tabs in syslog": lambda ls: [f"Nov 14 22:13:20 node1 kernel:\t[\t100.{n:06d}]\t{line}" for n, line in enumerate(ls)],
    "tab behind dmesg -T": lambda ls: [f"[Tue Nov 14 22:13:20 2023]\t{line}" for line in ls],
    "indented": lambda ls: [f"    [  100.{n:06d}] {line}" for n, line in enumerate(ls)],
    "indented bare": lambda ls: [f"\t{line}" for line in ls],
    "grep": lambda ls: [f"/var/log/messages-2023:{n + 1}:Nov 14 22:13:20 node1 kernel: {line}" for n, line in enumerate(ls)],
    "crlf": lambda ls: [f"[  100.{n:06d}] {line}\r" for n, line in enumerate(ls)],
}  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_what_is_found_does_not_depend_on_the_wrapping(sample, wrapping):
    lines = bare_lines(sample)
    expected = brief(parse("\n".join(lines).encode() + b"\n"))
    assert expected[0]
    wrapped = "\n".join(WRAPPINGS[wrapping](lines)) + "\n"
    assert brief(parse(wrapped.encode())) == expected


def test_records_of_many_lines():
    """The statistics are one record to 6.1: its newlines are kept, escaped, or written as #012."""
    lines = [
        "big invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        "memory: usage 10kB, limit 10kB, failcnt 3",
    ]
    for joint, wrap in (
        ("\\x0a", lambda n, text: f"4,{n},{100 + n},-;{text}"),
        ("#012", lambda _n, text: f"Nov 14 22:13:20 node1 kernel: {text}"),
        ("\n", lambda _n, text: json.dumps({"MESSAGE": text, "_TRANSPORT": "kernel"})),
        ("\n", lambda n, text: f"[    1.{n:06d}] {text}"),
    ):
        stats = joint.join(["anon 4096", "file 8192", "kernel_stack 12"])
        records = [*lines, "Memory cgroup stats for /m:", stats, "Tasks state (memory values in pages):"]
        (report,) = parse("\n".join(wrap(n, text) for n, text in enumerate(records)).encode()).reports
        assert report.stats == {"anon": 4096, "file": 8192, "kernel_stack": 12}


@pytest.mark.parametrize(
    "pack", [gzip.compress, lzma.compress, zstandard.compress, bytes], ids=["gz", "xz", "zst", "plain"]
)
def test_compressed_logs(tmp_path, pack):
    data = content(find("26-"))
    (tmp_path / "log").write_bytes(pack(data))
    with open_log(str(tmp_path / "log")) as log:
        assert brief(collect(log.stream)) == brief(parse(data))


def records(data, in_bulk):
    """What is read of a chunk, tables as lists."""
    for found in read_chunk(Chunk(data, len(data), 0, 1), in_bulk):
        for record in found.record.records if isinstance(found.record, ReportParts) else [found.record]:
            if isinstance(record, TaskTable):
                yield record.columns, record.values.tolist(), record.names, list(record.lines), record.foreign
            else:
                yield record


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_reading_in_bulk_and_line_by_line_agree(path):
    data = content(path)
    assert list(records(data, in_bulk=True)) == list(records(data, in_bulk=False))


@pytest.mark.parametrize("chunk_bytes", [9000, 20_000, 100_000])
def test_where_a_log_is_cut_into_chunks_does_not_matter(chunk_bytes, monkeypatch):
    data = b"".join(content(path) for path in FILES)
    whole = brief(parse(data))
    from harness.oomlog import reading

    monkeypatch.setattr(reading, "split_chunks", lambda stream: split(stream, chunk_bytes))
    from harness.oomlog.chunks import split_chunks as split

    reader = Reader()
    cut = Collected(reader.read(io.BytesIO(data)), reader)
    assert brief(cut) == whole
    lines = data.count(b"\n")
    assert reader.lines in (lines, lines + 1)
    expected = {kill.location.line for kill in parse(data).kills}
    assert {kill.location.line for kill in cut.kills} == expected


def test_line_numbers_and_offsets_are_those_of_the_file():
    data = content(find("07-"))
    lines = data.split(b"\n")
    for kill in parse(data).kills:
        assert b"Killed process" in lines[kill.location.line - 1]
        assert data[kill.location.offset :].startswith(lines[kill.location.line - 1])
