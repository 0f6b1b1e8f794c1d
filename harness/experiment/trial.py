"""Runs one trial in an engine: collector, workload, and their output as raw evidence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import docker
import msgspec

from ..collectors.events import Calibration
from ..collectors.files import EvidenceWriter
from ..containers.running import API_ERRORS, FollowedContainer, OutputEndedError, rename_containers
from ..errors import GuestError
from .workload import CLOSED, RESTORED, Containers, TrialJob, field, find_containers, prepare_containers, wake

REFUSED = "refused"  # outcome of a trial: the scenario does not do here what it declares
_LAST_LINES_DEADLINE_S = 60.0
# Beyond the round's own deadline: clean-up, draining the logs, baseline; all slow under emulation.
_ROUND_GRACE_S = 240.0
_AWAITED = (RESTORED, CLOSED)
# workloads/hog/hog.h: exit codes of the supervisor
_EXIT_HUNG, _EXIT_UNCLEAN, _EXIT_DEMAND = 66, 67, 69


@dataclass
class TrialOutcome:
    """How a trial ended, as far as the containers tell."""

    outcome: str  # completed, hung, harness_error, refused, or "gone" when the guest no longer answers
    reason: str = ""
    rounds_begun: int = 0
    containers_start_s: float = 0.0
    rounds_s: float = 0.0
    under_way: tuple[int, float] | None = None  # the round, and when it began, of time.monotonic()

    @property
    def round_s(self) -> float:
        """How long the round that is under way has taken; 0 where none is."""
        return time.monotonic() - self.under_way[1] if self.under_way else 0.0


def run_trial(
    client: docker.DockerClient,
    job: TrialJob,
    evidence: EvidenceWriter,
    on_round: Callable[[int], None],
    when_prepared: Callable[[], None] = lambda: None,
    end: TrialOutcome | None = None,
) -> TrialOutcome:
    """Runs a job's rounds in one container; `on_round` is told how many are done. Whatever happens, what was written stays.
    `end` is filled in and returned; a caller's own tells how far it was, too, when an exception ends it.

    Where the supervisor waits for its job, `when_prepared` is called once its containers are there, with nobody connected
    to the engine; a guest that goes on from that point has them already.

    An engine that does not answer ends the trial as "gone"; the caller asks the guest why.
    """
    started, end = time.monotonic(), end or TrialOutcome("gone")
    end.outcome = "gone"
    try:
        with contextlib.ExitStack() as followed:
            containers = find_containers(client, job)
            if containers is None:
                containers = prepare_containers(client, job, evidence)
                when_prepared()
            collector, workload = _start(client, containers, job, evidence, end, followed)
            end.containers_start_s = time.monotonic() - started
            _follow_rounds(collector, workload, job, end, on_round)
            end.rounds_s = time.monotonic() - started - end.containers_start_s
            collector.check_kept()
            if end.outcome != "gone":
                # The collector's last lines may still be on their way.
                collector.wait_for(_is_last, _LAST_LINES_DEADLINE_S, "its last line")
    except GuestError as error:
        end.reason = end.reason or error.what
    except API_ERRORS as error:
        end.reason = end.reason or f"the engine does not answer: {error}"
    return end


def _start(
    client: docker.DockerClient,
    containers: Containers,
    job: TrialJob,
    evidence: EvidenceWriter,
    end: TrialOutcome,
    followed: contextlib.ExitStack,
) -> tuple[FollowedContainer, FollowedContainer]:
    """Follows both, and has the supervisor begin."""

    def keep(line: bytes) -> None:
        evidence.collector_line(line)
        # The supervisor is silent during a round: the collector's word tells which round a guest died in.
        if line.startswith(b'C {"event":"armed"'):
            number = int(field(line[2:], "round"))
            end.rounds_begun = number - job.first_round + 1
            end.under_way = number, time.monotonic()

    collector = FollowedContainer(containers[0], keep, lambda line: line.startswith(_AWAITED))
    followed.callback(collector.close)
    collector.follow()
    if not job.session:
        rename_containers(client, job.token)
    workload = FollowedContainer(containers[1], evidence.supervisor_line)
    followed.callback(workload.close)
    if job.waits:
        workload.follow()
        wake(collector, job)
    else:
        workload.start()
    return collector, workload


def _is_last(line: bytes) -> bool:
    return line.startswith(CLOSED)


def _follow_rounds(
    collector: FollowedContainer,
    workload: FollowedContainer,
    job: TrialJob,
    end: TrialOutcome,
    on_round: Callable[[int], None],
) -> None:
    """Reads the supervisor's events until it ends; sets the outcome."""
    patience = job.scenario.round_deadline_s + _ROUND_GRACE_S
    hung_round, calibration = 0, b"{}"
    while True:
        try:
            line = workload.next_line(time.monotonic() + patience)
        except OutputEndedError:
            break
        if line is None:
            end.reason = f"no word from the supervisor for {patience:.0f} s"
            return
        event = field(line, "event")
        if event == "round_end":
            if end.under_way and end.under_way[0] == int(field(line, "round")):
                end.under_way = None
            collector.check_kept()
            on_round(int(field(line, "round")) - job.first_round + 1)
            if field(line, "hung") == "True":
                hung_round = int(field(line, "round"))
        elif event == "calibration":
            calibration = line
        elif event == "error":
            end.reason = field(line, "what")
    status = workload.exit_status(30.0)
    if status == 0:
        end.outcome = "completed"
    elif status == _EXIT_HUNG:
        end.outcome, end.reason = "hung", f"round {hung_round}: its processes cannot be killed"
    elif status == _EXIT_UNCLEAN:
        # The rounds so far are good; the next one needs a fresh container.
        end.outcome = "completed"
    elif status == _EXIT_DEMAND:
        end.outcome, end.reason = REFUSED, _why_refused(calibration)
    elif status is not None:
        end.outcome, end.reason = "harness_error", end.reason or f"the supervisor ended with status {status}"


def _why_refused(line: bytes) -> str:
    found = msgspec.json.decode(line, type=Calibration)
    if 0 <= found.available_bytes < found.capacity_bytes:
        return (
            f"the machine has {found.available_bytes >> 10} kB left for hogs,"
            f" and is to have {found.capacity_bytes >> 10} kB: give the guest more --memory"
        )
    if found.fit_bytes < 0:
        return "the hogs that are to survive do not get their memory alone"
    if found.oom:
        return f"the hogs that are to survive enter the OOM killer {found.oom} times alone"
    if found.fit_bytes > found.capacity_bytes - found.reserve_bytes:
        return (
            f"the hogs that are to survive take {found.fit_bytes >> 10} kB alone,"
            f" {(found.capacity_bytes - found.reserve_bytes) >> 10} kB leave the reserve free"
        )
    return f"with one process more they take {found.over_bytes >> 10} kB, the limit of {found.capacity_bytes >> 10} kB is not reached"
