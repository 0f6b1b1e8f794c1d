"""`oomtrial parse --explain`: what a log proves of one process, container or unit."""

import io

import pytest
from oomtext import Task, killed, reaped, report, stamped
from rich.console import Console

from harness.oomlog.reading import Collected, Reader
from harness.report.logexplain import LogExplain
from harness.tables.logtotals import totals_of

ID = "0123456789abcdef" * 4
MEMCG = f"/system.slice/docker-{ID}.scope"


def explain(lines, wanted, names=None):
    reader = Reader()
    found = Collected(reader.read(io.BytesIO(("\n".join(lines) + "\n").encode())), reader)
    out = io.StringIO()
    sink = LogExplain(Console(file=out, width=300), wanted, names)
    for output in (*found.reports, *found.kills, *found.releases, *found.others):
        sink.add(output, "-")
    decisions = len({kill.decision for kill in found.kills})
    sink.finish(totals_of(found.missing, len(found.kills), decisions, len(found.reports)), found.missing)
    return out.getvalue()


KILL = stamped([*report(12, MEMCG), killed(12), reaped(12)])


@pytest.mark.parametrize("wanted", ["12", ID, ID[:12], f"docker-{ID}.scope", MEMCG])
def test_a_kill_by_pid_container_unit_or_memcg(wanted):
    text = explain(KILL, wanted)
    assert "pid 12 (hog) was killed by the kernel's OOM killer: line " in text
    assert f"container {ID}" in text
    assert "runtime docker" in text
    assert "reached its limit of memory: 30720 of 30720 kB" in text
    assert "one process was killed" in text
    assert "oom_reaper: reaped" in text


def test_a_container_by_the_name_that_the_local_engine_knows():
    text = explain(KILL, "web", {ID: "web"})
    assert f"container {ID} (web)" in text


def test_a_group():
    lines = [*report(12, "/m"), killed(12), "Tasks in /m are going to be killed due to memory.oom.group set", killed(12), killed(13)]  # fmt: skip
    assert "the whole memcg /m was killed, as memory.oom.group is set: 2 processes" in explain(stamped(lines), "13")


def test_nothing_is_proved_by_an_exit_code():
    lines = [*report(12, MEMCG, tasks=[Task(12), Task(77, "other")]), killed(12)]
    text = explain(stamped(lines), "77")
    assert "no line of this log shows that the kernel's OOM killer killed pid 77" in text
    assert "it was alive at line" in text
    assert "nothing is known to be missing" in text
    assert "137" in text
    assert "up to 1 kill may be missing" in explain([*stamped(lines), "[  200.0] Killed process 77 in pieces"], "78")


def test_a_killer_in_user_space_is_told_apart():
    line = (
        'Nov 14 22:13:21 n earlyoom[701]: sending SIGTERM to process 77 uid 1000 "chrome": badness 300, VmRSS 400 MiB'
    )
    assert "user space, line 1: earlyoom" in explain([line], "77")


def machine(gfp, *zones, order=0, mems="0"):
    lines = [
        f"a invoked oom-killer: gfp_mask={gfp}, order={order}, oom_score_adj=0",
        *zones,
        f"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed={mems},global_oom,task_memcg=/,task=a,pid=8,uid=0",
        killed(8, "a", message="Out of memory"),
    ]
    return explain(stamped(lines), "8")


def zone(name, free, node=0, rest=""):
    return f"Node {node} {name} free:{free}kB min:10kB low:50kB high:100kB reserved_highatomic:0KB{rest}"


def test_why_a_machine_killed_though_memory_was_free():
    low = [zone("Normal", 50), zone("Movable", 999000)]
    assert "999000 kB are in zones that it may not use (Movable)" in machine("0xcc0(GFP_KERNEL)", *low)
    assert "kB of its zones are CMA pages" in machine(
        "0xcc0(GFP_KERNEL)", zone("Normal", 9000, rest=" free_cma:8950kB")
    )
    blocks = "Node 0 Normal: 2000*4kB (UME) 0*8kB 0*16kB 0*32kB 0*64kB = 8000kB"
    text = machine("0xcc0(GFP_KERNEL)", zone("Normal", 8000), blocks, order=3)
    assert "fragmentation: no zone has a free block of 32 kB (order 3)" in text
    text = machine("0xcc0(GFP_KERNEL)", zone("Normal", 50), zone("Normal", 999000, node=1), mems="0")
    assert "999000 kB are on nodes that its cpuset or policy forbids" in text
    assert "requested manually (SysRq-F)" in machine("0xcc0(GFP_KERNEL)", zone("Normal", 8000), order=-1)
    assert "a page fault failed" in machine("0x0()", zone("Normal", 8000))


def test_kernel_memory_has_a_limit_of_its_own_on_v1():
    lines = report(12, "/m", margin=5000)
    place = next(n for n, line in enumerate(lines) if line.startswith("memory: "))
    lines.insert(place + 1, "kmem: usage 1024kB, limit 1024kB, failcnt 3")
    text = explain(stamped([*lines, killed(12)]), "12")
    assert "reached its limit of kernel memory: 1024 of 1024 kB" in text
