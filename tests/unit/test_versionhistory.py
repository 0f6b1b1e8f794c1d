"""A history of kernel versions, and what `oomtrial bisect` takes of it."""

import shutil
import subprocess

import pytest

from benchmarks.versionhistory import main
from harness.kernels.tree import find_tree
from harness.progress import Reporter
from harness.spec.kernel import parse_kernel_spec
from harness.studies.bisect import plan_bisection
from tests.kerneltree import FIX, OOM_KILL, make_tree


@pytest.fixture
def trees(tmp_path, monkeypatch):
    """Two trees as versions: the second one lacks a file, and ignores everything at its top, as Debian's does."""
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    older, newer = make_tree(tmp_path / "older"), make_tree(tmp_path / "newer")
    for tree in (older, newer):
        (tree / "mm/mremap.c").write_text("int mremap;\n")
    makefile = (newer / "Makefile").read_text()
    (newer / "Makefile").write_text(makefile.replace("PATCHLEVEL = 1", "PATCHLEVEL = 2"))
    (newer / "mm/page_alloc.c").unlink()
    (newer / ".gitignore").write_text("*.o\n/*\n!/debian/\n")
    (newer / "vmlinux.o").write_text("stale")
    (tmp_path / "fix.patch").write_text(FIX)
    return older, newer


def git(where, *arguments):
    done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def files(history, ref):
    return set(git(history, "ls-tree", "-r", "--name-only", ref).splitlines())


def test_each_kernel_is_a_commit_that_bisect_takes(trees, tmp_path, capsys):
    older, newer = trees
    history, fix = tmp_path / "history", tmp_path / "fix.patch"
    arguments = [str(history), f"tree:{older}", "neutral", f"tree:{newer}+{fix}", "neutral", f"tree:{newer}"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    commits = git(history, "log", "--reverse", "--format=%H").splitlines()
    assert [line.split()[0] for line in lines] == [commit[:12] for commit in commits]
    assert len(commits) == 5
    first, neutral, patched, _, last = commits
    assert "mm/page_alloc.c" in files(history, first)
    assert "mm/page_alloc.c" not in files(history, last)
    assert not [name for ref in commits for name in files(history, ref) if name.endswith(".o") or "oomtrial" in name]
    assert git(history, "diff", "--name-only", first, neutral) == "mm/mremap.c"
    assert git(history, "show", f"{patched}:mm/oom_kill.c") == OOM_KILL.replace("two", "fixed").strip()
    assert git(history, "show", f"{last}:mm/oom_kill.c") == OOM_KILL.strip()
    # nothing is left in the trees
    assert (older / "mm/oom_kill.c").read_text() == (newer / "mm/oom_kill.c").read_text() == OOM_KILL
    plan = plan_bisection(history, "first", "last", "one-big-many-small", 60, 2, 1, 4, "auto")
    assert (plan.good, plan.bad) == (first, last)
    found = find_tree(parse_kernel_spec(f"tree:{history}@{patched}"), Reporter())
    assert found.version == "6.2"
    # the same sources give the same commits
    shutil.rmtree(history)
    assert main(arguments) == 0
    assert git(history, "log", "--reverse", "--format=%H").splitlines() == commits


def test_what_cannot_be_had_is_left_out_and_the_others_stay(trees, tmp_path, capsys):
    older, newer = trees
    history = tmp_path / "history"
    fix = tmp_path / "other.patch"
    fix.write_text(FIX.replace("int two;", "int nothing;"))
    assert main([str(history), f"tree:{older}", f"tree:{newer}+{fix}", f"tree:{newer}"]) == 0
    said = capsys.readouterr()
    assert f"left out: tree:{newer}+{fix}: patch " in said.err.replace("\n", "")
    assert len(said.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "says", "status"),
    [
        (["neutral"], "a neutral commit needs a kernel before it", 2),
        (["sauce:6.1"], "unknown kernel spec", 2),
        (["tree:{older}"], "fewer than two commits", 4),
        (["tree:/nonexistent"], "is no directory", 2),
    ],
)
def test_mistakes_are_one_line(trees, tmp_path, capsys, arguments, says, status):
    arguments = [text.format(older=trees[0]) for text in arguments]
    assert main([str(tmp_path / "history"), *arguments]) == status
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_directory_with_something_in_it_is_left_alone(trees, capsys):
    assert main([str(trees[0]), "6.1"]) == 2
    assert "is not empty" in capsys.readouterr().err
