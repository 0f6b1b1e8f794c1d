"""Debian's version numbers: sorted as dpkg sorts them, and read as kernels' releases."""

import itertools
import shutil
import subprocess

import pytest

from harness.kernels.base import makefile_release, makefile_version
from harness.kernels.debversion import answers, is_candidate, nearest, release_of, series_of, version_order

VERSIONS = [
    "6.1.192-2",
    "6.12.117-1~deb12u1",
    "6.12.117-1",
    "6.12.90-2~bpo12+1",
    "7.3~rc7-1~exp1",
    "7.3-1",
    "7.3.4-1~bpo13+1",
]
VERSIONS += ["7.3.4-1", "7.3.4-1+b1", "7.3.10-1", "1:7.3-1", "7.3.4", "7.3.4-0", "7.3a-1", "7.3+dfsg-1"]


def test_versions_sort_as_dpkg_sorts_them():
    if not shutil.which("dpkg"):
        pytest.skip("dpkg is not installed here")
    for one, other in itertools.combinations(VERSIONS, 2):
        is_less = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0
        assert (version_order(one) < version_order(other)) == is_less, (one, other)
    assert version_order("7.3.4") == version_order("7.3.4-0")


def test_a_package_version_says_which_release_it_is():
    assert release_of("7.3.4-1~bpo13+1") == "7.3.4"
    assert release_of("7.3~rc7-1~exp1") == "7.3-rc7"
    assert release_of("6.12.90-2") == "6.12.90"
    assert release_of("7.3-1~exp1") == release_of("7.3.0-1") == "7.3"
    assert series_of("7.3~rc7-1~exp1") == series_of("7.3.4-1") == "7.3"
    assert is_candidate("7.3~rc7-1~exp1")
    assert not is_candidate("7.3.4-1~bpo13+1")


def test_a_series_a_release_and_a_package_version_may_be_asked_for():
    for wanted in ("7.0", "7.0.13", "7.0.13-1~bpo13+1"):
        assert answers(wanted, "7.0.13-1~bpo13+1")
    for wanted in ("7.0.1", "7.0.13-1", "7", "7.0.130"):
        assert not answers(wanted, "7.0.13-1~bpo13+1")
    assert answers("7.3~rc7", "7.3~rc7-1~exp1")
    assert answers("7.3-rc7", "7.3~rc7-1~exp1")


def test_the_nearest_versions_are_of_the_same_series():
    known = {"6.18.5", "6.18.15", "6.19.6", "6.19.8", "6.19.10", "6.19.14", "7.0.4"}
    assert nearest("6.19.9", known) == ["6.19.6", "6.19.8", "6.19.10", "6.19.14"]
    assert nearest("6.20", known) == ["6.19.10", "6.19.14", "7.0.4"]
    assert nearest("9.9", known) == ["6.19.14", "7.0.4"]


def test_a_makefile_says_which_release_it_is():
    text = "# SPDX\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = {}\nEXTRAVERSION ={}\nNAME = Baby\n"
    assert makefile_release(text.format(4, "")) == "7.3.4"
    assert makefile_release(text.format(0, "")) == "7.3"
    assert makefile_release(text.format(0, " -rc7")) == "7.3-rc7"
    assert makefile_release(text.format(0, " -mine")) == "7.3"
    assert makefile_version(text.format(4, "")) == "7.3"
    assert makefile_release("all:\n") is None
