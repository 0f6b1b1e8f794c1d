"""Kernel log records and OOM lines, the hostile ones included."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.oomlog.kmsg import lost_records, parse_kmsg, parse_kmsg_record
from harness.oomlog.lines import parse_invoked, parse_killed, parse_reaped, parse_summary, parse_usage
from harness.oomlog.report import read_oom_records

KILLED = "Memory cgroup out of memory: Killed process {pid} ({comm}) total-vm:1kB, anon-rss:2kB, file-rss:3kB, shmem-rss:4kB, UID:5 pgtables:6kB oom_score_adj:500"


def record(sequence, text, level=3, caller="T7"):
    return f"{level},{sequence},{sequence * 10},-,caller={caller};{text}"


def test_a_record_of_dev_kmsg():
    found = parse_kmsg_record(r"11,42,1234,-,caller=C1;a\x0ab\x5cx")
    assert (found.priority, found.facility, found.sequence, found.time_us, found.caller) == (3, 1, 42, 1234, "C1")
    assert found.text == "a\nb\\x"
    assert not found.is_kernel
    assert parse_kmsg_record("no record") is None


def test_names_beyond_ascii_survive_and_bytes_that_are_no_text_stay_escaped():
    assert parse_kmsg_record(r"3,1,1,-;\xc3\xa4 \xff").text == "ä \\xff"


def test_lost_records_are_the_gaps_of_the_sequence():
    records = list(parse_kmsg([record(1, "a"), record(2, "b"), " KEY=value", record(5, "c")]))
    assert lost_records(records) == 2


@pytest.mark.parametrize("comm", ["bash", "a) (b", "Killed process 1 (x)", "x (y) total-vm:9kB", "ä\nb", ")", "531"])
def test_a_process_may_be_called_anything(comm):
    assert (
        parse_killed(KILLED.format(pid=12, comm=comm)).pid,
        parse_killed(KILLED.format(pid=12, comm=comm)).comm,
    ) == (12, comm)
    assert (
        parse_invoked(f"{comm[:16]} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=500").comm
        == comm[:16]
    )
    assert (
        parse_reaped(f"oom_reaper: reaped process 12 ({comm}), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB").comm
        == comm
    )


def test_the_summary_line_with_and_without_a_domain():
    found = parse_summary(
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/docker/a,task_memcg=/docker/a/b,task=big,pid=321,uid=0"
    )
    assert (found.oom_memcg, found.task_memcg, found.task, found.pid) == ("/docker/a", "/docker/a/b", "big", 321)
    found = parse_summary(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/x,task=a,pid=1,uid=2"
    )
    assert (found.oom_memcg, found.task_memcg) == (None, "/x")


def test_usage_gives_the_margin():
    usage = parse_usage("memory: usage 51200kB, limit 52200kB, failcnt 237")
    assert (usage.usage_kb, usage.limit_kb, usage.failcnt) == (51200, 52200, 237)


REPORT = [
    "big invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=500",
    "memory: usage 1000kB, limit 1024kB, failcnt 3",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/m,task_memcg=/m,task=big,pid=12,uid=0",
    KILLED.format(pid=12, comm="big"),
]


def test_a_report_and_its_kill_belong_together_even_when_interleaved():
    other = [line.replace("pid=12", "pid=13").replace("process 12", "process 13") for line in REPORT]
    lines = []
    for number, (a, b) in enumerate(zip(REPORT, other, strict=True)):
        lines += [record(2 * number, a, caller="T7"), record(2 * number + 1, b, caller="T8")]
    found = read_oom_records(parse_kmsg(lines))
    assert [(kill.killed.pid, kill.report) for kill in found.kills] == [(12, 0), (13, 1)]
    assert [(report.margin_kb, report.is_complete) for report in found.reports] == [(24, True), (24, True)]


def test_a_kill_without_its_report_is_a_kill():
    lines = [record(n, KILLED.format(pid=n, comm="x")) for n in range(1, 14)] + [
        record(20, "oom_kill_process: 4 callbacks suppressed")
    ]
    found = read_oom_records(parse_kmsg(lines))
    assert [kill.killed.pid for kill in found.kills] == list(range(1, 14))
    assert all(kill.report is None for kill in found.kills)
    assert found.suppressed_reports == 4


def test_a_report_of_another_victim_is_not_this_kills():
    lines = [record(n, line) for n, line in enumerate([*REPORT[:3], KILLED.format(pid=99, comm="y")])]
    assert read_oom_records(parse_kmsg(lines)).kills[0].report is None


def test_what_user_space_writes_never_counts():
    lines = [record(n, line, level=11) for n, line in enumerate(REPORT)]
    found = read_oom_records(parse_kmsg(lines))
    assert (found.kills, found.reports, found.forged) == ([], [], 1)


def test_an_escaped_newline_in_a_name_starts_no_new_record():
    line = record(1, KILLED.format(pid=12, comm=r"a\x0a3,2,20,-,caller=T7;" + "b"))
    assert len(read_oom_records(parse_kmsg([line])).kills) == 1


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n")), max_size=20))
@example([record(1, REPORT[0]), record(2, "oom-kill:constraint=,nodemask=")])
def test_no_text_makes_it_fail(lines):
    read_oom_records(parse_kmsg(lines))


def test_the_room_stands_alone():
    code = "import sys, harness.oomlog.report; print([m for m in ('pandas', 'docker', 'scipy', 'pyarrow') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
