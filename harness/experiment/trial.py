"""Runs one trial in an engine: collector, workload, and their output as raw evidence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import docker

from ..collectors.events import Bye, Calibration, RoundEnd, Trouble, decode_collector, decode_supervisor
from ..collectors.files import EvidenceWriter
from ..containers.running import API_ERRORS, FollowedContainer, OutputEndedError, rename_containers
from ..errors import GuestError
from ..guest.activity import ActivityWatch
from ..spec.outcome import Outcome
from ..system.awake import AwakeClock
from .workload import CLOSED, RESTORED, Containers, TrialJob, prepare_containers, take_containers, wake

_LAST_LINES_DEADLINE_S = 60.0
# Beyond the round's own deadline: clean-up, draining the logs, baseline; all slow under emulation.
_ROUND_GRACE_S = 240.0
_LOOK_S = 1.0  # how often the guest and the clock are looked at
_AWAITED = (RESTORED, CLOSED)
_ARMED = b'C {"event":"armed"'
# workloads/hog/hog.h: exit codes of the supervisor
_EXIT_HUNG, _EXIT_UNCLEAN, _EXIT_DEMAND = 66, 67, 69


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended, according to its containers."""

    outcome: Outcome
    reason: str = ""
    kept_rounds: int | None = None  # of a trial that was disturbed: its first ones, which count. None: all count


class TrialProgress:
    """How far a trial has come; it tells so too when an exception ends the trial. Each attribute has one writer."""

    def __init__(self) -> None:
        self.clock = AwakeClock()
        # the last round that began, and when, of `clock`: by the thread that follows the collector
        self.armed: tuple[int, float] | None = None
        self.first_round = 1  # these by run_trial()
        self.ended_round = 0
        self.ended: list[tuple[int, float]] = []  # rounds that ended, and when that was read, of time.monotonic()
        self.containers_start_s = 0.0
        self.rounds_s = 0.0

    @property
    def rounds_begun(self) -> int:
        """Rounds of this trial that began, the current one included."""
        return self.armed[0] - self.first_round + 1 if self.armed else 0

    @property
    def round_s(self) -> float:
        """Seconds that the current round has taken, without those in which this process was stopped; 0 between rounds."""
        armed = self.armed
        return self.clock.now() - armed[1] if armed and armed[0] != self.ended_round else 0.0

    def rounds_before(self, moment: float) -> int:
        """How many rounds were over at a moment of time.monotonic(), the collector's last lines included: the next one had
        begun."""
        last = self.armed[0] if self.armed else self.first_round
        return sum(number < last and at <= moment for number, at in self.ended)


def run_trial(
    client: docker.DockerClient,
    job: TrialJob,
    evidence: EvidenceWriter,
    on_round: Callable[[int], None],
    when_prepared: Callable[[], None] = lambda: None,
    progress: TrialProgress | None = None,
    watch: Callable[[], ActivityWatch | None] = lambda: None,
) -> TrialOutcome:
    """Runs a job's rounds in one container; `on_round` is called with how many are done. Written evidence is kept, whatever happens.

    Where the supervisor waits for its job, `when_prepared` is called once its containers are there, with no client connected
    to the engine; a guest restored from that point has them already.

    An engine that does not answer ends the trial as GUEST_LOST; the caller asks the guest why. A guest that was stopped, as
    what `watch` returns tells, ends the trial as LOST: the round in which it was stopped says nothing about its kernel.
    """
    progress = progress or TrialProgress()
    started, progress.first_round = time.monotonic(), job.first_round
    outcome = TrialOutcome(Outcome.GUEST_LOST)
    try:
        with contextlib.ExitStack() as followed:
            containers = take_containers(client, job)
            if containers is None:
                containers = prepare_containers(client, job, evidence)
                when_prepared()
                if not job.session:
                    rename_containers(client, job.token)
            collector, workload = _start(containers, job, evidence, progress, followed)
            progress.containers_start_s = time.monotonic() - started
            outcome = _follow_rounds(collector, workload, job, progress, on_round, watch())
            progress.rounds_s = time.monotonic() - started - progress.containers_start_s
            collector.check_kept()
            if outcome.outcome != Outcome.GUEST_LOST and outcome.kept_rounds is None:
                # The collector's last lines may still be on their way.
                collector.wait_for(_is_last, _LAST_LINES_DEADLINE_S, "last line")
    except GuestError as error:
        return _cut_off(outcome, error.what, client)
    except API_ERRORS as error:
        return _cut_off(outcome, f"the engine does not answer: {error}", client)
    return outcome


def _cut_off(outcome: TrialOutcome, why: str, client: docker.DockerClient) -> TrialOutcome:
    """The outcome of a trial whose last lines did not come. The supervisor may have said goodbye before its guest died."""
    kind = outcome.outcome
    if kind is Outcome.COMPLETED:
        try:
            client.ping()
        except API_ERRORS:
            kind = Outcome.GUEST_LOST
    return TrialOutcome(kind, outcome.reason or why)


