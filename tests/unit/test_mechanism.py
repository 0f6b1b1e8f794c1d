"""Why a redundant kill was made: the times of a kill in the trace, the rule, and what a reader is told."""

import shutil
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

import harness
from harness.analysis.mechanism import Mechanism, count_mechanisms, mechanism_of
from harness.analysis.redundancy import classify
from harness.analysis.tracedkill import TracedKill
from harness.cli import cli
from harness.collectors.rounds import RoundEvidence, read_evidence
from harness.collectors.trace import TraceEvent
from harness.oomlog.reading import collect_kmsg
from harness.report.mechanismwords import mechanism_cells, mechanism_sentence
from harness.report.terminal import print_summary
from harness.report.timeline import round_timeline
from harness.report.timelinetext import timeline_text
from harness.runs.report import open_report
from harness.runs.reportpage import write_page
from harness.runs.tables import summarize
from harness.spec.scenarios import load_scenario
from harness.tables.build import trial_rows
from harness.tables.schema import KILLS, TABLES
from harness.tables.store import load_tables
from harness.tables.traced import traced_facts
from tests.unit.test_report import run as made_run  # noqa: F401

ROUNDS = Path(__file__).parents[1] / "data" / "rounds"
EXAMPLE = Path(__file__).parents[2] / "results" / "example"
DECIDER, VICTIM = 50, 7


def event(time_us, name, pid=DECIDER, fields=""):
    return TraceEvent("x", pid, pid, 0, time_us, name, fields)


def facts(*events, memcg="0xa"):
    entry = event(100, "oom_entry", fields=f"memcg={memcg}")
    mark = event(900, "mark_victim", fields=f"pid={VICTIM}")
    found = RoundEvidence(1, trace=sorted([entry, mark, *events], key=lambda each: each.time_us))
    row = traced_facts(found, mark)
    return row.get("decision_to_choice_us"), row.get("choice_to_mark_us"), row.get("mark_to_return_us")


def test_the_first_scan_after_the_entry_is_the_choice():
    """The second one prints the task table, one after the mark kills a group; those of others are none of this kill's."""
    scans = [event(time_us, "scan_end") for time_us in (50, 400, 700, 950)]
    others = [event(200, "scan_end", pid=51), event(910, "oom_return", pid=51)]
    assert facts(*scans, *others, event(90, "oom_return"), event(1000, "oom_return")) == (300, 500, 100)


@pytest.mark.parametrize(
    ("events", "memcg"),
    [
        ([], "0xa"),  # the kernel has no such probe, or --probes kills
        ([event(950, "scan_end")], "0xa"),  # the group's
        ([event(400, "scan_end")], "0x0"),  # a global OOM chooses without it
    ],
)
def test_without_a_scan_there_is_no_time_of_the_choice(events, memcg):
    assert facts(*events, memcg=memcg) == (None, None, None)


def victim(release, exited=None, reaped=None):
    return TracedKill(release_us=release, exit_us=exited, reaped_us=reaped)


def kill(decided, choice, marked):
    return TracedKill(decision_us=decided, choice_after_us=choice, mark_us=marked)


@pytest.mark.parametrize(
    ("choice", "releases", "expected"),
    [
        (300, [250], Mechanism.STALLED_DECIDER),
        (300, [400], Mechanism.STALLED_DECIDER),  # at the time of the choice, 400
        (300, [401], Mechanism.HIDDEN_VICTIM),
        (300, [None], Mechanism.HIDDEN_VICTIM),  # not in this round
        (300, [250, 450], Mechanism.HIDDEN_VICTIM),  # one was gone, the other was passed over
        (None, [250], Mechanism.UNKNOWN),
        (None, [901], Mechanism.HIDDEN_VICTIM),  # it was there even when the next was marked
    ],
)
def test_the_rule(choice, releases, expected):
    assert mechanism_of(kill(100, choice, 900), [victim(release) for release in releases]) is expected


@pytest.mark.parametrize(("exited", "expected"), [(400, "hidden-victim"), (399, "unknown")])
def test_of_a_victim_that_exited_without_a_release_nothing_is_guessed(exited, expected):
    assert mechanism_of(kill(100, 300, 900), [victim(None, exited)]) == expected


@pytest.mark.parametrize(
    ("choice", "victims", "expected"),
    [
        (300, [victim(500, reaped=350)], "given-up-victim"),
        (300, [victim(500, reaped=450)], "hidden-victim"),
        (300, [victim(500, reaped=350), victim(500)], "hidden-victim"),
        (300, [victim(500, reaped=350), victim(200)], "given-up-victim"),
        (None, [victim(950, reaped=50)], "given-up-victim"),
        (None, [victim(950, reaped=350)], "unknown"),  # before the choice, or after it
    ],
)
def test_a_victim_that_was_reaped_is_waited_for_no_more(choice, victims, expected):
    assert mechanism_of(kill(100, choice, 900), victims) == expected


