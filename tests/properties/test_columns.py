"""The compiled assembler against the one in Python (tests/unit/test_columns.py), with all of the examples."""

import pytest
from propertytests import with_all_examples

from tests.unit import test_columns
from tests.unit.test_columns import WITHOUT_REPORT, check_kill_without_report, check_long_log, check_records

pytestmark = test_columns.pytestmark

globals().update(with_all_examples(test_columns))


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_any_records_become_the_same_tables(first):
    check_records(range(first, first + 50))


@pytest.mark.parametrize("seed", range(6))
def test_long_logs_become_the_same_tables(seed):
    check_long_log(seed)


@pytest.mark.parametrize("case", WITHOUT_REPORT)
def test_kills_without_report_are_judged_alike(case):
    check_kill_without_report(*case)
