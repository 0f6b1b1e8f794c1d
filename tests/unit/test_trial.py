"""What a trial makes of the supervisor's words and of how it ended."""

import dataclasses
import json
import time
from types import SimpleNamespace

import pytest
import requests

from harness.containers.running import OutputEndedError
from harness.errors import GuestError
from harness.experiment import trial
from harness.experiment.trial import TrialOutcome, TrialProgress, _follow_rounds
from harness.experiment.workload import TrialJob
from harness.guest.activity import Activity, ActivityWatch
from harness.spec.arm import Probes
from harness.spec.outcome import Outcome
from harness.spec.scenarios import load_scenario
from harness.system.awake import AwakeClock

JOB = TrialJob({}, load_scenario("one-big-many-small"), "token", first_round=4, rounds=3, probes=Probes.ALL)
HUNG, UNCLEAN, USAGE, DEMAND = 66, 67, 64, 69  # workloads/hog/hog.h


def round_end(number, hung=False):
    end = {"round": number, "time_ns": 1, "hung": hung, "stuck": hung, "recorded": True}
    return json.dumps({"event": "round_end", **end})


class Supervisor:
    """Says these lines, then ends; `silent`: says no more instead. A line may be a function that is called: nothing is said."""

    def __init__(self, lines, status, silent=False):
        self._lines, self._status, self._silent = list(lines), status, silent

    def next_line(self, _deadline):
        if self._lines:
            line = self._lines.pop(0)
            return line() if callable(line) else line.encode()
        if self._silent:
            return None
        raise OutputEndedError

    def exit_status(self, _seconds):
        return self._status


class Time:
    """CLOCK_MONOTONIC, moved by hand."""

    def __init__(self, monkeypatch):
        self.now_s = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)

    def pass_s(self, seconds, change=lambda: None):
        """Something to be said by the supervisor: nothing, for so long."""

        def wait():
            self.now_s += seconds
            change()

        return wait


def follow(lines, status=0, silent=False, activity=None, progress=None, job=JOB):
    progress, done = progress or TrialProgress(), []
    progress.first_round = JOB.first_round
    progress.clock = AwakeClock(lambda: time.monotonic())
    collector = SimpleNamespace(check_kept=lambda: None)
    outcome = _follow_rounds(collector, Supervisor(lines, status, silent), job, progress, done.append, activity)
    return outcome, progress, done


@pytest.mark.parametrize(
    ("lines", "status", "outcome", "reason"),
    [
        ([round_end(4), round_end(5)], 0, Outcome.COMPLETED, ""),
        ([round_end(4)], UNCLEAN, Outcome.COMPLETED, ""),
        ([round_end(4), round_end(5, hung=True)], HUNG, Outcome.HUNG, "round 5: its processes cannot be killed"),
        ([], 137, Outcome.HARNESS_ERROR, "the supervisor ended with status 137"),
        (['{"event":"error","what":"fork","errno":11}'], USAGE, Outcome.HARNESS_ERROR, "fork"),
        (
            ['{"event":"calibration","fit_bytes":-1}'],
            DEMAND,
            Outcome.REFUSED,
            "get their memory even when they run alone",
        ),
        (['{"event":"calibration","oom":2,"fit_bytes":1}'], DEMAND, Outcome.REFUSED, "enter the OOM killer 2 times"),
        ([round_end(4), '{"event":"round_e'], None, Outcome.GUEST_LOST, ""),
    ],
)
def test_how_the_supervisor_ended_is_the_outcome(lines, status, outcome, reason):
    found, _, done = follow(lines, status)
    assert found.outcome is outcome
    assert reason in found.reason
    assert done == [n + 1 for n, line in enumerate(lines) if "round_end" in line]


def test_a_guest_whose_supervisor_has_said_goodbye_is_not_waited_for():
    lines = [round_end(4), '{"event":"bye","time_ns":2}', lambda: pytest.fail("waited for the end of the container")]
    found, _, done = follow(lines, status=None)
    assert (found, done) == (TrialOutcome(Outcome.COMPLETED), [1])
    # a shared engine goes on: its container is to be over
    found, *_ = follow(lines[:2], status=None, job=dataclasses.replace(JOB, session="session"))
    assert found.outcome is Outcome.GUEST_LOST


