"""The demo without a kernel: which version it takes, what it says meanwhile, and that the first figure stands by itself."""

import json
import shutil
import threading
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from harness.analysis.verdicts import Verdict
from harness.cli import cli
from harness.errors import BuildError, GuestError, HostError, UsageError
from harness.experiment.request import Request
from harness.progress import Reporter
from harness.runs.pool import pool_runs
from harness.runs.record import read_run, write_run
from harness.runs.summary import summarize_runs
from harness.studies import demo
from harness.studies.demo import CONTROL, FIXES, Choice, Offer, choose

ROOT = Path(__file__).parents[2]
STORED = ROOT / "results/example"
EVERY = frozenset({*FIXES, CONTROL})
OLD = frozenset({"recheck-margin", "wait-for-victim", CONTROL})
GONE = "apt offers no package linux-source-{}"


def offer(version, patches=EVERY):
    return Offer(version, patches=patches)


def gone(version):
    return Offer(version, GONE.format(version))


@pytest.mark.parametrize(
    ("offers", "choice"),
    [
        ([offer("7.3"), offer("6.1")], Choice("7.3", "see-exiting-victims")),
        ([offer("6.12", OLD)], Choice("6.12", "recheck-margin")),
        ([offer("6.1", frozenset({"wait-for-victim", CONTROL}))], Choice("6.1", "wait-for-victim")),
        (
            [gone("7.3"), gone("7.2"), offer("6.18", OLD)],
            Choice("6.18", "recheck-margin", "not 7.3, 7.2: apt offers no package linux-source-7.3; taking 6.18"),
        ),
        (
            [gone("7.3"), offer("7.2", frozenset({CONTROL})), offer("6.18", frozenset(FIXES)), offer("6.12", OLD)],
            Choice(
                "6.12",
                "recheck-margin",
                "not 7.3: apt offers no package linux-source-7.3; not 7.2: no fix in the library;"
                " not 6.18: no ignore-pending-victim in the library; taking 6.12",
            ),
        ),
    ],
)
def test_the_newest_version_that_has_a_fix_and_the_control_is_taken(offers, choice):
    assert choose(offers) == choice
    assert choice.specs == tuple(f"source:{choice.version}{patch}" for patch in ("", f"+{choice.fix}", f"+{CONTROL}"))


def test_versions_after_the_choice_are_not_looked_at():
    def offers():
        yield offer("7.3")
        pytest.fail("looked on")

    assert choose(offers()).version == "7.3"


def test_without_any_version_it_says_why():
    with pytest.raises(BuildError, match=r"no kernel for the demo: not 7\.3: apt offers"):
        choose([gone("7.3")])
    with pytest.raises(BuildError, match="no kernel for the demo"):
        choose([])


