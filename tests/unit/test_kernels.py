"""Patches and builds on a small tree: what fails is named, and the tree is always put back."""

import hashlib
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from harness.errors import BuildError, UsageError
from harness.kernels import build
from harness.kernels.config import for_version, fragment_text, not_taken, parse_config
from harness.kernels.kernel import kernel_directory, ready_kernel
from harness.kernels.library import files_of, library_files, library_names, nearest_file, parse_version
from harness.kernels.librarycheck import PatchState, check_library
from harness.kernels.overlay import lay_over, restore
from harness.kernels.patches import Patch, load_patches
from harness.kernels.source import Source
from harness.progress import Reporter
from harness.spec.controls import CONTROLS
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


SECTIONS = ("SPDX-License-Identifier: GPL-2.0", "What it does:", "What it is for:", "What the harness should see:")
VERSIONS = ("6.1", "6.12", "7.3")


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


@pytest.mark.parametrize("file", library_files(), ids=lambda file: f"{file.name}-{file.range}")
def test_a_patch_of_the_library_is_whole_and_says_what_it_is(file):
    assert file.first
    assert file.first[: len(file.last)] <= file.last
    (patch,) = load_patches(file.name, ".".join(map(str, file.first)))
    assert not patch.note
    text = patch.content.decode()
    assert all(section in text for section in SECTIONS)
    promised, found = hunks_of(text)
    assert promised
    assert promised == found
    # a kernel's own files only
    assert {target.split("/")[0] for target in patch.targets()} <= {"mm", "kernel", "include"}
    assert all(len(line) <= 90 for line in text.partition("\n--- ")[0].splitlines())


@pytest.mark.parametrize("name", library_names())
def test_no_two_files_of_a_patch_are_for_one_version(name):
    for earlier, later in itertools.pairwise(files_of(name)):
        assert earlier.last < later.first


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_has_a_fix_a_gate_and_the_controls(version):
    names = set(library_names(version))
    controls = {control.patch for control in CONTROLS if control.patch}
    assert {"wait-for-victim", "recheck-margin"} <= names
    assert controls <= set(library_names())
    assert ("see-exiting-victims" in names) != ("hide-exiting-victims" in names)
    assert {"ignore-pending-victim", "scan-sleeps", "scan-without-sleep"} <= names


def test_a_version_takes_the_file_of_its_range():
    assert nearest_file("recheck-margin", "6.12.117")[0].range == "6.12..6.18"
    assert nearest_file("recheck-margin", "6.18.15") == nearest_file("recheck-margin", "6.18")
    assert nearest_file("see-exiting-victims", "6.19.10")[0].range == "6.19.9..6.19"


def test_a_version_outside_the_ranges_takes_the_nearest_file_and_says_so():
    file, is_exact = nearest_file("wait-for-victim", "6.6")
    assert not is_exact
    (patch,) = load_patches("wait-for-victim", "6.6")
    assert patch.note == f"the library has no file for 6.6; trying the one for {file.range}"
    assert nearest_file("wait-for-victim", "7.9")[0].range == "6.18..7.3"
    assert nearest_file("wait-for-victim", "5.10")[0].range == "6.1"


@pytest.mark.parametrize(
    ("name", "version", "reason"),
    [("see-exiting-victims", "6.12", "nothing is hidden there"), ("hide-exiting-victims", "7.3", "hide them")],
)
def test_a_patch_without_meaning_for_a_version_is_refused(name, version, reason):
    with pytest.raises(UsageError, match=f"patch {name} is not for {version}: .*{reason}"):
        load_patches(name, version)


def test_versions_are_read_as_numbers():
    assert parse_version("6.12.117-1") == (6, 12, 117)
    assert parse_version("7.3~rc7-1~exp1") == (7, 3)


