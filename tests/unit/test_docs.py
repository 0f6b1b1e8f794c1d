"""Documentation: links lead somewhere, and the examples of docs/pytest.md are the sample project's, which runs."""

import re
import shlex
from pathlib import Path

import msgspec
import pytest

from harness.report.legends import CLASSES, ENDED_EARLY, WAITS
from harness.report.terminal import arm_lines
from harness.spec.machine import Accel
from tests.simulated import simulated_arm

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = [link for link, _ in _LINK.findall(page.read_text()) if not link.startswith(("http://", "https://"))]
    assert [link for link in links if not (page.parent / link).exists()] == []


_BLOCK = re.compile(r"```\n\$ (?:\.venv/bin/)?oomtrial ((?:summary|compare|plan|parse) .*)\n((?:.*\n)*?)```\n")
SHOWN = [(page.name, *block) for page in PAGES for block in _BLOCK.findall(page.read_text())]


@pytest.mark.parametrize(("page", "arguments", "shown"), SHOWN, ids=[f"{page}: {first}" for page, first, _ in SHOWN])
def test_what_a_page_shows_of_a_command_is_what_it_prints(oomtrial, monkeypatch, page, arguments, shown):
    """A last line ``...`` stands for the rest."""
    monkeypatch.chdir(ROOT)
    done = oomtrial(*shlex.split(arguments))
    assert done.returncode == 0, done.stderr
    wanted, rest, _ = shown.partition("...\n")
    printed = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
    lines = [line.rstrip() for line in wanted.strip("\n").splitlines()]
    assert lines, page
    assert printed[: len(lines)] == lines
    assert bool(rest) == (len(printed) > len(lines))


def test_the_run_on_this_machine_is_shown_with_the_rows_and_the_legend_of_today():
    """Its figures are those of a machine; a run cannot print them anew."""
    block = re.search(r"<!-- run -->\n```\n(.*?)```", (ROOT / "docs/host.md").read_text(), re.DOTALL)[1]
    table, legend = block.partition("\n ---")[2].partition("\n\n")[::2]
    arm = simulated_arm("host", [[("necessary", "unknown")]], waits_us={(1, 1): 2000})
    rows = [re.split(r"  +", line[1:].lstrip())[0] for line in table.splitlines()[1:]]
    assert rows == [label.strip() for label, _ in arm_lines([msgspec.structs.replace(arm, accel=Accel.NATIVE)])]
    assert f"legend: {CLASSES}; {ENDED_EARLY}; {WAITS} note: host: " in " ".join(legend.split())


def test_the_examples_are_the_sample_projects():
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs/pytest.md").read_text(), re.DOTALL)
    tests = (ROOT / "docs/sample-project/test_limits.py").read_text()
    assert len(examples) == 4
    assert [example for example in examples if example not in tests] == []
