"""No line that speaks of a kill is lost without a word, and nothing is made up of what is torn."""

import json

import pytest
from oomtext import Task, header, killed, report, stamped, summary
from readlog import parse


def text(lines):
    return "\n".join(lines) + "\n"


# Lines that cannot be read


def test_lines_that_cannot_be_read_are_counted_and_shown():
    log = parse(text(["noise", "I see Killed process 12 in the log", *stamped([killed(7)]), "x invoked oom-killer:"]))
    assert log.killed("pid") == [(7,)]
    assert (log.missing.unread_kills, log.missing.unread_heads, log.missing.unread_lines) == (1, 1, [2, 4])
    assert log.totals["kills"] == {"printed": 1, "at_least": 1, "at_most": 3}


@pytest.mark.parametrize(
    "line",
    [
        "242]: " + killed(7),  # the beginning of a program's tag is gone
        ",1,-;" + killed(7),
        'slog", "MESSAGE": "' + killed(7),
        "4 22:13:20 node1 app: [  100.000000] " + killed(7),
    ],
)
def test_what_stands_behind_a_torn_prefix_is_no_kill_and_is_reported(line):
    log = parse(text([line]))
    assert (log.kills, log.missing.unread_kills, log.totals["kills"]["at_most"]) == ([], 1, 1)


@pytest.mark.parametrize(
    "prefix",
    [
        "июл 24 01:20:00 node1 app[4242]: ",
        "Sat Nov 11 14:34:55 2023 daemon.err app[4242]: [ 1905.267052] ",
        "10.0.0.11: user: info: [2025-04-22T10:00:00.000000000Z]: ",
        "2023-12-04T10:49:30.106Z In(05) app[4242]: ",
        "13>[  100.000000] ",
        '{"_TRANSPORT": "syslog", "MESSAGE": "',
    ],
)
def test_user_space_behind_an_unknown_prefix_is_no_kill(prefix):
    log = parse(text([prefix + killed(7)]))
    assert (log.kills, log.missing.forged_kills, log.missing.unread_kills) == ([], 1, 0)


def test_events_of_kubernetes_as_text():
    log = parse(
        text(
            [
                "LAST SEEN   TYPE      REASON       OBJECT      MESSAGE",
                "5m          Warning   OOMKilling   node/n1     " + killed(7, "java"),
                "6m          Warning   OOMKilling   node/n1     Memory cgroup out of memory: Kill process 8 (node) score 1905 or sacrifice child",
                "Killed process 9 (node) total-vm:9kB, anon-rss:9kB, file-rss:0kB, shmem-rss:0kB",
            ]
        )
    )
    assert log.killed("pid", "comm", "chosen_pid") == [(7, "java", 7), (9, "node", 8)]


def test_a_list_of_events_has_a_kill_from_each():
    items = [{"kind": "Event", "reason": "OOMKilling", "message": killed(n), "lastTimestamp": f"2024-03-06T00:53:{n}Z"} for n in (10, 11)]  # fmt: skip
    for document in (json.dumps({"items": items}), json.dumps({"items": items}, indent=2)):
        log = parse(document)
        assert log.killed("pid", "clock", "time_s") == [(10, "wall", 1709686390.0), (11, "wall", 1709686391.0)]


def test_a_name_behind_an_unknown_prefix_is_never_a_part_of_it():
    line = "gibberish 77 ~ that nobody knows, java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
    (row,) = parse(text([line])).reports
    assert (row["comm"], row["gfp_mask"], row["order"]) == (None, 0xCC0, 0)
    (row,) = parse(text(["jun 24 01:20:00 host1 kernel: tmux: server" + header("")])).reports
    assert row["comm"] == "tmux: server"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mem_on_node0 invoked oom-killer", ("mem_on_node0", None, None)),
        ("kthreadd invoked oom-killer: order=2, oomkilladj=0", ("kthreadd", None, 2)),
        ("a invoked oom-killer: gfp=0xd0, order=1, zone=2, oom_score_adj=5", ("a", 0xD0, 1)),
        ("a invoked oom-killer: gfp_mask=0xd0 order=1", ("a", 0xD0, 1)),
    ],
)
def test_a_head_with_other_fields_is_a_report(line, expected):
    lines = stamped([line, *report(12)[1:], killed(12)])
    log = parse(text(lines))
    assert log.reported("comm", "gfp_mask", "order") == [expected]
    assert log.reported("complete", "outcome") == [(False, "killed")]
    assert log.kills[0]["report"] == 0


# Reports without their beginning, and decisions without their kill


def test_a_summary_alone_is_a_decision_whose_kill_is_missing():
    log = parse(text(stamped([*report(12), killed(12), summary(2, "/b")])))
    assert log.killed("pid") == [(12,)]
    assert log.reported("chosen_pid", "domain", "outcome")[1] == (2, "/b", "none")
    assert (log.totals["kills"]["at_most"], log.totals["decisions"]) == (2, {"printed": 1, "at_most": 2})


def test_a_choice_alone_is_one_too():
    chosen = "Memory cgroup out of memory: Kill process 8 (node) score 1905 or sacrifice child"
    log = parse(text(stamped([chosen, chosen.replace("8", "9"), "Killed process 9 (node) total-vm:9kB, anon-rss:9kB, file-rss:0kB"])))  # fmt: skip
    assert log.killed("pid", "chosen_pid", "report") == [(9, 9, None)]
    assert log.reported("chosen_pid", "chosen_comm", "outcome", "missing") == [
        (8, "node", "none", "header, domain, tasks, outcome")
    ]
    assert log.totals["kills"]["at_most"] == 2


