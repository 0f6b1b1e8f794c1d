"""The table of a run with many scenarios, on wide and narrow terminals."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness import load_run
from harness.report.terminal import print_summary

NIGHT = Path(__file__).parents[2] / "results/nightly/nights/20261127-122026-15ff"


@pytest.fixture(scope="module")
def night():
    return load_run(NIGHT).summary


def overview(summary, width: int, *, terminal: bool) -> list[str]:
    written = io.StringIO()
    print_summary(Console(file=written, width=width, force_terminal=terminal, color_system=None), summary)
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 120, 160])
@pytest.mark.parametrize("terminal", [True, False])
def test_each_row_names_its_arm_and_no_cell_is_cut(night, width, terminal):
    lines = overview(night, width, terminal=terminal)
    arms = [line.strip() for line in lines if line.startswith("   debian:")]
    assert sum(line.startswith("debian:6.12 ") for line in arms) == 32
    assert sum(line.startswith("debian:7.3 ") for line in arms) == 32
    table = lines[: next(number for number, line in enumerate(lines) if "legend:" in line)]
    assert "…" not in "".join(table)
    assert max(map(len, table)) <= width


def test_what_a_narrow_terminal_leaves_out_is_said(night):
    assert "note: 80 columns have no room for: stall, release, redundant, kills" in overview(night, 80, terminal=True)
    assert "have no room for" not in "\n".join(overview(night, 160, terminal=True))
