"""When a victim's memory was back: by its own exit_mmap(), a sharer's, the oom_reaper, or nobody knows."""

import pytest

from harness.analysis.redundancy import classify
from harness.collectors.rounds import RoundEvidence, read_evidence
from harness.collectors.trace import TraceEvent
from harness.tables.schema import KILLS, ROUNDS
from harness.tables.traced import traced_facts
from tests.unit.test_analysis import BIG, SCENARIO, SMALL, kill, round_row
from tests.unit.test_mechanism import ROUNDS as RECORDED
from tests.unit.test_mechanism import kills_of

VICTIM, CHILD, THREAD, READER, DECIDER, REAPER = 100, 101, 102, 103, 50, 42


def event(time_us, name, pid, tgid=None, subject=None):
    return TraceEvent("x", pid, tgid or pid, 0, time_us, name, f"pid={subject or pid}")


def marked(*events, victim=VICTIM, **known):
    mark = event(10, "mark_victim", DECIDER, subject=victim)
    row = traced_facts(RoundEvidence(1, trace=[mark, *events]), mark, **known)
    return row["release_time_us"], row["released_by"], row["exit_time_us"]


def gone(time_us, pid, tgid=None):
    """An exit as on 6.1: the mm first."""
    return event(time_us, "mm_release", pid, tgid), event(time_us + 1, "sched_process_exit", pid, tgid)


@pytest.mark.parametrize("name", ["mm_release", "exit_mmap"])
def test_the_release_is_the_victims_own(name):
    assert marked(event(15, name, CHILD), event(20, name, VICTIM)) == (20, "exit_mmap", None)
    assert marked(*gone(20, VICTIM)) == (20, "exit_mmap", 21)


def test_on_7_x_the_exit_comes_before_the_release():
    assert marked(event(15, "sched_process_exit", VICTIM), event(20, "mm_release", VICTIM)) == (20, "exit_mmap", 15)


def test_on_7_x_a_process_may_be_marked_when_it_has_exited():
    """Seen on 7.3: its mm is still there. A thread that exited earlier says nothing of the process."""
    last = TraceEvent("x", VICTIM, VICTIM, 0, 5, "sched_process_exit", f"comm=x pid={VICTIM} prio=120 group_dead=true")
    thread = event(5, "sched_process_exit", THREAD, VICTIM)
    for earlier, exited in ((last, 5), (thread, None)):
        mark = event(10, "mark_victim", DECIDER, subject=VICTIM)
        row = traced_facts(RoundEvidence(1, trace=[earlier, mark]), mark)
        assert (row["release_time_us"], row["exit_time_us"]) == (None, exited)


def test_a_forked_child_has_an_mm_of_its_own():
    """In a fork tree the child of a victim goes on, or dies earlier."""
    assert marked(*gone(15, CHILD), *gone(20, VICTIM)) == (20, "exit_mmap", 21)


def test_an_mm_that_is_shared_goes_with_the_last_of_its_users():
    trace = [event(15, "sched_process_exit", VICTIM), *gone(20, CHILD)]
    assert marked(*trace, sharers=frozenset({VICTIM, CHILD})) == (20, "exit_mmap", 21)
    assert marked(*trace) == (None, None, 15)


PINNED = (event(15, "sched_process_exit", VICTIM), event(20, "mm_exit", READER), event(25, "mm_release", READER))


@pytest.mark.parametrize(
    "after",
    [
        (),
        (event(30, "mm_exit", READER), *gone(31, READER)),
        (event(30, "sched_process_exit", READER), event(31, "mm_exit", READER), event(32, "mm_release", READER)),
    ],
    ids=["alive", "6.1", "7.x"],
)
def test_a_reader_that_is_alive_tears_down_the_mm_that_it_reads(after):
    """Seen in pinned-victim on 6.1 and 7.3: the victim has exited, and the last of its readers runs exit_mmap()."""
    readers = frozenset({READER, CHILD})
    assert marked(*PINNED, *after, readers=readers) == (25, "exit_mmap", 15)
    assert marked(*PINNED, *after) == (None, None, 15)


def test_a_reader_that_exits_tears_down_its_own_mm():
    exited = event(15, "sched_process_exit", VICTIM)
    on_7_x = (event(20, "sched_process_exit", READER), event(21, "mm_exit", READER), event(22, "mm_release", READER))
    for own in (gone(20, READER), on_7_x):
        assert marked(exited, *own, readers=frozenset({READER})) == (None, None, 15)
    # a victim that nobody pinned any more has its own
    assert marked(*gone(12, VICTIM), *PINNED[1:], readers=frozenset({READER})) == (12, "exit_mmap", 13)


def test_the_oom_reaper_may_have_had_it_before_the_reader_is_done():
    finished = event(18, "finish_task_reaping", REAPER, subject=VICTIM)
    row = marked(PINNED[0], finished, *PINNED[1:], *gone(30, READER), readers=frozenset({READER}), reaped=True)
    assert row == (18, "oom_reaper", 15)


