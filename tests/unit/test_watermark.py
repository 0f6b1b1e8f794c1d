"""What room a request had in a report of the whole machine: only what it may use counts."""

import io

import pytest
from oomtext import killed, stamped

from harness.oomlog.reading import collect
from harness.oomlog.watermark import request_room_kb

GFP_KERNEL, GFP_HIGHUSER_MOVABLE, GFP_DMA32 = 0xCC0, 0x100CCA, 0x4


def parse(lines):
    return collect(io.BytesIO(("\n".join(stamped(lines)) + "\n").encode()))


def report(*lines, gfp="0xcc0(GFP_KERNEL)", order=0, mems="0", nodemask="(null)", pid=8):
    return [
        f"a invoked oom-killer: gfp_mask={gfp}, order={order}, oom_score_adj=0",
        *lines,
        f"oom-kill:constraint=CONSTRAINT_NONE,nodemask={nodemask},cpuset=/,mems_allowed={mems},global_oom,task_memcg=/,task=a,pid={pid},uid=0",
        killed(pid, "a", message="Out of memory"),
    ]


def room(*lines, **header):
    (found,) = parse(report(*lines, **header)).reports
    return found.zone_margin_kb


def zone(name, free, high=100, node=0, rest=""):
    return f"Node {node} {name} free:{free}kB min:10kB low:50kB high:{high}kB reserved_highatomic:0KB{rest}"


NORMAL = "lowmem_reserve[]: 0 0 0 0 0"
DMA32_BLOCKS = "Node 0 DMA32: 10648*4kB (UME) 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 42592kB"


def test_the_margin_is_what_is_free_above_the_high_watermark():
    assert room(zone("Normal", 1000), NORMAL) == 900


def test_a_zone_that_the_request_may_not_use_is_no_room():
    zones = [zone("Normal", 50), NORMAL, zone("Movable", 10**6), NORMAL]
    assert room(*zones) == -50
    assert room(*zones, gfp="0x100cca(GFP_HIGHUSER_MOVABLE)") == 10**6 - 100
    assert room(*zones, gfp="0x100cc2(GFP_HIGHUSER)") == -50
    assert room(zone("DMA32", 9000), NORMAL, zone("Normal", 10**6), NORMAL, gfp="0xcc4(GFP_KERNEL|GFP_DMA32)") == 8900


def test_a_node_that_a_cpuset_or_a_policy_forbids_is_no_room():
    zones = [zone("Normal", 10**6), NORMAL, zone("Movable", 10**8, node=1), NORMAL]
    assert room(*zones, mems="1") is None
    assert room(*zones, mems="0-1", nodemask="1") is None
    assert room(*zones, mems="0-1") == 10**6 - 100
    assert room(*zones, mems="1", gfp="0x100cca(GFP_HIGHUSER_MOVABLE)") == 10**8 - 100


def test_a_policy_that_the_report_does_not_name_leaves_the_answer_open_where_it_matters():
    def of(free):
        lines = [
            "a invoked oom-killer: gfp_mask=0x280da, order=0, oom_score_adj=0",
            zone("Normal", 5000),
            zone("Normal", free, node=1),
        ]
        (found,) = parse([*lines, "Out of memory: Kill process 8 (a) score 7 or sacrifice child", "Killed process 8 (a) total-vm:9kB, anon-rss:9kB, file-rss:0kB"]).reports  # fmt: skip
        return found.zone_margin_kb

    assert of(20) is None
    assert of(3000) == 2900


