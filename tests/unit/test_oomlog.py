"""Lines to records, and records to kills, reports and releases; the hostile ones included."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import asdict
from oomtext import Task, header, killed, reaped, report, stamped, summary

import harness
from harness.oomlog.domain import VictimMemcg, parse_stats_head, parse_summary, parse_usage, parse_victim_memcg
from harness.oomlog.header import CpuLine, parse_cpu_line, parse_header
from harness.oomlog.kill import parse_chosen_victim, parse_killed
from harness.oomlog.kmsg import lost_records, parse_kmsg, parse_kmsg_record
from harness.oomlog.losses import DroppedRecords, parse_dropped
from harness.oomlog.meminfo import Zone, parse_zone
from harness.oomlog.packing import Sequences, pack, unpack
from harness.oomlog.prefix import peel
from harness.oomlog.reading import collect, collect_kmsg
from harness.oomlog.release import parse_reaped
from harness.oomlog.scan import Chunk, read_chunk
from harness.oomlog.triggers import BARE_PART_PARSERS


def parse(lines):
    text = "\n".join(lines) + "\n"
    return collect(io.BytesIO(text.encode("utf-8", "surrogateescape")))


def pids(found):
    return [kill.killed.pid for kill in found.kills]


def record(sequence, text, level=3, caller="T7"):
    return f"{level},{sequence},{sequence * 10},-,caller={caller};{text}"


# Lines


def test_a_record_of_dev_kmsg():
    found = parse_kmsg_record(r"11,42,1234,-,caller=C1;a\x0ab\x5cx")
    assert (found.priority, found.facility, found.sequence, found.time_us, found.caller) == (3, 1, 42, 1234, "C1")
    assert found.text == "a\nb\\x"
    assert not found.is_kernel
    assert parse_kmsg_record("no record") is None


def test_bytes_that_are_no_text_survive():
    assert parse_kmsg_record(r"3,1,1,-;\xc3\xa4 \xff").text == "ä \udcff"
    found = parse([killed(12, "\udcff\udcfe(")])
    assert found.kills[0].killed.comm.encode("utf-8", "surrogateescape") == b"\xff\xfe("


def test_lost_records_are_the_gaps_of_the_sequence():
    lines = [record(1, "a"), record(2, "b"), " KEY=value", record(5, "c")]
    assert lost_records(list(parse_kmsg(lines))) == 2
    assert parse([*lines, record(9, killed(1))]).missing.sequence_gaps == 2 + 3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("oom-killer: gfp_mask=0xd2", (None, 0xD2, None, None, True)),
        ("oom-killer: gfp_mask=0x201d2, order=0", (None, 0x201D2, 0, None, True)),
        ("dd invoked oom-killer: gfp_mask=0x201d2, order=0, oomkilladj=0", ("dd", 0x201D2, 0, None, True)),
        ("dd invoked oom-killer: gfp_mask=0x201da, order=0, oom_adj=-17", ("dd", 0x201DA, 0, None, True)),
        ("dd invoked oom-killer: gfp_mask=0x201da, order=0, oom_adj=0, oom_score_adj=5", ("dd", 0x201DA, 0, 5, True)),
        ("dd invoked oom-killer: gfp_mask=0x24000c0(GFP_KERNEL), order=2, oom_score_adj=-999", ("dd", 0x24000C0, 2, -999, True)),
        ("a b invoked oom-killer: gfp_mask=0x6200ca(GFP_HIGHUSER), nodemask=(null), order=0, oom_score_adj=0", ("a b", 0x6200CA, 0, 0, True)),
        ("a invoked oom-killer: gfp_mask=0x14000c0(GFP_KERNEL), nodemask=0-1,  order=-1, oom_score_adj=0", ("a", 0x14000C0, -1, 0, True)),
        ("a invoked oom-killer: gfp_mask=0x0(), order=0, oom_score_adj=1000", ("a", 0, 0, 1000, True)),
        ("a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL)", ("a", 0xCC0, None, None, False)),
        ("a invoked oom-killer: gfp_mask=", ("a", None, None, None, False)),
    ],
)  # fmt: skip
def test_headers_of_all_kernels(line, expected):
    found = parse_header(line)
    assert (found.comm, found.gfp_mask, found.order, found.oom_score_adj, found.is_complete) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Out of Memory: Killed process 12 (dd).", (12, "dd", None, None, None, True)),
        ("Killed process 12 (dd)", (12, "dd", None, None, None, True)),
        ("Killed process 12 (dd) vsz:10kB, anon-rss:9kB, file-rss:8kB", (12, "dd", 10, None, None, True)),
        ("Killed process 12 (dd) total-vm:10kB, anon-rss:9kB, file-rss:8kB", (12, "dd", 10, None, None, True)),
        ("Killed process 12 (dd) total-vm:10kB, anon-rss:9kB, file-rss:8kB, shmem-rss:7kB", (12, "dd", 10, 7, None, True)),
        ("Killed process 12, UID 48, (dd) total-vm:10kB, anon-rss:9kB, file-rss:8kB", (12, "dd", 10, None, 48, True)),
        ("Killed process 12 (dd), UID 48, total-vm:10kB, anon-rss:9kB, file-rss:8kB, shmem-rss:7kB", (12, "dd", 10, 7, 48, True)),
        ("Out of memory: Killed process 12 (dd) total-vm:10kB, anon-rss:9kB, file-rss:8kB, shmem-rss:7kB", (12, "dd", 10, 7, None, True)),
        (killed(12, "dd", vm=10), (12, "dd", 10, 0, 0, True)),
        (killed(12, "dd", vm=10)[:-20], (12, "dd", 10, 0, None, False)),
        (killed(12, "dd", vm=10).partition("kB")[0], (12, "dd", None, None, None, False)),
        (killed(12, "dd", vm=10).partition("dd")[0], (12, None, None, None, None, False)),
        (killed(12, "dd", vm=10).partition("12")[0] + "1", None),
        ("oomtest: Killed process 12 (dd) total-vm:10kB, anon-rss:9kB, file-rss:8kB", None),
    ],
)  # fmt: skip
def test_kills_of_all_kernels(line, expected):
    found = parse_killed(line)
    if expected is None:
        assert found is None
    else:
        assert (found.pid, found.comm, found.total_vm_kb, found.shmem_rss_kb, found.uid, found.is_complete) == expected


def test_a_cut_line_never_makes_up_a_number():
    whole = killed(1234, "dd", vm=56789, anon=4321)
    truth = parse_killed(whole)
    for length in range(len(whole)):
        found = parse_killed(whole[:length])
        if found is not None:
            assert found.pid == 1234
            for field, value in asdict(found).items():
                assert value in (None, False, getattr(truth, field)), (length, field)


def test_old_choices():
    for line in (
        "Out of Memory: Kill process 7 (a) score 12 and children.",
        "Out of memory: kill process 7 (a) score 12 or a child",
        "Memory cgroup out of memory: Kill process 7 (a) score 12 or sacrifice child",
    ):
        assert parse_chosen_victim(line).pid == 7


def test_other_parts_of_a_report():
    assert parse_usage("memory: usage 51200kB, limit 52200kB, failcnt 237").usage_kb == 51200
    assert parse_usage("memory+swap: usage 0kB, limit 9007199254740988kB, failcnt 0").counter == "memory+swap"
    assert parse_victim_memcg("Task in /a b killed as a result of limit of /a") == VictimMemcg("/a b", "/a")
    assert parse_stats_head("Memory cgroup stats for /a: cache:0KB rss:12KB").values == {"cache": 0, "rss": 12288}
    zone = parse_zone("Node 0 DMA32 free:5kB boost:9kB min:1kB low:2kB high:3kB reserved")
    assert zone == Zone(0, "DMA32", 5, 1, 2, 3)
    assert parse_zone("DMA free:5kB min:1kB low:2kB high:3kB").node is None
    assert parse_reaped("oom_reaper: unable to reap pid:12 (a)").kind == "unable"
    assert parse_dropped("systemd-journald[1]: Missed 12 kernel messages") == DroppedRecords(12, "journald")
    found = parse_cpu_line(
        "CPU: 1 UID: 0 PID: 7 Comm: a b Kdump: loaded Tainted: G S  OE  6.12.0-211.el10 #1 VOLUNTARY"
    )
    assert found == CpuLine(7, "a b", "6.12.0-211.el10")


def test_the_summary_line_with_and_without_a_domain():
    found = parse_summary(summary(321, "/docker/a", "/docker/a/b", "big"))
    assert (found.oom_memcg, found.task_memcg, found.comm, found.pid) == ("/docker/a", "/docker/a/b", "big", 321)
    found = parse_summary(summary(1, None))
    assert (found.oom_memcg, found.is_global, found.task_memcg) == (None, True, "/x")
    cut = parse_summary(summary(321, "/docker/a", "/docker/a/b", "big")[:-5])
    assert (cut.oom_memcg, cut.pid, cut.is_complete) == ("/docker/a", None, False)


# Hostile names

NAMES = ["bash", "a) (b", "Killed process 1 (x)", "x (y) total-vm:9kB", "ä", ")", "531", "", " ", "\x1b[31mred",
         "(b) [c] d", "oom_reaper: ", "Out of memory: Killed process 1 (x)", "a invoked oom-killer: gfp_mask=0x1, order=0", ",pid=1,uid=0"]  # fmt: skip


@pytest.mark.parametrize("comm", NAMES)
def test_a_process_may_be_called_anything(comm):
    lines = [*report(12, tasks=[Task(12, comm)], comm=comm, invoker=comm), killed(12, comm), reaped(12, comm)]
    found = parse(stamped(lines))
    assert [(kill.killed.pid, kill.killed.comm, kill.report.index) for kill in found.kills] == [(12, comm, 0)]
    assert found.reports[0].header.comm == comm
    assert (found.reports[0].chosen_pid, found.reports[0].chosen_comm) == (12, comm)
    assert found.reports[0].tasks.comms() == [comm]
    assert [release.kill for release in found.releases] == [0]


@pytest.mark.parametrize("comm", NAMES)
def test_the_same_in_dev_kmsg(comm):
    escaped = comm.replace("\\", r"\x5c").replace("\x1b", r"\x1b")
    lines = [*report(12, tasks=[Task(12, escaped)], comm=escaped, invoker=escaped), killed(12, escaped)]
    found = parse([record(n, line) for n, line in enumerate(lines)])
    assert [(kill.killed.pid, kill.killed.comm) for kill in found.kills] == [(12, comm)]


@pytest.mark.parametrize(
    "comm",
    ["a\nKilled process 1 (x)", "\nOut of memory: Killed process 1 (x) total-vm:1kB", "\n\n", "x\n[ 1.0] Out of"],
)
def test_a_newline_in_a_name_starts_no_new_kill(comm):
    line = killed(12, comm.replace("\n", r"\x0a"))
    assert [(k.killed.pid, k.killed.comm) for k in parse([record(1, line)]).kills] == [(12, comm)]
    journal = json.dumps({"_TRANSPORT": "kernel", "MESSAGE": killed(12, comm)})
    assert [(k.killed.pid, k.killed.comm) for k in parse([journal]).kills] == [(12, comm)]
    assert set(pids(parse(stamped([killed(12, comm)])))) == {12}


def test_what_user_space_writes_never_counts():
    lines = [*report(12), killed(12)]
    for wrap in (
        lambda n, line: record(n, line, level=11),
        lambda n, line: f"<13>[  100.{n:06d}] {line}",
        lambda n, line: f"user  :notice: [  100.{n:06d}] {line}",
        lambda _, line: f"Nov 23 08:00:00 host app[12]: {line}",
        lambda n, line: f"Nov 23 08:00:00 host app[12]:\t[\t100.{n:06d}]\t{line}",
        lambda n, line: f"<13>[\t100.{n:06d}]\t{line}",
        lambda _, line: json.dumps({"_TRANSPORT": "syslog", "MESSAGE": line}),
        lambda _, line: json.dumps({"_TRANSPORT": "kernel", "SYSLOG_FACILITY": "1", "MESSAGE": line}),
    ):
        found = parse([wrap(n, line) for n, line in enumerate(lines)])
        assert (found.kills, found.reports, found.missing.forged_kills) == ([], [], 1)


# Reports and kills


def test_a_report_and_its_kill_belong_together():
    found = parse(stamped([*report(12, margin=24), killed(12)]))
    (kill,) = found.kills
    assert kill.report is found.reports[0]
    assert (kill.report.margin_kb, kill.report.in_flight_kb, kill.report.is_complete) == (24, 0, True)
    assert (kill.domain, kill.domain_source, kill.task_memcg) == ("/m", "known", "/m")
    assert (kill.report.tasks.row_count, kill.report.page_kb) == (1, 4)


def test_interleaved_reports_are_told_apart_by_their_callers():
    first, second = [*report(12, "/a"), killed(12)], [*report(13, "/b"), killed(13)]
    lines = []
    for n, (a, b) in enumerate(zip(first, second, strict=True)):
        lines += [record(2 * n, a, caller="T7"), record(2 * n + 1, b, caller="T8")]
    found = parse(lines)
    assert [(k.killed.pid, k.report.index, k.domain, k.report.tasks.row_count) for k in found.kills] == [
        (12, 0, "/a", 1),
        (13, 1, "/b", 1),
    ]
    assert all(r.is_complete for r in found.reports)


def test_a_kill_without_its_report_is_a_kill():
    lines = stamped([*(killed(n) for n in range(1, 14)), "oom_kill_process: 4 callbacks suppressed"])
    found = parse(lines)
    assert pids(found) == list(range(1, 14))
    assert len({kill.decision for kill in found.kills}) == 13
    assert found.missing.suppressed_reports == 4
    assert found.missing.kills_without_report == 13


def test_a_log_that_begins_within_a_report_still_has_the_domain_of_its_kill():
    line = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=x,pid={},uid=0"
    kill = "Memory cgroup out of memory: Killed process 7 (x) total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
    (own,) = parse([f"[    1.000000] {line.format(7)}", f"[    1.000001] {kill}"]).kills
    assert (own.oom_memcg, own.domain_source, own.task_memcg) == ("/a", "known", "/a/b")
    assert own.report.missing_parts == ("header", "usage", "tasks")
    (other,) = parse([f"[    1.000000] {line.format(8)}", f"[    1.000001] {kill}"]).kills
    assert (other.oom_memcg, other.domain_source) == (None, "unknown")


@pytest.mark.parametrize(
    "prefix",
    [
        "Jun\xa0 2 10:24:51 host kernel: [  100.000000] ",
        "[\xa0 100.000000] ",
        "&gt; [  100.000000] ",
        "&gt; &gt; [  100.000000] ",
        "\x1b[32m> [  100.000000] ",
        "[\t100.000000] ",
        "[  100.000000]\t",
        "<4>[\t100.000000]\t",
        "host kernel:\t[  100.000000]\t".join(["Jun  2 10:24:51 ", ""]),
    ],
)
def test_what_mailers_and_pages_make_of_a_prefix(prefix):
    kill = "Out of memory: Killed process 7 (a\xa0 b) total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
    (found,) = parse([prefix + kill]).kills
    assert (found.killed.pid, found.killed.comm, found.location.uptime_s) == (7, "a\xa0 b", 100.0)


@pytest.mark.parametrize("quote", ["", "> ", "> > ", "\t"])
@pytest.mark.parametrize("stamp", ["", "[  100.000001] ", "[\t100.000001]\t"])
def test_a_header_that_a_mailer_wrapped_before_its_mask(quote, stamp):
    begun, rest = header().split(" gfp_mask")
    lines = [f"{stamp}{begun}", f"gfp_mask{rest}", *(f"{stamp}{line}" for line in [*report(12)[1:], killed(12)])]
    (kill,) = parse([quote + line for line in lines]).kills
    assert (kill.report.header, kill.domain, kill.report.is_complete) == (parse_header(header()), "/m", True)


@pytest.mark.parametrize("stamp", ["", "[    1.000000] "])
def test_what_ends_like_a_header_is_none_without_its_mask(stamp):
    texts = ["Today it invoked oom-killer:", "a second time", "x invoked oom-killer:", header()]
    assert [report.header.comm for report in parse([stamp + text for text in texts]).reports] == ["hog"]


def test_a_report_of_another_victim_is_not_this_kills():
    far = stamped(["noise"] * 10)
    assert parse([*report(12), *far, killed(99)]).kills[0].report is None
    assert parse([header(), summary(12, None), killed(12)]).kills[0].report is None  # a global report, a memcg's kill


def test_the_main_thread_may_have_another_pid():
    found = parse([*report(12), killed(15)])
    assert (found.kills[0].report.index, found.kills[0].chosen_pid) == (0, 12)


def test_a_child_may_be_sacrificed():
    found = parse(
        [
            "Out of memory: Kill process 7 (a) score 12 or sacrifice child",
            "Killed process 9 (b) total-vm:1kB, anon-rss:1kB, file-rss:1kB",
        ]
    )
    assert (pids(found), found.kills[0].chosen_pid, found.kills[0].domain) == ([9], 7, "global")


def test_processes_that_share_the_memory_are_kept_apart():
    found = parse(
        ["Killed process 9 (b) total-vm:1kB, anon-rss:1kB, file-rss:1kB", "Kill process 10 (b) sharing same memory"]
    )
    assert (pids(found), found.kills[0].sharing_pids) == ([9], [10])


def test_parts_that_the_kernel_prints_in_pieces_are_put_together():
    """pr_cont: a record of another CPU in between parts them for good."""
    whole = summary(12)
    lines = [*report(12)[:-1], whole[:60], "noise", whole[60:], killed(12)]
    lines.insert(lines.index("Memory cgroup stats for /m:") + 1, "other noise")
    lines[lines.index("Memory cgroup stats for /m:")] = "Memory cgroup stats for "
    lines[lines.index("other noise") + 1 : lines.index("other noise") + 1] = ["/m:"]
    found = parse([record(n, line, caller="T9" if "noise" in line else "T7") for n, line in enumerate(lines)])
    assert (found.reports[0].oom_memcg, found.reports[0].chosen_pid) == ("/m", 12)
    assert found.reports[0].stats["anon"] == 250 * 4096
    group = [
        killed(12),
        "Tasks in /m",
        "noise",
        " are going to be killed due to memory.oom.group set",
        killed(12),
        killed(13),
    ]
    found = parse([record(n, line, caller="T9" if "noise" in line else "T7") for n, line in enumerate(group)])
    assert [(k.killed.pid, k.decision, k.group) for k in found.kills] == [(12, 0, "/m"), (13, 0, "/m")]


# Groups


def group(memcg, chosen, *members):
    return [
        killed(chosen),
        f"Tasks in {memcg} are going to be killed due to memory.oom.group set",
        *map(killed, members),
    ]


def test_a_group_kill_is_one_decision_and_its_chosen_victim_one_kill():
    found = parse(stamped([*report(12), *group("/m", 12, 12, 13, 14)]))
    assert [(k.killed.pid, k.decision, k.report.index, k.chosen_pid) for k in found.kills] == [
        (12, 0, 0, 12),
        (13, 0, 0, 12),
        (14, 0, 0, 12),
    ]
    assert found.kills[0].reprints == 1
    assert [k.overlap_estimated for k in found.kills] == [False] * 3


def test_groups_without_reports_are_parted_by_their_heads():
    found = parse(stamped([*group("/a", 1, 1, 2), *group("/b", 5, 6, 5), *group("/a", 8, 8, 9)]))
    assert [(k.killed.pid, k.decision, k.group) for k in found.kills] == [
        (1, 0, "/a"), (2, 0, "/a"), (5, 1, "/b"), (6, 1, "/b"), (8, 2, "/a"), (9, 2, "/a")]  # fmt: skip
    assert found.missing.kills_without_report == 6


def test_a_group_whose_chosen_victim_was_gone():
    skip = "Memory cgroup out of memory: OOM victim 12 (hog) is already exiting. Skip killing the task"
    found = parse(stamped([*report(12), skip, *group("/m", 12, 13, 14)[1:]]))
    assert [(k.killed.pid, k.decision) for k in found.kills] == [(13, 0), (14, 0)]
    assert [other.kind for other in found.others] == ["skipped"]


# Boots, duplicates, pid reuse


def test_time_that_goes_back_is_another_boot():
    found = parse([*stamped([*report(12), killed(12)], 500), *stamped([*report(12), killed(12)], 20)])
    assert [(k.killed.pid, k.boot) for k in found.kills] == [(12, 1), (12, 2)]
    assert [k.overlap_evidence for k in found.kills] == ["no kill before it"] * 2


def test_the_kernels_first_line_and_journalctls_mark_begin_a_boot():
    first = ["Linux version 6.1.0 (gcc) #1", *stamped([killed(12)], 5)]
    assert [k.boot for k in parse([*first, *first]).kills] == [1, 2]
    assert [k.boot for k in parse([*first[1:], "-- Reboot --", *stamped([killed(13)], 50)]).kills] == [1, 2]


def test_hosts_have_boots_of_their_own():
    lines = []
    for n in range(3):
        lines += [
            f"Nov 23 08:00:0{n} a kernel: [  100.{n:06d}] {killed(10 + n)}",
            f"Nov 23 08:00:0{n} b kernel: [    7.{n:06d}] {killed(20 + n)}",
        ]
    found = parse(lines)
    assert [(k.killed.pid, k.boot) for k in found.kills] == [(10, 1), (20, 2), (11, 1), (21, 2), (12, 1), (22, 2)]


def test_what_was_pasted_twice_counts_once():
    lines = stamped([*report(12), killed(12), reaped(12)])
    found = parse([*lines, "and again:", *lines])
    assert (len(found.reports), pids(found), len(found.releases)) == (1, [12], 1)
    assert found.missing.duplicate_lines == 3


def test_the_same_kill_twice_without_a_stamp_is_two():
    assert pids(parse([killed(12), killed(12)])) == [12, 12]


def test_a_pid_that_comes_again_gets_its_own_release():
    found = parse(stamped([killed(12), reaped(12), killed(12, anon=77), reaped(12)], step=1.0))
    assert [release.kill for release in found.releases] == [0, 1]


def test_a_glued_line_is_read_and_its_loss_counted():
    found = parse([f"[  100.000000] ** 37 printk messages dropped ** {killed(12)}"])
    assert (pids(found), found.missing.dropped_records) == ([12], 37)


# Domains


def test_a_suppressed_kills_domain_is_inferred_from_a_table_or_left_open():
    tasks = [Task(12), Task(13), Task(14)]
    found = parse(
        stamped(
            [
                *report(12, "/a", tasks=tasks),
                killed(12),
                killed(13),
                *report(30, "/b"),
                killed(30),
                killed(14),
                killed(99),
            ]
        )
    )
    assert [(k.domain, k.domain_source) for k in found.kills] == [
        ("/a", "known"), ("/a", "inferred: task table of report 0"), ("/b", "known"),
        ("/a", "inferred: task table of report 0"), (None, "unknown")]  # fmt: skip


def test_nested_memcgs_leave_the_domain_open():
    tasks = [Task(12), Task(13)]
    found = parse(stamped([*report(12, "/a/b", tasks=tasks), killed(12), *report(30, "/a"), killed(30), killed(13)]))
    assert found.kills[2].domain is None


def test_a_global_kill_says_so_itself():
    found = parse([killed(12, message="Out of memory")])
    assert (found.kills[0].domain, found.kills[0].oom_memcg, found.kills[0].domain_source) == ("global", None, "known")


# The estimate


def judged(lines, **options):
    kill = parse(stamped(lines, **options)).kills[-1]
    return kill.overlap_estimated, kill.overlap_evidence.partition(":")[0]


FIRST = [*report(12), killed(12, anon=20000)]


def test_room_after_a_kill_is_overlap():
    assert judged([*FIRST, *report(13, margin=19000), killed(13)]) == (True, "room")


def test_room_without_an_earlier_victim_proves_nothing():
    assert judged([*report(13, margin=19000), killed(13)]) == (False, "no kill before it")


def test_a_little_room_proves_nothing():
    assert judged([*FIRST, *report(13, margin=100), killed(13)])[0] is None


def test_room_must_be_enough_for_the_order():
    assert judged([*FIRST, *report(13, margin=19000, order=9), killed(13)]) == (True, "room")
    assert judged([*FIRST, *report(13, margin=19000, order=13), killed(13)])[0] is None


def test_a_victim_that_is_still_listed_is_overlap():
    assert judged([*FIRST, *report(13, tasks=[Task(12), Task(13)]), killed(13)]) == (True, "listed")


def test_memory_of_nobody_is_overlap():
    assert judged([*FIRST, *report(13, anon_kb=18000), killed(13)]) == (True, "in flight")


def test_a_reaper_that_comes_later_is_overlap():
    assert judged([*FIRST, *report(13), killed(13), reaped(12)], step=0.01) == (True, "reaped later")


def test_an_old_victim_without_evidence_is_none():
    lines = [*stamped(FIRST), *stamped([*report(13), killed(13)], start=105.0)]
    kill = parse(lines).kills[-1]
    assert (kill.overlap_estimated, kill.overlap_evidence) == (
        False,
        "no room, none listed or in flight",
    )


def test_another_memcgs_victim_is_none():
    assert judged([*FIRST, *report(13, "/other", margin=19000), killed(13)])[0] is False


def test_a_victim_below_the_domain_counts_and_one_above_does_not():
    below = [*report(12, "/a/b"), killed(12, anon=20000), *report(13, "/a", margin=19000), killed(13)]
    assert judged(below) == (True, "room")
    above = [*report(12, "/a", task_memcg="/a"), killed(12, anon=20000), *report(13, "/a/b", margin=19000), killed(13)]
    assert judged(above)[0] is False


def test_a_kill_without_report_is_unknown():
    assert judged([*FIRST, killed(13)]) == (None, "its report is not in the log")


def judged_without_report(age_s, *later, first=FIRST, comm="hog"):
    """The estimate of a kill without a report, so long after the last of the first lines, and followed by others."""
    then = 100.0 + (len(first) - 1) * 0.000050
    kill = parse([*stamped(first), *stamped([killed(13, comm), *later], start=then + age_s)]).kills[-1]
    return kill.overlap_estimated, kill.overlap_evidence


ALL_OLD = "its report is not in the log, the kills before it are older than 0.25 s"


@pytest.mark.parametrize("comm", ["hog", "other"], ids=["the domain is inferred", "the domain is unknown"])
def test_a_kill_without_report_is_none_once_every_kill_before_it_is_old(comm):
    assert judged_without_report(0.249, comm=comm) == (None, "its report is not in the log")
    assert judged_without_report(0.251, comm=comm) == (False, ALL_OLD)


def test_one_young_victim_leaves_a_kill_without_report_open():
    first = [*FIRST, killed(14)]
    assert judged_without_report(0.251, first=first) == (False, ALL_OLD)
    then = stamped(FIRST) + stamped([killed(14)], start=100.2) + stamped([killed(13)], start=100.3)
    assert parse(then).kills[-1].overlap_estimated is None


def test_whole_seconds_are_old_from_the_second_on():
    lines = [f"Nov 14 22:13:20 h kernel: {line}" for line in FIRST]
    answers = [parse([*lines, f"Nov 14 22:13:2{n} h kernel: {killed(13)}"]).kills[-1] for n in range(3)]
    assert [kill.overlap_estimated for kill in answers] == [None, None, False]


def test_a_victim_that_takes_its_time_leaves_a_kill_without_report_open():
    """Its memory was not back: the oom_reaper comes later, leaves some, or gives up."""
    gave_up = "oom_reaper: unable to reap pid:12 (hog)"
    assert judged_without_report(0.4, first=[*FIRST, reaped(12)]) == (
        False,
        "the kills before it are reaped, or other memcgs'",
    )
    assert judged_without_report(0.4, reaped(12), comm="other")[0] is None
    assert judged_without_report(0.4, reaped(12))[0] is True
    assert judged_without_report(0.4, first=[*FIRST, reaped(12, anon=8000)])[0] is None
    assert judged_without_report(0.4, first=[*FIRST, gave_up])[0] is None


def test_a_large_victim_leaves_a_kill_without_report_open():
    """Its memory may take longer than 0.25 s, and without a report nothing would show that."""
    for anon_kb, answer in ((1 << 20, False), ((1 << 20) + 1, None)):
        assert judged_without_report(0.4, first=[*report(12), killed(12, anon=anon_kb)])[0] is answer
    of_no_size = "Memory cgroup out of memory: Killed process 12 (hog)"
    assert judged_without_report(0.4, first=[*report(12), of_no_size])[0] is None


def test_a_reaping_just_before_a_kill_without_report_is_in_time_only_for_an_old_victim():
    first, at = stamped(FIRST), 100.0 + 0.000050 * len(FIRST)
    for age_s, answer in ((0.2, None), (0.4, False)):
        lines = [*first, *stamped([reaped(12)], start=at + age_s - 0.1), *stamped([killed(13)], start=at + age_s)]
        assert parse(lines).kills[-1].overlap_estimated is answer


def test_a_log_with_losses_does_not_show_that_every_kill_is_old():
    assert judged_without_report(0.4, first=["** 3 printk messages dropped **", *FIRST])[0] is None


def test_losses_leave_the_first_kill_open():
    assert judged(["** 3 printk messages dropped **", *report(13), killed(13)])[0] is None


# The room


def test_collect_kmsg_is_the_same_reader():
    lines = [record(n, line) for n, line in enumerate([*report(12), killed(12)])]
    assert pids(collect_kmsg(parse_kmsg(lines))) == [12]


def test_a_line_of_many_colons_is_peeled_once():
    assert peel("1:" * 5000).text.startswith("1:")


def test_what_a_worker_finds_goes_to_its_parent_unchanged():
    name = "a\udcffb"
    for lines in (
        report(12, "/a", tasks=[Task(12), Task(13, "a b")]),
        report(12, "/a", tasks=[Task(12, name)], comm=name),  # no UTF-8
        [header(), f"Memory cgroup stats for /a: cache:{'9' * 18}KB rss:0KB"],  # no 64 bits
    ):
        data = "\n".join(stamped([*lines, killed(12), reaped(12)])).encode("utf-8", "surrogateescape")
        found = list(read_chunk(Chunk(data, len(data), 0, 1)))
        assert unpack(pack((found, 9, len(data), Sequences(1, 5, 2), False))) == (found, 9, len(data), (1, 5, 2), False)
        assert unpack(pack((found, 9, len(data), None, True))) == (found, 9, len(data), None, True)


def test_parts_that_are_read_without_a_look_for_a_prefix_have_none():
    """What a form of a bare report matches from its first byte is all text: peeling would find nothing to take off."""
    begins = (
        "",
        "kern  :warn  : ",
        "Nov 14 22:13:20 h kernel: ",
        "[    1.0] ",
        "> ",
        "<4>",
        "1:",
        "a:",
        " ",
        "\0",
        "\xa0",
    )
    lines = [
        *report(12, "/a", tasks=[Task(12)]),
        *report(12, None, tasks=[Task(12)]),
        "Task in /a killed as a result of limit of /b",
    ]
    read = 0
    for text in (begin + line + end for line in lines for begin in begins for end in ("", " ", "\xa0 [ 1.0] x")):
        if any(record is not None and record.is_whole for record in (parser(text) for parser in BARE_PART_PARSERS)):
            line = peel(text)
            assert (line.text.strip(), line.is_bare, line.is_kernel, line.dropped) == (text.strip(), True, True, 0)
            read += 1
    assert read > 20


def test_a_caller_of_odd_bytes_is_a_caller():
    lines = [*report(12, "/a", tasks=[Task(12)]), killed(12)]
    for caller in ("T\udcec1", "T(1", "[T1"):
        (kill,) = parse([f"4,{n},{n},-,caller={caller};{line}" for n, line in enumerate(lines, start=1000)]).kills
        assert (kill.killed.pid, kill.domain, kill.report.tasks.row_count) == (12, "/a", 1)


def test_the_room_stands_alone():
    code = "import sys, harness.oomlog.reading; print([m for m in ('pandas', 'docker', 'scipy', 'pyarrow') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_zeros_of_a_crash_and_a_byte_order_mark_are_no_text():
    lines = ["\ufeff" + stamped([killed(12)])[0], "\0" * 700 + f"Nov 23 08:00:00 host kernel: {killed(13)}"]
    assert pids(parse(lines)) == [12, 13]


def test_a_header_alone_is_a_partial_report():
    (found,) = parse([header()]).reports
    assert (found.outcome, found.is_complete) == ("none", False)


def test_no_pattern_has_a_possessive_group():
    """Before Python 3.11.5 it matches too little (gh-106052): Debian 12's gave other kills. After one character it is right."""
    for path in Path(harness.__file__).parent.rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not re.search(r"\)(?:[*+?]|\{\d+,?\d*\})\+|\(\?>", line), f"{path}: {line}"


@pytest.mark.parametrize(
    "line", ['"a": x' + 400 * " " + "Killed process 1 (a)", 400 * " " + '"a"' + 400 * " " + "Killed process 1 (a)"]
)
def test_a_run_of_spaces_is_read_once(line):
    """A member of JSON whose end could share its spaces in many ways: 13 kB of it took 15 s."""
    began_s = time.process_time()
    parse([line])
    assert time.process_time() - began_s < 2