def test_the_mm_of_a_fork_or_exec_that_failed_is_not_the_victims():
    """dup_mm() and exec take down what they had made, in the victim's own context, when the kill arrives."""
    assert marked(event(15, "mm_release", VICTIM), *gone(20, VICTIM)) == (20, "exit_mmap", 21)


def test_a_mark_may_name_a_thread():
    """find_lock_task_mm() takes the first thread that still has an mm; the last one to exit takes it down."""
    exits = [event(15, "sched_process_exit", THREAD, VICTIM), *gone(20, VICTIM)]
    assert marked(*exits, victim=THREAD) == (20, "exit_mmap", 21)


def test_an_mm_that_somebody_pins_is_released_unseen():
    assert marked(event(15, "sched_process_exit", VICTIM), event(40, "mm_release", READER)) == (None, None, 15)


def reaping(start_us, end_us, subject=VICTIM):
    return event(start_us, "start_task_reaping", REAPER, subject=subject), event(end_us, "finish_task_reaping", REAPER, subject=subject)  # fmt: skip


def begun(time_us, pid=VICTIM):
    return event(time_us, "mm_exit", pid)


def test_a_reaping_that_was_over_before_the_exit_began_gave_the_memory_back():
    assert marked(*reaping(15, 18), begun(20), *gone(30, VICTIM), reaped=True) == (18, "oom_reaper", 31)
    assert marked(*reaping(15, 18), begun(20), reaped=True) == (18, "oom_reaper", None)
    assert marked(*reaping(15, 18), reaped=True) == (18, "oom_reaper", None)
    # an attempt that was cut short finishes too; the log has a word for the one that did it
    assert marked(*reaping(15, 18), *reaping(20, 25), begun(26), *gone(30, VICTIM), reaped=True)[0] == 25


def test_of_an_mm_that_is_being_torn_down_the_reaper_gives_nothing_back():
    """What is left is in the mmu_gather of exit_mmap()."""
    assert marked(begun(12), *reaping(15, 18), *gone(30, VICTIM), reaped=True) == (30, "exit_mmap", 31)
    assert marked(begun(12), *reaping(15, 18), reaped=True) == (None, None, None)
    # when it began is not known: --probes kills, and older runs
    assert marked(*reaping(15, 18), *gone(30, VICTIM), reaped=True) == (30, "exit_mmap", 31)
    # the log says nothing of it, or it was another's
    assert marked(*reaping(15, 18), begun(20), *gone(30, VICTIM)) == (30, "exit_mmap", 31)
    assert marked(*reaping(15, 18, CHILD), begun(20), *gone(30, VICTIM), reaped=True) == (30, "exit_mmap", 31)


@pytest.mark.parametrize(
    ("decided", "expected"),
    [(40, "redundant"), (60, "unknown")],  # the first victim exits at 50, and its release is never seen
)
def test_after_an_exit_without_release_nobody_knows(decided, expected):
    first = {**kill(1, BIG, 10, None), "exit_time_us": 50}
    found = classify(KILLS.frame([first, kill(2, SMALL, decided, 90)]), ROUNDS.frame([round_row()]), {"t": SCENARIO})
    assert list(found["kill_class"]) == ["necessary", expected]


def test_another_victim_that_is_there_settles_it():
    pinned = {**kill(1, SMALL, 10, None), "exit_time_us": 20}
    kills = [pinned, kill(2, SMALL + 1, 30, 100), kill(3, SMALL + 2, 50, 120)]
    found = classify(KILLS.frame(kills), ROUNDS.frame([round_row()]), {"t": SCENARIO})
    assert found["overlapping"].astype(object).fillna("?").tolist() == [False, "?", True]


def test_a_fork_tree_as_recorded_on_6_1():
    """Of 583's mm the reaper gave nothing back, as its exit_mmap() had begun 1.9 s before; it had all of 592's. Another
    process of the tree exited before 579 did, and before 592 was reaped."""
    kills = kills_of(RECORDED / "6.1-fork").set_index("pid")
    since_mark = kills["release_time_us"] - kills["mark_time_us"]
    reaped = kills[kills["reaped_time_us"].notna()]
    assert reaped["released_by"].to_dict() == {583: "exit_mmap", 592: "oom_reaper"}
    assert since_mark[[579, 583, 592]].tolist() == [647358, 2816227, 2795899]
    assert kills["release_time_us"].notna().all()
    exits = read_evidence(RECORDED / "6.1-fork").rounds[6].trace
    own = {pid: [e.time_us for e in exits if e.name == "mm_release" and e.tgid == pid] for pid in kills.index}
    assert {pid: own[pid][-1] for pid in kills.index if pid != 592} == kills["release_time_us"].drop(592).to_dict()
