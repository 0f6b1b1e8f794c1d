"""The raw evidence of a trial on disk.

| file | content |
|---|---|
| trial.json | what was asked for, and how it ended |
| kmsg.log | one /dev/kmsg record a line; continuation fields on lines that begin with a blank |
| trace.log | the trace instance, one event a line |
| memcg.log | `round when file line`: memcg files before and after each round |
| collector.jsonl | the collector's own events, losses among them |
| supervisor.jsonl | the workload's events |
| console.log | the guest's serial console |
| checksums.json | SHA-256 of each raw file, written last; not there if the harness was killed |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from ..errors import EvidenceError
from ..spec.outcome import Outcome
from ..system.paths import write_atomically

CHANNEL_FILES = {b"K": "kmsg.log", b"k": "kmsg.log", b"T": "trace.log", b"M": "memcg.log", b"C": "collector.jsonl"}
SUPERVISOR_FILE = "supervisor.jsonl"
CALIBRATION_FILE = "calibration.jsonl"  # of an earlier trial, which this one relies on
CONSOLE_FILE = "console.log"
TRIAL_FILE = "trial.json"
HOST_STARTED = "host"  # how a trial was started that ran in no guest
CHECKSUM_FILE = "checksums.json"


class TrialState(StrEnum):
    """How far a trial has come."""

    UNKNOWN = ""  # older records do not say
    RUNNING = "running"
    ENDED = "ended"
    INTERRUPTED = "interrupted"  # with its harness


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One container's life: a scenario on an arm. Written before it starts, again when it has ended."""

    trial_id: str
    block: int  # of the plan; a block whose trial ended early has more than one
    arm: str
    scenario: str
    boot: int  # 1.. within the arm
    first_round: int
    # planned, from first_round on, warm-up rounds among them; if the guest was stopped in one of them, those before it
    rounds: int
    token: str  # in the markers of kernel log and trace
    outcome: Outcome = Outcome.LOST
    reason: str = ""
    rounds_begun: int = 0
    warm_up: int = 0  # of its rounds, the first ones: recorded and not counted
    state: TrialState = TrialState.UNKNOWN
    started: str = "cold"  # or restored: from the snapshot of an earlier boot; or host: in no guest
    # other guests on this machine when its own started
    concurrent_guests: int = msgspec.field(default=0, name="beside")
    guest_start_s: float = 0.0
    containers_start_s: float = 0.0
    rounds_s: float = 0.0
    # shares of the machine's CPU time, 0 to 1, from when the guest was up (`CpuShares`)
    host_steal_share: float | None = None
    host_others_share: float | None = None

    def counted(self, done: int) -> int:
        """How many of so many rounds count: all but those of warm-up, and the one in which the trial ended even so."""
        if 0 < done <= self.warm_up and self._ended_early:
            return 1
        return max(0, done - self.warm_up)

    def is_warm_up(self, number: int) -> bool:
        """Whether a round is recorded and does not count. A kernel that hangs or panics in its warm-up has failed."""
        place = number - self.first_round
        ended_here = self._ended_early and place == self.rounds_begun - 1
        return place < self.warm_up and not ended_here

    @property
    def _ended_early(self) -> bool:
        return self.state == TrialState.ENDED and self.outcome not in (Outcome.COMPLETED, Outcome.REFUSED)

    @property
    def is_first(self) -> bool:
        """Whether it is the trial that begins its arm and scenario."""
        return self.boot == 1 and self.first_round == 1

    @property
    def attempt(self) -> int:
        """Number of the trial within its block, from 1."""
        return int(self.trial_id.rpartition("-")[2])


def rounds_kept(records: Iterable[TrialRecord]) -> dict[str, range]:
    """The rounds of each trial that count, by trial_id: those before the first one of the block's next trial.

    A round that was cut off with the harness is run again by the trial that a resumed run adds; it counts once, there.
    """
    blocks: dict[str, list[TrialRecord]] = {}
    for record in records:
        blocks.setdefault(record.trial_id.rpartition("-")[0], []).append(record)
    kept = {}
    for trials in blocks.values():
        trials.sort(key=lambda record: record.attempt)
        for record, later in zip(trials, [*trials[1:], None], strict=True):
            end = record.first_round + record.rounds
            kept[record.trial_id] = range(record.first_round, min(end, later.first_round) if later else end)
    return kept


class EvidenceWriter:
    """Appends the collector's and the supervisor's lines to their files, unbuffered: what was measured is kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> EvidenceWriter:
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in (*dict.fromkeys(CHANNEL_FILES.values()), SUPERVISOR_FILE):
            self._files[name] = (self.directory / name).open("ab", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def collector_line(self, line: bytes) -> None:
        """Sorts one line of the collector's stream by its channel letter; a line without one is the collector's fault
        and goes to its own events as it is."""
        name = CHANNEL_FILES.get(line[:1]) if line[1:2] == b" " else None
        self._write(name or "collector.jsonl", line[2:] if name else line)

    def supervisor_line(self, line: bytes) -> None:
        """Appends one line of the supervisor."""
        self._write(SUPERVISOR_FILE, line)

    def _write(self, name: str, line: bytes) -> None:
        file, left = self._files[name], memoryview(line + b"\n")
        # a disk that fills up takes a part of it first, and fails at the next write only
        while left and not file.closed:
            left = left[file.write(left) :]


def calibration_of(directory: Path) -> bytes:
    """The lines in which the supervisor of a trial says what it measured before its rounds; none where there was nothing to calibrate.
    Raises EvidenceError when they cannot be read."""
    try:
        lines = (directory / SUPERVISOR_FILE).read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise EvidenceError(f"cannot read {directory / SUPERVISOR_FILE}: {error.strerror}") from error
    return b"".join(line for line in lines if line.startswith(b'{"event":"calibration"'))


def write_trial(directory: Path, record: TrialRecord) -> None:
    """Writes a trial's record. Raises HostError when it cannot be written."""
    write_atomically(directory / TRIAL_FILE, msgspec.json.format(msgspec.json.encode(record)))


def read_trial(directory: Path) -> TrialRecord:
    """Raises EvidenceError when the record is missing or damaged."""
    path = directory / TRIAL_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrialRecord)
    except (OSError, msgspec.DecodeError) as error:
        raise EvidenceError(f"cannot read {path}: {error}") from error


def is_sealed(directory: Path) -> bool:
    """Whether the trial of this directory has ended."""
    return (directory / CHECKSUM_FILE).is_file()


def _checksums(directory: Path) -> dict[str, str]:
    kept = sorted(path for path in directory.iterdir() if path.name not in (TRIAL_FILE, CHECKSUM_FILE))
    checksums = {}
    for path in kept:
        with path.open("rb") as stream:
            checksums[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return checksums


def seal(directory: Path) -> None:
    """Records the checksums of a trial's raw files, once no process writes to them any more."""
    write_atomically(directory / CHECKSUM_FILE, msgspec.json.format(msgspec.json.encode(_checksums(directory))))


def edited_files(directory: Path) -> list[str]:
    """Raw files that have changed since the trial ended; none if no checksums were recorded.

    Raises EvidenceError when a file cannot be read.
    """
    path = directory / CHECKSUM_FILE
    if not path.exists():
        return []
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        now = _checksums(directory)
    except (OSError, msgspec.DecodeError) as error:
        raise EvidenceError(f"cannot read {path}: {error}") from error
    return sorted(name for name in sealed if now.get(name) != sealed[name])
