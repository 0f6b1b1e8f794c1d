"""A guest comes up, lets nobody else in, reaches nothing, and is gone however it ends."""

import re
import socket
import ssl
import time

import psutil
import pytest

from harness.collectors.evidence import EvidenceWriter, TrialRecord, write_trial
from harness.collectors.rounds import read_evidence
from harness.collectors.trial import TrialJob, run_trial
from harness.errors import GuestError, HostError
from harness.guest import machine
from harness.spec.scenario import load_scenario
from harness.tables.build import trial_rows

pytestmark = pytest.mark.guest


def ask_without_a_key(port):
    """What the port says to somebody who has no client certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
            context.wrap_socket(raw) as stranger,
        ):
            stranger.sendall(b"GET /info HTTP/1.0\r\n\r\n")
            return stranger.recv(64)
    except OSError as error:
        return str(error).encode()


def test_the_api_is_for_the_holder_of_the_key_only(make_guest):
    with make_guest() as guest:
        assert guest.docker.info()["CgroupVersion"] == "2"
        port = int(re.search(r":(\d+)$", guest.docker.api.base_url)[1])
        connections = [c.laddr for c in psutil.Process(guest.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert [(c.ip, c.port) for c in connections] == [("127.0.0.1", port)]
        assert b"200" not in ask_without_a_key(port)
        pid = guest.pid
    assert not psutil.pid_exists(pid)


def test_a_disk_that_fills_up_stops_the_trial(make_guest, prepared, tmp_path):
    directory = tmp_path / "trial"
    directory.mkdir()
    (directory / "kmsg.log").symlink_to("/dev/full")
    job = TrialJob(
        prepared.images, load_scenario("one-big-many-small"), "full", first_round=1, rounds=200, probes="all"
    )
    rounds = []
    with (
        make_guest() as guest,
        EvidenceWriter(directory) as evidence,
        pytest.raises(HostError, match="cannot keep evidence: No space left on device; make room"),
    ):
        run_trial(guest.docker, job, evidence, rounds.append)
    assert len(rounds) < 20


def test_a_supervisor_that_is_killed_from_outside_is_the_harness_error_it_is(make_guest, prepared, tmp_path):
    """The kernel did nothing wrong, and the guest lives: neither hung nor lost."""
    scenario = load_scenario("one-big-many-small")
    job = TrialJob(prepared.images, scenario, "killed", first_round=1, rounds=200, probes="all")
    with make_guest() as guest, EvidenceWriter(tmp_path / "killed") as evidence:

        def kill_after_two(done):
            if done == 2:
                guest.docker.containers.get("oomtrial-killed-workload").kill()

        end = run_trial(guest.docker, job, evidence, kill_after_two)
        assert guest.docker.ping()
    assert (end.outcome, end.reason) == ("harness_error", "the supervisor ended with status 137")
    assert 2 <= end.rounds_begun < 20
    record = TrialRecord(trial_id="killed", block=1, arm="a", scenario=scenario.name, boot=1, first_round=1, rounds=200,
                         token="killed", outcome=end.outcome)  # fmt: skip
    write_trial(tmp_path / "killed", record)
    outcomes = [row["outcome"] for row in trial_rows(read_evidence(tmp_path / "killed"), scenario)["rounds"]]
    assert outcomes[:2] == ["completed", "completed"]
    assert set(outcomes[2:]) <= {"completed", "harness_error"}


def test_a_taken_port_is_given_up_for_another(make_guest, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], machine.free_port()])
        monkeypatch.setattr(machine, "free_port", lambda: next(ports))
        with make_guest() as guest:
            assert guest.docker.ping()


def test_a_guest_that_panics_says_why(make_guest):
    guest = make_guest(extra_cmdline=("init=/nonexistent",))
    with pytest.raises(GuestError, match=r"panicked while it started: Requested init /nonexistent failed"), guest:
        pass
    assert not guest.is_running()


def test_a_guest_that_never_answers_ends_at_its_deadline(make_guest):
    guest = make_guest(extra_cmdline=("init=/usr/bin/sleep", "--", "1000"), api_deadline_s=8.0)
    started = time.monotonic()
    with pytest.raises(GuestError, match=r"has not answered for 8 s.*console"), guest:
        pass
    assert time.monotonic() - started < 30
    assert not guest.is_running()
