"""Whole bisections by git, which starts the program for each step; rounds were measured before, so that no kernel is booted."""

import hashlib
import sys

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.errors import EvidenceError
from tests.unit.test_bisect import FIRST_BAD, git, make_history, measure


@pytest.fixture
def tree(tmp_path):
    return make_history(tmp_path / "tree+a@b")


@pytest.fixture
def measured(tree, tmp_path):
    return lambda skipped=(): measure(tree, tmp_path / "out", skipped)


def contents(directory):
    return {
        path.relative_to(directory): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_first_bad_commit_is_found_and_the_tree_is_as_before(oomtrial, tree, measured):
    arguments, before = measured(), contents(tree)
    done = oomtrial(*arguments)
    assert done.returncode == 0, done.stderr
    commit = git(tree, "rev-parse", f"v{FIRST_BAD}")[:12]
    assert done.stdout.splitlines()[-1] == f"first bad commit: {commit} commit {FIRST_BAD}"
    assert "resuming the bisection" in done.stderr
    # v5, of seven commits between the ends, and two more after it
    assert [line for line in done.stderr.splitlines() if "step 1 of about 3: " in line and "commit 5" in line]
    assert "step 3 of about 3: " in done.stderr
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


@pytest.mark.parametrize("status", [1, 2, 127, 137])
def test_a_step_that_cannot_start_is_no_verdict(measured, tmp_path, monkeypatch, status):
    """An interpreter that cannot import the package exits with 1, which git alone would take for bad."""
    arguments = measured()
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    found = CliRunner().invoke(cli, list(map(str, arguments)))
    assert isinstance(found.exception, EvidenceError), found.output
    assert "a step could not be measured" in str(found.exception)
    assert "first bad commit" not in found.output


def test_a_verdict_that_nothing_measured_is_not_believed(measured, tmp_path, monkeypatch):
    arguments = measured()
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 10\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    found = CliRunner().invoke(cli, list(map(str, arguments)))
    assert isinstance(found.exception, EvidenceError), found.output
    assert "that no measurement in" in str(found.exception)
