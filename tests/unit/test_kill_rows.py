"""The classes of kills that a table lists add up to its kills: on the terminal, on the page, in a mail and in CSV."""

import csv
import io
import re
from pathlib import Path

import pytest

from harness.analysis.summary import Summary
from harness.report.armgroups import group_rows
from harness.report.mail import _class_table
from harness.report.summarycsv import csv_text
from harness.report.terminal import arm_lines
from harness.runs.pool import pool_runs
from harness.runs.summary import summarize_pool
from tests.simulated import simulated_arm

ROOT = Path(__file__).parents[2]
CLASSES = ("redundant", "fruitless", "premature", "necessary", "collateral", "unknown")
EVERY_CLASS = simulated_arm("every", [[CLASSES, ("necessary", "fruitless"), ("necessary", "unknown", "unknown")]])


def kills_by_class(arms):
    """What the table of arms says: for each arm, all kills and those of each class."""
    lines = arm_lines(arms)
    first = [label for label, _ in lines].index("kills, by class")
    rows = []
    for label, cells in lines[first + 1 :]:
        if not label.startswith("  "):
            break
        if not label.startswith("    "):  # deeper: mechanisms
            rows.append((label.strip(), cells))
    assert tuple(label for label, _ in rows) == CLASSES
    return [(int(all_kills), [cells[arm] for _, cells in rows]) for arm, all_kills in enumerate(lines[first][1])]


def check_classes(directory):
    """Of the arms of a run."""
    arms = summarize_pool(pool_runs([directory]), compare=False).arms
    assert arms
    assert [all_kills for all_kills, _ in kills_by_class(arms)] == [arm.kills for arm in arms]
    by_class = [[int(count) for count in of_class if count != "-"] for _, of_class in kills_by_class(arms)]
    assert list(map(sum, by_class)) == [arm.kills for arm in arms]


@pytest.mark.parametrize("name", ["example", "never-better/hang", "regression-7.x/7.3-4-vcpus"])
def test_classes_add_up_to_kills_in_a_committed_run(name):
    """In each of them: tests/integration/test_results.py."""
    check_classes(ROOT / "results" / name)


def test_each_class_has_its_row_and_unknown_kills_count_as_no_other():
    ((all_kills, of_class),) = kills_by_class([EVERY_CLASS])
    assert (all_kills, [int(count) for count in of_class]) == (11, [1, 2, 1, 3, 1, 3])
    cells = dict(arm_lines([EVERY_CLASS]))
    assert cells["    may be redundant"] == ["3"]
    assert cells["rounds with a redundant kill"] == ["1 to 2 of 3"]
    (group,) = [group for group in group_rows(arm_lines([EVERY_CLASS])) if group.title.startswith("Kills")]
    assert [row.label for row in group.rows if row.depth == 1] == list(CLASSES)
    assert all(re.search(rf"\b{name}: ", group.legend) for name in CLASSES)


def test_classes_add_up_in_a_mail_and_in_csv():
    figures = _class_table([EVERY_CLASS], {"every": "every"})[-1].split()
    assert [int(count) for count in figures[1:]] == [11, 1, 2, 1, 3, 1, 3]
    summary = Summary(run_id="", state="", arms=[EVERY_CLASS], comparisons=[], disagreements=[], notes=[])
    (row,) = csv.DictReader(io.StringIO(csv_text(summary, {})))
    assert [int(row[f"{name}_kills"]) for name in CLASSES] == [1, 2, 1, 3, 1, 3]
    assert row["kills"] == "11"


def test_without_a_declared_demand_no_class_but_the_last_two_has_a_figure():
    arm = simulated_arm("s", [[("unknown", "collateral"), ("unknown",)]], has_oracle=False)
    ((all_kills, of_class),) = kills_by_class([arm])
    assert (all_kills, of_class) == (3, ["-", "-", "-", "-", "1", "2"])
