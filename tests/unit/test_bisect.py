"""`oomtrial bisect`: its mistakes and its steps, on commits whose rounds were measured before, so that no kernel is booted.

tests/integration/test_bisect_git.py has whole bisections.
"""

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from harness.errors import BuildError, GuestError, HostError, UsageError
from harness.progress import Reporter
from harness.runs.record import read_run, write_run
from harness.studies import bisect
from harness.studies.bisect import StepResult, plan_bisection
from harness.tables.schema import TABLES
from harness.tables.store import save_tables
from tests.simulated import tables

EXAMPLE = read_run(Path(__file__).parents[2] / "results/example")
COMMITS = 9
FIRST_BAD = 5


def git(tree, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, "-C", str(tree), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_history(tree):
    """A history of nine commits on one line, and one beside it."""
    tree.mkdir()
    git(tree, "init", "--quiet")
    for number in range(1, COMMITS + 1):
        (tree / "file").write_text(f"{number}\n")
        git(tree, "add", "file")
        git(tree, "commit", "--quiet", "-m", f"commit {number}")
        git(tree, "tag", f"v{number}")
    git(tree, "checkout", "--quiet", "-b", "aside", "v2")
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "aside")
    git(tree, "checkout", "--quiet", "main")
    return tree


def measure(tree, out, skipped=()):
    """Writes a bisection whose ends and commits are measured; returns its command. `skipped`: commits that were not decided."""
    plan = plan_bisection(tree, "v1", f"v{COMMITS}", "one-big-many-small", 60, 2, 1, 4, "auto")
    plan = msgspec.structs.replace(plan, effect="redundant", good_seen=(4, 60), bad_seen=(55, 60))
    out.mkdir()
    (out / "bisect.json").write_bytes(msgspec.json.encode(plan))
    commits = git(tree, "rev-parse", *(f"v{number}" for number in range(2, COMMITS))).split()
    for number, commit in enumerate(commits, start=2):
        word = "skip" if number in skipped else "bad" if number >= FIRST_BAD else "good"
        place = out / "steps" / commit
        place.mkdir(parents=True)
        verdict = StepResult(commit=commit, subject=f"commit {number}", verdict=word, hits=3, rounds=15)
        (place / "verdict.json").write_bytes(msgspec.json.encode(verdict))
    return ["bisect", "--tree", tree, "--good", "v1", "--bad", f"v{COMMITS}", "--out", out]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return make_history(tmp_path_factory.mktemp("history") / "tree")


@pytest.fixture
def tree(history, tmp_path):
    return shutil.copytree(history, tmp_path / "tree+a@b")


@pytest.fixture
def measured(tree, tmp_path):
    return lambda skipped=(): measure(tree, tmp_path / "out", skipped)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--good": "v77"}, "has no commit 'v77'"),
        ({"--bad": "aside", "--good": "v3"}, "v3 is not an ancestor of aside"),
        ({"--tree": "/nonexistent"}, "/nonexistent is not a directory"),
        ({"--tree": "/"}, "/ is not a git repository"),
        ({"--rounds": "61"}, "holds another bisection"),
        ({"--rounds": "3"}, "3 is not in the range"),
    ],
)
def test_mistakes_are_one_line(oomtrial, measured, changes, words):
    arguments = measured()
    for option, value in changes.items():
        arguments = [*arguments, option, value]
    done = oomtrial(*arguments)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert words in line


NECESSARY, REDUNDANT = ("necessary",), ("necessary", "redundant")


def batch(redundant, necessary, lost=0):
    """The rounds of one boot."""
    return [REDUNDANT] * redundant + [NECESSARY] * necessary + ["lost"] * lost


@pytest.fixture
def judge(tree, tmp_path, monkeypatch):
    """Judges v5 of a bisection whose ends are measured. Stands in for an Experiment: each run has its warm-up rounds, all with
    a redundant kill, and the rounds that come next in a list, or fails as it says. Returns the exit code, the verdict, and which runs were asked for."""
    out, warmed = tmp_path / "out", []
    out.mkdir()
    plan = plan_bisection(tree, "v1", f"v{COMMITS}", "one-big-many-small", 60, 2, 1, 4, "auto")
    plan = msgspec.structs.replace(plan, effect="redundant", good_seen=(4, 60), bad_seen=(30, 60))
    (out / "bisect.json").write_bytes(msgspec.json.encode(plan))
    git(tree, "clone", "--quiet", "--bare", "--shared", str(tree), str(out / "clone.git"))
    git(out / "clone.git", "update-ref", "--no-deref", "BISECT_HEAD", git(tree, "rev-parse", "v5"))

    def run(*coming):
        results, asked, warmed[:] = list(coming), [], []

        class Stored:
            def __init__(self, request, _progress):
                self.request = request
                asked.append((request.out.name, request.rounds))
                self.result = results.pop(0)

            def _fail_with(self, *kinds):
                if isinstance(self.result, kinds):
                    raise self.result

            def check(self):
                self._fail_with(UsageError, HostError)

            def prepare(self):
                self._fail_with(BuildError)

            def measure(self, _prepared):
                self._fail_with(GuestError, KeyboardInterrupt)
                frames = {table.name: table.frame([]) for table in TABLES}
                warm_up = self.request.warm_up
                rounds, kills = tables(self.request.arms[0].name, [[REDUNDANT] * warm_up + self.result])
                rounds["warm_up"] = rounds["round"] <= warm_up
                frames["rounds"], frames["kills"] = rounds, kills
                warmed.append(warm_up)
                save_tables(self.request.out / "tables", frames)
                write_run(self.request.out, msgspec.structs.replace(EXAMPLE, state="complete"))

        monkeypatch.setattr(bisect, "Experiment", Stored)
        code = bisect.step(out, Reporter())
        (path,) = out.glob("steps/*/verdict.json")
        return code, msgspec.json.decode(path.read_bytes(), type=StepResult), asked

    run.out, run.warmed = out, warmed
    return run


