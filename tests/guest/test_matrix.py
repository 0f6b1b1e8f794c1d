"""Two nights of a matrix in real guests."""

import pytest

from harness.runs.record import read_run
from harness.studies.nights import nights_in

pytestmark = pytest.mark.guest


def test_two_nights_of_a_prebuilt_kernel(oomtrial, version, tmp_path):
    arguments = ["--kernels", f"newest=debian:{version}", "--rounds", 2, "--boots", 1, "--no-snapshots"]
    for _ in range(2):
        done = oomtrial("matrix", "--out", tmp_path, *arguments, "--vcpus", 2, "--fail-if", "worse")
        assert done.returncode == 0, done.stderr
    # guests of others that ran beside one of the nights forbid a comparison
    assert "1 cell: no change shown" in done.stdout or "1 cell not compared: guests beside is" in done.stdout
    assert [read_run(run).state for run in nights_in(tmp_path)] == ["complete", "complete"]
    page = (tmp_path / "index.html").read_text()
    assert all(f"nights/{run.name}/report-one-big-many-small.html" in page for run in nights_in(tmp_path))
