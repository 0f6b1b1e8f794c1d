"""A fresh user without root, and without sbin in PATH, comes from nothing to a summary."""

import sys

import pytest

from harness.kernels.debian import offered_series
from tests.ordinaryuser import ordinary_user

pytestmark = [pytest.mark.guest, pytest.mark.timeout(1200)]


def test_a_fresh_user_measures_a_kernel():
    with ordinary_user(sys.executable) as user:
        if isinstance(user, str):
            pytest.skip(f"no user can be made here: {user}")
        cache, out = user.home / "cache", user.home / "run"
        arguments = ["--kernel", f"debian:{offered_series()[0]}", "--rounds", 2, "--boots", 1, "--out", out]
        done = user.run(sys.executable, "-m", "harness", "run", *arguments, timeout=1100, OOMTRIAL_CACHE=str(cache))
        assert done.returncode == 0, done.stderr
        assert "2 completed" in done.stdout
        assert not list((cache / "guests").iterdir())
