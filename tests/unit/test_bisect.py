"""`oomtrial bisect` with real git: commits whose rounds were measured before, so that no kernel is booted."""

import hashlib
import subprocess

import msgspec
import pytest

from harness.bisect import Verdict, plan_bisection

COMMITS = 9
FIRST_BAD = 5


def git(tree, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, "-C", str(tree), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def contents(directory):
    return {
        path.relative_to(directory): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def tree(tmp_path):
    """A history of nine commits on one line, and one beside it."""
    tree = tmp_path / "tree+a@b"
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


@pytest.fixture
def measured(tree, tmp_path):
    """A bisection whose ends and commits are measured; `skipped` are the numbers of commits that were not decided."""

    def prepare(skipped=()):
        out = tmp_path / "out"
        plan = plan_bisection(tree, "v1", f"v{COMMITS}", "one-big-many-small", 60, 2, 1, 4, "auto")
        plan = msgspec.structs.replace(plan, effect="redundant", good_seen=(4, 60), bad_seen=(55, 60))
        out.mkdir()
        (out / "bisect.json").write_bytes(msgspec.json.encode(plan))
        for number in range(2, COMMITS):
            commit = git(tree, "rev-parse", f"v{number}")
            word = "skip" if number in skipped else "bad" if number >= FIRST_BAD else "good"
            place = out / "steps" / commit
            place.mkdir(parents=True)
            verdict = Verdict(commit=commit, subject=f"commit {number}", verdict=word, hits=3, rounds=15)
            (place / "verdict.json").write_bytes(msgspec.json.encode(verdict))
        return ["bisect", "--tree", tree, "--good", "v1", "--bad", f"v{COMMITS}", "--out", out]

    return prepare


def test_the_first_bad_commit_is_found_and_the_tree_is_as_before(oomtrial, tree, measured):
    arguments, before = measured(), contents(tree)
    done = oomtrial(*arguments)
    assert done.returncode == 0, done.stderr
    commit = git(tree, "rev-parse", f"v{FIRST_BAD}")[:12]
    assert done.stdout.splitlines()[-1] == f"first bad commit: {commit} commit {FIRST_BAD}"
    assert "going on with the bisection" in done.stderr
    assert contents(tree) == before
    # the same command again comes to the same end
    assert oomtrial(*arguments).stdout == done.stdout


def test_a_skipped_commit_is_passed_over(oomtrial, measured):
    done = oomtrial(*measured(skipped={FIRST_BAD + 1}))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f"commit {FIRST_BAD}")


def test_when_only_skipped_commits_are_left_nothing_is_claimed(oomtrial, measured):
    done = oomtrial(*measured(skipped={FIRST_BAD, FIRST_BAD - 1}))
    assert done.returncode == 7, done.stderr
    assert "only commits that were skipped are left" in done.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--good": "v77"}, "has no commit 'v77'"),
        ({"--bad": "aside", "--good": "v3"}, "v3 is no ancestor of aside"),
        ({"--tree": "/nonexistent"}, "/nonexistent is no directory"),
        ({"--tree": "/"}, "/ is no git repository"),
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
