"""Kinds of logs that people paste and export in public, with other names and numbers."""

import io
import json

import pyarrow.parquet as pq
import pytest
from readlog import parse
from rich.console import Console

from harness.logs.parse import ParseRequest, parse_files
from harness.oomlog.columns import exists as columns_exist
from harness.oomlog.unknown_prefixes import split_joined_lines
from harness.oomlog.user_space_killers import REPORTED

HEAD = "worker invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0"
SUMMARY = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/system.slice/{}.service,task={},pid={},uid=33"
KILL = "Out of memory: Killed process {} ({}) total-vm:{}kB, anon-rss:5876kB, file-rss:290kB, shmem-rss:0kB, UID:33 pgtables:28kB oom_score_adj:0"
REAPED = "oom_reaper: reaped process {} ({}), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"


def event(pid, name):
    return [HEAD, SUMMARY.format(name, name, pid), KILL.format(pid, name, 70000 + pid), REAPED.format(pid, name)]


# Sizes and names


@pytest.mark.parametrize("indent", ["", "  ", "> ", ">   "])
@pytest.mark.parametrize(
    "rest", ["total-vm:8123kB, anon-rss:7981kB, file-rss:0kB, oom_score_adj:0", "total-vm:8123kB, anon-rss:7981kB"]
)
def test_sizes_that_somebody_put_on_the_next_line(indent, rest):
    quote = indent[:1].strip()
    log = parse(f"{quote} [ 1234.500000] Out of memory: Killed process 2481 (solver)\n{indent}{rest}\nNo more.\n")
    assert log.killed("pid", "comm", "total_vm_kb", "anon_rss_kb") == [(2481, "solver", 8123, 7981)]
    assert log.missing.partial_kills == 1


def test_a_name_is_kept_where_a_line_is_cut_in_the_words_behind_it():
    for tail in ("total-", "total-vm", "tot"):
        log = parse(f"[   77.000001] Out of memory: Killed process 1669 (desktop-portal) {tail}\n")
        assert log.killed("pid", "comm") == [(1669, "desktop-portal")]
    assert parse("[   77.000001] Out of memory: Killed process 1669 (desktop-por\n").killed("comm") == [(None,)]


def test_the_name_of_a_head_whose_fields_are_cut():
    log = parse(
        "4,101,1001,-;micd invoked oom-killer: gfp_mask=0x6200ca\n3,103,1003,-;Out of memory: Killed process 4242 (micd)\n"
    )
    assert log.reported("comm", "gfp_mask", "complete") == [("micd", 0x6200CA, False)]
    assert "header" in log.reports[0]["missing"]


def test_the_name_of_a_release_whose_sizes_are_not_there():
    found = parse("[    5.000001] oom_reaper: reaped process 4422 (miner)\n").found
    assert [(release.reaped.pid, release.reaped.comm) for release in found.releases] == [(4422, "miner")]


def test_a_score_with_a_preposition():
    log = parse(
        "[    5.000001] Out of memory: Kill process 2415 (atd) with score 31 or sacrifice child\n[    5.000002] Killed process 2415 (atd) vsz:1000kB, anon-rss:200kB, file-rss:0kB\n"
    )
    assert log.killed("pid", "domain", "domain_source") == [(2415, "global", "known")]
    assert log.missing.unread_kills == 0


def test_a_summary_of_a_memcgs_limit_is_not_global():
    """Whoever retyped it left the memcg's path out."""
    log = parse("[    5.000001] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=bun,pid=109324,uid=1000\n")
    assert log.reported("constraint", "chosen_pid", "domain") == [("CONSTRAINT_MEMCG", 109324, None)]


# Wrappings


def test_records_of_kmsg_in_quotes():
    memcg = "/kubepods/podab/12"
    log = parse(
        f'    lines = [\n        "6,22743,6115623303887,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=12,mems_allowed=0,oom_memcg={memcg},task_memcg={memcg},task=reloader,pid=341,uid=0",\n'
        f'        "3,22744,6115623303899,-;Memory cgroup out of memory: Killed process 341 (reloader) total-vm:42kB, anon-rss:20kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:48kB oom_score_adj:998",\n    ]\n'
    )
    assert log.killed("pid", "comm", "domain", "time_s") == [(341, "reloader", memcg, 6115623.303899)]


