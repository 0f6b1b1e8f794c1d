"""JSON events of the supervisor (workloads/hog) and of the collector (workloads/collector), typed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec


class HogEnd(msgspec.Struct, frozen=True, tag_field="event", tag="hog"):
    """How one hog's round went. Times are CLOCK_MONOTONIC, 0 for an event that never happened."""

    round: int
    hog: int
    name: str
    demand_bytes: int
    touched_bytes: int
    full_ns: int
    dead: bool
    dead_ns: int
    signal: int
    exit: int
    cleanup: bool  # killed by the supervisor itself, after the round
    begin_ns: int = 0  # of its growth
    failed: int = 0  # errno of a work that could not be done; EBADMSG for memory that was not as it wrote it
    stalls_lost: int = 0
    longest_lost_ns: int | None = None  # of those stalls; None in evidence from before it was noted
    # times without a page although it wanted one, 1 ms or longer: start, end, and CPU time in the kernel meanwhile
    stalls: list[tuple[int, int, int]] = []


class RoundStart(msgspec.Struct, frozen=True, tag_field="event", tag="round_start"):
    """The supervisor begins a round."""

    round: int
    time_ns: int
    hogs: int


class RoundEnd(msgspec.Struct, frozen=True, tag_field="event", tag="round_end"):
    """The supervisor has ended a round."""

    round: int
    time_ns: int
    hung: bool  # the deadline passed
    stuck: bool  # a hog outlived SIGKILL
    recorded: bool  # the collector saw its end marker in the kernel log


class Calibration(msgspec.Struct, frozen=True, tag_field="event", tag="calibration"):
    """Memory of the hogs that should survive, alone and with one more. -1: they did not get it."""

    fit_bytes: int = -1
    over_bytes: int = -1
    capacity_bytes: int = 0
    reserve_bytes: int = 0
    oom: int = 0  # memory.events oom of the first, and kills where the machine is the limit
    available_bytes: int = -1  # of a machine that has less than it is to have for hogs


class Prepared(msgspec.Struct, frozen=True, tag_field="event", tag="prepared"):
    """The supervisor waits for its job."""


class Hello(msgspec.Struct, frozen=True, tag_field="event", tag="hello"):
    """The first event of the supervisor: what it is about to run."""

    time_ns: int
    locked: bool  # mlockall() worked
    rounds: int
    first_round: int


class Bye(msgspec.Struct, frozen=True, tag_field="event", tag="bye"):
    """The last event of the supervisor: all rounds are done."""

    time_ns: int


class Trouble(msgspec.Struct, frozen=True, tag_field="event", tag="error"):
    """A system call of the supervisor failed; it ends."""

    what: str
    errno: int


SupervisorEvent = HogEnd | RoundStart | RoundEnd | Calibration | Prepared | Hello | Bye | Trouble
_supervisor = msgspec.json.Decoder(SupervisorEvent)


class CollectorEvent(msgspec.Struct, frozen=True):
    """An event of the collector; fields that an event does not have keep their defaults."""

    event: str
    round: int = 0
    hog: int = -1
    pid: int = 0
    hogs: int = 0
    probe: str = ""
    boot_id: str = ""
    release: str = ""
    memcg: str = ""
    lost_events_total: int = 0
    missed_probes_total: int = 0
    kmsg_complete: bool = False
    clean: bool = False
    usage_bytes: int = 0
    baseline_bytes: int = 0
    token: str = ""
    what: str = ""
    reason: str = ""


_collector = msgspec.json.Decoder(CollectorEvent)


def decode_supervisor(line: bytes | str) -> SupervisorEvent | None:
    """An event of the supervisor; None for a line that was cut off."""
    try:
        event: SupervisorEvent = _supervisor.decode(line)
    except msgspec.DecodeError:
        return None
    return event


def decode_collector(line: bytes | str) -> CollectorEvent | None:
    """An event of the collector, without its channel; None for a line that was cut off."""
    try:
        return _collector.decode(line)
    except msgspec.DecodeError:
        return None


def read_supervisor(lines: Iterable[str]) -> Iterator[SupervisorEvent]:
    """Events in order; a truncated line is skipped (its round then lacks an end)."""
    return (event for line in lines if (event := decode_supervisor(line)) is not None)


def read_collector(lines: Iterable[str]) -> Iterator[CollectorEvent]:
    """Events in order; a truncated line is skipped."""
    return (event for line in lines if (event := decode_collector(line)) is not None)
