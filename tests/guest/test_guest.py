"""A guest comes up, lets nobody else in, reaches nothing, and is gone however it ends."""

import contextlib
import os
import re
import socket
import ssl
import time
from pathlib import Path

import psutil
import pytest
from docker.errors import ContainerError
from docker.types import LogConfig

from harness.collectors.files import EvidenceWriter, TrialRecord, write_trial
from harness.collectors.rounds import read_evidence
from harness.containers.images import load_image
from harness.containers.running import API_ERRORS, NO_NETWORK
from harness.errors import GuestError, HostError
from harness.experiment.trial import TrialProgress, run_trial
from harness.experiment.workload import TrialJob
from harness.guest import machine
from harness.spec.scenarios import load_scenario
from harness.tables.build import trial_rows
from tests.conftest import guest_maker

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


def as_nobody(attempts):
    """The errors that another user of the machine meets, each "" where an attempt succeeds."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            errors = []
            for attempt in attempts:
                try:
                    attempt()
                    errors.append("")
                except OSError as error:
                    errors.append(error.strerror)
            os.write(write_end, "\n".join(errors).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        said = answer.read().split("\n")
    os.waitpid(child, 0)
    return said


def private_paths(guest):
    """The paths that QEMU's command line names: everything of a guest that lies on the disk, but for what is public."""
    words = " ".join(psutil.Process(guest.pid).cmdline())
    return [Path(path) for path in re.findall(r"(/[^ ,]*/guest-[^ ,]+)", words)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; run the tests as root for this one")
def test_another_user_reaches_neither_the_api_nor_the_keys_nor_the_monitor(make_guest):
    with make_guest() as guest:
        paths = private_paths(guest)
        names = {path.name for path in paths}
        assert {"server-key.pem", "seed"} <= names
        keys = [path for path in paths[0].parent.iterdir() if path.suffix == ".pem"]
        assert len(keys) == 5
        monitor = paths[0].parent / "qmp"
        assert monitor.is_socket()
        attempts = [
            *(lambda path=path: path.read_bytes() for path in keys),
            lambda: list(paths[0].parent.iterdir()),
            lambda: socket.socket(socket.AF_UNIX).connect(str(monitor)),
        ]
        assert set(as_nobody(attempts)) == {"Permission denied"}


def test_nothing_in_a_guest_reaches_beyond_it(make_guest, prepared):
    """The host is 10.0.2.2 to a guest of QEMU's; restrict=on keeps even that away."""
    with socket.socket() as listener, make_guest() as guest:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        reference = load_image(guest.docker, prepared.images["hog"])

        def reach(where, **network):
            return guest.docker.containers.run(
                reference,
                entrypoint=["/host/usr/bin/busybox", "timeout", "5", "/host/usr/bin/busybox", "nc"],
                command=[*where, "-e", "/host/usr/bin/busybox", "echo", "in"],
                volumes={"/": {"bind": "/host", "mode": "ro"}},
                log_config=LogConfig(type=LogConfig.types.JSON),
                remove=True,
                stderr=True,
                **network,
            )

        port = listener.getsockname()[1]
        for network in ({"network_mode": "host"}, {"network_mode": "none"}, NO_NETWORK):
            with pytest.raises(ContainerError):
                reach(("10.0.2.2", str(port)), **network)
        with pytest.raises(TimeoutError):
            listener.accept()
        # the same way works where it leads somewhere: to the guest's own engine
        reach(("127.0.0.1", "2376"), network_mode="host")
        # and a container of ours does not reach that either
        with pytest.raises(ContainerError):
            reach(("127.0.0.1", "2376"), **NO_NETWORK)


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


# In a guest, in two rounds: stops the collector in the midst of it, and writes more to the kernel log than
# its 2 MB. Only what happens in the guest counts, however slow the host is.
FLOOD = """
B=/host/usr/bin/busybox
X=$($B head -c 900 /dev/zero | $B tr '\\0' x)
for round in 2 4; do
    $B grep -qm1 "oomtrial: troubled round $round start" /dev/kmsg
    $B killall -STOP collector
    i=0; while [ $i -lt 3500 ]; do echo "$X"; i=$((i + 1)); done > /dev/kmsg
    $B killall -CONT collector
done
"""


@pytest.fixture(scope="module")
def troubled(prepared, tmp_path_factory):
    """A trial in a guest whose kernel log is flooded, whose supervisor is killed after six rounds, and at last its engine.
    How the trial ended, how the guest did, and the rounds."""
    directory = tmp_path_factory.mktemp("troubled")
    scenario = load_scenario("one-big-many-small")
    job = TrialJob(prepared.images, scenario, "troubled", first_round=1, rounds=200, probes="all")
    make = guest_maker(prepared, next(iter(prepared.kernels.values())), directory)
    with make() as guest, EvidenceWriter(directory / "trial") as evidence:
        reference = load_image(guest.docker, prepared.images["hog"])

        def run(*command, **options):
            return guest.docker.containers.run(
                reference,
                entrypoint=["/host/usr/bin/busybox", *command],
                volumes={"/": {"bind": "/host", "mode": "ro"}},
                log_config=LogConfig(type=LogConfig.types.JSON),
                network_mode="none",
                pid_mode="host",
                privileged=True,
                **options,
            )

        def kill_after_six(done):
            if done == 6:
                guest.docker.containers.get("oomtrial-troubled-workload").kill()

        run("sh", "-c", FLOOD, detach=True)
        progress = TrialProgress()
        end = run_trial(guest.docker, job, evidence, kill_after_six, progress=progress)
        assert guest.docker.ping()
        with contextlib.suppress(*API_ERRORS):
            run("killall", "-KILL", "dockerd")
        ending = guest.ending(30.0)
    record = TrialRecord(trial_id="troubled", block=1, arm="a", scenario=scenario.name, boot=1, first_round=1, rounds=200,
                         token="troubled", outcome=end.outcome)  # fmt: skip
    write_trial(directory / "trial", record)
    return (end, progress.rounds_begun), ending, trial_rows(read_evidence(directory / "trial"), scenario)["rounds"]


def test_a_supervisor_that_is_killed_from_outside_is_the_harness_error_it_is(troubled):
    """The kernel did nothing wrong, and the guest lives: neither hung nor lost."""
    (end, rounds_begun), _, rounds = troubled
    assert (end.outcome, end.reason) == ("harness_error", "the supervisor ended with status 137")
    assert 6 <= rounds_begun < 40
    assert [row["round"] for row in rounds] == list(range(1, rounds_begun + 1))
    assert rounds[0]["outcome"] == "completed"
    assert {row["outcome"] for row in rounds} == {"completed", "harness_error"}


def test_the_engines_end_is_the_guests_and_no_kernel_is_to_blame(troubled):
    _, (outcome, reason), _ = troubled
    assert outcome == "lost"
    assert reason.startswith("the guest's Docker Engine ended: Attempted to kill init! exitcode=0x00008900")


def test_a_round_whose_records_were_overwritten_says_so_and_is_not_completed(troubled):
    """The marker of its start is the first to go."""
    _, _, rounds = troubled
    flooded = [row for row in rounds[:6] if row["lost_kmsg_records"]]
    assert 1 <= len(flooded) <= 4
    assert {row["outcome"] for row in flooded} == {"harness_error"}
    for row in rounds[:6]:
        assert row["witness_disagreement"] is None
        assert row["witnesses_checked"] == (row["outcome"] == "completed")
        assert row not in flooded or row["lost_kmsg_records"] > 500
        assert row in flooded or row["kmsg_kills"] == row["oom_kill"] == row["supervisor_kills"] >= 1


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
    with pytest.raises(GuestError, match=r"did not answer within 8 s.*console"), guest:
        pass
    assert time.monotonic() - started < 30
    assert not guest.is_running()