def test_a_kill_takes_the_report_whose_beginning_is_gone():
    lines = [
        "Task in /a/b killed as a result of limit of /a",
        "memory: usage 204800kB, limit 204800kB, failcnt 3",
        "Memory cgroup out of memory: Kill process 5256 (x) score 1905 or sacrifice child",
        "Killed process 5256 (x) total-vm:9kB, anon-rss:9kB, file-rss:0kB",
    ]
    log = parse(text(stamped(lines)))
    assert log.killed("pid", "domain", "domain_source", "task_memcg") == [(5256, "/a", "known", "/a/b")]
    assert log.reported("limit_kb", "missing") == [(204800, "header, tasks")]


def test_a_report_that_was_pasted_twice_leaves_no_headless_one():
    lines = stamped([*report(12), killed(12)])
    log = parse(text([*lines, "and again:", *lines]))
    assert (len(log.reports), log.killed("pid"), log.missing.unended_reports) == (1, [(12,)], 0)


def test_a_table_whose_rows_were_searched_for_a_word_is_not_whole():
    """`grep big`: the victim's row is gone, so what the others own says nothing."""
    lines = report(12, tasks=[Task(12, "big", rss=5), Task(13, "small", rss=900)], anon_kb=3620)
    whole = parse(text(stamped([*lines, killed(12, "big")])))
    assert whole.reported("tasks", "in_flight_kb") == [(2, 0)]
    searched = [line for line in lines if "] " not in line or "small" in line]
    log = parse(text(stamped([*searched, killed(12, "big")])))
    assert log.reports[0]["in_flight_kb"] is None


# Boots and hosts


def test_every_banner_is_a_boot_and_a_copy_of_one_is_not():
    banner = "kernel: [    0.000000] Linux version 6.1.0-13-amd64 (a@b) #1 SMP"
    days = [f"Jan  {day} 00:00:01 n {banner}" for day in (1, 2, 3)]
    assert parse(text(days)).boots == 3
    assert parse(text([days[0], days[0]])).boots == 1
    bare = banner.removeprefix("kernel: ")
    log = parse(text([bare, *stamped([killed(7)]), bare, *stamped([killed(8)])]))
    assert log.killed("pid", "boot") == [(7, 1), (8, 2)]


def test_lines_without_a_host_are_of_the_host_of_the_others():
    named = [f"Jun 24 18:49:43 n1 kernel: {line}" for line in stamped([killed(8)], 200)]
    assert parse(text([killed(7), *named])).killed("boot") == [(1,), (1,)]
    assert parse(text([*named, *stamped([killed(9)], 300)])).killed("boot") == [(1,), (1,)]
    other = [line.replace(" n1 ", " n2 ") for line in named]
    assert parse(text([*named, *other])).boots == 2


def test_parts_with_another_prefix_belong_to_the_report():
    lines = [*stamped([*report(12)], 100), *(f"Jun 24 18:49:43 n1 kernel: {k}" for k in stamped([killed(12)], 100.2))]
    log = parse(text(lines))
    assert log.killed("report", "domain") == [(0, "/m")]


# Groups


def test_all_kills_of_a_decision_have_one_domain():
    lines = [
        *report(20, "/a/b"),
        killed(20),
        killed(12, message="Memory cgroup out of memory"),
        "Tasks in /a/b are going to be killed due to memory.oom.group set",
        killed(13, "other"),
        killed(14, "third"),
    ]
    log = parse(text(stamped(lines, 100)))
    assert len({(kill["domain"], kill["domain_source"]) for kill in log.kills if kill["decision"] == 1}) == 1


# Killers in user space, and what else ends without a kill


@pytest.mark.parametrize(
    ("line", "kind", "pid"),
    [
        ("Nov 14 22:13:20 n systemd-oomd[612]: Killed /user.slice/app.scope due to memory pressure for /user.slice being 63.45% > 50.00% for > 20s with reclaim activity", "systemd-oomd", None),
        ("Nov 14 22:13:20 n systemd[1]: app.scope: systemd-oomd killed 5 process(es) in this unit.", "systemd-oomd", None),
        ('Nov 14 22:13:21 n earlyoom[701]: sending SIGTERM to process 1234 uid 1000 "chrome": badness 300, VmRSS 400 MiB', "earlyoom", 1234),
        ("[  100.1] lowmemorykiller: Killing 'com.foo' (1234), adj 529,", "lowmemorykiller", 1234),
        ("I lowmemorykiller: Kill 'com.foo' (1234), uid 10123, oom_score_adj 900 to free 12345kB rss, 0kB swap; reason: low watermark", "lmkd", 1234),
        ("[  100.1] sysrq: Manual OOM execution", "sysrq", None),
        ("[  100.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009", "init-killed", None),
    ],
)  # fmt: skip
def test_killers_in_user_space_and_other_ends(line, kind, pid):
    log = parse(text([line]))
    assert [(other.kind, other.pid) for other in log.found.others] == [(kind, pid)]
    assert log.kills == []


def test_low_memory_that_earlyoom_only_reports_is_no_kill():
    line = "Nov 14 22:13:21 n earlyoom[701]: low memory! at or below SIGTERM limits: mem 10.00%, swap 10.00%"
    assert parse(text([line])).found.others == []


def test_a_line_that_is_glued_to_another_is_read_too():
    first, second = stamped([killed(7), killed(8)])
    log = parse(first + second + "\n")
    assert log.killed("pid", "time_s") == [(7, 100.0), (8, 100.00005)]
    log = parse(f"{first}[  101.000000] Killed process 9 in pieces\n")
    assert (log.killed("pid"), log.missing.unread_kills) == ([(7,)], 1)
