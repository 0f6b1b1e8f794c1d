"""The compiled reader against the one in Python (tests/unit/test_compiled.py), with all of the examples."""

import pytest
from propertytests import with_all_examples

from tests.unit import test_compiled
from tests.unit.test_compiled import CUTS, check_cut_kill

pytestmark = test_compiled.pytestmark

globals().update(with_all_examples(test_compiled))


@pytest.mark.parametrize(("stamp", "kill", "after"), CUTS)
def test_a_kill_cut_anywhere_is_read_alike(stamp, kill, after):
    check_cut_kill(stamp, kill, after, range(1, len(kill) + 1))
