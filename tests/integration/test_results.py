"""The runs that are committed, as tables show them."""

import pytest

from tests.unit.test_kill_rows import ROOT, check_classes

RESULTS = sorted(path.parent for path in ROOT.glob("results/**/run.json"))


@pytest.mark.parametrize("directory", RESULTS, ids=lambda directory: str(directory.relative_to(ROOT / "results")))
def test_classes_add_up_to_kills_in_every_committed_run(directory):
    check_classes(directory)


def test_there_are_committed_runs():
    assert len(RESULTS) > 20
