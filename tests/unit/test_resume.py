"""A run that is cut off at any write and resumed has every round once: real bookkeeping, simulated guests."""

import contextlib
import json
import os
import random
import subprocess
from io import StringIO

import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console

from harness.cli import cli
from harness.collectors.files import EvidenceWriter, read_trial, write_trial
from harness.errors import EvidenceError, GuestError, HostError, UsageError
from harness.experiment import block, experiment
from harness.experiment.artifacts import Artifacts
from harness.experiment.driver import run_experiment
from harness.experiment.experiment import Experiment, resume_run
from harness.experiment.guests import TrialGuest, TrialGuests
from harness.experiment.places import GuestPlace
from harness.experiment.request import Request
from harness.experiment.resume import recover_trials, refuse_other_host, refuse_other_images
from harness.experiment.trial import TrialOutcome
from harness.kernels.kernel import Kernel
from harness.progress import Reporter
from harness.runs.record import hold_run, read_run, write_run
from harness.runs.tables import rebuild_tables, summarize
from harness.spec.arm import name_arms
from harness.spec.outcome import Outcome
from harness.spec.plan import plan_blocks
from harness.system.paths import cache_dir

ARMS = name_arms(("source:6.1", "source:6.1"))
ROUNDS, BOOTS = 5, 2
KERNEL = Kernel("source:6.1", "k", str(cache_dir() / "kernels/k/bzImage"), "apt", {}, "", "gcc", [])
PREPARED = Artifacts({"source:6.1": KERNEL}, cache_dir() / "rootfs/r.ext4", {}, "tcg", "")


def round_lines(token, number):
    """What both say of a round with one kill, in the order in which it comes: (channel, line)."""
    stamp, at = number * 10, 1000 * number

    def own(**event):
        return "collector", "C " + json.dumps(event)

    def kmsg(sequence, text, kernel=True):
        return "collector", f"K {6 if kernel else 12},{stamp + sequence},{at},-,caller=T1;{text}"

    def trace(offset, name, fields):
        return "collector", f"T {'x':>16}-7     ({7:>7}) [000] .....   {at}.00000{offset}: {name}: {fields}"

    yield own(event="begin", round=number)
    yield own(event="hog", hog=0, pid=100)
    yield own(event="armed", round=number)
    yield "collector", f"M {number} before memory.events oom_kill 0"
    yield kmsg(0, f"oomtrial: {token} round {number} start", kernel=False)
    yield trace(0, "tracing_mark_write", f"oomtrial: {token} round {number} start")
    yield "supervisor", json.dumps({"event": "round_start", "round": number, "time_ns": 1, "hogs": 1})
    yield kmsg(1, "Memory cgroup out of memory: Killed process 100 (x) total-vm:1kB, anon-rss:1kB, file-rss:0kB, "
               "shmem-rss:0kB, UID:0 pgtables:8kB oom_score_adj:0")  # fmt: skip
    yield trace(1, "mark_victim", "pid=100 comm=x total-vm=1kB")
    yield kmsg(2, f"oomtrial: {token} round {number} end", kernel=False)
    yield "collector", f"M {number} after memory.events oom_kill 1"
    yield trace(2, "tracing_mark_write", f"oomtrial: {token} round {number} end")
    yield own(event="trace_losses", round=number, lost_events_total=0, missed_probes_total=0)
    hog = {"round": number, "hog": 0, "name": "x", "demand_bytes": 1, "touched_bytes": 1, "full_ns": 0, "dead": True}
    hog |= {"dead_ns": 2, "signal": 9, "exit": -1, "cleanup": False}
    yield "supervisor", json.dumps({"event": "hog", **hog})
    end = {"round": number, "time_ns": 3, "hung": False, "stuck": False, "recorded": True}
    yield "supervisor", json.dumps({"event": "round_end", **end})
    yield own(event="end", round=number, kmsg_complete=True)
    yield own(event="clean", round=number, clean=True)