@pytest.mark.parametrize(("answers", "outcome"), [(False, Outcome.GUEST_LOST), (True, Outcome.COMPLETED)])
def test_a_guest_that_dies_after_the_goodbye_is_to_be_asked(monkeypatch, answers, outcome):
    """The collector's last lines went with it."""

    def last_line(*_):
        raise GuestError("collector ended before last line")

    def ping():
        if not answers:
            raise requests.ConnectionError

    collector = SimpleNamespace(check_kept=lambda: None, wait_for=last_line)
    supervisor = Supervisor([round_end(4), '{"event":"bye","time_ns":2}'], status=None)
    monkeypatch.setattr(trial, "take_containers", lambda *_: (None, None))
    monkeypatch.setattr(trial, "_start", lambda *_: (collector, supervisor))
    found = trial.run_trial(SimpleNamespace(ping=ping), JOB, None, lambda _: None)
    assert found == TrialOutcome(outcome, "collector ended before last line")


def test_a_supervisor_that_says_nothing_more_is_a_guest_to_be_asked(monkeypatch):
    clock = Time(monkeypatch)
    found, _, _ = follow([round_end(4), *[clock.pass_s(1.0)] * 300])
    assert found.outcome is Outcome.GUEST_LOST
    assert clock.now_s == 1000 + 20 + 240 + 1
    assert "no output from the supervisor" in found.reason


def test_the_time_of_a_round_counts_from_when_it_was_armed_until_it_has_ended():
    progress = TrialProgress()
    progress.first_round = 4
    assert (progress.rounds_begun, progress.round_s) == (0, 0.0)
    progress.armed = 5, progress.clock.now() - 10
    assert progress.rounds_begun == 2
    assert progress.round_s >= 10
    progress.ended_round = 5
    assert (progress.rounds_begun, progress.round_s) == (2, 0.0)


def test_a_harness_that_was_stopped_for_an_hour_still_hears_what_came_meanwhile(monkeypatch):
    """Ctrl-Z in a round, and fg: the time is not charged to the guest, which went on."""
    clock = Time(monkeypatch)
    found, progress, done = follow([round_end(4), clock.pass_s(3600.0), round_end(5), round_end(6)])
    assert (found.outcome, done) == (Outcome.COMPLETED, [1, 2, 3])
    progress.armed = 7, progress.clock.now()
    clock.now_s += 3600
    assert progress.round_s <= 5  # and Ctrl-C then does not find a hang


def test_a_round_in_which_the_guest_was_stopped_does_not_count(monkeypatch):
    clock, cpu = Time(monkeypatch), [0.0]
    activity = ActivityWatch(lambda: Activity(cpu[0], 0), lambda: time.monotonic())

    def run():
        cpu[0] += 1

    def arm(number):
        def begin():
            progress.armed = number, progress.clock.now()

        return begin

    progress = TrialProgress()
    lines = [
        arm(4), clock.pass_s(1, run), round_end(4), arm(5), clock.pass_s(1, run), round_end(5), arm(6),
        clock.pass_s(1, run), *[clock.pass_s(1)] * 4, round_end(6, hung=True),
    ]  # fmt: skip
    found, _, done = follow(lines, activity=activity, progress=progress)
    assert (found.outcome, found.kept_rounds, done) == (Outcome.LOST, 2, [1, 2])
    assert found.reason == "the guest was stopped for 4 s, by a signal or by its cgroup"


def test_a_round_past_its_deadline_is_a_hang_though_the_guest_is_stopped_then(monkeypatch):
    clock, cpu = Time(monkeypatch), [0.0]
    activity = ActivityWatch(lambda: Activity(cpu[0], 0), lambda: time.monotonic())

    def run():
        cpu[0] += 1

    progress = TrialProgress()
    progress.armed = 4, 0.0
    found, *_ = follow([*[clock.pass_s(1, run)] * 30, *[clock.pass_s(1)] * 10], activity=activity, progress=progress)
    assert (found.outcome, found.kept_rounds) == (Outcome.HUNG, None)
    assert found.reason == "its round had taken 30 s when the guest was stopped"
