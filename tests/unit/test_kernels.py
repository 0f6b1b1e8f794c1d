"""Patches and builds on a small tree: what fails is named, and the tree is always put back."""

import hashlib
import re
import shutil

import pytest

from harness.errors import BuildError, UsageError
from harness.kernels import build
from harness.kernels.config import not_taken, parse_config
from harness.kernels.kernel import kernel_directory, ready_kernel
from harness.kernels.overlay import lay_over, restore
from harness.kernels.patches import LIBRARY, Patch, library_names, load_patches
from harness.kernels.source import Source
from harness.spec.kernel import parse_kernel_spec

SOURCE = Source("linux-source-0.0", "0.0-1", "0" * 64)
DIFF = """--- a/mm/oom.c
+++ b/mm/oom.c
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
--- /dev/null
+++ b/mm/new.c
@@ -0,0 +1 @@
+fresh
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm/oom.c").write_text("one\ntwo\nthree\n")
    return tmp_path


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path_factory.mktemp("cache")))


def digest(tree):
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    return {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def patch_of(tmp_path, text):
    path = tmp_path / "fix.patch"
    path.write_text(text)
    return Patch("fix", path, text.encode())


def test_a_patch_is_applied_and_taken_back(tree, tmp_path_factory):
    before = digest(tree)
    lay_over(tree, [patch_of(tmp_path_factory.mktemp("p"), DIFF)], SOURCE.name)
    assert (tree / "mm/oom.c").read_text() == "one\nTWO\nthree\n"
    assert (tree / "mm/new.c").read_text() == "fresh\n"
    restore(tree)
    assert digest(tree) == before


def test_a_patch_that_does_not_apply_names_file_and_hunk_and_changes_nothing(tree, tmp_path_factory):
    (tree / "mm/oom.c").write_text("one\n2\nthree\n")
    before = digest(tree)
    with pytest.raises(BuildError, match=r"does not apply to linux-source-0.0 0.0-1: mm/oom.c, hunk 1"):
        lay_over(tree, [patch_of(tmp_path_factory.mktemp("p"), DIFF)], SOURCE.name)
    assert digest(tree) == before


def test_a_patch_must_stay_inside_the_tree(tmp_path):
    with pytest.raises(BuildError, match="reaches outside"):
        patch_of(tmp_path, "--- a/../../etc/passwd\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-a\n+b\n").targets()


def test_the_library_has_the_same_patches_for_each_version():
    versions = sorted(path.name for path in LIBRARY.iterdir() if path.is_dir())
    assert {version: library_names(version) for version in versions} == {
        version: library_names(versions[0]) for version in versions
    }
    for version in versions:
        for name in library_names(version):
            text = load_patches(name, version)[0].content.decode()
            for heading in (
                "SPDX-License-Identifier: GPL-2.0",
                "What it does:",
                "What it is for:",
                "What the harness should see:",
            ):
                assert heading in text, (version, name)


CONTROLS = (
    "busy-wait",
    "early-reap-no-margin",
    "gate-without-victim",
    "ignore-pending-victim",
    "skip-before-unmap",
    "wait-forever",
)
HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def hunks_of(text):
    """For each hunk: the lines that its head promises (old, new), and those that follow."""
    promised, found = [], []
    for line in text.splitlines():
        if match := HUNK.match(line):
            promised.append((int(match[1] or 1), int(match[2] or 1)))
            found.append([0, 0])
        elif line.startswith("--- "):
            continue
        elif found and line[:1] in (" ", "-", "+") and not line.startswith("+++ "):
            found[-1][0] += line[0] in " -"
            found[-1][1] += line[0] in " +"
    return promised, [tuple(lines) for lines in found]


@pytest.mark.parametrize("version", ["6.1", "6.12"])
def test_the_library_holds_the_fix_and_the_controls(version):
    assert library_names(version) == sorted([*CONTROLS, "wait-for-victim"])
    for name in library_names(version):
        (patch,) = load_patches(name, version)
        text = patch.content.decode()
        assert (f"Subject: oomtrial control: {name}\n" in text) == (name in CONTROLS)
        promised, found = hunks_of(text)
        assert promised, (version, name)
        assert promised == found, (version, name)
        # a kernel's own files only
        assert {target.split("/")[0] for target in patch.targets()} <= {"mm", "kernel", "include"}, (version, name)


def test_unknown_patches_are_refused(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'wait-for-victim'"):
        load_patches("wait-for-victims", "6.1")
    with pytest.raises(UsageError, match=r"not in the library for 5\.10"):
        load_patches("wait-for-victim", "5.10")
    with pytest.raises(UsageError, match="cannot read patch"):
        load_patches("./nowhere.patch", "6.1")
    empty = tmp_path / "empty.patch"
    empty.write_text("nothing")
    with pytest.raises(UsageError, match="no unified diff"):
        load_patches(str(empty), "6.1")


def test_options_that_did_not_take_are_told():
    fragment = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=21\n"
    assert parse_config(fragment) == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_C": "21"}
    assert not_taken(fragment, "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=20\n") == ["CONFIG_B=n (is y)", "CONFIG_C=21 (is 20)"]


def test_a_half_built_kernel_is_never_taken():

    plan = build.BuildPlan(parse_kernel_spec("source:6.1"), SOURCE, (), "CONFIG_A=y\n", "gcc 1")
    directory = kernel_directory(plan)
    directory.mkdir(parents=True)
    (directory / "bzImage").write_bytes(b"x")
    assert ready_kernel(plan) is None
    (directory / "kernel.json").write_text('{"spec": "source:6.1", "key"')
    assert ready_kernel(plan) is None
    shutil.rmtree(directory)
