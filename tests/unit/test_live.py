"""A log that is read while it is being written says what it says when it is whole, and says it soon."""

import io
import lzma
from pathlib import Path

import pytest

from harness.oomlog.kmsg import parse_kmsg_record
from harness.oomlog.live import LiveLog
from harness.oomlog.reading import collect
from harness.oomlog.records import Kill

CAPTURED = sorted((Path(__file__).parents[1] / "data" / "captured").glob("*.kmsg.xz"))
TICK_S = 0.1  # harness/logs/follow.py


def replay(data):
    """Kills with the time at which each was told, by the log's own clock."""
    live, told, clock = LiveLog(), [], 0.0

    def ask(until):
        nonlocal clock
        while clock < until:
            clock = min(until, clock + TICK_S)
            told.extend((clock, kill) for kill in live.complete_records(clock) if isinstance(kill, Kill))

    for line in data.decode("utf-8", "surrogateescape").splitlines():
        record = parse_kmsg_record(line)
        if record is not None:
            clock = clock or record.time_us / 1e6
            ask(record.time_us / 1e6)
        live.feed(line.encode("utf-8", "surrogateescape"), clock)
    ask(clock + 5.0)
    return told, live


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.name.removesuffix(".kmsg.xz"))
def test_every_kill_is_reported_once_and_soon(path):
    data = lzma.decompress(path.read_bytes())
    whole = collect(io.BytesIO(data))
    told, live = replay(data)
    assert [kill.killed.pid for _, kill in told] == [kill.killed.pid for kill in whole.kills]
    assert [kill.domain for _, kill in told] == [kill.domain for kill in whole.kills]
    assert [kill.decision for _, kill in told] == [kill.decision for kill in whole.kills]
    late = [clock - kill.location.uptime_s for clock, kill in told if clock - kill.location.uptime_s > 1.5]
    assert not late
    assert live.missing.forged_kills == whole.missing.forged_kills
    assert live.missing.sequence_gaps == whole.missing.sequence_gaps
    # What the moment cannot know is unknown, or may be said of it later; it is never the opposite.
    for (_, soon), later in zip(told, whole.kills, strict=True):
        if soon.overlap_estimated != later.overlap_estimated:
            assert later.overlap_estimated is True, (soon.overlap_evidence, later.overlap_evidence)
