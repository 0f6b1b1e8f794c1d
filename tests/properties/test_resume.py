"""Runs that are cut off at any write and resumed (tests/unit/test_resume.py), from more seeds."""

import pytest

from tests.unit.test_resume import _no_guests, check_run_cut_off, check_warm_up_cut_off  # noqa: F401


@pytest.mark.parametrize("seed", range(3, 8))
def test_a_run_cut_off_anywhere_has_every_round_once_in_the_end(tmp_path, monkeypatch, seed):
    check_run_cut_off(tmp_path, monkeypatch, seed)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_each_boot_has_a_warm_up_round_that_does_not_count_however_often_it_is_cut_off(tmp_path, monkeypatch, seed):
    check_warm_up_cut_off(tmp_path, monkeypatch, seed)
