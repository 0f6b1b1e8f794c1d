"""Small logs from the field, each of another kind: their kinds stand in tests/data/field/README.md."""

from pathlib import Path

import pytest
from readlog import Log

FIELD = Path(__file__).parent.parent / "data" / "field"


def read(name):
    return Log((FIELD / f"{name}.log").read_bytes())


def tail(log):
    assert log.killed("pid", "comm", "domain", "domain_source") == [(31525, "tail", "global", "known")]
    assert log.reported("comm", "outcome") == [("tail", "killed")]


def one_kill(pid, comm, **columns):
    def check(log):
        assert log.killed("pid", "comm", *columns) == [(pid, comm, *columns.values())]

    return check


def global_kill(pid, comm, **columns):
    return one_kill(pid, comm, domain="global", domain_source="known", **columns)


def check_06a(log):
    assert log.killed("pid", "comm", "domain", "time_s", "report") == [(1693, "printspooler", "global", 63651.07005, 0)]
    assert log.reported("comm", "time_s") == [("sh", 63651.068542)]


def check_07(log):
    assert log.killed("pid", "comm", "clock", "time_s") == [(1371, "squid", "uptime", 277622.360010)]
    assert log.reported("comm", "time_s", "outcome") == [("squid", 277622.359064, "killed")]


def check_08b(log):
    assert log.killed("pid", "comm", "chosen_pid", "domain", "time_s") == [
        (2512, "python", 2512, "global", 9686.564990)
    ]


def check_11(log):
    assert log.killed("pid", "comm") == [(5740, "pause")]
    assert [(release.reaped.comm, release.reaped.anon_rss_kb) for release in log.found.releases] == [("pause", 0)]


def check_12a(log):
    assert log.reported("chosen_pid", "chosen_comm", "domain", "task_memcg", "outcome") == [
        (7134, "java", "global", "/system.slice/docker-00748bf4.scope", "none")
    ]
    assert log.totals["kills"]["at_most"] >= 1


def check_13a(log):
    assert log.kills == []
    assert log.reported("domain", "usage_kb", "limit_kb", "tasks", "complete") == [
        ("/ecs/f209/15e2", 1048576, 1048576, 1, False)
    ]
    assert "header" in log.reports[0]["missing"]


def check_14(log):
    assert log.reported("gfp_mask", "order", "oom_score_adj", "chosen_pid") == [(0x6200CA, 0, -999, 7)]
    assert log.found.reports[0].header.is_complete
    assert not log.found.reports[0].summary_is_cut


def check_15(log):
    one_kill(1, "a")(log)
    assert log.missing.damaged_rows == 0


def check_16(log):
    assert log.killed("pid", "boot") == [(3882, 3)]
    assert (log.boots, log.missing.duplicate_lines) == (3, 0)


def check_17a(log):
    assert log.killed("pid", "comm", "chosen_pid") == [(300907, "java", 302951)]
    assert log.found.kills[0].message == "Memory cgroup out of memory"
    assert log.found.kills[0].is_global is False


def check_18(log):
    assert log.reported("comm", "gfp_mask", "order") == [("amule", 0x1201D2, 0)]


def check_19(log):
    assert log.reported("tasks") == [(None,)]
    assert "tasks" in log.reports[0]["missing"].split(", ")
    one_kill(1440763, "perl", domain="global")(log)


def check_20(log):
    assert log.killed("pid", "overlap_estimated", "in_flight_kb") == [(1452, False, None), (1457, True, 1022348)]
    assert log.kills[1]["overlap_evidence"].startswith("in flight")


def check_21(log):
    assert log.kills[1]["overlap_estimated"] is None
    assert log.kills[1]["overlap_evidence"] == "pid 15617 was reaped before it, but less than 0.25 s before"


def check_22a(log):
    assert [kill["overlap_estimated"] for kill in log.kills] == [False, False]
    assert log.reports[1]["zone_margin_kb"] == 42324 - 63624


def check_22c(log):
    assert log.kills[1]["overlap_estimated"] is not True
    assert log.reports[1]["zone_margin_kb"] < 0


def check_23(log):
    assert [other.kind for other in log.found.others] == ["no-victim", "panic"]


def check_24(log):
    assert log.killed("pid", "comm", "chosen_pid", "time_s") == [(2625, "node", 2625, 39290745.072599)]
    assert log.found.kills[0].is_global is False
    assert log.reported("comm", "gfp_mask", "time_s") == [("node", 0x6000C0, 39261111.880124)]


def check_25(log):
    assert log.killed("pid", "decision", "domain", "domain_source") == [
        (1221, 0, "global", "known"),
        (1217, 0, "global", "known"),
    ]


def check_26(log):
    assert log.killed("overlap_estimated", "overlap_evidence")[1] == (True, "room: 15280 kB, asked for 4 kB")


def check_27(log):
    memcg = "/user.slice/user-0.slice/session-4.scope"
    assert log.killed("pid", "task_memcg", "domain_source") == [(1968, memcg, "known")]
    assert log.reported("constraint", "outcome") == [("CONSTRAINT_CPUSET", "killed")]


def check_28(log):
    assert log.reported("comm", "gfp_mask", "order", "tasks", "constraint", "complete") == [
        ("mem_on_node0", None, None, 1, "CONSTRAINT_CPUSET", False)
    ]
    one_kill(13432, "mem_on_node1", report=0)(log)


def check_29(log):
    assert log.killed("pid", "boot") == [(65541, 1), (68061, 1)]
    assert log.boots == 1


CHECKS = {
    "01-control": tail,
    "01a": tail,
    "01b": tail,
    "01c": tail,
    "02a": global_kill(2735, "kube-apiserver"),
    "03": global_kill(3089, "dnsmasq", time_s=1905.267052, clock="uptime"),
    "04": global_kill(886, "systemd", time_s=21.719706),
    "05": one_kill(28597, "java", time_s=62902.688067),
    "06a": check_06a,
    "07": check_07,
    "08a": global_kill(3504804, "kubectl"),
    "08b": check_08b,
    "09a": global_kill(2855014, "tail"),
    "09b": global_kill(2855014, "tail", host="host1"),
    "09c": one_kill(1234, "make", time_s=638074.604583),
    "10a": global_kill(2512, "python"),
    "10b": global_kill(2512, "python"),
    "10c": global_kill(2512, "python", host="host1"),
    "11": check_11,
    "12a": check_12a,
    "13a": check_13a,
    "14": check_14,
    "15": check_15,
    "16": check_16,
    "17a": check_17a,
    "18": check_18,
    "19": check_19,
    "20": check_20,
    "21": check_21,
    "22a": check_22a,
    "22c": check_22c,
    "23": check_23,
    "24": check_24,
    "25": check_25,
    "26-control": check_26,
    "26": check_26,
    "27": check_27,
    "28": check_28,
    "29": check_29,
}


def test_every_log_has_its_check():
    assert {path.stem for path in FIELD.glob("*.log")} == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_log_from_the_field(name):
    CHECKS[name](read(name))


@pytest.mark.parametrize("name", CHECKS)
def test_every_line_that_speaks_of_a_kill_was_read(name):
    assert read(name).missing.unread_kills == 0
