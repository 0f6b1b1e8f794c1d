"""What the benchmarks take from the rest still fits; their figures are measured by hand."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from benchmarks.collectors import MODES, SOURCE, TURN, Cost, Parts, build_collector, read_rounds
from benchmarks.comparison import COMPARISONS, KNOWN, Comparison, findings, table
from benchmarks.costs import against_words, cost_words, print_run
from benchmarks.positions import Stratum, first_rounds_p, placed_rounds, position_groups, position_p, trend_p, turn_p
from benchmarks.verdicts import PAIRS, Found, read_found, row, seconds_per_boot, simulate
from harness.containers.images import plan_image
from harness.errors import UsageError
from harness.runs.pool import pool_runs
from harness.runs.summary import summarize_pool
from harness.runs.tables import summarize


def test_the_measured_collector_is_the_shipped_one_with_a_clock(tmp_path: Path) -> None:
    shipped = plan_image("collector")
    measured = build_collector(shipped, tmp_path)
    assert measured.changes == shipped.changes
    assert measured.key != shipped.key
    table = re.search(r"modes\[\] = \{\n(.*?)\n\};", SOURCE.read_text(), re.DOTALL)
    assert table is not None
    assert table[1].count("{") == len(MODES)


def _line(event: object) -> str:
    return msgspec.json.encode(event).decode() + "\n"


def test_every_field_of_a_cost_is_written(tmp_path: Path) -> None:
    written = set(re.findall(r'\\"(\w+)\\":%', SOURCE.read_text()))
    assert written == set(Cost.__struct_fields__)
    cost = {"event": "cost"} | dict.fromkeys(Cost.__struct_fields__, 1000) | {"mode": 2}
    numbers = range(TURN + 1, 2 * TURN + 1)
    (tmp_path / "collector.jsonl").write_text("".join(_line(cost | {"round": n}) for n in numbers))
    hog = {"event": "hog", "hog": 0, "name": "a", "demand_bytes": 1, "touched_bytes": 1, "full_ns": 1, "dead": True}
    hog |= {"dead_ns": 1, "signal": 9, "exit": -1, "cleanup": False}
    events = [
        event
        for n in numbers
        for event in (
            {"event": "round_start", "round": n, "time_ns": 0, "hogs": 1},
            hog | {"round": n},
            {"event": "round_end", "round": n, "time_ns": 5_000_000}
            | dict.fromkeys(("hung", "stuck"), False)
            | {"recorded": True},
        )
    ]
    (tmp_path / "supervisor.jsonl").write_text("".join(map(_line, events)))
    rounds = read_rounds(tmp_path)
    assert list(rounds["round"]) == list(numbers)[1:]  # the first of a turn is not counted
    assert set(rounds["mode"]) == {2}
    assert set(rounds["wall"]) == {1.0}
    assert set(rounds["in_round_wall"]) == {5.0}
    assert set(rounds["kills"]) == {1}


def test_a_part_is_charged_without_the_parts_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr("benchmarks.collectors.time.perf_counter", lambda: next(moments))
    parts = Parts()
    with parts.part("outer"), parts.part("inner"):
        pass
    assert parts.wall_s == {"outer": 5.0, "inner": 2.0}
    assert parts.within_s == {"outer": 2.0}


def test_a_verdict_is_read_from_a_summary_and_a_wrong_one_is_counted() -> None:
    summary = summarize(Path(__file__).parents[2] / "results/example")
    one = msgspec.structs.replace(summary, arms=summary.arms[:2], comparisons=summary.comparisons[:1])
    found = read_found(one, 30.0, 1)
    assert (found.verdict, found.seconds, found.cold) == (one.comparisons[0].verdict, 30.0, 1)
    assert found.rounds == sum(arm.completed_rounds for arm in one.arms)
    runs = [Found("worse", 30.0, 32, 2, 0), Found("worse", 60.0, 48, 3, 0), Found("better", 66.0, 64, 4, 2)]
    cells = row(PAIRS[0].words, "boots of 8 rounds", PAIRS[0].expected, runs).split(" | ")
    assert cells[0] == "| `source:6.1` against `+ignore-pending-victim`"
    assert cells[2:] == ["2 worse, 1 better", "1", "1.00 (0.50 to 1.10)", "48 (32 to 64)", "3 (2 to 4)", "0 (0 to 2) |"]


def test_a_long_run_says_more_of_the_time_of_a_boot_than_a_short_one() -> None:
    short, long = Found("worse", 20.0, 32, 2, 0), Found("better", 300.0, 800, 50, 0)
    assert seconds_per_boot([short, long]) == pytest.approx(320 / 104)
    assert seconds_per_boot([Found("better", None, 800, 50, 0)]) is None


def test_a_simulated_run_ends_when_it_is_decided() -> None:
    found = [simulate(8, 400, seed, None) for seed in range(6)]
    assert {run.verdict for run in found} <= {"better", "not enough rounds"}
    assert [run.verdict for run in found].count("better") >= 3
    assert all(run.rounds == 16 * run.boots <= 800 for run in found)
    assert row("simulated", "", "better", found).split(" | ")[4] == "-"
    assert simulate(8, 16, 0, 12.0) == Found("not enough rounds", 48.0, 32, 2, 0)


def _placed(hits: np.ndarray, warm_up: int = 0) -> pd.DataFrame:
    """Rounds of one arm, by boot and round."""
    boots, per_boot = hits.shape
    number = np.tile(np.arange(per_boot), boots)
    boot = np.repeat(np.arange(1, boots + 1), per_boot)
    return pd.DataFrame(
        {"arm": "a", "trial_id": boot.astype(str), "boot_id": boot.astype(str), "turn": boot, "hit": hits.ravel() > 0}
        | {"warm_up": number < warm_up, "position": np.maximum(0, number - warm_up + 1)}
    )


def test_rounds_are_placed_in_their_boots() -> None:
    run = Path(__file__).parents[2] / "results/regression-7.x/7.3-2-vcpus"
    rounds = placed_rounds(run)
    assert rounds["warm_up"].sum() == 40
    assert set(rounds.loc[rounds["warm_up"], "position"]) == {0}
    counted = rounds[~rounds["warm_up"]]
    assert counted.groupby("trial_id")["position"].agg(list).map(tuple).unique().tolist() == [tuple(range(1, 26))]
    summary = summarize_pool(pool_runs([run]), compare=False)
    shown = {arm.arm: arm.rounds_with_redundant for arm in summary.arms}
    assert counted.groupby("arm")["hit"].sum().to_dict() == shown
    skipped = placed_rounds(Path(__file__).parents[2] / "results/example", skip=2)
    assert skipped.groupby("trial_id")["warm_up"].sum().unique().tolist() == [2]
    assert skipped.loc[~skipped["warm_up"], "position"].min() == 1
    assert position_groups(25) == [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 25)]


def test_a_trend_is_found_where_it_is() -> None:
    early, first, late = np.zeros((8, 10)), np.zeros((8, 10)), np.zeros((8, 10))
    early[:, :3], first[:, 0], late[5:] = 1, 1, 1
    assert position_p(_placed(early)) < 0.001
    assert turn_p(_placed(early)) is None
    # the warm-up rounds alone have hits: no trend is left in the counted ones
    assert first_rounds_p(_placed(first, warm_up=1)) < 0.001
    assert position_p(_placed(first, warm_up=1)) is None
    # boots differ from each other, and their rounds do not
    assert position_p(_placed(late)) is None
    assert turn_p(_placed(late)) < 0.05


def test_where_boots_differ_and_rounds_do_not_a_trend_is_found_as_often_as_its_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.positions._PERMUTATIONS", 200)
    generator, found = np.random.default_rng(1), []
    for _ in range(300):
        hits = generator.random((8, 10)) < generator.beta(1, 2, (8, 1))
        found.append((trend_p([Stratum(boot.astype(float), np.arange(10.0)) for boot in hits]) or 1.0) < 0.05)
    # three standard errors beside
    assert np.mean(found) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 300))


def test_a_cost_has_the_median_and_the_range_of_the_boots() -> None:
    rounds = pd.DataFrame({"boot_id": list("aaabbb"), "stall_us": [1000.0, 2000, 9000, 4000, 4000, None]})
    assert cost_words(rounds, "stall_us", 1000, 1) == "4.0 (2.0 to 4.0)"
    assert cost_words(rounds[:3], "stall_us", 1000, 1) == "2.0"
    assert cost_words(rounds[5:], "stall_us", 1000, 1) == "-"


def test_costs_of_an_exported_set(capsys: pytest.CaptureFixture[str]) -> None:
    print_run(Path(__file__).parents[2] / "results/2006/pinned-and-locked")
    text = capsys.readouterr().out
    arms = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(arms) == 12  # four arms in three scenarios
    hung = [line.split(" | ")[:3] for line in arms if "hung" in line]
    assert hung == [["| `source:6.1+gate-2006-sleep`", "4 / 1", "4 hung"]] * 3


def test_boots_are_compared_where_there_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = pd.Series(np.arange(1.0, 8.0)), pd.Series(np.arange(1.0, 9.0))
    assert against_words(few, many) == "fewer than 8 boots"
    assert against_words(many, many).startswith("1.00 (")
    assert against_words(many + 100, many).endswith("p 7.8e-05 for more, 1 for less")  # 1 of C(16, 8) = 12,870
    results = Path(__file__).parents[2] / "results/2006"
    print_run(results / "below-the-limit", "source:6.1")
    assert "0.97 (0.85 to 1.10)" in capsys.readouterr().out  # as docs/2006.md says
    with pytest.raises(UsageError, match="has no arm stock"):
        print_run(results / "below-the-limit", "stock")


ROOT = Path(__file__).parents[2]


def test_a_comparison_says_which_known_differences_it_found() -> None:
    results = ROOT / "results/comparison-8-boots"
    older = [Comparison(version, vcpus) for version in ("6.1", "6.12") for vcpus in (4, 2)]
    runs = [(one, summarize(results / one.name)) for one in older]
    assert findings(runs).splitlines() == [
        "11 of 12 known differences found.",
        "- source:6.1+wait-for-victim, 2 vCPUs: not enough rounds, not better",
        "A/A pairs: 4 not enough rounds.",
    ]
    shown = table(*runs[0])
    assert (
        "| `source:6.1+wait-for-victim` | 0 of 200, 0.0 % | 0.0 to 2.6 % | -18.5 (-28.8 to -9.8) | p = 0.0025 / p = 0.0012 / - | better |"
        in shown
    )
    assert "1000 of 1000 rounds completed, 0 warm-up rounds apart; 8, 8, 8, 8, 8 boots" in shown


def test_the_tables_of_the_document_are_those_of_the_committed_runs() -> None:
    results = ROOT / "results/comparison"
    runs = [(one, summarize(results / one.name)) for one in COMPARISONS if (results / one.name).exists()]
    assert len(runs) == len(list(results.iterdir()))
    document = (ROOT / "docs/comparison.md").read_text()
    for comparison, summary in runs:
        lines = table(comparison, summary).splitlines()
        patched = [line for line in lines if any(f"+{patch}` |" in line for patch in KNOWN[comparison.version])]
        assert len(patched) == len(KNOWN[comparison.version])
        for line in patched:
            assert line.replace(f"`source:{comparison.version}+", "`") in document
    found, *_ = findings(runs).splitlines()
    assert found in document


def test_a_comparison_goes_on_where_it_was(tmp_path: Path) -> None:
    comparison = Comparison("6.12", 2, 300, 10)
    begun = comparison.command(tmp_path)
    assert begun.count("--kernel") == 2 + len(KNOWN["6.12"])
    assert begun[-8:] == ["--rounds", "300", "--boots", "10", "--vcpus", "2", "--out", str(tmp_path)]
    (tmp_path / "run.json").touch()
    assert comparison.command(tmp_path)[3:] == ["run", "--resume", str(tmp_path)]


def test_the_kernels_of_an_amplified_comparison_are_known_by_the_patch_that_is_compared() -> None:
    comparison = Comparison("6.1", 2, is_amplified=True, untold=("hide-exiting-victims",))
    assert comparison.command(Path("out"))[-1] == "--amplify"
    assert comparison.name == "6.1-2-vcpus-amplified"
    assert comparison.expected("source:6.1+scan-sleeps+recheck-margin") == "better"
    assert comparison.expected("source:6.1+scan-sleeps (2)") is None
    assert comparison.expected("source:6.1+scan-sleeps+hide-exiting-victims") is None
