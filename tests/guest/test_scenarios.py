"""Scenarios on a real kernel: each does what it says, and each outcome can be provoked."""

import json

import pandas as pd
import pytest

from harness.spec.boots import WARM_UP

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("prepared")]

# Each reaches something that no other does; the rest differ from them in numbers.
CHOSEN = (
    "oom-group",
    "shmem-survivor",
    "vm-sharers",
    "swap-zram",
    "cgroup-v1",
    "global-oom",
    "global-one-big-many-small",
    "unkillable",
    "pinned-victim",
    "waiter-holds-lock",
)
CALIBRATED = {
    "oom-group", "vm-sharers", "swap-zram", "cgroup-v1", "global-one-big-many-small", "pinned-victim", "waiter-holds-lock",
}  # fmt: skip
ROUNDS = 2


@pytest.fixture(scope="module")
def measured(tmp_path_factory, oomtrial, version):
    out = tmp_path_factory.mktemp("scenarios") / "run"
    chosen = [argument for name in CHOSEN for argument in ("--scenario", name)]
    arguments = [
        "run",
        "--kernel",
        f"source:{version}",
        *chosen,
        "--rounds",
        ROUNDS,
        "--boots",
        1,
        "--out",
        out,
    ]
    done = oomtrial(*arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads(oomtrial("summary", out, "--format", "json").stdout)
    kills = pd.read_parquet(out / "tables/kills.parquet")
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    return out, {arm["scenario"]: arm for arm in summary["arms"]}, summary, rounds, kills


def test_rounds_end_as_the_scenarios_say_and_the_witnesses_agree(measured):
    _, arms, summary, rounds, _ = measured
    assert set(arms) == set(CHOSEN)
    assert summary["disagreements"] == []
    for name, arm in arms.items():
        assert (arm["rounds"], arm["unexpected_outcomes"]) == (ROUNDS, 0), arm
        assert arm["outcomes"]["hung" if name == "unkillable" else "completed"] == ROUNDS
        assert arm["collateral_kills"] == 0, arm
        # every turn of a hang prints a report, whatever the rate limit, until the log's oldest records are overwritten
        assert arm["lost_records"] == 0 or name == "unkillable", arm
    assert (rounds["failed_hogs"] == 0).all()


def test_a_group_decision_kills_a_container_and_is_one_decision(measured):
    *_, kills = measured
    kills = kills[kills["scenario"] == "oom-group"]
    first = kills[kills["decision_time_us"] == kills.groupby("round")["decision_time_us"].transform("min")]
    assert (first.groupby("round")["comm"].agg(lambda comms: sorted(set(comms))).map(len) == 3).all()
    assert set(first["kill_class"]) == {"necessary"}


def test_what_outlives_its_process_still_counts(measured):
    *_, kills = measured
    kills = kills[kills["scenario"] == "shmem-survivor"].sort_values(["round", "order"])
    first = kills.groupby("round").first()
    assert set(first["comm"]) == {"shm.0"}
    # 16 MiB stay: of 20 processes with 1 MiB each at most 14 fit beside it, had they no overhead at all
    assert (kills.groupby("round").size() >= 1 + 20 - 14).all()
    assert not kills[kills["order"] <= 10]["surplus"].any()


def test_a_shared_mm_is_released_by_one_of_its_users(measured):
    *_, kills = measured
    big = kills[(kills["scenario"] == "vm-sharers") & (kills["comm"] == "big.0")]
    assert len(big) == ROUNDS + WARM_UP
    assert set(big["released_by"]) == {"exit_mmap"}


def test_the_reader_of_a_pinned_victim_is_seen_to_release_it(measured):
    *_, kills = measured
    big = kills[(kills["scenario"] == "pinned-victim") & (kills["comm"] == "big.0")]
    assert len(big) == ROUNDS + WARM_UP
    assert big["released_by"].notna().all()


def test_no_redundant_kill_is_claimed_where_nobody_knows_the_demand(measured):
    _, arms, _, _, kills = measured
    assert not arms["global-oom"]["has_oracle"]
    found = kills[kills["scenario"] == "global-oom"]
    assert len(found) >= ROUNDS
    assert set(found["kill_class"]) == {"unknown"}
    assert set(found["domain"]) == {"0x0"}


def test_the_demand_is_calibrated_without_an_oom(measured):
    calibrations = _calibrations(measured[0])
    for event in calibrations:
        assert event["oom"] == 0
        assert event["fit_bytes"] <= event["capacity_bytes"] - event["reserve_bytes"] < event["over_bytes"]
    assert len(calibrations) == len(CALIBRATED)


def test_a_machine_that_is_the_limit_is_measured_with_the_free_pages_that_its_cpus_keep(measured):
    (event,) = (event for event in _calibrations(measured[0]) if event["limit"] == "machine")
    # without them two thirds of what the hogs have touched
    assert event["over_bytes"] == pytest.approx(250 << 20, rel=0.1)


def _calibrations(out):
    # made before, if the guest was restored from a snapshot of these containers
    paths = sorted(path for name in ("supervisor", "calibration") for path in (out / "trials").glob(f"*/{name}.jsonl"))
    events = (json.loads(line) for path in paths for line in path.read_text().splitlines())
    return [event for event in events if event["event"] == "calibration"]


LIES = """
summary = "says that a hog needs 4 MB more than it takes"
memory_max = "30M"
hog_overhead = "4M"
hogs = [{ name = "hog", count = 4, size = "6M" }]
"""


def test_a_scenario_that_declares_what_is_not_so_is_refused(oomtrial, version, tmp_path):
    (tmp_path / "lies.toml").write_text(LIES)
    kernel, out = f"source:{version}", tmp_path / "run"
    done = oomtrial(
        "run", "--kernel", kernel, "--scenario", tmp_path / "lies.toml", "--rounds", 2, "--boots", 1, "--out", out
    )
    assert done.returncode == 5
    assert "with one more process they take" in done.stderr
    assert json.loads((out / "trials/001-1/trial.json").read_text())["outcome"] == "refused"


def test_a_kernel_that_panics_on_oom_is_reported(oomtrial, version, tmp_path):
    out = tmp_path / "run"
    arguments = ["run", "--kernel", f"source:{version}", "--rounds", 2, "--boots", 1, "--out", out]
    done = oomtrial(*arguments, "--append", "sysctl.vm.panic_on_oom=2", "--no-snapshots")
    assert done.returncode == 0, done.stderr
    summary = json.loads(oomtrial("summary", out, "--format", "json").stdout)
    (arm,) = summary["arms"]
    assert (arm["outcomes"]["panicked"], arm["outcomes"]["completed"]) == (2, 0)
    assert any("panic_on_oom" in note for note in summary["notes"])