class FakeGuest:
    docker, is_restored, concurrent_guests = None, True, 0

    def activity(self):
        return None

    def ending(self):
        return "lost", "QEMU was killed"


@contextlib.contextmanager
def fake_guest(*_):
    yield TrialGuest(FakeGuest(), 0.5, lambda: None, lambda: None)


def fake_trial(_client, job, evidence, on_round, _save, progress, _watch=None):
    for number in range(job.first_round, job.first_round + job.rounds):
        for channel, line in round_lines(job.token, number):
            getattr(evidence, f"{channel}_line")(line.encode())
            if '"armed"' in line:
                progress.first_round, progress.armed = job.first_round, (number, progress.clock.now())
        on_round(number)
    return TrialOutcome(Outcome.COMPLETED)


@pytest.fixture(autouse=True)
def _no_guests(monkeypatch):
    monkeypatch.setattr(TrialGuests, "of_trial", fake_guest)
    monkeypatch.setattr(block, "run_trial", fake_trial)
    monkeypatch.setattr(Experiment, "prepare", lambda _: PREPARED)
    monkeypatch.setattr(GuestPlace, "check", lambda *_, **__: None)


def quiet():
    return Reporter(Console(file=StringIO()))


def start(out, **changes):
    begun = Experiment(Request(ARMS, ("one-big-many-small",), ROUNDS, BOOTS, 3, out, **changes), quiet())
    names = [arm.name for arm in ARMS]
    begun.blocks = plan_blocks(names, list(begun.scenarios), ROUNDS, BOOTS, 3)
    begun.measure(PREPARED)


def go_on(out):
    run_experiment(resume_run(out, quiet()))