def test_unknown_patches_are_refused(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'wait-for-victim'"):
        load_patches("wait-for-victims", "6.1")
    with pytest.raises(UsageError, match="cannot read patch"):
        load_patches("./nowhere.patch", "6.1")
    empty = tmp_path / "empty.patch"
    empty.write_text("nothing")
    with pytest.raises(UsageError, match="not a unified diff"):
        load_patches(str(empty), "6.1")


def test_options_that_did_not_take_are_reported():
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


def test_a_fragment_has_the_lines_of_a_version():
    fragment = "CONFIG_A=y\n## versions ..6.5\nCONFIG_B=y\n## versions 6.6..6.12\nCONFIG_C=y\n## versions 6.12..\nCONFIG_D=y\n## versions all\nCONFIG_E=y\n"
    lines = {version: for_version(fragment, version).split() for version in ("6.5", "6.6", "6.12", "7.3")}
    assert lines == {
        "6.5": ["CONFIG_A=y", "CONFIG_B=y", "CONFIG_E=y"],
        "6.6": ["CONFIG_A=y", "CONFIG_C=y", "CONFIG_E=y"],
        "6.12": ["CONFIG_A=y", "CONFIG_C=y", "CONFIG_D=y", "CONFIG_E=y"],
        "7.3": ["CONFIG_A=y", "CONFIG_D=y", "CONFIG_E=y"],
    }


@pytest.mark.parametrize(
    ("version", "preemption", "mglru"),
    [("6.1", "VOLUNTARY", "n"), ("6.12", "VOLUNTARY", "y"), ("6.18", "LAZY", "y"), ("7.3", "LAZY", "y")],
)
def test_the_guests_config_is_as_debians_in_what_matters_to_oom(version, preemption, mglru):
    options = parse_config(fragment_text(version))
    assert [name for name in options if name.startswith("CONFIG_PREEMPT")] == [f"CONFIG_PREEMPT_{preemption}"]
    assert (options["CONFIG_LRU_GEN"], options["CONFIG_LRU_GEN_ENABLED"]) == ("y", mglru)
    assert all(line.startswith(("CONFIG_", "# ")) or not line for line in fragment_text(version).splitlines())


@pytest.fixture
def small_library(tmp_path, monkeypatch):
    """A library of three patches, in place of the project's."""
    library = tmp_path / "library"
    head = "Subject: x\n{}\n\n"
    for name, bounds, limit, diff in (
        ("good", "6.1..6.5", "", DIFF),
        ("newer", "7.0..7.3", "Not before: 7.0 (older kernels do so)", DIFF),
        ("stale", "6.1", "", DIFF.replace("-two", "-2")),
    ):
        (library / name).mkdir(parents=True)
        (library / name / f"{bounds}.patch").write_text(head.format(limit) + diff)
    monkeypatch.setattr("harness.kernels.library.LIBRARY", library)
    library_files.cache_clear()
    yield library
    library_files.cache_clear()


class SmallBase:
    """A source that is a directory of the test's."""

    name, version, identity = "linux-source-6.2 6.2.9-1", "6.2", "0"

    def __init__(self, tree, release="6.2.9"):
        self.tree, self.release = tree, release

    def lock(self):
        return FileLock(f"{self.tree}.lock")

    def fetch(self, progress):
        pass


@pytest.mark.usefixtures("small_library")
def test_every_patch_of_the_library_is_tried_and_the_tree_stays_as_it_is(tree):
    before = digest(tree)
    with Reporter() as progress:
        found = {patch.name: patch for patch in check_library(SmallBase(tree), progress)}
        later = {patch.name: patch for patch in check_library(SmallBase(tree, "6.12"), progress)}
    assert found["good"].state == PatchState.APPLIES
    assert later["good"].state == PatchState.APPLIES_NEAREST
    assert (found["newer"].state, found["newer"].detail) == (PatchState.NO_MEANING, "older kernels do so")
    assert not found["stale"].is_good
    assert "mm/oom.c, hunk 1" in found["stale"].detail
    assert digest(tree) == before


MAILED = Path(__file__).parents[2] / "docs/regression-7.x/0001-memcg-let-the-OOM-killer-see-exiting-victims.patch"


def test_the_patch_to_mail_is_the_patch_that_was_measured(tmp_path):
    """Both change a file in the same way, and git takes the mail."""
    (measured,) = load_patches("see-exiting-victims", "7.3.4")
    (mailed,) = load_patches(str(MAILED), "7.3.4")
    hunks = [patch.content[patch.content.index(b"@@ -") :].decode() for patch in (measured, mailed)]
    assert hunks[0].rstrip() == hunks[1].rstrip()
    assert measured.targets() == mailed.targets() == ["mm/memcontrol.c"]
    first, *lines = hunks[0].splitlines()
    before = int(re.match(r"@@ -(\d+)", first)[1]) - 1
    (tmp_path / "mm").mkdir()
    old = [line[1:] for line in lines if line[:1] in (" ", "-")]
    (tmp_path / "mm/memcontrol.c").write_text("\n" * before + "\n".join(old) + "\n")
    for arguments in (("--check", "-v"), ()):
        done = subprocess.run(
            ["git", "apply", *arguments, MAILED], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "")
        assert "offset" not in done.stderr
    new = (tmp_path / "mm/memcontrol.c").read_text().splitlines()[before:]
    assert new == [line[1:] for line in lines if line[:1] in (" ", "+")]