class Plan:
    def __init__(self, spec):
        self.spec = spec


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Kernels, builds and runs are made up; what happens is noted in its order."""
    happened = []

    class Stage:
        offered = frozenset({"source:6.12", "source:6.12+recheck-margin", f"source:6.12+{CONTROL}", "debian:6.12"})
        cached = frozenset()
        build = staticmethod(lambda _text: None)
        first = staticmethod(lambda: None)
        log = happened

    def plan_kernel(spec, *_):
        if spec.text in Stage.offered:
            return Plan(spec)
        raise (UsageError if "+" in spec.text else BuildError)(f"apt offers no {spec.text}")

    def make_kernel(plan, _progress):
        Stage.build(plan.spec.text)
        happened.append(f"built {plan.spec.text}")

    class Experiment:
        def __init__(self, request, _progress):
            self.request = request
            self.directory = request.out or tmp_path / request.arms[0].kernel.replace(":", "-")

    def run_experiment(experiment):
        names = [arm.kernel for arm in experiment.request.arms]
        if names[0].startswith("debian:"):
            Stage.first()
        shutil.copytree(STORED, experiment.directory)
        record = read_run(STORED)
        write_run(
            experiment.directory,
            msgspec.structs.replace(record, run_id=names[0], disturbed=experiment.request.disturbed, kernels=record.kernels[:1]),
        )  # fmt: skip
        happened.append(f"measured {', '.join(names)}, {experiment.request.rounds} rounds")

    monkeypatch.setattr(demo, "plan_kernel", plan_kernel)
    monkeypatch.setattr(demo, "make_kernel", make_kernel)
    monkeypatch.setattr(demo, "ready_kernel", lambda plan: plan.spec.text in Stage.cached or None)
    monkeypatch.setattr(demo, "Experiment", Experiment)
    monkeypatch.setattr(demo, "run_experiment", run_experiment)
    # the arm of the stored run stands for the one that was measured
    monkeypatch.setattr(demo, "summarize", lambda run: one_arm(summarize_runs([run])))
    return Stage


def one_arm(summary):
    return msgspec.structs.replace(summary, arms=summary.arms[:1])


def request_into(out):
    return Request((), ("one-big-many-small",), 100, 2, 1, out)


MAIN = f"measured source:6.12, source:6.12+recheck-margin, source:6.12+{CONTROL}, 100 rounds"
FIRST = "measured debian:6.12, 12 rounds"


def test_the_first_figure_comes_while_kernels_are_built(stage, tmp_path, capsys):
    figure_is_there = threading.Event()

    def build(_text):
        assert figure_is_there.wait(60)

    stage.build = staticmethod(build)
    stage.first = staticmethod(figure_is_there.set)
    done = demo.run_demo(request_into(tmp_path / "out"), Reporter())
    assert stage.log[-1] == MAIN
    assert set(stage.log[:-1]) == {FIRST, *(f"built {spec}" for spec in stage.offered if spec.startswith("source"))}
    said = capsys.readouterr().err
    assert "not 7.3, 7.2, 6.18: apt offers no source:7.3; taking 6.12" in said.replace("\n", "")
    assert "first figure: debian:6.12 (linux-source-6.1 6.1.192-2): 10 of 100 rounds" in said
    assert "kernels were being built at the same time" in said
    assert done.directory == tmp_path / "out"


@pytest.mark.usefixtures("stage")
def test_the_first_figure_is_never_pooled(tmp_path):
    done = demo.run_demo(request_into(tmp_path / "out"), Reporter())
    with pytest.raises(UsageError, match="cannot be pooled: kernels were being built at the same time"):
        pool_runs([done.directory, done.first.directory])
    assert any(
        "kernels were being built at the same time" in note for note in summarize_runs([done.first.directory]).notes
    )
    assert not any("built at the same time" in note for note in summarize_runs([done.directory]).notes)


def test_with_kernels_in_the_cache_nothing_else_is_measured(stage, tmp_path):
    stage.cached = frozenset(stage.offered)
    assert demo.run_demo(request_into(tmp_path / "out"), Reporter()).first is None
    assert stage.log == [MAIN]


@pytest.mark.parametrize("error", [GuestError("it does not boot"), BuildError("download failed")])
def test_without_a_first_figure_the_demo_goes_on_and_says_why(stage, tmp_path, capsys, error):
    def fail():
        raise error

    stage.first = staticmethod(fail)
    assert demo.run_demo(request_into(tmp_path / "out"), Reporter()).first is None
    assert stage.log[-1] == MAIN
    assert f"no first figure of debian:6.12: {error.what}" in capsys.readouterr().err


def test_a_build_that_fails_is_reported_at_once_and_ends_the_demo(stage, tmp_path, monkeypatch, capsys):
    failed = threading.Event()
    killed = []

    def build(_text):
        raise BuildError("mm/oom_kill.c does not compile")

    monkeypatch.setattr(demo, "kill_children", lambda: killed.append(True))
    stage.build = staticmethod(build)
    stage.first = staticmethod(lambda: failed.wait(0.2))
    with pytest.raises(BuildError, match="does not compile"):
        demo.run_demo(request_into(tmp_path / "out"), Reporter())
    assert stage.log == [FIRST]
    said = capsys.readouterr().err
    assert said.index("source:6.12: mm/oom_kill.c does not compile") < said.index("first figure")
    assert killed


def test_a_machine_that_lacks_something_ends_the_builds_too(stage, tmp_path, monkeypatch):
    killed = []

    def fail():
        raise HostError("no QEMU")

    monkeypatch.setattr(demo, "kill_children", lambda: killed.append(True))
    stage.first = staticmethod(fail)
    with pytest.raises(HostError, match="no QEMU"):
        demo.run_demo(request_into(tmp_path / "out"), Reporter())
    assert killed
    assert MAIN not in stage.log


@pytest.mark.usefixtures("stage")
def test_the_command_ends_with_evidence_and_what_to_do_next(tmp_path):
    out = tmp_path / "out"
    shown = CliRunner().invoke(cli, ["demo", "--out", str(out)])
    assert shown.exit_code == 0, (shown.output, shown.exception)
    lines = shown.stdout.splitlines()
    assert lines[-2:] == [f"Evidence: {out}", f"Next: oomtrial report {out}"]
    assert lines[-4].startswith("first figure: debian:6.12")
    assert lines[0].startswith("Run source:6.12 (complete)")
    assert json.loads((out / "run.json").read_text())["disturbed"] == ""


def test_a_control_that_is_not_shown_to_be_worse_is_explained():
    summary = summarize_runs([STORED])
    worse = next(one for one in summary.comparisons if one.arm.endswith(CONTROL))
    assert worse.verdict == Verdict.WORSE
    assert not demo.control_line(summary)
    alike = msgspec.structs.replace(worse, verdict=Verdict.NO_DIFFERENCE)
    assert demo.control_line(msgspec.structs.replace(summary, comparisons=[alike])) == (
        "source:6.1+ignore-pending-victim never waits for an earlier victim; these rounds do not show that source:6.1 kills"
        " less needlessly"
    )
    assert not demo.control_line(msgspec.structs.replace(summary, comparisons=[]))


@pytest.mark.usefixtures("stage")
def test_mistakes_are_reported_before_a_kernel_is_built():
    again = CliRunner().invoke(cli, ["demo", "--out", str(STORED)])
    assert "already holds a run" in str(again.exception)
    few = CliRunner().invoke(cli, ["demo", "--rounds", "1", "--boots", "2"])
    assert "1 rounds cannot be spread over 2 boots" in str(few.exception)