def test_csv_of_kibana():
    lines = ['"@timestamp","host.name","message"']
    lines += [f'"Nov 3, 2023 @ 10:00:0{n}.300","web1","{text}"' for n, text in enumerate(event(4242, "php"))]
    log = parse("\n".join(lines) + "\n")
    assert log.killed("pid", "comm", "time_s", "clock", "report") == [(4242, "php", 1699005602.0, "wall", 0)]
    assert log.reported("comm", "chosen_pid", "outcome") == [("worker", 4242, "killed")]


def test_a_host_that_nobody_named_is_none():
    entry = {"syslog_identifier": "kernel", "message": KILL.format(7, "php", 1), "timestamp": 1771838183512459}
    assert parse(json.dumps([entry, entry | {"message": KILL.format(8, "php", 1)}]) + "\n").killed("pid", "host") == [
        (7, None),
        (8, None),
    ]


def test_a_choice_and_its_kill_in_one_event():
    """node-problem-detector sends both lines of kernels to 5.0 as one message."""
    message = (
        "Memory cgroup out of memory: Kill process 1012 (collector) score 1035 or sacrifice child\\n"
        "Killed process 1013 (collector) total-vm:327128kB, anon-rss:306328kB, file-rss:11132kB, shmem-rss:12345kB"
    )
    log = parse(f'{{"reason":"OOMKilling","message":"{message}","source":{{"component":"kernel-monitor"}}}}\n')
    assert log.killed("pid", "comm", "chosen_pid", "anon_rss_kb") == [(1013, "collector", 1012, 306328)]
    assert log.found.kills[0].is_global is not True


def test_a_name_with_a_line_end_in_a_record_is_no_second_kill():
    log = parse(
        r"3,1,1000,-;Out of memory: Killed process 7 (a\x0aKilled proces) total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
        + "\n"
    )
    assert log.killed("pid") == [(7,)]


def test_folded_texts_of_yaml():
    """kubectl get events -o yaml breaks long texts."""
    log = parse(
        "items:\n- count: 1\n  message: 'Memory cgroup out of memory: Killed process 350 (proxy''s) total-vm:753508kB,\n    anon-rss:58776kB, file-rss:29400kB, shmem-rss:0kB,\n"
        "    UID:0 pgtables:288kB oom_score_adj:999'\n  reason: OOMKilling\n"
        '- message: "Memory cgroup out of memory: Kill process 448 (stress) score 1994 or\n    sacrifice child\\nKilled process 448 (stress) total-vm:263652kB, anon-rss:254144kB,\n    file-rss:240kB, shmem-rss:0kB"\n  reason: OOMKilling\n'
    )
    assert log.killed("pid", "comm", "file_rss_kb", "line") == [(350, "proxy's", 29400, 3), (448, "stress", 240, 7)]
    assert (log.missing.partial_kills, log.missing.unread_kills) == (0, 0)


# Lines that were made one


def flows():
    texts = [*event(31, "first"), *event(32, "second")]
    stamped = [f"[  100.{n:06d}] {text}" for n, text in enumerate(texts)]
    syslog = [f"Mar 7 02:43:11 host1 kernel: {text}" for text in texts]
    yield "carriage returns", "\r".join(stamped) + "\r"
    yield "glued stamps", "$ dmesg | tail" + "".join(stamped)
    yield "a page's text", "It says: " + " ".join(stamped) + " Why?"
    yield "a page's text of syslog", "It says: " + " ".join(syslog) + " Why?"


@pytest.mark.parametrize(("how", "text"), list(flows()))
def test_lines_that_were_made_one(how, text):
    log = parse(f"{text}\n")
    assert log.killed("pid", "comm", "report") == [(31, "first", 0), (32, "second", 1)], how
    assert log.reported("comm", "outcome") == [("worker", "killed")] * 2
    assert [release.kill for release in log.found.releases] == [0, 1]
    assert log.missing.unread_kills == log.missing.unread_heads == 0


