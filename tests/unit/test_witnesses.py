"""The four witnesses: each departure from the expected relation is told, with who departs."""

from dataclasses import replace

import pytest

from harness.tables.witnesses import Witnesses

AGREED = Witnesses(
    kmsg=(10, 11),
    oom_kill=2,
    marks=frozenset({10, 11}),
    supervisor=frozenset({10, 11}),
    hogs=frozenset({10, 11, 12}),
    trace_complete=True,
    kmsg_complete=True,
)


def test_agreement():
    assert AGREED.disagreement() is None


@pytest.mark.parametrize(
    ("changes", "departure"),
    [
        ({"oom_kill": 3}, "kmsg has 2 kills, memory.events 3"),
        ({"marks": frozenset({10})}, "trace does not mark pid 11"),
        ({"supervisor": frozenset({10})}, "supervisor does not see pid 11 die"),
        ({"supervisor": frozenset({10, 11, 12})}, "supervisor sees pid 12 die by SIGKILL"),
        ({"kmsg": (10, 10), "marks": frozenset({10}), "supervisor": frozenset({10})}, "names a victim twice"),
    ],
)
def test_each_departure_is_reported(changes, departure):
    assert departure in replace(AGREED, **changes).disagreement()


def test_a_victim_that_was_dying_already_is_a_known_silence():
    seen = replace(AGREED, marks=frozenset({10, 11, 12}), supervisor=frozenset({10, 11, 12}))
    assert seen.disagreement() is None
    assert seen.silent_marks == {12}


@pytest.mark.parametrize(
    "changes", [{"oom_kill": None}, {"supervisor": None}, {"trace_complete": False}, {"kmsg_complete": False}]
)
def test_a_missing_witness_is_not_agreement(changes):
    seen = replace(AGREED, **changes)
    assert seen.disagreement() is None
    assert not seen.can_be_checked
