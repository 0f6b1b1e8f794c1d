"""From raw lines to rounds: cut at the markers, nothing given away."""

import msgspec

from harness.collectors.files import EvidenceWriter, TrialRecord, write_trial
from harness.collectors.memcg import difference, read_counters
from harness.collectors.rounds import read_evidence
from harness.collectors.trace import count_lost, parse_trace_line


def trial(**changes):
    record = TrialRecord(
        trial_id="001-1",
        block=1,
        arm="source:6.1",
        scenario="s",
        boot=1,
        first_round=1,
        rounds=2,
        token="abc",
        outcome="completed",
    )
    return msgspec.structs.replace(record, **changes)


def marker(sequence, number, what, token="abc"):
    return f"K 12,{sequence},{sequence},-,caller=T1;oomtrial: {token} round {number} {what}".encode()


def kernel(sequence, text):
    return f"K 6,{sequence},{sequence},-,caller=T1;{text}".encode()


def trace(time, name, fields, pid=7, tgid=None):
    return f"T           x-{pid}     ({tgid or pid:>7}) [000] .....   {time}.000000: {name}: {fields}".encode()


def write(tmp_path, collector, supervisor=(), **changes):
    with EvidenceWriter(tmp_path) as evidence:
        for line in collector:
            evidence.collector_line(line)
        for line in supervisor:
            evidence.supervisor_line(line)
    write_trial(tmp_path, trial(**changes))
    return read_evidence(tmp_path)


def test_records_go_to_the_round_whose_markers_enclose_them(tmp_path):
    found = write(
        tmp_path,
        [
            kernel(1, "before"),
            marker(2, 1, "start"),
            kernel(3, "in one"),
            marker(4, 1, "end"),
            kernel(5, "between"),
            marker(6, 2, "start"),
            kernel(7, "in two"),
            marker(8, 2, "end"),
        ],
    )
    assert {n: [r.text for r in e.kmsg] for n, e in found.rounds.items()} == {1: ["in one"], 2: ["in two"]}
    assert all(e.kmsg_marked for e in found.rounds.values())


def test_a_marker_of_another_trial_or_of_the_kernel_is_none(tmp_path):
    found = write(
        tmp_path, [marker(1, 1, "start", token="other"), kernel(2, "oomtrial: abc round 1 start"), kernel(3, "x")]
    )
    assert found.rounds == {}


def test_a_gap_inside_a_round_is_that_rounds_loss(tmp_path):
    found = write(
        tmp_path,
        [marker(1, 1, "start"), kernel(5, "x"), marker(6, 1, "end"), marker(9, 2, "start"), marker(10, 2, "end")],
    )
    assert (found.rounds[1].lost_kmsg_records, found.rounds[2].lost_kmsg_records) == (3, 0)


def test_a_marker_that_was_overwritten_leaves_its_gap_to_its_round(tmp_path):
    """A flood of the kernel log takes the oldest records first, and the start of the round is one of them."""
    armed = [b'C {"event":"begin","round":%d}\nC {"event":"armed","round":%d}' % (n, n) for n in range(1, 6)]
    found = write(
        tmp_path,
        [line for pair in armed for line in pair.split(b"\n")]
        + [marker(1, 1, "start"), kernel(2, "in one"), marker(3, 1, "end"), marker(4, 2, "start"), kernel(5, "in two")]
        + [marker(9, 3, "start"), marker(10, 3, "end")]  # the end of 2 is lost
        + [kernel(30, "in four"), marker(31, 4, "end")]  # the start of 4 is
        + [kernel(60, "after five"), marker(61, 6, "start"), marker(62, 6, "end")],  # all of 5
    )
    rounds = [found.rounds[n] for n in range(1, 7)]
    assert [e.lost_kmsg_records for e in rounds] == [0, 3, 0, 19, 28, 0]
    assert [e.kmsg_marked for e in rounds] == [True, False, True, False, False, True]
    assert [[r.text for r in e.kmsg] for e in rounds] == [["in one"], ["in two"], [], ["in four"], [], []]


def test_an_overrun_that_no_number_tells_of_is_told_by_the_kernel(tmp_path):
    lines = [b'C {"event":"begin","round":1}', b'C {"event":"kmsg_overrun"}', kernel(9, "x"), marker(10, 1, "end")]
    between = [b'C {"event":"end","round":1}', b'C {"event":"kmsg_overrun"}', b'C {"event":"begin","round":2}']
    found = write(tmp_path, [*lines, *between, marker(20, 2, "start"), marker(21, 2, "end")])
    assert [found.rounds[n].lost_kmsg_records for n in (1, 2)] == [1, 0]


def test_a_round_without_its_end_keeps_its_records_and_says_so(tmp_path):
    found = write(tmp_path, [marker(1, 1, "start"), kernel(2, "x")])
    assert [r.text for r in found.rounds[1].kmsg] == ["x"]
    assert not found.rounds[1].kmsg_marked


def test_trace_events_are_cut_at_their_own_markers(tmp_path):
    found = write(
        tmp_path,
        [
            trace(1, "oom_entry", "stray"),
            trace(2, "tracing_mark_write", "oomtrial: abc round 1 start"),
            trace(3, "mark_victim", "pid=12 comm=x"),
            trace(4, "tracing_mark_write", "oomtrial: abc round 1 end"),
        ],
    )
    assert [(e.name, e.subject_pid) for e in found.rounds[1].trace] == [("mark_victim", 12)]
    assert found.rounds[1].trace_marked


def test_trace_losses_are_counted_for_the_round_in_which_they_grew(tmp_path):
    losses = '{"event":"trace_losses","round":%d,"lost_events_total":%d,"missed_probes_total":%d}'
    found = write(tmp_path, [b"C " + (losses % row).encode() for row in ((1, 5, 0), (2, 5, 2))])
    assert [(e.lost_trace_events, e.missed_probes) for e in found.rounds.values()] == [(5, 0), (0, 2)]


def test_a_trace_line_with_a_hostile_name():
    event = parse_trace_line(
        "  a-1 (b) [0]-123     (    120) [003] dN.1.    68.213053: mm_release: (mmput+0x3b/0xf0 <- exit_mmap)"
    )
    assert (event.comm, event.pid, event.tgid, event.cpu, event.time_us) == ("a-1 (b) [0]", 123, 120, 3, 68213053)
    event = parse_trace_line(
        "  x-9     (-------) [000] .....     1.000002: oom_entry: (out_of_memory+0x0/0x270) memcg=0x0 order=0"
    )
    assert (event.tgid, event.memcg) == (None, 0)
    assert count_lost(["CPU:1 [LOST 12 EVENTS]", "CPU:0 [LOST 3 EVENTS]"]) == 15


def test_memcg_files_before_and_after():
    snapshots = read_counters(
        [
            "1 before memory.events oom_kill 2",
            "1 after memory.events oom_kill 5",
            "1 after memory.pressure full avg10=0.00 avg60=0.00 avg300=0.00 total=120",
            "0 before memory.max max",
            "garbage",
        ]
    )
    assert difference(snapshots, 1, "memory.events oom_kill") == 3
    assert snapshots[1, "after"]["memory.pressure full"] == 120
    assert difference(snapshots, 1, "memory.pressure full") is None


def test_lines_that_were_cut_off_lose_only_themselves(tmp_path):
    found = write(
        tmp_path,
        [b'C {"event":"begin","round":1}', b'C {"event":"ho'],
        [b'{"event":"round_start","round":1,"time_ns":5,"hogs":2}', b'{"event":"rou'],
    )
    assert found.rounds[1].start.hogs == 2
    assert found.rounds[1].end is None
