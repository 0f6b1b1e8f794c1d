"""What the benchmarks take from the rest still fits; their figures are measured by hand."""

import re
from pathlib import Path

import msgspec
import pytest

from benchmarks.collectors import MODES, SOURCE, TURN, Cost, Parts, build_collector, read_rounds
from benchmarks.verdicts import PAIRS, Found, read_found, row
from harness.containers.images import plan_image
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
    found = read_found(msgspec.json.encode(one).decode(), 30.0, 1)
    assert (found.verdict, found.seconds, found.cold) == (one.comparisons[0].verdict, 30.0, 1)
    assert found.rounds == sum(arm.completed_rounds for arm in one.arms)
    runs = [Found("worse", 30.0, 32, 2, 0), Found("worse", 60.0, 48, 3, 0), Found("better", 66.0, 64, 4, 2)]
    cells = row(PAIRS[0].words, "boots of 8 rounds", PAIRS[0].expected, runs).split(" | ")
    assert cells[0] == "| `source:6.1` against `+ignore-pending-victim`"
    assert cells[2:] == ["2 worse, 1 better", "1", "1.00 (0.50 to 1.10)", "48 (32 to 64)", "3 (2 to 4)", "0 (0 to 2) |"]
