"""`summary` and `compare` as Markdown and CSV: arms as rows, plain ASCII, no trailing blanks."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness
from harness.cli import cli

ROOT = Path(__file__).parents[2]
RUN = ROOT / "results/comparison-8-boots/6.1-4-vcpus"
STORED = [ROOT / f"results/{name}" for name in ("example", "comparison-8-boots/6.1-4-vcpus", "never-better/hang")]


def invoke(*arguments):
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize("style", ["markdown", "csv"])
@pytest.mark.parametrize("run", STORED, ids=lambda run: run.name)
def test_text_is_plain_and_the_same_of_both_commands(run, style):
    text = invoke("summary", run, "--format", style)
    assert text.isascii()
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert invoke("compare", run, "--format", style) == text


def test_a_row_of_csv_is_an_arm_of_json():
    arms = json.loads(invoke("summary", RUN, "--format", "json"))["arms"]
    rows = list(csv.DictReader(io.StringIO(invoke("summary", RUN, "--format", "csv"))))
    assert [row["arm"] for row in rows] == [arm["kernel"] for arm in arms]
    assert rows[1]["kernel"] == "source:6.1"
    for row, arm in zip(rows, arms, strict=True):
        assert float(row["rate"]) == arm["rate"]
        assert int(row["rounds_with_redundant"]) == arm["rounds_with_redundant"]
    assert [bool(row["verdict"]) for row in rows] == [False, True, True, True, True]


def test_a_markdown_table_has_a_row_for_each_arm():
    lines = invoke("summary", RUN, "--format", "markdown").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 5
    assert len({line.count("|") for line in table}) == 1
    assert "| 193 of 200 |" in table[5]
    assert table[5].endswith("| worse |")


def test_every_table_is_printed_so_that_it_can_be_pasted():
    package = Path(harness.__file__).parent
    printing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\.print\((\w*table\)|_?\w*table\()", path.read_text())
    }
    assert printing == {"report/lines.py"}  # print_table