def test_a_summary_with_its_kill_glued_to_it():
    head, summary, kill, _ = event(31, "first")
    log = parse(f"[  100.000001] {head}\n[  100.000002] {summary}[  100.000003] {kill}\n")
    assert log.killed("pid", "task_memcg", "time_s") == [(31, "/system.slice/first.service", 100.000003)]
    assert log.reported("chosen_pid", "chosen_comm") == [(31, "first")]


def test_prose_with_a_choice_and_its_kill():
    log = parse(
        "Then the kernel said Out of memory: Kill process 537 (mongod) score 130 or sacrifice child Killed process 537 (mongod), UID 0, total-vm:2539052kB, anon-rss:2117096kB, file-rss:0kB, shmem-rss:0kB and all was lost.\n"
    )
    assert log.killed("pid", "comm", "uid", "domain") == [(537, "mongod", 0, "global")]


def test_what_user_space_makes_one_line_stays_its_own():
    text = (
        f"Nov 27 10:00:05 web1 app[12]: x[  100.000008] {KILL.format(1, 'a', 1)}[  100.000009] {KILL.format(2, 'a', 1)}"
    )
    log = parse(f"{text}\n")
    assert log.kills == []
    assert log.missing.forged_kills == 1
    assert split_joined_lines(text) == [text]


def test_a_line_of_user_space_that_cannot_be_read_is_counted():
    log = parse(f"[  100.000000] app[12]: [{KILL.format(3, 'a', 1)}\n")
    assert (log.kills, log.missing.forged_kills) == ([], 1)


# Newest line first


