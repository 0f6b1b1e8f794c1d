"""What a run shows of itself while it goes on: the figures of its tables, on the width of the terminal."""

import io
from pathlib import Path

import msgspec
import pytest
from handrun import write_hand_run
from replaylive import replay
from rich.cells import cell_len
from rich.console import Console
from simulated import no_plans

from harness.progress import Reporter
from harness.report.liveview import LiveView, Pace, _lines, deciding_p, nearness
from harness.runs.interim import InterimAnalysis
from harness.runs.tables import summarize

RESULTS = Path(__file__).parents[2] / "results"


def shown(view, width):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(view)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("stock", ["stock"]),
        ("+wait-for-victim", ["+wait-for-victim"]),
        ("+ignore-pending-victim", ["+ignore-pending-", "victim"]),
        ("fix+one+two", ["fix+one+two"]),
        ("+see-exiting-victims+recheck-margin", ["+see-exiting-victims", "+recheck-margin"]),
    ],
)
def test_a_name_is_not_cut_within_a_word(name, lines):
    assert list(_lines(name, 20)) == lines


@pytest.mark.parametrize("width", [80, 120])
def test_a_recorded_run_fits_the_terminal_and_ends_with_its_own_figures(width):
    run = RESULTS / "regression-7.x" / "7.3-4-vcpus"
    view, blocks = replay(run)
    for _ in blocks:
        text = shown(view, width)
        assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "stock" in text
    for arm in summarize(run).arms:
        figures = f"{arm.rounds}/200 {arm.rounds_with_redundant} {arm.rounds_with_surplus} {100 * arm.rate:.1f} %"
        figures += f" {100 * arm.ci_low:.1f} to {100 * arm.ci_high:.1f} %"
        assert figures in " ".join(text.split())


def test_the_raw_evidence_is_read_once_and_gives_what_the_tables_give(tmp_path):
    run = write_hand_run(tmp_path)
    interim = InterimAnalysis(run)
    interim.take()
    arms_so_far = interim.progress()
    interim.take()
    assert interim.progress() == arms_so_far
    for so_far, arm in zip(arms_so_far, summarize(run).arms, strict=True):
        assert (so_far.arm, so_far.completed, so_far.redundant, so_far.surplus, so_far.low, so_far.high) == (
            arm.arm, arm.completed_rounds, arm.rounds_with_redundant, arm.rounds_with_surplus, arm.ci_low,
            arm.ci_high_at_most if arm.rounds_with_unknown else arm.ci_high,
        )  # fmt: skip


def test_a_run_that_is_to_be_decided_says_how_near_that_is():
    view, blocks = replay(RESULTS / "comparison-8-boots" / "6.1-4-vcpus", until_decided=True)
    texts = []
    with no_plans():
        for _ in blocks:
            texts.append(" ".join(shown(view, 100).split()))
    assert any("(decided below 0.05)" in text for text in texts)
    assert "+ignore-pending-victim: worse, p" in texts[-1]


def test_nearness_is_that_of_the_evidence():
    assert (nearness(None), nearness(1.0), nearness(0.05), nearness(0.0)) == (0, 0, 1, 1)
    assert nearness(0.05**0.5) == pytest.approx(0.5)


def test_better_waits_for_surplus_kills_too():
    found = next(each for each in summarize(RESULTS / "example").comparisons if each.difference < 0)
    found = msgspec.structs.replace(found, p_adjusted=0.01, surplus_p_adjusted=0.2)
    assert deciding_p(found) == 0.2
    assert deciding_p(msgspec.structs.replace(found, difference=0.1)) == 0.01


def test_time_left_is_that_of_the_rounds_that_were_run():
    now = [0.0]
    pace = Pace(40, lambda: now[0])
    pace.begin_block(0)
    pace.end_block(10)  # at once: it had been run before
    assert pace.minutes_left() is None
    pace.begin_block(10)
    now[0] = 60.0
    pace.end_block(20)
    assert pace.minutes_left() == 2
    pace.begin_block(20)
    pace.round_done(30)
    assert pace.minutes_left() == 1


def test_it_is_drawn_anew_only_when_something_changed(monkeypatch):
    view = LiveView({}, Pace(10), until_decided=False)
    drawn = []
    monkeypatch.setattr(LiveView, "_parts", lambda _self, width: drawn.append(width) or [])
    for _ in range(3):
        shown(view, 80)
    assert drawn == [80]
    view.update((), (), "")
    shown(view, 80)
    assert drawn == [80, 80]


def test_plain_output_has_no_board():
    out = io.StringIO()
    with Reporter(Console(file=out, width=80)) as progress, progress.board("figures"), progress.task("rounds"):
        pass
    assert "figures" not in out.getvalue()
