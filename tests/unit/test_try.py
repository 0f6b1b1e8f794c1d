"""`oomtrial try`: what it compares, and what it shows of a run; guests are not started here."""

import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.errors import BuildError, UsageError
from harness.kernels.listing import Listed
from harness.kernels.tree import _LOOKS_LIKE
from harness.progress import Reporter
from harness.runs.record import read_run, write_run
from harness.studies import trying

EXAMPLE = Path(__file__).parents[2] / "results/example"
NEWEST = [
    Listed("debian:7.3", "7.3~rc7", "experimental", "prebuilt"),
    Listed("source:6.12", "6.12.9-1", "apt", "linux-source"),
    Listed("source:7.2", "7.2.12-1", "sid", "linux-source"),
    Listed("source:7.3", "7.3~rc7-1~exp1", "experimental", "linux-source"),
]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    tree = tmp_path / "my+linux@work"
    tree.mkdir()
    monkeypatch.chdir(tree)
    monkeypatch.setattr(trying, "listed_kernels", lambda _offers: NEWEST)
    (tree / "a.patch").touch()
    (tree / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 1\n")
    for name in _LOOKS_LIKE:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    return tree


@pytest.mark.parametrize(
    ("base", "patches", "arms"),
    [
        ("", ["a.patch"], ["base=tree:.", "patched=tree:.+./a.patch"]),
        ("", ["a.patch", "/x+y/b.patch"], ["base=tree:.", "patched=tree:.+./a.patch+/x++y/b.patch"]),
        ("v6.1", ["wait-for-victim"], ["base=tree:.@v6.1", "patched=tree:.@v6.1+wait-for-victim"]),
        ("v6.1", [], ["base=tree:.@v6.1", "tree=tree:."]),
        ("", [], ["source:7.2=source:7.2", "tree=tree:."]),
    ],
)
def test_what_is_compared(tree, base, patches, arms):
    assert tree.is_dir()
    choice = trying.choose_arms(Path(), base, patches, Reporter())
    assert [f"{arm.name}={arm.kernel}" for arm in choice.arms] == arms


def test_a_path_is_written_as_a_spec_wants_it(tree):
    arms = trying.choose_arms(tree, "", ["a.patch"], Reporter()).arms
    assert arms[0].kernel.endswith("/my++linux@@work")


def test_what_cannot_be_compared_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a directory"):
        trying.choose_arms(tmp_path / "none", "", [], Reporter())
    with pytest.raises(UsageError, match="is not a kernel tree"):  # before any archive is asked for releases
        trying.choose_arms(tmp_path, "", [], Reporter())
    with pytest.raises(BuildError, match="no released kernel is available"):
        trying.newest_release([NEWEST[0], NEWEST[-1]])


@pytest.mark.parametrize(("cores", "vcpus"), [(1, 4), (2, 4), (6, 6), (64, 8)])
def test_vcpus(cores, vcpus):
    assert trying.choose_vcpus(cores) == vcpus


@pytest.fixture
def measured(monkeypatch):
    """A stored run stands for the one that would be measured; what was asked for is kept."""
    requests = []

    class Experiment:
        def __init__(self, request, _progress):
            requests.append(request)
            self.directory = request.out

    def run_experiment(experiment):
        shutil.copytree(EXAMPLE, experiment.directory)
        record = read_run(EXAMPLE)
        write_run(experiment.directory, msgspec.structs.replace(record, until_decided=True))

    monkeypatch.setattr(trying, "Experiment", Experiment)
    monkeypatch.setattr(trying, "run_experiment", run_experiment)
    return requests


@pytest.mark.usefixtures("tree")
def test_verdict_timelines_and_mail_are_shown(measured, tmp_path):
    done = CliRunner().invoke(cli, ["try", "a.patch", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, (done.output, done.exception)
    (request,) = measured
    assert (request.until_decided, request.rounds, request.boots) == (True, 200, 25)
    assert "up to 200 rounds in 25 boots per arm" in done.stderr.replace("\n", " ")
    shown = done.stdout
    assert shown.index("against source:6.1: ") < shown.index("trial 0") < shown.index("Measured with:")
    assert shown.count("out_of_memory") >= 2
    lines = shown.splitlines()
    assert lines[-2:] == [f"Evidence: {tmp_path / 'out'}", f"Next: oomtrial report {tmp_path / 'out'}"]


def test_one_round_of_each_arm():
    from harness.tables.store import load_tables

    tables = load_tables(EXAMPLE / "tables")
    chosen = trying.one_round_per_arm(tables["rounds"], tables["kills"])
    rounds = tables["rounds"].set_index(["trial_id", "round"])
    assert list(rounds.loc[chosen, "arm"]) == list(tables["rounds"]["arm"].drop_duplicates())
    kills = tables["kills"].set_index(["trial_id", "round"])
    with_redundant = {arm for arm in rounds["arm"] if (kills[kills["arm"] == arm]["kill_class"] == "redundant").any()}
    for where, arm in zip(chosen, rounds.loc[chosen, "arm"], strict=True):
        classes = set(kills.loc[[where], "kill_class"])
        assert ("redundant" in classes) == (arm in with_redundant)