def _start(
    containers: Containers,
    job: TrialJob,
    evidence: EvidenceWriter,
    progress: TrialProgress,
    followed: contextlib.ExitStack,
) -> tuple[FollowedContainer, FollowedContainer]:
    """Follows both containers and starts the supervisor."""

    def keep(line: bytes) -> None:
        evidence.collector_line(line)
        # The supervisor is silent during a round: the collector's word tells which round a guest died in.
        if line.startswith(_ARMED) and (event := decode_collector(line[2:])):
            progress.armed = event.round, progress.clock.now()

    collector = FollowedContainer(containers[0], keep, lambda line: line.startswith(_AWAITED))
    followed.callback(collector.close)
    collector.follow()
    workload = FollowedContainer(containers[1], evidence.supervisor_line)
    followed.callback(workload.close)
    if job.waits:
        workload.follow()
        wake(collector, job)
    else:
        workload.start()
    return collector, workload


def _follow_rounds(
    collector: FollowedContainer,
    workload: FollowedContainer,
    job: TrialJob,
    progress: TrialProgress,
    on_round: Callable[[int], None],
    activity: ActivityWatch | None = None,
) -> TrialOutcome:
    """Reads the supervisor's events until it ends."""
    patience = job.scenario.round_deadline_s + _ROUND_GRACE_S
    hung_round, calibration, trouble = 0, Calibration(), ""
    heard_at = progress.clock.tick()
    while True:
        try:
            line = workload.next_line(time.monotonic() + _LOOK_S)
        except OutputEndedError:
            break
        now = progress.clock.tick()
        if activity is not None and activity.look():
            return _disturbed(progress, activity, job.scenario.round_deadline_s)
        if line is None:
            if now - heard_at > patience:
                return TrialOutcome(Outcome.GUEST_LOST, f"no output from the supervisor for {patience:.0f} s")
            continue
        heard_at = now
        event = decode_supervisor(line)
        if isinstance(event, RoundEnd):
            progress.ended_round = event.round
            progress.ended.append((event.round, time.monotonic()))
            collector.check_kept()
            on_round(event.round - job.first_round + 1)
            hung_round = event.round if event.hung else hung_round
        elif isinstance(event, Bye) and not job.session:
            # Nothing but its exit is left to do, of which the engine of a guest learns up to a second later under emulation.
            return TrialOutcome(Outcome.COMPLETED, trouble)
        elif isinstance(event, Calibration):
            calibration = event
        elif isinstance(event, Trouble):
            trouble = event.what
    status = workload.exit_status(30.0)
    if status is None:
        return TrialOutcome(Outcome.GUEST_LOST, trouble)
    if status in (0, _EXIT_UNCLEAN):  # unclean: the rounds so far are good; the next one needs a fresh container
        return TrialOutcome(Outcome.COMPLETED, trouble)
    if status == _EXIT_HUNG:
        return TrialOutcome(Outcome.HUNG, f"round {hung_round}: its processes cannot be killed")
    if status == _EXIT_DEMAND:
        return TrialOutcome(Outcome.REFUSED, _why_refused(calibration))
    return TrialOutcome(Outcome.HARNESS_ERROR, trouble or f"the supervisor ended with status {status}")


def _disturbed(progress: TrialProgress, activity: ActivityWatch, deadline_s: float) -> TrialOutcome:
    """The outcome of a trial whose guest was stopped. A round that was past its deadline by then is a hang all the same."""
    round_s = progress.round_s - activity.stopped_s
    if round_s > deadline_s:
        return TrialOutcome(Outcome.HUNG, f"its round had taken {round_s:.0f} s when the guest was stopped")
    return TrialOutcome(Outcome.LOST, activity.description, progress.rounds_before(activity.ran_at))


def _is_last(line: bytes) -> bool:
    return line.startswith(CLOSED)


def _why_refused(calibration: Calibration) -> str:
    if 0 <= calibration.available_bytes < calibration.capacity_bytes:
        return (
            f"the machine has {calibration.available_bytes >> 10} kB left for hogs,"
            f" and is to have {calibration.capacity_bytes >> 10} kB: give the guest more --memory"
        )
    if calibration.fit_bytes < 0:
        return "the hogs that should survive do not get their memory even when they run alone"
    if calibration.oom:
        return f"the hogs that should survive enter the OOM killer {calibration.oom} times even when alone"
    if calibration.fit_bytes > calibration.capacity_bytes - calibration.reserve_bytes:
        return (
            f"the hogs that should survive take {calibration.fit_bytes >> 10} kB when alone,"
            f" at most {(calibration.capacity_bytes - calibration.reserve_bytes) >> 10} kB leave the reserve free"
        )
    return f"with one more process they take {calibration.over_bytes >> 10} kB and do not reach the limit of {calibration.capacity_bytes >> 10} kB"
