"""What a run keeps of its kernels: patches, config, commit and changes of a tree, so that others can build them."""

import subprocess

import pytest
from kerneltree import FIX, make_tree

from harness.errors import UsageError
from harness.kernels.keeping import keep_provenance
from harness.kernels.kernel import Kernel
from harness.kernels.plan import plan_kernel
from harness.kernels.tree import changes_of, find_tree
from harness.progress import Reporter
from harness.report.reproduce import reproduce_lines
from harness.spec.kernel import parse_kernel_spec


def git(tree, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, "-C", str(tree), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    tree = make_tree(tmp_path / "linux")
    git(tree, "init", "--quiet")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "one")
    return tree


def read(tree):
    return find_tree(parse_kernel_spec(f"tree:{tree}"), Reporter())


def contents(tree, names):
    return {name: (tree / name).read_bytes() if (tree / name).exists() else None for name in names}


def test_a_tree_as_it_was_committed_has_no_changes(tree):
    changes = changes_of(read(tree))
    assert (changes.commit, changes.files, changes.diff) == (git(tree, "rev-parse", "HEAD"), [], b"")


def test_the_diff_makes_the_tree_of_its_commit(tree, tmp_path):
    (tree / "mm/oom_kill.c").write_bytes(b"int \xff;\n")
    (tree / "mm/new.c").write_text("int new;\n")
    (tree / "mm/page_alloc.c").unlink()
    (tree / "base.config").chmod(0o755)
    changes = changes_of(read(tree))
    names = ["base.config", "mm/new.c", "mm/oom_kill.c", "mm/page_alloc.c"]
    assert changes.files == names
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(tree), str(clone))
    diff = tmp_path / "tree.diff"
    diff.write_bytes(changes.diff)
    git(clone, "apply", str(diff))
    assert contents(clone, names) == contents(tree, names)
    assert (clone / "base.config").stat().st_mode & 0o111


def test_no_filter_of_the_tree_is_run(tree, tmp_path):
    (tree / ".gitattributes").write_text("*.c filter=evil diff=evil\n")
    for key in ("filter.evil.clean", "diff.evil.command", "diff.evil.textconv"):
        git(tree, "config", key, f"touch {tmp_path}/ran; cat")
    (tree / "mm/oom_kill.c").write_text("int changed;\n")
    assert b"int changed" in changes_of(read(tree)).diff
    assert not (tmp_path / "ran").exists()


def test_a_file_that_changed_since_is_not_in_a_diff(tree):
    (tree / "mm/oom_kill.c").write_text("int changed;\n")
    found = read(tree)
    (tree / "mm/oom_kill.c").write_text("int again;\n")
    assert (changes_of(found).files, changes_of(found).diff) == (["mm/oom_kill.c"], b"")


def test_a_tree_below_a_repository_has_none(tree):
    with pytest.raises(UsageError, match="is not the top"):
        changes_of(read(make_tree(tree / "below")))


def kernel(directory, spec):
    directory.mkdir()
    (directory / "config").write_text("CONFIG_X=y\n")
    return Kernel(spec, "key", str(directory / "bzImage"), "a tree", {}, "configkey", "cc", [])


def test_a_run_keeps_patches_config_and_changes(tree, tmp_path):
    (tmp_path / "my fix.patch").write_text(FIX)
    (tree / "mm/new.c").write_text("int new;\n")
    spec = parse_kernel_spec(f"tree:{tree}+{tmp_path}/my fix.patch")
    kept = keep_provenance(plan_kernel(spec, Reporter()), kernel(tmp_path / "kernel", spec.text), tmp_path / "run")
    directory = tmp_path / "run/kernels/key"
    assert sorted(path.name for path in directory.iterdir()) == ["01-my-fix.patch", "config", "tree.diff"]
    assert (directory / "01-my-fix.patch").read_text() == FIX
    assert (kept.release, kept.commit, kept.changed) == ("6.1", git(tree, "rev-parse", "HEAD"), ["mm/new.c"])
    command, line = reproduce_lines(["oomtrial", "run", "--kernel", spec.text, "--out", "here", "--seed", "2"], [kept])
    assert command == f"Reproduce: oomtrial run --kernel '{spec.text}' --seed 2"
    assert f"commit {kept.commit[:12]}, 1 changed file; patch 1: kernels/key/01-my-fix.patch" in line
    assert "changes: kernels/key/tree.diff; config: kernels/key/config" in line


def test_a_commit_of_a_tree_has_no_changes(tree, tmp_path):
    (tree / "mm/new.c").write_text("int new;\n")
    spec = parse_kernel_spec(f"tree:{tree}@HEAD")
    kept = keep_provenance(plan_kernel(spec, Reporter()), kernel(tmp_path / "kernel", spec.text), tmp_path / "run")
    assert (kept.commit, kept.changed, kept.diff) == (git(tree, "rev-parse", "HEAD"), [], False)


def test_a_tree_that_is_no_repository_has_its_release(tmp_path, monkeypatch):
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    spec = parse_kernel_spec(f"tree:{make_tree(tmp_path / 'linux')}")
    kept = keep_provenance(plan_kernel(spec, Reporter()), kernel(tmp_path / "kernel", spec.text), tmp_path / "run")
    assert (kept.release, kept.commit, kept.changed) == ("6.1", "", [])
