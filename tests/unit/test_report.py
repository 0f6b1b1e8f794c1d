"""The report of a small run that is written by hand: what happened in it is known, and its names are hostile."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from io import StringIO
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from handrun import BIG, DECIDER, OTHER, SMALL, write_hand_run
from rich.console import Console

from harness.collectors.rounds import read_evidence
from harness.errors import UsageError
from harness.report import page as page_module
from harness.report.armgroups import group_rows
from harness.report.palette import CLASSES, arm_style
from harness.report.picks import pick_rounds
from harness.report.terminal import arm_lines
from harness.report.timeline import round_timeline
from harness.report.timelinetext import timeline_text
from harness.report.traceevents import trace_events
from harness.runs.report import open_report
from harness.runs.reportpage import write_page, write_pictures
from harness.runs.tables import summarize
from harness.tables.store import load_tables

EXAMPLE = Path(__file__).parents[2] / "results" / "example"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_hand_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The report of the example, and the page that is written of it."""
    opened, path = open_report(EXAMPLE, (), 12), tmp_path_factory.mktemp("example") / "page.html"
    write_page(opened, path)
    return opened, path.read_text()


def timeline(run, trial_id="002-1", number=1, raw=True):
    evidence = read_evidence(run / "trials" / trial_id) if raw else None
    return round_timeline(load_tables(run / "tables"), trial_id, number, evidence)


def test_the_second_kill_falls_inside_the_first_teardown(run):
    found = timeline(run)
    assert [
        (t.order, t.pid, t.kill_class, t.inside, *(found.ms(at) for at in (t.decision_us, t.mark_us, t.release_us)))
        for t in found.teardowns
    ] == [
        (1, BIG, "necessary", (), 100, 150, 180),
        (2, SMALL, "redundant", (1,), 170, 200, 250),
        (3, OTHER, "redundant", (2,), 220, 230, 260),
    ]
    assert [(found.ms(entry.time_us), entry.pid) for entry in found.entries] == [(160, OTHER)]
    assert [(life.pid, life.fate) for life in found.lives][1:4] == [
        (SMALL, "killed"),
        (OTHER, "killed"),
        (DECIDER, "alive at the end"),
    ]
    assert found.lives[0].name == "<script>.0"
    # what was not measured on the trace's clock has no finer time than its decision and its mark
    assert [(found.ms(r.earliest_us), found.ms(r.latest_us), r.size_bytes) for r in found.lives[0].rss] == [
        (100, 150, 20 << 20)
    ]
    assert [(r.source, r.size_bytes) for r in found.usage] == [
        ("before", 3_000_000), ("kill 1", 30 << 20), ("after", 9_000_000)
    ]  # fmt: skip
    assert found.limit_bytes == 30 << 20
    assert found.disagreement == "kmsg has 3 kills, memory.events 4"


def test_a_round_without_end_or_raw_evidence_says_so(run):
    hung = timeline(run, number=2)
    assert (hung.outcome, hung.has_end, hung.teardowns[0].kill_class) == ("hung", False, "collateral")
    assert {"the round has no end: its last known event is shown as its end", "1 kills without a release in this round"} <= set(hung.notes)  # fmt: skip
    bare = timeline(run, raw=False)
    assert [t.inside for t in bare.teardowns] == [(), (1,), (2,)]
    assert bare.notes[0].startswith("no raw evidence")


@pytest.mark.parametrize("number", [1, 2])
def test_text_is_plain_and_keeps_its_width(run, number):
    text = timeline_text(timeline(run, number=number), 100)
    shown = StringIO()
    Console(file=shown, width=100).print(text)
    assert shown.getvalue().rstrip() == str(text).rstrip()  # nothing was wrapped, or taken for markup
    assert max(map(len, str(text).splitlines())) <= 100
    assert str(text).replace("\n", "").isprintable()
    if number == 1:
        assert "decided 10.0 ms before kill 1's memory was free" in str(text)
        victim = next(line for line in str(text).splitlines() if "$\\frac{[b]$.0" in line)
        assert victim.endswith("| 2 redundant")
        assert "X" in victim
        assert "#" not in victim


def test_trace_events_are_what_the_viewer_takes(run):
    events = json.loads(trace_events([timeline(run), timeline(run, number=2)]))["traceEvents"]
    assert Counter(event["ph"] for event in events if event["ph"] in "sf") == {"s": 4, "f": 4}
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    slices = [event for event in events if event["ph"] == "X"]
    assert {(event["pid"], event["tid"]) for event in slices} <= named
    for track in named:  # slices of one track follow each other
        mine = sorted((e["ts"], e["ts"] + e["dur"]) for e in slices if (e["pid"], e["tid"]) == track)
        assert all(start <= end for start, end in mine)
        assert all(before[1] <= after[0] for before, after in pairwise(mine))
    redundant = next(e for e in slices if e["name"] == "teardown, kill 2, redundant")
    assert (redundant["tid"], redundant["ts"], redundant["dur"]) == (SMALL, 200_000, 50_000)


