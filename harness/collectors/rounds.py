"""A trial's evidence, split into rounds at the markers: no round's records are lost or attributed to another round."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EvidenceError
from ..oomlog.kmsg import KmsgRecord, lost_records, parse_kmsg
from .events import CollectorEvent, HogEnd, RoundEnd, RoundStart, Trouble, read_collector, read_supervisor
from .files import CHANNEL_FILES, HOST_STARTED, SUPERVISOR_FILE, TrialRecord, read_trial
from .memcg import MemcgCounters, difference, read_counters
from .trace import TraceEvent, count_lost, parse_trace

_RoundOf = Callable[[int], "RoundEvidence"]
_MARKER = re.compile(r"oomtrial: (\S+) round (\d+) (start|end)")


@dataclass
class RoundEvidence:
    """Everything that was recorded of one round."""

    number: int
    drained: bool = False  # the collector has handed over all that it has of it
    armed: bool = False  # its hogs were ready and the collector was notified: the round began
    kmsg: list[KmsgRecord] = field(default_factory=list)  # between the markers
    trace: list[TraceEvent] = field(default_factory=list)
    kmsg_marked: bool = False  # both markers stand in the kernel log
    trace_marked: bool = False
    hog_pids: dict[int, int] = field(default_factory=dict)  # pid in the initial pid namespace -> hog number
    child_pids: dict[int, int] = field(default_factory=dict)  # of processes that a hog forked -> hog number
    hog_ends: dict[int, HogEnd] = field(default_factory=dict)  # hog number -> how it fared
    start: RoundStart | None = None
    end: RoundEnd | None = None
    kmsg_overrun: bool = False  # the kernel said that it had overwritten records
    lost_kmsg_records: int = 0
    lost_trace_events: int = 0
    missed_probes: int = 0
    baseline_clean: bool | None = None  # None: not asked, the trial ended before

    @property
    def is_finished(self) -> bool:
        """Whether supervisor and collector have both finished the round: later records cannot change it."""
        return self.armed and self.end is not None and self.drained


@dataclass
class TrialEvidence:
    """A trial and its rounds, in order."""

    record: TrialRecord
    boot_id: str | None  # of the kernel, None when the collector never got ready
    rounds: dict[int, RoundEvidence]
    snapshots: dict[tuple[int, str], MemcgCounters]
    missing_probes: list[str]
    errors: list[str]
    memcg: str = ""  # of the container under test, as the kernel log names it; empty where the collector never said

    @property
    def marks_missing(self) -> bool:
        """Whether the trace has no oom:mark_victim; without the other probes it is a witness all the same."""
        return any(probe in ("all", "oom") for probe in self.missing_probes)

    @property
    def is_shared(self) -> bool:
        """Whether other programs had processes under the same kernel."""
        return self.record.started == HOST_STARTED

    @property
    def rounds_begun(self) -> int:
        """How many rounds the trial began."""
        return max(
            (n for n, evidence in self.rounds.items() if evidence.armed), default=self.record.first_round - 1
        ) - (self.record.first_round - 1)

    @property
    def rounds_finished(self) -> int:
        """How many rounds are finished, up to the first unfinished one."""
        numbers = range(self.record.first_round, self.record.first_round + self.record.rounds)
        return sum(1 for _ in itertools.takewhile(lambda n: n in self.rounds and self.rounds[n].is_finished, numbers))

    def counter_growth(self, number: int, key: str) -> int | None:
        """Growth of a memcg counter such as ``memory.events oom_kill`` in a round."""
        return difference(self.snapshots, number, key)


def _lines(path: Path) -> list[str]:
    try:
        # Process names are bytes: surrogates carry what is not UTF-8.
        return path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror}") from error


def read_evidence(directory: Path) -> TrialEvidence:
    """Reads a trial's directory.

    Raises EvidenceError when its record is missing or damaged; missing parts of the rest show as rounds without end.
    """
    record = read_trial(directory)
    rounds: dict[int, RoundEvidence] = {}

    def of(number: int) -> RoundEvidence:
        return rounds.setdefault(number, RoundEvidence(number))

    errors = _read_supervisor(directory, of)
    missing, boot_id, memcg = _read_collector(directory, of)
    _cut_kmsg(parse_kmsg(_lines(directory / CHANNEL_FILES[b"K"])), record.token, rounds)
    for round_evidence in rounds.values():
        if round_evidence.kmsg_overrun:  # at the start of the log no number tells how many
            round_evidence.lost_kmsg_records = max(round_evidence.lost_kmsg_records, 1)
    trace_lines = _lines(directory / CHANNEL_FILES[b"T"])
    _cut_trace(parse_trace(trace_lines), record.token, of)
    if lost := count_lost(trace_lines):
        for evidence in rounds.values():
            evidence.lost_trace_events = max(evidence.lost_trace_events, lost)
    snapshots = read_counters(_lines(directory / CHANNEL_FILES[b"M"]))
    return TrialEvidence(record, boot_id, dict(sorted(rounds.items())), snapshots, missing, errors, memcg)


def _read_supervisor(directory: Path, of: _RoundOf) -> list[str]:
    errors = []
    for event in read_supervisor(_lines(directory / SUPERVISOR_FILE)):
        match event:
            case RoundStart():
                of(event.round).start = event
            case RoundEnd():
                of(event.round).end = event
            case HogEnd():
                of(event.round).hog_ends[event.hog] = event
            case Trouble():
                errors.append(f"supervisor: {event.what}")
            case _:
                pass
    return errors


def _read_collector(directory: Path, of: _RoundOf) -> tuple[list[str], str | None, str]:
    """Fills in hog pids and losses; returns the probes that this kernel does not have, its boot_id, and the memcg of the
    container under test."""
    missing, current, boot_id, memcg = [], None, None, ""
    before = CollectorEvent("trace_losses")
    for event in read_collector(_lines(directory / CHANNEL_FILES[b"C"])):
        if event.event == "begin":
            current = of(event.round) if event.round else None  # 0: the calibration
        elif event.event == "hog" and current is not None:
            current.hog_pids[event.pid] = event.hog
        elif event.event == "child" and current is not None:
            current.child_pids[event.pid] = event.hog
        elif event.event == "armed":
            of(event.round).armed = True
        elif event.event == "kmsg_overrun" and current is not None:
            current.kmsg_overrun = True
        elif event.event == "end":
            of(event.round).drained, current = True, None
        elif event.event == "trace_losses":
            current = of(event.round)
            current.lost_trace_events = event.lost_events_total - before.lost_events_total
            current.missed_probes = event.missed_probes_total - before.missed_probes_total
            before = event
        elif event.event == "clean" and event.round:
            of(event.round).baseline_clean = event.clean
        elif event.event == "probe_missing":
            missing.append(event.probe.strip())
        elif event.event == "ready":
            boot_id = event.boot_id or None
        elif event.event == "hello":
            # by the path from cgroupfs: on v1 below the controller's name
            memcg = event.memcg.removeprefix("/memory") if event.memcg.startswith("/memory/") else event.memcg
    return missing, boot_id, memcg


def _cut_kmsg(records: Iterable[KmsgRecord], token: str, rounds: dict[int, RoundEvidence]) -> None:
    """A marker may itself be lost: records at the place of a round belong to it, with the gap."""
    current: RoundEvidence | None = None  # whose start was found, and not its end
    span: list[KmsgRecord] = []  # since the last marker, with it
    ended = 0  # the round of the last end that was found
    for record in records:
        marker = _MARKER.fullmatch(record.text) if not record.is_kernel else None
        if not marker or marker[1] != token:
            span.append(record)
            if current is not None:
                current.kmsg = span[1:]  # kept even if the end never comes
            continue
        number, is_start = int(marker[2]), marker[3] == "start"
        marked_round, before = rounds.setdefault(number, RoundEvidence(number)), rounds.get(number - 1)
        span.append(record)
        if current is not None:
            current.lost_kmsg_records = lost_records(span)
            current.kmsg_marked = marked_round is current and not is_start
        elif not is_start:
            marked_round.kmsg = [each for each in span if not _MARKER.fullmatch(each.text)]
            marked_round.lost_kmsg_records = lost_records(span)
        elif before is not None and before.number > ended:  # neither its start nor its end is left
            before.lost_kmsg_records = lost_records(span)
        ended = ended if is_start else number
        current, span = marked_round if is_start else None, [record]
    if current is not None:
        current.lost_kmsg_records = lost_records(span)


def _cut_trace(events: Iterable[TraceEvent], token: str, of: _RoundOf) -> None:
    current: RoundEvidence | None = None
    for event in events:
        marker = _MARKER.fullmatch(event.fields) if event.name == "tracing_mark_write" else None
        if marker and marker[1] == token:
            if marker[3] == "start":
                current = of(int(marker[2]))
            elif current is not None and current.number == int(marker[2]):
                current.trace_marked, current = True, None
        elif current is not None:
            current.trace.append(event)