def kills_of(trial):
    """Of a round that is kept as a trial, classified."""
    evidence = read_evidence(trial)
    scenario = load_scenario(evidence.record.scenario)
    rows = trial_rows(evidence, scenario)
    frames = {table.name: table.frame(rows[table.name]) for table in TABLES}
    return classify(frames["kills"], frames["rounds"], {scenario.name: scenario})


def test_a_decider_that_was_stalled_as_recorded_on_6_1():
    first, second = kills_of(ROUNDS / "6.1-stalled").to_dict("records")
    assert (first["kill_class"], second["kill_class"]) == ("necessary", "redundant")
    assert (first["decision_to_choice_us"], second["decision_to_choice_us"]) == (113, 38529)
    assert first["release_time_us"] - second["decision_time_us"] == 27550
    assert second["mechanism"] == "stalled-decider"


def test_a_victim_that_was_hidden_as_recorded_on_7_3():
    first, second = kills_of(ROUNDS / "7.3-hidden").to_dict("records")
    assert (second["kill_class"], second["mechanism"]) == ("redundant", "hidden-victim")
    assert second["decision_to_choice_us"] == 179
    chosen = second["decision_time_us"] + second["decision_to_choice_us"]
    assert first["exit_time_us"] < second["decision_time_us"] < chosen < first["release_time_us"]


def test_a_victim_that_was_given_up_as_recorded_on_6_1():
    first, second, _ = kills_of(ROUNDS / "6.1-reaped").to_dict("records")
    assert (second["kill_class"], second["mechanism"]) == ("redundant", "given-up-victim")
    chosen = second["decision_time_us"] + second["decision_to_choice_us"]
    assert first["reaped_time_us"] < chosen < first["release_time_us"]


def test_a_report_of_7_3_is_whole_and_its_protection_is_read():
    """The line came with 6.19; it has no newline of its own."""
    reports = collect_kmsg(read_evidence(ROUNDS / "7.3-hidden").rounds[38].kmsg).reports
    assert [(report.is_complete, report.min_kb, report.low_kb) for report in reports] == [(True, 0, 0)] * 2


def test_old_evidence_without_the_probe_is_unknown(tmp_path):
    """A trace as it was recorded before there was such a probe."""
    old = shutil.copytree(ROUNDS / "6.1-stalled", tmp_path / "old")
    trace = old / "trace.log"
    lines = trace.read_text().splitlines(keepends=True)
    trace.write_text("".join(line for line in lines if "scan_end" not in line and "oom_return" not in line))
    kills = kills_of(old)
    assert kills[["kill_class", "mechanism"]].iloc[1].tolist() == ["redundant", "unknown"]
    assert kills[["decision_to_choice_us", "choice_to_mark_us", "mark_to_return_us"]].isna().all(axis=None)


def test_tables_of_an_older_version_load_and_say_nothing_of_it():
    summary = summarize(EXAMPLE)
    arms = [arm for arm in summary.arms if arm.redundant_kills]
    assert arms
    assert all(arm.redundant_mechanisms["unknown"].kills == arm.redundant_kills for arm in arms)
    assert mechanism_cells(summary.arms) == []
    assert not any(map(mechanism_sentence, summary.arms))
    assert harness.load_run(EXAMPLE).kills["mechanism"].isna().all()


def test_terminal_page_and_timeline_say_it(made_run, tmp_path):  # noqa: F811
    arm = summarize(made_run).arms[0]
    assert {name: count.kills for name, count in arm.redundant_mechanisms.items()} == {
        "stalled-decider": 1,
        "hidden-victim": 1,
        "given-up-victim": 0,
        "unknown": 0,
    }
    shown = StringIO()
    print_summary(Console(file=shown, width=1000), summarize(made_run))
    says = (
        "in 1 of 2 redundant kills the task that ran the OOM killer stalled for 20.0 ms between its decision and its choice of"
        " a victim, and the earlier victim's memory was back by then; in 1 the earlier victim was still exiting when the next"
        " was chosen, 5.0 ms after the decision, and the OOM killer passed over it"
    )
    assert f"{arm.arm}: {says}" in shown.getvalue()
    assert [cells[0] for _, cells in mechanism_cells([arm])] == ["1", "20.0 ms", "1"]
    sent = CliRunner().invoke(cli, ["summary", str(made_run), "--format", "mail"]).stdout
    assert says in " ".join(sent.split())
    write_page(open_report(made_run, (), 12), tmp_path / "page.html")
    assert says.replace("'", "&#39;") in (tmp_path / "page.html").read_text()
    text = str(timeline_text(round_timeline(load_tables(made_run / "tables"), "001-1", 1, None)))
    assert "decided 10.0 ms before kill 1's memory was free, stalled 20.0 ms" in text
    assert "decided 30.0 ms before kill 2's memory was free, passed over it" in text


def test_kills_without_any_choice_have_no_delay():
    counts = count_mechanisms(KILLS.frame([{"mechanism": None}]))
    assert counts["unknown"].kills == 1
    assert counts["unknown"].decision_to_choice_us_median is None
