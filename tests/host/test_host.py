"""The arm `host` and `watch`: the running kernel, a real engine, real kills."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.containers.running import COLLECTOR, LABEL
from harness.experiment.host import HostArm
from harness.progress import Reporter
from harness.runs.tables import rebuild_tables
from harness.spec.scenarios import decode, load_scenario
from harness.system.paths import data_dir
from harness.tables.schema import FOREIGN_KILLS, KILLS, ROUNDS
from harness.tables.store import load_table

pytestmark = pytest.mark.host_docker

RATE_LIMIT_S = 5.5
"""The kernel prints 10 reports in 5 s, and kills without them (`oom_rs`, mm/oom_kill.c)."""


def leftovers(engine, url):
    """What a run may not leave: containers, images, volumes, and memcgs of containers that are gone."""
    found = [container.name for container in engine.containers.list(all=True, filters={"label": LABEL})]
    found += [tag for image in engine.images.list() for tag in image.tags if tag.count("-") > 1]
    found += [volume.name for volume in engine.volumes.list() if "oomtrial" in volume.name]
    parent = Path(url.removeprefix("unix://")).parent.name
    return found + [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{parent}/*/")]


def trace_instances(engine):
    """Of the collectors that run; tracefs is mounted once a process has used it."""
    names = [container.name for container in engine.containers.list(filters={"label": f"{LABEL}={COLLECTOR}"})]
    tracing = Path("/sys/kernel/tracing/instances")
    return [tracing / name.removesuffix("-collector") for name in names] if tracing.is_dir() else []


def test_rounds_are_counted_and_kills_of_others_are_not(oomtrial, engine, engine_url, dies_at_its_limit, tmp_path):
    env = {"DOCKER_HOST": engine_url, "OOMTRIAL_STATE": str(tmp_path / "state")}
    others, over = [], threading.Event()

    def disturb():
        while not over.is_set():
            others.append(dies_at_its_limit()[0])

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        done = oomtrial("run", "--kernel", "host", "--rounds", 40, "--out", tmp_path / "run", env=env)
    finally:
        over.set()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "40 completed" in done.stdout
    rounds, kills, foreign = (load_table(tmp_path / "run" / "tables", t) for t in (ROUNDS, KILLS, FOREIGN_KILLS))
    assert list(rounds["outcome"]) == ["completed"] * 40
    assert rounds["witness_disagreement"].isna().all()
    assert len(kills) >= 40
    assert kills["hog"].notna().all()  # no stranger among them
    assert set(kills["kill_class"]) <= {"redundant", "fruitless", "premature", "necessary", "unknown"}
    # A kill without a decision in the trace is unknown, never zero, unless it is the first of its round.
    later = kills[(kills["order"] > 1) & kills["decision_time_us"].isna()]
    assert set(later["kill_class"]) <= {"unknown"}
    assert len(foreign) == rounds["foreign_kills"].sum() > 0
    assert "hog" in set(foreign["comm"])
    assert not set(foreign["pid"]) & set(kills["pid"])
    assert f"{len(foreign)} kills of other processes on the machine during its rounds" in " ".join(done.stdout.split())
    assert leftovers(engine, engine_url) == []


def test_ctrl_c_leaves_nothing_behind(start_oomtrial, engine, engine_url, tmp_path):
    run = start_oomtrial(
        "run", "--kernel", "host", "--rounds", 100_000, "--out", tmp_path / "run", env={"DOCKER_HOST": engine_url}
    )
    deadline = time.monotonic() + 60
    while not _rounds_in(tmp_path / "run"):
        assert time.monotonic() < deadline
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    assert leftovers(engine, engine_url) != []
    instances = trace_instances(engine)
    assert all(path.is_dir() for path in instances)
    run.send_signal(signal.SIGINT)
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)  # an impatient hand
    _, said = run.communicate(timeout=60)
    assert (run.returncode, "interrupted; what was measured is kept" in said) == (130, True), said
    assert leftovers(engine, engine_url) == []
    assert not any(path.exists() for path in instances)
    assert rebuild_tables(tmp_path / "run") == []  # the second signal may have come in the midst of that
    assert (load_table(tmp_path / "run" / "tables", ROUNDS)["outcome"] == "completed").any()


def test_a_run_that_was_ended_and_then_killed_is_resumed_and_leaves_nothing(
    start_oomtrial, oomtrial, engine, engine_url, tmp_path
):
    out = tmp_path / "run"
    env = {"DOCKER_HOST": engine_url, "OOMTRIAL_STATE": str(tmp_path / "state")}

    def hit(signal_number, *arguments):
        before = _rounds_in(out)
        run = start_oomtrial("run", *arguments, env=env)
        deadline = time.monotonic() + 60
        while _rounds_in(out) <= before + 1:
            assert time.monotonic() < deadline
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)
        run.send_signal(signal_number)
        run.communicate(timeout=60)
        return run.returncode

    assert hit(signal.SIGTERM, "--kernel", "host", "--rounds", 60, "--out", out) == 130
    assert leftovers(engine, engine_url) == []
    assert hit(signal.SIGKILL, "--resume", out) == -signal.SIGKILL
    # Nobody is there to end them: they end themselves, and are there no longer than that
    deadline = time.monotonic() + 60
    while engine.containers.list(filters={"label": LABEL}):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert leftovers(engine, engine_url) != []
    done = oomtrial("run", "--resume", out, env=env)
    assert (done.returncode, "removing what a killed oomtrial left" in done.stderr) == (0, True), done.stderr
    assert leftovers(engine, engine_url) == []
    rounds = load_table(out / "tables", ROUNDS)
    assert sorted(rounds["round"]) == list(range(1, 61))
    assert set(rounds["outcome"]) == {"completed"}
    assert len(set(rounds["trial_id"])) == 3


def _rounds_in(run):
    return sum(path.read_bytes().count(b'"round_end"') for path in run.glob("trials/*/supervisor.jsonl"))


def test_what_could_hurt_the_machine_is_refused(oomtrial, engine_url, monkeypatch):
    done = oomtrial("run", "--kernel", "host", "--scenario", "global-oom", env={"DOCKER_HOST": engine_url})
    assert done.returncode == 2
    assert "would bring this machine down; --may-harm-host runs it anyway" in done.stderr
    monkeypatch.setenv("DOCKER_HOST", engine_url)
    host, told = HostArm(Reporter()), HostArm(Reporter(), may_harm=True)
    for name, risk, told_says in (
        ("unkillable", "that wait in the kernel forever; --may-harm-host", None),
        ("swap-zram", "oomtrial does not change this machine's swap", "oomtrial does not change this machine's swap"),
        ("page-cache-pressure", "reads a file that only guests have", "reads a file that only guests have"),
    ):
        assert risk in host.refusal(load_scenario(name))
        assert (told.refusal(load_scenario(name)) or "").endswith(told_says or "")
    text = (data_dir("workloads") / "scenarios" / "one-big-many-small.toml").read_text()
    greedy = decode("greedy", text.replace("30M", "10G").replace("20M", "9G").replace("1M", "200M"))
    assert "more than a quarter of the" in host.refusal(greedy)
    assert told.refusal(greedy) is None


def test_a_kill_is_shown_within_a_second_with_its_container(start_oomtrial, engine_url, dies_at_its_limit):
    watch = start_oomtrial("watch", "--json", env={"DOCKER_HOST": engine_url, "PYTHONUNBUFFERED": "1"})
    seen = []

    def read():
        for line in watch.stdout:
            seen.append((time.monotonic(), json.loads(line)))

    reader = threading.Thread(target=read)
    reader.start()
    assert _ready(watch.pid)

    def shown(name):
        """When, and what, of one container; up to the end of it."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [(when, event) for when, event in seen if event.get("container") == name]
            if any(event["event"] == "container_ended" for _, event in found):
                return found
            time.sleep(0.05)
        raise AssertionError(seen)

    for _ in range(6):
        name, died_s = dies_at_its_limit()
        (when_s, kill), *more = shown(name)
        assert when_s - died_s < 1.5  # a second, and what a busy host takes
        assert (kill["event"], kill["comm"]) == ("kill", "hog")
        assert [event["exit_code"] for _, event in more] == [137]
        if kill["domain_source"] != "unknown":
            break
        time.sleep(RATE_LIMIT_S)  # the tests before have used the kernel's reports up; the kill was shown all the same
    watch.send_signal(signal.SIGINT)
    reader.join(timeout=30)
    assert watch.wait() == 0
    assert kill["domain_source"] == "known"
    assert (kill["container_id"] in kill["oom_memcg"], kill["container_source"]) == (True, "report")
    assert kill["overlap_estimated"] is not True
    assert (seen[-1][1]["event"], seen[-1][1]["kills"] >= 1) == ("summary", True)


def _ready(pid):
    """Whether it follows the kernel log."""
    for _ in range(200):
        time.sleep(0.05)
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
        if any(os.path.realpath(one) == "/dev/kmsg" for one in descriptors):
            time.sleep(0.5)  # for the engine's names
            return True
    return False


def _can_read_kernel_log():
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@pytest.mark.skipif(
    not _can_read_kernel_log(),
    reason="the kernel log is restricted: run the tests as root, or sysctl kernel.dmesg_restrict=0",
)
def test_without_an_engine_names_are_missing_and_that_is_said(start_oomtrial, tmp_path):
    watch = start_oomtrial("watch", env={"DOCKER_HOST": f"unix://{tmp_path}/none"})
    assert _ready(watch.pid)
    watch.send_signal(signal.SIGINT)
    shown, _ = watch.communicate(timeout=30)
    assert watch.returncode == 0
    assert "note: no container names: no container engine: there is no unix://" in shown
    assert "0 kills in 0 domains" in shown