class _Page(HTMLParser):
    """Everything on a page that could make a browser load or run something."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.ids, self.text = Counter(), [], Counter(), []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        self.ids.update(value for name, value in attrs if name == "id")

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_self_contained_and_names_stay_harmless(run, tmp_path):
    opened = open_report(run, (), 12)
    write_page(opened, tmp_path / "page.html")
    written = (tmp_path / "page.html").read_text()
    page = _Page()
    page.feed(written)
    assert not page.tags.keys() & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "b", "i"}
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "xlink:href", "src"))
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in written.replace("url(#", "")
    assert "@import" not in written
    assert "default-src 'none'" in written
    assert page.ids.total() == len(page.ids)
    assert written.replace("\n", "").isprintable()
    text = " ".join(page.text)
    assert "<script>alert(1)</script>\\x1b[31m" in text
    assert "mathdefault" not in text
    assert text.count("witnesses disagree") >= 2
    assert page.tags["svg"] == 4 + 3
    assert opened.picks.found == {"redundant kill": 2, "witnesses disagree": 2, "not completed": 1}


def test_the_page_begins_with_what_was_measured_and_the_two_shares(example):
    opened, written = example
    at = [
        written.index(text)
        for text in (
            "<title>Rounds with a redundant OOM kill: stock 6.1 10.0 %, +wait-for-victim 0.0 % and 1 more (one-big-many-small),"
            " 24 November 2026</title>",
            "Measured on 24 November 2026.",
            '<span class="large">10.0 %</span>',
            "10 of 100 rounds",
            '<span class="large">0.0 %</span>',
            "Arms side by side",
        )
    ]
    assert at == sorted(at)
    assert written.count('<details class="group">') == 3
    assert written.count("<article") < len(opened.timelines)  # the others of a kind are folded


def test_the_notes_have_the_short_names_of_the_page(example):
    _, written = example
    assert "<li>+wait-for-victim: 0 of 100: the true rate could still be" in written


def test_every_line_of_the_arms_is_in_one_group():
    lines = arm_lines(summarize(EXAMPLE).arms)
    groups = group_rows(lines)
    assert [group.is_headline for group in groups] == [True, False, False, False]
    assert sorted(row.label for group in groups for row in group.rows) == sorted(label.strip() for label, _ in lines)
    assert [row.label for row in groups[0].rows][:3] == ["rounds / boots", "outcomes", "redundant kills per round"]


def test_no_arm_has_the_colour_of_redundant_kills_or_of_a_verdict():
    styles = [arm_style(index) for index in range(35)]
    colors = {style.color for style in styles}
    assert CLASSES["redundant"].color not in colors
    template = (Path(page_module.__file__).parent / "templates/page.html.j2").read_text()
    verdicts = set(re.findall(r"\.verdict\.(?:good|bad) \{ border-left-color: (#\w+)", template))
    assert len(verdicts) == 2
    assert not {color.lower() for color in colors} & verdicts
    assert len(set(styles)) == 35


def test_a_symbol_begins_a_sentence_as_it_is(tmp_path):
    path = tmp_path / "page.html"
    write_page(open_report(EXAMPLE, (), 0), path)
    page = path.read_text()
    assert "<p>p = 0.059; detecting" in page
    assert "<p>Redundant kills in more rounds" in page
    assert "2 host cores (software emulation)" in page


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_pictures_are_files_of_their_own(run, tmp_path, kind):
    written = write_pictures(open_report(run, ("002-1/1",), 0), tmp_path, kind)
    assert {path.name for path in written} == {
        f"{name}.{kind}" for name in ("rates", "kills-per-round", "release", "costs", "round-002-1-1")
    }
    for path in written:
        if kind == "png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            root = ElementTree.fromstring(path.read_bytes())
            assert root.get("aria-label")
            assert not [e for e in root.iter() if e.tag.endswith(("script", "image", "foreignObject"))]


def test_a_report_is_the_same_each_time(run, tmp_path):
    for name in ("one", "two"):
        write_page(open_report(run, (), 12), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_arms_and_kinds_take_turns_and_what_is_not_drawn_is_counted():
    rounds = pd.DataFrame(
        [
            {"arm": arm, "trial_id": arm, "round": number, "outcome": "hung" if number == 9 else "completed", "witness_disagreement": None}
            for arm in ("a", "b", "c")
            for number in range(1, 10 if arm == "b" else 9)
        ]
    )  # fmt: skip
    kills = pd.DataFrame(
        [
            {"trial_id": arm, "round": number, "kill_class": "redundant"}
            for arm in ("a", "b")
            for number in range(2, 9)
            for _ in range(2)
        ]
    )
    picks = pick_rounds(["a", "b", "c"], rounds, kills, 4)
    assert [(pick.trial_id, pick.round) for pick in picks.drawn] == [("a", 2), ("a", 3), ("b", 2), ("b", 9), ("c", 1)]
    assert (picks.found["redundant kill"], picks.found["not completed"], picks.left_out) == (14, 1, 11)


def test_the_command_line(oomtrial, run, tmp_path):
    done = oomtrial("report", run, "--out", tmp_path / "x.html", "--trace", tmp_path / "x.json", "--text")
    assert done.returncode == 0, done.stderr
    assert "3 kills, 2 redundant" in done.stdout
    assert (tmp_path / "x.html").stat().st_size > 100_000
    assert json.loads((tmp_path / "x.json").read_text())["traceEvents"]


@pytest.mark.parametrize(
    ("text", "says"), [("002-1/9", "no round 002-1/9 in this run"), ("nonsense", "write TRIAL/ROUND, such as 001-1/3")]
)
def test_a_round_that_is_none(run, text, says):
    with pytest.raises(UsageError, match=says):
        open_report(run, (text,), 12)