def test_a_run_that_is_cut_off_says_how_to_resume_it(tmp_path, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    def check(self):
        names = [arm.name for arm in ARMS]
        self.blocks = plan_blocks(names, list(self.scenarios), ROUNDS, BOOTS, 3)

    monkeypatch.setattr(block, "run_trial", interrupt)
    monkeypatch.setattr(Experiment, "check", check)
    out, said = tmp_path / "my run", StringIO()
    begun = Experiment(Request(ARMS, ("one-big-many-small",), ROUNDS, BOOTS, 3, out), Reporter(Console(file=said)))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(begun)
    assert f"resume with: oomtrial run --resume '{out}'" in said.getvalue()


def in_child(work):
    """Runs work in a process of its own; its exit status."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(130)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def cut_off_at(step, how, monkeypatch):
    """Ends the process at its so manieth write: of a line, or of a record before it gets its name."""
    left = [step]

    def count(write):
        def counted(*arguments):
            left[0] -= 1
            if left[0] == 0:
                how()
            return write(*arguments)

        return counted

    monkeypatch.setattr(EvidenceWriter, "_write", count(EvidenceWriter._write))
    monkeypatch.setattr(os, "fsync", count(os.fsync))


def interrupt():
    raise KeyboardInterrupt


def check_whole(out):
    record = read_run(out)
    assert record.state == "complete"
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    found = sorted(zip(rounds["arm"], rounds["boot"], rounds["round"], strict=True))
    planned = [(b.arm, b.boot, n) for b in record.blocks for n in range(1, b.rounds + 1)]
    assert found == sorted(planned)
    assert set(rounds["outcome"]) == {"completed"}
    assert rounds["witness_disagreement"].isna().all()
    assert rounds["witnesses_checked"].all()
    kills = pd.read_parquet(out / "tables/kills.parquet")
    assert sorted(zip(kills["trial_id"], kills["round"], strict=True)) == sorted(
        zip(rounds["trial_id"], rounds["round"], strict=True)
    )
    assert not list(out.rglob(".*"))
    assert rebuild_tables(out) == []
    assert all((trial / "checksums.json").exists() for trial in (out / "trials").iterdir())


def check_run_cut_off(tmp_path, monkeypatch, seed):
    """Ends its process at a write that is drawn, again and again, until it is complete."""
    choose, out, cuts = random.Random(seed), tmp_path / "run", 0
    while True:
        how = choose.choice([lambda: os._exit(9), interrupt])
        with monkeypatch.context() as patch:
            cut_off_at(choose.randint(1, 220), how, patch)
            begun = (out / "run.json").exists()
            status = in_child(lambda begun=begun: go_on(out) if begun else start(out))
        if status == 0:
            break
        cuts += 1
    if cuts == 0:
        assert read_run(out).resumed == 0
    check_whole(out)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_cut_off_anywhere_has_every_round_once_in_the_end(tmp_path, monkeypatch, seed):
    """tests/properties has more of them."""
    check_run_cut_off(tmp_path, monkeypatch, seed)


def check_warm_up_cut_off(tmp_path, monkeypatch, seed):
    """The same of a run whose boots begin with a warm-up round."""
    choose, out = random.Random(100 + seed), tmp_path / "run"
    while True:
        with monkeypatch.context() as patch:
            cut_off_at(choose.randint(1, 300), interrupt, patch)
            begun = (out / "run.json").exists()
            if in_child(lambda begun=begun: go_on(out) if begun else start(out, warm_up=1)) == 0:
                break
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    trials = pd.read_parquet(out / "tables/trials.parquet").set_index("trial_id")
    counted = rounds[~rounds["warm_up"]]
    by_block = counted.groupby(["arm", "boot"]).size()
    assert by_block.to_dict() == {(b.arm, b.boot): b.rounds for b in read_run(out).blocks}
    # the first round of every trial, and only that
    first = rounds["trial_id"].map(trials["first_round"])
    assert (rounds["warm_up"] == (rounds["round"] == first)).all()
    assert set(trials["warm_up"]) == {1}
    assert rebuild_tables(out) == []
    summary = summarize(out)
    assert [arm.rounds for arm in summary.arms] == [ROUNDS] * 2
    assert sum(arm.warm_up_rounds for arm in summary.arms) == int(rounds["warm_up"].sum()) >= 2 * BOOTS
    assert [arm.kills for arm in summary.arms] == [ROUNDS] * 2
    assert any("warm-up rounds, the first of each boot" in note for note in summary.notes)


def test_each_boot_has_a_warm_up_round_that_does_not_count_however_often_it_is_cut_off(tmp_path, monkeypatch):
    check_warm_up_cut_off(tmp_path, monkeypatch, 1)


def test_a_run_of_before_has_no_warm_up_and_says_so(tmp_path):
    out = tmp_path / "run"
    start(out)
    assert any(note.startswith("no warm-up") for note in summarize(out).notes)


def test_a_kernel_that_hangs_in_its_warm_up_has_failed_rounds(tmp_path, monkeypatch):
    """What ends a trial is no warm-up: the round counts."""
    out = tmp_path / "run"

    def hang(_client, job, evidence, _on_round, _save, progress, _watch):
        for channel, line in list(round_lines(job.token, job.first_round))[:8]:
            getattr(evidence, f"{channel}_line")(line.encode())
        progress.first_round, progress.armed = job.first_round, (job.first_round, progress.clock.now())
        return TrialOutcome(Outcome.HUNG)

    monkeypatch.setattr(block, "run_trial", hang)
    start(out, warm_up=1)
    for arm in summarize(out).arms:
        assert (arm.outcomes["hung"], arm.failed_rounds, arm.warm_up_rounds) == (ROUNDS, ROUNDS, 0)


def test_an_undisturbed_run_is_whole_and_says_so(tmp_path):
    out = tmp_path / "run"
    start(out)
    check_whole(out)
    before = (out / "run.json").read_bytes()
    done = CliRunner().invoke(cli, ["run", "--resume", str(out)])
    assert done.exit_code == 0
    assert "is complete: there is nothing left to run" in done.stderr
    assert done.stdout.endswith(f"\nEvidence: {out}\nNext: oomtrial report {out}\n")
    assert (out / "run.json").read_bytes() == before


@pytest.mark.parametrize("cause", [KeyboardInterrupt(), HostError("cannot keep evidence: no space")])
def test_tables_that_cannot_be_made_do_not_hide_what_ended_the_run(tmp_path, monkeypatch, cause):
    out, said = tmp_path / "run", []

    def end(*_):
        raise cause

    def damaged(*_, **__):
        raise EvidenceError("a scenario is damaged")

    monkeypatch.setattr(block, "run_trial", end)
    monkeypatch.setattr(experiment, "rebuild_tables", damaged)
    monkeypatch.setattr(Reporter, "say", lambda _, text: said.append(text))
    with pytest.raises(type(cause)) as caught:
        start(out)
    assert caught.value is cause
    assert said[-1] == (
        f"no tables yet (a scenario is damaged): `oomtrial tables rebuild {out}` makes them from the evidence"
    )
    os.close(hold_run(out))  # it was let go


def test_tables_that_cannot_be_made_of_a_whole_run_are_its_error(tmp_path, monkeypatch):
    def damaged(*_, **__):
        raise EvidenceError("a scenario is damaged")

    monkeypatch.setattr(experiment, "rebuild_tables", damaged)
    with pytest.raises(EvidenceError, match="a scenario is damaged"):
        start(tmp_path / "run")
    assert read_run(tmp_path / "run").state == "running"  # so that it can be resumed


def test_a_lost_round_counts_and_a_cut_off_one_is_run_again(tmp_path, monkeypatch):
    """The guest of the first trial is killed in round 2, the harness in round 3 of the second trial."""
    out = tmp_path / "run"

    def die(_client, job, evidence, _on_round, _save, progress, _watch):
        progress.armed = 2, progress.clock.now()
        for number in (1, 2) if job.first_round == 1 else (3,):
            for place, (channel, line) in enumerate(round_lines(job.token, number)):
                if number > 1 and place == 8:
                    if number == 3:
                        os._exit(9)
                    return TrialOutcome(Outcome.GUEST_LOST)
                getattr(evidence, f"{channel}_line")(line.encode())
        return TrialOutcome(Outcome.GUEST_LOST)

    with monkeypatch.context() as patch:
        patch.setattr(block, "run_trial", die)
        assert in_child(lambda: start(out)) == 9
    first = read_run(out).blocks[0]
    go_on(out)
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    of_first = rounds[(rounds["arm"] == first.arm) & (rounds["boot"] == first.boot)]
    assert of_first[["trial_id", "round", "outcome"]].values.tolist() == [
        ["001-1", 1, "completed"],
        ["001-1", 2, "lost"],
        ["001-3", 3, "completed"],
    ]
    trials = pd.read_parquet(out / "tables/trials.parquet").set_index("trial_id")
    assert trials.loc["001-2", ["rounds_begun", "outcome", "reason"]].tolist() == [
        1,
        "lost",
        "interrupted with its harness",
    ]
    assert summarize(out).arms[0].trials_ended_early + summarize(out).arms[1].trials_ended_early == 2


def stop_in_round(number):
    """A trial whose guest is stopped in this round, which is read to its end all the same: past its deadline."""

    def stop(_client, job, evidence, _on_round, _save, progress, _watch):
        progress.first_round = job.first_round
        for each in range(job.first_round, number + 1):
            progress.armed = each, progress.clock.now()
            for channel, line in round_lines(job.token, each):
                line = line.replace('"hung": false', '"hung": true') if each == number else line
                getattr(evidence, f"{channel}_line")(line.encode())
        return TrialOutcome(Outcome.LOST, "the guest was stopped for 41 s", kept_rounds=number - job.first_round)

    return stop


def test_a_round_in_which_the_guest_was_stopped_is_run_again_and_blames_no_kernel(tmp_path, monkeypatch):
    """Its evidence says that it hung: the guest's clock went on."""
    out, said = tmp_path / "run", []
    stop, trials = stop_in_round(3), []

    def once(client, job, *rest):
        trials.append(job)
        return (stop if len(trials) == 1 else fake_trial)(client, job, *rest)

    monkeypatch.setattr(block, "run_trial", once)
    monkeypatch.setattr(Reporter, "say", lambda _, text: said.append(text))
    start(out)
    check_whole(out)
    assert [text for text in said if "again" in text] == [
        f"trial 001-1 ({read_run(out).blocks[0].arm}): the guest was stopped for 41 s; the round is run again"
    ]
    rows = pd.read_parquet(out / "tables/trials.parquet").set_index("trial_id")
    columns = ["first_round", "rounds", "rounds_begun", "outcome", "reason"]
    assert rows.loc["001-1", columns].tolist() == [1, 2, 2, "lost", "the guest was stopped for 41 s"]
    assert rows.loc["001-2", columns].tolist() == [3, 1, 1, "completed", ""]


def test_a_resumed_run_does_not_count_the_round_in_which_the_guest_was_stopped(tmp_path, monkeypatch):
    """Interrupted before it was run again."""
    out = tmp_path / "run"
    stop, trials = stop_in_round(3), []

    def once(client, job, *rest):
        trials.append(job)
        if len(trials) == 2:
            raise KeyboardInterrupt
        return stop(client, job, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(block, "run_trial", once)
        with pytest.raises(KeyboardInterrupt):
            start(out)
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    assert rounds[["round", "outcome"]].values.tolist() == [[1, "completed"], [2, "completed"]]
    go_on(out)
    check_whole(out)


def test_a_guest_that_is_stopped_again_and_again_is_given_up(tmp_path, monkeypatch):
    out = tmp_path / "run"
    monkeypatch.setattr(block, "run_trial", lambda *_: TrialOutcome(Outcome.LOST, "it was stopped", kept_rounds=0))
    monkeypatch.setattr(block, "_MOST_STOPS", 2)
    with pytest.raises(GuestError, match=r"3 of 3 rounds were not run \(lost: it was stopped\)"):
        start(out)
    assert sorted(path.name for path in (out / "trials").glob("001-*")) == ["001-1", "001-2", "001-3"]
    assert pd.read_parquet(out / "tables/rounds.parquet").empty


def test_a_panic_that_the_harness_did_not_live_to_see_is_no_round_to_be_run_again(tmp_path):
    out = tmp_path / "run"
    start(out)
    trial = out / "trials/001-1"
    (trial / "checksums.json").unlink()
    lines = (trial / "supervisor.jsonl").read_text().splitlines(keepends=True)
    (trial / "supervisor.jsonl").write_text("".join(lines[:3]))
    write_trial(trial, read_trial(trial).__class__(**_fields(read_trial(trial), state="running", rounds_begun=0)))
    (trial / "console.log").write_text("[ 1.0] Kernel panic - not syncing: x\n")
    states, _ = recover_trials(out)
    found = read_trial(trial)
    assert (found.outcome, found.rounds_begun, states[1].next_round) == ("panicked", 3, 4)


def test_a_hang_that_is_interrupted_is_a_hang(tmp_path, monkeypatch):
    """Who presses Ctrl-C because nothing happens any more does not get the round again."""
    out = tmp_path / "run"

    def hang(_client, job, evidence, _on_round, _save, progress, _watch):
        for channel, line in list(round_lines(job.token, 1))[:8]:
            getattr(evidence, f"{channel}_line")(line.encode())
        progress.armed = 1, progress.clock.now() - 1000
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(block, "run_trial", hang)
        with pytest.raises(KeyboardInterrupt):
            start(out)
    go_on(out)
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    assert rounds.loc[rounds["trial_id"] == "001-1", ["round", "outcome"]].values.tolist() == [[1, "hung"]]
    assert len(rounds) == 2 * ROUNDS
    assert read_trial(out / "trials/001-1").reason == "interrupted after 1000 s of its round"


def test_a_round_that_ctrl_c_cut_off_is_no_failed_round(tmp_path, monkeypatch):
    """It was not run, and will be when the run is resumed: until then no arm has failed a round because of it."""
    out = tmp_path / "run"

    def stop(_client, job, evidence, _on_round, _save, progress, _watch):
        lines = [*round_lines(job.token, 1), *list(round_lines(job.token, 2))[:8]]
        for channel, line in lines:
            getattr(evidence, f"{channel}_line")(line.encode())
        progress.first_round, progress.armed = 1, (2, progress.clock.now())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(block, "run_trial", stop)
        with pytest.raises(KeyboardInterrupt):
            start(out)
    for _ in range(2):
        rounds = pd.read_parquet(out / "tables/rounds.parquet")
        assert rounds[["round", "outcome"]].values.tolist() == [[1, "completed"]]
        assert sum(arm.failed_rounds for arm in summarize(out).arms) == 0
        rebuild_tables(out)
    go_on(out)
    check_whole(out)


def test_a_full_disk_keeps_what_fitted_and_the_run_goes_on_once_there_is_room(tmp_path):
    def mount(*options):
        return subprocess.run(["mount", *options, tmp_path], check=False).returncode == 0

    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=100k", "tmpfs"):
        pytest.skip("a full disk is a small tmpfs here: run the tests as root, where mount(8) is allowed")
    try:
        with pytest.raises((HostError, OSError)) as raised:
            start(tmp_path / "run")
        assert "No space left on device" in str(raised.value)
        assert read_run(tmp_path / "run").state == "running"
        assert mount("-o", "remount,size=600m")
        go_on(tmp_path / "run")
        check_whole(tmp_path / "run")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def _fields(record, **changes):
    return {name: getattr(record, name) for name in record.__struct_fields__} | changes


def test_a_block_that_was_given_up_stays_so(tmp_path, monkeypatch):
    out = tmp_path / "run"

    @contextlib.contextmanager
    def dead(*arguments):
        if arguments[3].trial_id.startswith("002"):
            os._exit(9)
        raise GuestError("no guest")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(TrialGuests, "of_trial", dead)
        assert in_child(lambda: start(out)) == 9
    go_on(out)
    assert sorted(path.name for path in (out / "trials").glob("001-*")) == [f"001-{n}" for n in range(1, 5)]
    assert sum(arm.rounds_not_run for arm in summarize(out).arms) == read_run(out).blocks[0].rounds


def test_two_processes_never_write_one_run(tmp_path):
    out = tmp_path / "run"
    start(out)
    write_run(out, read_run(out).__class__(**_fields(read_run(out), state="running")))
    held = hold_run(out)
    with pytest.raises(UsageError, match="another process is writing"):
        go_on(out)
    os.close(held)
    pid_lock = in_child(lambda: hold_run(out))  # released by the kernel when its holder ends
    assert pid_lock == 0
    go_on(out)
    assert read_run(out).state == "complete"


def test_what_differs_is_refused_by_name(tmp_path):
    out = tmp_path / "run"
    start(out)
    record = read_run(out)
    host = record.host.__class__(record.host.cores + 1, record.host.cpu, record.host.qemu)
    with pytest.raises(UsageError, match=f"this machine's cores is {host.cores}, but was {record.host.cores}"):
        refuse_other_host(record, host)

    class Image:
        key = "new"

    with pytest.raises(UsageError, match="image hog is new, but was none"):
        refuse_other_images(record, {"hog": Image})


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--rounds", "3"], "--rounds cannot be combined with --resume", 2),
        (["--kernel", "source:6.1", "--seed", "1"], "--kernel, --seed cannot be combined", 2),
        ([], "holds no run", 6),
    ],
)
def test_resume_takes_nothing_but_the_run(oomtrial, tmp_path, arguments, says, code):
    done = oomtrial("run", "--resume", tmp_path, *arguments)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (code, 1)
    assert says in done.stderr