def test_blocks_of_the_order_must_be_free():
    assert room(zone("DMA32", 42592), NORMAL, DMA32_BLOCKS) == 42492
    assert room(zone("DMA32", 42592), NORMAL, DMA32_BLOCKS, order=2) == 0
    assert room(zone("DMA32", 42592), NORMAL, order=2) is None  # no buddy line
    reserved = DMA32_BLOCKS.replace("0*4096kB", "1*4096kB (H)")
    assert room(zone("DMA32", 42592), NORMAL, reserved, order=2) == 0
    ordinary = DMA32_BLOCKS.replace("0*4096kB", "1*4096kB (M)")
    assert room(zone("DMA32", 42592), NORMAL, ordinary, order=2) == 42592 - 100 - 12
    old = DMA32_BLOCKS.replace(" (UME)", "").replace("0*4096kB", "1*4096kB")
    assert room(zone("DMA32", 42592), NORMAL, old, order=2) == 42592 - 100 - 12


def test_free_pages_for_movable_or_atomic_requests_only():
    line = zone("Normal", 9000, rest=" active_anon:0kB free_cma:8000kB")
    assert room(line, NORMAL) == 900
    assert room(line, NORMAL, gfp="0x100cca(GFP_HIGHUSER_MOVABLE)") == 8900
    assert room(line.replace("highatomic:0KB", "highatomic:500KB"), NORMAL) == 400


@pytest.mark.parametrize(("gfp", "order"), [("0x0()", 0), ("0xcc0(GFP_KERNEL)", -1)], ids=["a page fault", "SysRq-F"])
def test_a_report_that_no_allocation_asked_for_has_no_room(gfp, order):
    assert room(zone("Normal", 9000), NORMAL, gfp=gfp, order=order) is None


@pytest.mark.parametrize(
    ("gfp", "expected"), [(GFP_KERNEL, 70000 - 3188 * 4), (GFP_HIGHUSER_MOVABLE, 70000 - 3190 * 4), (0x1, 70000)]
)
def test_the_reserve_is_that_against_the_requests_highest_zone(gfp, expected):
    lines = ["Node 0 DMA free:70000kB min:0kB low:0kB high:0kB", "lowmem_reserve[]: 0 3188 3188 3190"]
    (found,) = parse(["a invoked oom-killer: gfp_mask=0x1, order=0, oom_score_adj=0", *lines]).reports
    assert request_room_kb(gfp, 0, found.zones, {}, 4, "0", "(null)") == expected


def overlap(first, second):
    found = parse([*first, *second])
    return found.kills[1].overlap_estimated, found.kills[1].overlap_evidence


def table(*tasks):
    head = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
    return [head, *(f"[{pid:7d}]     0 {pid:5d}    90000 {rss:8d}   900000        0             0 t{pid}" for pid, rss in tasks)]  # fmt: skip


def lists(anon, unevictable=0, shmem=0):
    return [
        f"active_anon:{anon} inactive_anon:0 isolated_anon:0",
        f" unevictable:{unevictable} dirty:0 writeback:0",
        f" mapped:0 shmem:{shmem} pagetables:9",
    ]


def machine(pid, anon_pages, *tasks, comm="a", shmem=0, anon_kb=1000):
    lines = [zone("Normal", 50), NORMAL, *lists(anon_pages, shmem=shmem), *table(*tasks)]
    return [*report(*lines, pid=pid)[:-1], killed(pid, comm, message="Out of memory", vm=360000, anon=anon_kb)]


def test_a_machines_memory_that_is_nobodys_is_in_flight():
    first = machine(8, 90000, (8, 50000), (9, 40000), anon_kb=200000)
    assert overlap(first, machine(9, 90000, (9, 40000))) == (True, "in flight: 200000 kB of no listed task")


@pytest.mark.parametrize(
    "second",
    [
        machine(9, 40000, (9, 40000)),  # it is free
        machine(9, 90000, (9, 90000)),  # another task took it
        machine(9, 90000, (9, 40000), (10, 50000)),  # a new one
        machine(9, 90000, (9, 40000), shmem=50000),  # tmpfs
    ],
)
def test_memory_that_was_freed_or_taken_by_others_is_not_in_flight(second):
    first = machine(8, 90000, (8, 50000), (9, 40000), anon_kb=200000)
    assert overlap(first, second)[0] is not True
