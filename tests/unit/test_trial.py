"""What a trial makes of the supervisor's words and of how it ended."""

import json
import time
from types import SimpleNamespace

import pytest

from harness.containers.running import OutputEndedError
from harness.experiment.trial import TrialProgress, _follow_rounds
from harness.experiment.workload import TrialJob
from harness.spec.arm import Probes
from harness.spec.outcome import Outcome
from harness.spec.scenarios import load_scenario

JOB = TrialJob({}, load_scenario("one-big-many-small"), "token", first_round=4, rounds=3, probes=Probes.ALL)
HUNG, UNCLEAN, USAGE, DEMAND = 66, 67, 64, 69  # workloads/hog/hog.h


def round_end(number, hung=False):
    end = {"round": number, "time_ns": 1, "hung": hung, "stuck": hung, "recorded": True}
    return json.dumps({"event": "round_end", **end})


class Supervisor:
    """Says these lines, then ends; `silent`: says no more instead."""

    def __init__(self, lines, status, silent=False):
        self._lines, self._status, self._silent = list(lines), status, silent

    def next_line(self, _deadline):
        if self._lines:
            return self._lines.pop(0).encode()
        if self._silent:
            return None
        raise OutputEndedError

    def exit_status(self, _seconds):
        return self._status


def follow(lines, status=0, silent=False):
    progress, done = TrialProgress(), []
    collector = SimpleNamespace(check_kept=lambda: None)
    outcome = _follow_rounds(collector, Supervisor(lines, status, silent), JOB, progress, done.append)
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


def test_a_supervisor_that_says_nothing_more_is_a_guest_to_be_asked():
    found, _, _ = follow([round_end(4)], silent=True)
    assert found.outcome is Outcome.GUEST_LOST
    assert "no output from the supervisor" in found.reason


def test_the_time_of_a_round_counts_from_when_it_was_armed_until_it_has_ended():
    progress = TrialProgress()
    progress.first_round = 4
    assert (progress.rounds_begun, progress.round_s) == (0, 0.0)
    progress.armed = 5, time.monotonic() - 10
    assert progress.rounds_begun == 2
    assert progress.round_s >= 10
    progress.ended_round = 5
    assert (progress.rounds_begun, progress.round_s) == (2, 0.0)