def test_each_boot_has_a_warm_up_round_that_does_not_count(judge):
    code, verdict, _ = judge(batch(0, 15))
    assert judge.warmed == [1]
    assert (code, verdict.hits, verdict.rounds) == (bisect.GOOD, 0, 15)


def test_a_bisection_of_before_goes_on_as_it_began(tree, judge):
    """Its plan says nothing of warm-up: its ends had none, and its steps have none."""
    plan = msgspec.json.decode((judge.out / "bisect.json").read_bytes())
    del plan["warm_up"]
    (judge.out / "bisect.json").write_bytes(msgspec.json.encode(plan))
    _, verdict, _ = judge(batch(0, 15))
    assert (judge.warmed, verdict.rounds) == ([0], 15)
    again = plan_bisection(tree, "v1", f"v{COMMITS}", "one-big-many-small", 60, 2, 1, 4, "auto", 0)
    assert bisect._begin(again, judge.out, None, Reporter()).good_seen == (4, 60)
    with pytest.raises(UsageError, match="another bisection"):
        bisect._begin(msgspec.structs.replace(again, warm_up=1), judge.out, None, Reporter())


def test_every_round_counts_once_though_some_were_lost(judge):
    """The second batch was once taken for the first where a round of that was lost."""
    code, verdict, asked = judge(*[batch(3, 11, lost=1)] * 4)
    assert asked == [("1", 15), ("2", 15), ("3", 15), ("4", 15)]
    assert (code, verdict.verdict, verdict.hits, verdict.rounds) == (bisect.SKIP, "skip", 12, 56)
    assert verdict.reason == "undecided; 4 rounds more do not count"


@pytest.mark.parametrize(
    ("batches", "code", "seen"),
    [
        ([batch(8, 7)], bisect.BAD, (8, 15)),
        ([batch(0, 15)], bisect.GOOD, (0, 15)),
        ([batch(4, 11), batch(0, 15)], bisect.GOOD, (4, 30)),
        ([batch(0, 0, lost=15)], bisect.SKIP, (0, 0)),
        ([BuildError("mm/oom_kill.c: error")], bisect.SKIP, (0, 0)),
        ([UsageError("no kernel tree")], bisect.SKIP, (0, 0)),
        ([GuestError("no block could be completed")], bisect.SKIP, (0, 0)),
        ([batch(4, 11), GuestError("no block could be completed")], bisect.SKIP, (4, 15)),
    ],
)
def test_a_step_takes_what_it_needs_and_skips_what_cannot_be_measured(judge, batches, code, seen):
    status, verdict, asked = judge(*batches)
    assert (status, (verdict.hits, verdict.rounds)) == (code, seen)
    assert len(asked) == len(batches)
    assert bool(verdict.reason) == (code == bisect.SKIP)
    # asked again, it is not measured again
    assert judge() == (code, verdict, [])


def test_a_machine_that_lacks_something_is_no_verdict(judge):
    with pytest.raises(HostError, match="no room"):
        judge(batch(4, 11), HostError("no room"))
    assert not list(judge.out.glob("steps/*/verdict.json"))
    # the batch that was there counts once, and is not measured again
    code, verdict, asked = judge(batch(0, 15))
    assert (code, verdict.hits, verdict.rounds, asked) == (bisect.GOOD, 4, 30, [("2", 15)])


def test_a_batch_that_was_cut_off_is_measured_again(judge):
    with pytest.raises(KeyboardInterrupt):
        judge(batch(4, 11), KeyboardInterrupt())
    (step,) = judge.out.glob("steps/*")
    write_run(step / "2", msgspec.structs.replace(EXAMPLE, state="interrupted"))
    code, verdict, asked = judge(batch(0, 15))
    assert (code, verdict.hits, verdict.rounds, asked) == (bisect.GOOD, 4, 30, [("2", 15)])


def test_a_step_has_no_more_rounds_than_asked_for():
    assert [sum(bisect._batch_sizes(rounds)) for rounds in range(8, 100)] == list(range(8, 100))


@pytest.mark.parametrize("error", [BuildError("it does not compile"), GuestError("no block could be completed")])
def test_an_end_that_cannot_be_measured_ends_it(judge, monkeypatch, error):
    plan = msgspec.json.decode((judge.out / "bisect.json").read_bytes(), type=bisect.BisectPlan)

    class Failing:
        def __init__(self, *_):
            pass

        def check(self):
            raise error

    monkeypatch.setattr(bisect, "Experiment", Failing)
    with pytest.raises(type(error), match=str(error)):
        bisect.bisect(msgspec.structs.replace(plan, seed=2), judge.out / "another", None, Reporter())