def newest_first():
    texts = [*event(41, "first"), *event(42, "second"), *event(43, "third")]
    times = [600 * (n // 4) + n for n in range(len(texts))]
    syslog = [f"Jun 13 09:{s // 60:02d}:{s % 60:02d} host1 kernel: {t}" for s, t in zip(times, texts, strict=True)]
    objects = [
        {"message": t, "timestamp": f"2023-06-13T09:{s // 60:02d}:{s % 60:02d}Z"}
        for s, t in zip(times, texts, strict=True)
    ]
    yield "journalctl -r", "\n".join(syslog[::-1]) + "\n"
    yield "without stamps", "\n".join(texts[::-1]) + "\n"
    yield "lines of JSON", "\n".join(map(json.dumps, objects[::-1])) + "\n"
    yield "one document", json.dumps(objects[::-1]) + "\n"
    yield "an indented document", json.dumps(objects[::-1], indent=2) + "\n"


@pytest.mark.parametrize(("how", "text"), list(newest_first()))
def test_a_log_that_begins_with_its_newest_line(how, text):
    log = parse(text)
    assert log.killed("pid", "comm", "report", "task_memcg") == [
        (40 + n, name, n - 1, f"/system.slice/{name}.service") for n, name in enumerate(("first", "second", "third"), 1)
    ], how
    assert [release.kill for release in log.found.releases] == [0, 1, 2]
    assert log.boots == 1
    assert log.totals["kills"] == {"printed": 3, "at_least": 3, "at_most": 3}
    if "document" not in how:
        lines = text.encode().splitlines(keepends=True)
        for kill in log.kills:
            assert f"Killed process {kill['pid']} ".encode() in lines[kill["line"] - 1]
            assert kill["offset"] == sum(map(len, lines[: kill["line"] - 1]))


@pytest.mark.skipif(not columns_exist(), reason="the compiled reader was not built")
@pytest.mark.parametrize(("how", "text"), list(newest_first()))
def test_both_readers_give_it_the_same_places(how, text, tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_text(
        text + "\n".join(f"{KILL.format(9, 'x', 1)[:60]}\n{SUMMARY[:40]}" for _ in range(2)) * (how == "journalctl -r")
    )
    tables = []
    for is_compiled in (True, False):
        with monkeypatch.context() as patch:
            if not is_compiled:
                patch.setattr("harness.logs.parse.columns_exist", lambda: False)
            out = tmp_path / str(is_compiled)
            parse_files(ParseRequest((str(path),), "parquet", out), lambda: Console(file=io.StringIO()), lambda _: None)
        tables.append([pq.read_table(file) for file in sorted(out.glob("*.parquet"))])
    assert all(one.equals(other) for one, other in zip(*tables, strict=True))


def test_a_log_in_order_is_not_turned():
    """Boots go back in time, a pid returns, a release comes late: nothing of this begins with its newest line."""
    boots = [
        f"[{start + n:5d}.000000] {text}" for start in (5000, 3000, 1000) for n, text in enumerate(event(start, "a"))
    ]
    log = parse("\n".join(boots) + "\n")
    assert log.killed("pid", "boot", "report") == [(5000, 1, 0), (3000, 2, 1), (1000, 3, 2)]
    cut = [KILL.format(7, "a", 1), *event(8, "b"), HEAD, SUMMARY.format("c", "c", 9)]
    assert parse("\n".join(cut) + "\n").killed("pid", "report") == [(7, None), (8, 0)]


# What programs report


@pytest.mark.parametrize(
    ("line", "pid"),
    [
        ("Nov 27 10:00:05 web1 systemd[1]: shop.service: A process of this unit has been killed by the OOM killer.", None),
        ("Nov 27 10:00:05 web1 systemd[1]: shop.service: The kernel OOM killer killed some processes in this unit.", None),
        ("Nov 27 10:00:05 web1 systemd[1]: shop.service: Failed with result 'oom-kill'.", None),
        ("  Warning  SystemOOM  2m  kubelet, node1  System OOM encountered, victim process: shop, pid: 24891", 24891),
        ('            "message": "System OOM encountered, victim process: shop, pid: 24891",', 24891),
        ('Nov 27 10:00:05 n1 kubelet[9]: I1127 10:00:05.1 9 event.go:2] "Event occurred" message="System OOM encountered, victim process: shop, pid: 24891"', 24891),
        ("2023-11-03T10:00:05.200000000Z container oom 0d1e2f3a4b5c (image=shop:8, name=web)", None),
        ('Nov 27 10:00:05 n1 containerd[7]: time="2025-04-14T05:21:34+08:00" level=info msg="TaskOOM event &TaskOOM{ContainerID:1983,XXX_unrecognized:[],}"', None),
        ("      Reason:       OOMKilled", None),
        ('                        "reason": "OOMKilled",', None),
        ('            "OOMKilled": true,', None),
    ],
)  # fmt: skip
def test_a_program_reports_a_kill_by_the_kernel(line, pid):
    log = parse(f"{line}\n")
    assert [(other.kind, other.pid) for other in log.found.others] == [(REPORTED, pid)]
    assert log.kills == []


def test_a_program_that_reports_no_kill():
    assert parse('            "OOMKilled": false,\nif reason == "OOMKilled" then\n').found.others == []


@pytest.mark.parametrize(
    ("line", "kind", "pid"),
    [
        ("[   77.749670] systemd-oomd[659]: Marked /system.slice/shop.service for killing due to memory pressure for /system.slice being 85.03% > 80.00% for > 2s", "systemd-oomd", None),
        ("03-24 12:24:57.186   400   400 I lowmemorykiller: Killing 'org.example.shop' (4563), uid 10010, adj 906", "lmkd", 4563),
        ("Nov 27 10:00:06 web1 nohang[437]: Sending SIGTERM to the victim", "nohang", None),
        ('user: warning: [2026-01-12T20:27:31.913975631Z]: [talos] Sending SIGKILL to cgroup {"component": "controller-runtime", "cgroup": "/sys/fs/cgroup/kubepods/pod77"}', "talos", None),
    ],
)  # fmt: skip
def test_other_words_of_killers_in_user_space(line, kind, pid):
    assert [(other.kind, other.pid) for other in parse(f"{line}\n").found.others] == [(kind, pid)]


def test_the_terminal_says_that_programs_report_a_kill(tmp_path):
    path, out = tmp_path / "log", io.StringIO()
    path.write_text("Nov 27 10:00:05 web1 systemd[1]: shop.service: Failed with result 'oom-kill'.\n")
    parse_files(ParseRequest((str(path),)), lambda: Console(file=out, width=200), lambda _: None)
    assert "1 line of programs reports a kill by the kernel" in out.getvalue()
    path.write_text(f"{path.read_text()}Nov 27 10:00:05 web1 kernel: {KILL.format(3, 'a', 1)}\n")
    out.truncate(0)
    parse_files(ParseRequest((str(path),)), lambda: Console(file=out, width=200), lambda _: None)
    assert "of programs" not in out.getvalue()


# Prefixes


@pytest.mark.parametrize("stamp", ["2024-03-06T00:53:34.0000123Z [12345.678901] ", "Mar 06 00:53:34 [12345.678901] "])
def test_a_kernels_stamp_is_no_host(stamp):
    """From 10,000 s there is no blank in it: `kubectl logs --timestamps` and `ts` put a date before it."""
    lines = [
        "worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        KILL.format(7, "php", 1),
        REAPED.format(7, "php"),
    ]
    log = parse("".join(f"{stamp}{line}\n" for line in lines))
    assert log.killed("pid", "time_s", "host", "report") == [(7, 12345.678901, None, 0)]
    assert [release.kill for release in log.found.releases] == [0]
    assert log.boots == 1
    assert parse(f"{stamp}memory: usage 20kB, limit 20kB, failcnt 3\n").reported("usage_kb") == [(20,)]


def test_blanks_behind_a_memcg_are_not_of_its_name():
    lines = [
        "worker invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0",
        "worker cpuset=a mems_allowed=0-1",
        "Task in /a/b killed as a result of limit of /a",
        "Memory cgroup out of memory: Kill process 7 (worker) score 3 or sacrifice child",
        "Killed process 7 (worker) total-vm:10kB, anon-rss:2kB, file-rss:1kB",
    ]
    log = parse("".join(f"{line}  \n" for line in lines))
    assert log.killed("domain", "task_memcg") == [("/a", "/a/b")]
    assert log.reported("mems_allowed") == [("0-1",)]
    assert parse("[   12.000001] Memory limit reached of cgroup /a  \n").reported("domain") == [("/a",)]


def wrapped_at(width, lines):
    return "".join(f"{line[at : at + width]}\n" for line in lines for at in range(0, len(line), width))


@pytest.mark.parametrize("width", [80, 88, 100])
@pytest.mark.parametrize(
    "prefix", ["[   77.749140] ", "[Wed Mar  6 00:53:34 2024] ", "Nov 27 10:00:05 web1 kernel: [   77.749140] "]
)
def test_a_terminal_breaks_a_name_without_a_blank(width, prefix):
    """Where every line is as long as the terminal is wide, no blank was at the break."""
    for name in ("a", "ab", "abc", "abcdef", "abcdefghijklmno"):
        for message in ("Out of memory", "Memory cgroup out of memory"):
            line = f"{prefix}{KILL.format(31337, name, 753508)}".replace("Out of memory", message)
            log = parse(wrapped_at(width, [line, f"{prefix}usb 1-1: new device"]))
            assert log.killed("pid", "comm", "oom_score_adj") == [(31337, name, 0)]


def test_a_mailer_breaks_a_name_at_its_blank():
    log = parse(
        "> [   77.749140] Memory cgroup out of memory: Killed process 4242 (Web\n> Content) total-vm:753508kB, anon-rss:58776kB, file-rss:29400kB\n"
    )
    assert log.killed("comm") == [("Web Content",)]


def test_kills_of_old_kernels_glued_without_a_stamp():
    log = parse(
        "> Killed process 192 (applet)Out of memory: kill process 124 (qemu) score 7899 or a childKilled process 125 (qemu)\n"
    )
    assert log.killed("pid", "comm", "chosen_pid") == [(192, "applet", 192), (125, "qemu", 124)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_log_that_powershell_wrote(tmp_path, encoding):
    text = "".join(f"[  100.{n:06d}] {line}\r\n" for n, line in enumerate(event(31, "größe")))
    path, out = tmp_path / "oom.txt", io.StringIO()
    path.write_bytes(("\ufeff" if encoding != "utf-16" else "").encode(encoding) + (text * 1).encode(encoding))
    parse_files(ParseRequest((str(path),)), lambda: Console(file=out, width=200), lambda _: None)
    assert "1 kill in 1 decision, 1 report" in out.getvalue()
    assert "größe" in out.getvalue()
