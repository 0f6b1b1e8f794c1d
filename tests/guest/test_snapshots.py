"""A guest that goes on from a snapshot is the boot that was saved, but for its clock, its random numbers and its names."""

import json
import time

import pytest
from scipy.stats import fisher_exact

from harness.collectors.files import EvidenceWriter, TrialRecord, write_trial
from harness.collectors.rounds import read_evidence
from harness.errors import GuestError
from harness.experiment.trial import TrialProgress, run_trial
from harness.experiment.workload import TrialJob, prepare_engine
from harness.guest.snapshot import Snapshot
from harness.oomlog.reading import collect_kmsg
from harness.spec.scenarios import load_scenario

pytestmark = pytest.mark.guest

SCENARIO = "one-big-many-small"
ROUNDS = 12
ALPHA = 0.001  # a fair harness fails the comparison once in a thousand runs


def measured(guest, prepared, directory, token):
    """A trial: its evidence, the ID of its container, and what the collector said when it was woken."""
    job = TrialJob(prepared.images, load_scenario(SCENARIO), token, first_round=1, rounds=ROUNDS, probes="all")
    with EvidenceWriter(directory) as evidence:
        end = run_trial(guest.docker, job, evidence, lambda _: None)
    assert end.outcome == "completed", end
    write_trial(
        directory,
        TrialRecord(trial_id=token, block=1, arm="a", scenario=SCENARIO, boot=1, first_round=1, rounds=ROUNDS,
                    token=token, outcome=end.outcome),
    )  # fmt: skip
    lines = (directory / "collector.jsonl").read_text().splitlines()
    woken = next(event for line in lines if (event := json.loads(line))["event"] == "restored")
    (workload,) = guest.docker.containers.list(all=True, filters={"name": f"oomtrial-{token}-workload"})
    return read_evidence(directory), workload.id, woken


def job_that_waits(prepared, token):
    scenario = load_scenario(SCENARIO)
    return TrialJob(prepared.images, scenario, token, first_round=4, rounds=3, probes="all", calibrate=True, waits=True)


@pytest.fixture(scope="module")
def trials(prepared, make_known_bad_guest, tmp_path_factory):
    """One cold boot of the known-bad kernel, saved, measured; and two guests that went on from it, measured."""
    place = tmp_path_factory.mktemp("snapshot")
    snapshot, found, seconds = Snapshot(place / "snapshots" / "one"), [], []
    with make_known_bad_guest() as guest:
        prepare_engine(guest.docker, prepared.images, "all")
        guest.save(snapshot)
        assert not guest.is_restored
        found.append((*measured(guest, prepared, place / "cold", "cold"), time.time()))
    for name in ("first", "second"):
        started = time.monotonic()
        with make_known_bad_guest(snapshot=snapshot) as guest:
            seconds.append(time.monotonic() - started)
            assert guest.is_restored
            found.append((*measured(guest, prepared, place / name, name), time.time()))
    print(f"restored in {seconds[0]:.2f} and {seconds[1]:.2f} s; {snapshot.ram.stat().st_size >> 20} MiB")
    return found, snapshot


def test_a_restored_guest_is_the_same_boot(trials):
    (cold, *restored), _ = trials
    assert cold[0].boot_id
    assert {evidence.boot_id for evidence, *_ in restored} == {cold[0].boot_id}


def test_names_random_numbers_and_clocks_differ(trials):
    found, _ = trials
    assert len({container for _, container, *_ in found}) == 3  # dockerd draws them from the kernel's random numbers
    times = [woken["time_s"] for _, _, woken, _ in found]
    for _, _, woken, ended in found:
        assert woken["entropy"]
        assert woken["clock"]
        # it was woken some seconds before its trial ended
        assert -2 < ended - woken["time_s"] < 120
    assert times == sorted(set(times))


def test_every_record_of_a_restored_guest_is_there(trials):
    for evidence, *_ in trials[0]:
        assert sorted(evidence.rounds) == list(range(1, ROUNDS + 1))
        for found in evidence.rounds.values():
            assert (found.kmsg_marked, found.trace_marked, found.lost_kmsg_records, found.lost_trace_events) == (
                True, True, 0, 0,
            )  # fmt: skip


def test_restored_and_cold_guests_give_alike_results(trials):
    """Rounds with more than one kill, cold against restored."""
    cold, *restored = (
        [len(collect_kmsg(found.kmsg).kills) > 1 for found in evidence.rounds.values()] for evidence, *_ in trials[0]
    )
    both = restored[0] + restored[1]
    table = [[sum(cold), len(cold) - sum(cold)], [sum(both), len(both) - sum(both)]]
    assert fisher_exact(table).pvalue > ALPHA, table


def test_a_guest_continues_with_its_containers_started_and_gets_another_job(
    trials, prepared, make_known_bad_guest, tmp_path
):
    of_engine, of_scenario, seen = trials[1], Snapshot(tmp_path / "snapshots" / "two"), []
    for snapshot, token in ((of_engine, "prepares"), (of_scenario, "goes-on")):
        job, saved = job_that_waits(prepared, token), []
        with (
            make_known_bad_guest(snapshot=snapshot, job=job.handed_over) as guest,
            EvidenceWriter(tmp_path / token) as evidence,
        ):
            progress = TrialProgress()
            save = lambda: saved.append(guest.save(of_scenario))  # noqa: B023, E731
            end = run_trial(guest.docker, job, evidence, lambda _: None, save, progress)
            containers = {c.name: c.id for c in guest.docker.containers.list(all=True)}
        assert (end.outcome, progress.rounds_begun, bool(saved)) == ("completed", 3, token == "prepares"), end
        assert set(containers) == {f"oomtrial-{token}-collector", f"oomtrial-{token}-workload"}
        log = (tmp_path / token / "kmsg.log").read_text()
        assert [f"oomtrial: {token} round {n} start" in log for n in (3, 4, 5, 6, 7)] == [
            False,
            True,
            True,
            True,
            False,
        ]
        assert "calibration" in (tmp_path / token / "supervisor.jsonl").read_text()
        seen.append((sorted(containers.values()), progress.containers_start_s))
    assert seen[0][0] == seen[1][0]  # the same containers, under other names


def test_a_damaged_snapshot_is_reported(trials, make_known_bad_guest):
    _, snapshot = trials
    whole = snapshot.ram.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no snapshot", bytes(len(whole))):
        began = time.monotonic()
        snapshot.ram.write_bytes(damaged)
        guest = make_known_bad_guest(snapshot=snapshot)
        with pytest.raises(GuestError, match=r"the snapshot one is damaged|the snapshot cannot be restored"):
            guest.start()
        assert not guest.is_running()
        assert time.monotonic() - began < 30  # not at a deadline
