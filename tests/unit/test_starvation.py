"""A kernel that hangs, starves a survivor or disables the OOM killer is never called better, in whatever scenario it does so."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from handrun import Lines, begin

from harness.analysis.checks import check_summary, parse_condition
from harness.analysis.summary import Summary
from harness.analysis.verdict import compare, compare_all
from harness.collectors.files import EvidenceWriter, TrialRecord, write_trial
from harness.collectors.rounds import read_evidence
from harness.report.comparisontable import comparison_lines
from harness.report.terminal import arm_lines
from harness.runs.interim import InterimAnalysis
from harness.runs.pool import pool_tables
from harness.runs.record import PlannedBlock, read_run, write_run
from harness.runs.summary import summarize_pool
from harness.spec.scenarios import load_scenario
from harness.tables.build import trial_rows
from tests.simulated import rounds_with, simulated_arm, tables

EXAMPLE = read_run(Path(__file__).parents[2] / "results/example")
NECESSARY = ("necessary",)
LONG_US, SHORT_US = 10_000_001, 10_000_000  # more and not more than half of the deadline of 20 s
SAYS = "longer than 10 s, half of the deadline, for one page"


def stock(boots=10, rounds=24, scenario="s", **more):
    return simulated_arm(
        "stock", rounds_with(np.random.default_rng(10), 0.3, "redundant", boots, rounds), scenario, **more
    )


def fixed(boots=10, rounds=24, scenario="s", **more):
    return simulated_arm("fixed", [[NECESSARY] * rounds] * boots, scenario, **more)


def waits(count, us, boots=10):
    """The longest wait of the first rounds of each boot."""
    return {(boot, number): us for boot in range(1, boots + 1) for number in range(1, count + 1)}


def quiet(name, scenario, boots=10, hung=0, **more):
    """A scenario in which neither kernel kills too much; some of the first boot's rounds hang."""
    first = ["hung"] * hung + [NECESSARY] * (24 - hung)
    return simulated_arm(name, [first, *[[NECESSARY] * 24] * (boots - 1)], scenario, **more)


def test_one_starved_round_forbids_better():
    assert compare(fixed(waits_us={(3, 5): SHORT_US}), stock()).verdict == "better"
    found = compare(fixed(waits_us={(3, 5): LONG_US}), stock())
    assert found.verdict == "no difference shown"
    assert (
        f"fewer redundant kills, but 1 of 240 rounds starved a survivor, against 0 of 240: it waited {SAYS}"
        in found.because
    )
    # as with failed rounds, what the baseline does too is held against nobody
    assert compare(fixed(waits_us={(3, 5): LONG_US}), stock(waits_us={(1, 1): LONG_US})).verdict == "better"


def test_a_kernel_that_starves_survivors_is_worse_and_fails_a_check():
    arm = fixed(waits_us=waits(4, LONG_US))
    found = compare(arm, stock())
    assert found.verdict == "worse"
    assert found.because.startswith("40 of 240 rounds starved a survivor, against 0 of 240: it waited longer than 10 s")
    assert "starved rounds p < 0.001" in "\n".join(comparison_lines(found, with_tests=True))
    summary = Summary(run_id="", state="", arms=[arm], comparisons=[found], disagreements=[], notes=[])
    (check,) = check_summary(summary, [parse_condition("worse")])
    assert check.failed
    assert "starved a survivor" in check.because


@pytest.mark.parametrize("is_sequential", [False, True])
@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"hung": 1}, "but in other 1 of 240 rounds did not complete, against 0 of 240"),
        ({"waits_us": {(2, 2): LONG_US}}, "but in other 1 of 240 rounds starved a survivor"),
    ],
)
def test_what_happens_once_in_one_of_several_scenarios_is_not_hidden(there, said, is_sequential):
    pairs = [
        (fixed(), stock()),
        (fixed(scenario="third"), stock(scenario="third")),
        (quiet("fixed", "other", **there), quiet("stock", "other")),
    ]
    found = compare_all(pairs, is_sequential=is_sequential)
    assert [each.verdict for each in found] == ["mixed", "mixed", "no difference shown"]
    assert all(said in each.because for each in found[:2])
    # where the stock kernel does it too, and another arm where this one does
    pairs[2] = (quiet("fixed", "other", **there), quiet("stock", "other", **there))
    pairs.append((quiet("another", "other", **there), quiet("stock", "other")))
    assert [each.verdict for each in compare_all(pairs, is_sequential=is_sequential)][:2] == ["better", "better"]


def test_waits_that_were_not_kept_are_not_taken_for_short_ones():
    """A process keeps its first 64 waits, and in runs from before nothing of the others. A round that was too short for a
    long one can have starved nobody."""
    boots = [[NECESSARY] * 24] * 10
    assert compare(_with_lost_waits(simulated_arm("fixed", boots), 0), stock()).verdict == "better"
    found = compare(_with_lost_waits(simulated_arm("fixed", boots), 1), stock())
    assert (found.verdict, "0 of 240 rounds starved a survivor (10 more may have)" in found.because) == (
        "no difference shown",
        True,
    )
    long, lost = tables("fixed", boots, duration_us=LONG_US)
    long["stalls_lost"] = 1
    arm = summarized(long, lost)
    assert (arm.starved_rounds, arm.maybe_starved_rounds) == (0, 240)
    short, lost = tables("fixed", boots, duration_us=SHORT_US - 10)
    short["stalls_lost"] = 1
    assert summarized(short, lost).maybe_starved_rounds == 0
    long["longest_lost_us"] = 1_000_000  # the longest of those that were not kept is known
    assert summarized(long, lost).maybe_starved_rounds == 0
    # runs of before have no longest wait: nothing is known of it, and nothing is held against them
    short["longest_wait_us"] = None
    arm = summarized(short, lost)
    assert sum(boot.waits_known + boot.waits_lost for boot in arm.by_boot) == 0
    assert compare(arm, stock()).starved_p_value is None


def _with_lost_waits(arm, count):
    boots = [
        msgspec.structs.replace(boot, waits_lost=count, waits_known=boot.waits_known - count) for boot in arm.by_boot
    ]
    return msgspec.structs.replace(arm, by_boot=boots, maybe_starved_rounds=count * len(boots))


def summarized(rounds, kills):
    rounds["scenario"] = kills["scenario"] = SCENARIO.name
    return summarize_pool(pool_tables(_record(["fixed"]), rounds, kills)).arms[0]


SCENARIO = EXAMPLE.scenarios[0]


def _record(names, boots=10, rounds=24):
    """A run that goes until it is decided. Its first arm is stock."""
    arms = [msgspec.structs.replace(arm, name=name) for arm, name in zip(EXAMPLE.arms, names, strict=False)]
    blocks = [
        PlannedBlock(2 * boot + place, name, SCENARIO.name, boot + 1, rounds)
        for boot in range(boots)
        for place, name in enumerate(names)
    ]
    return msgspec.structs.replace(
        EXAMPLE, arms=arms, blocks=blocks, rounds=boots * rounds, boots=boots, until_decided=True
    )


@pytest.mark.parametrize(
    ("waits_us", "is_decided"), [({}, True), ({(3, 5): LONG_US}, False), (waits(4, LONG_US), True)]
)
def test_a_run_until_decided_does_not_end_with_a_kernel_that_starves(tmp_path, waits_us, is_decided):
    write_run(tmp_path, _record(["stock", "fixed"]))
    interim = InterimAnalysis(tmp_path)
    redundant = rounds_with(np.random.default_rng(10), 0.3, "redundant", 10, 24)
    interim.add("stock", SCENARIO.name, *tables("stock", redundant, SCENARIO.name))
    interim.add("fixed", SCENARIO.name, *tables("fixed", [[NECESSARY] * 24] * 10, SCENARIO.name, waits_us=waits_us))
    assert interim.is_decided() == is_decided
    (found,) = interim.summary.comparisons
    assert (found.verdict == "better") == (not waits_us)
    arm = interim.summary.arms[1]
    notes = [note for note in interim.summary.notes if "a survivor was starved" in note]
    rows = [cells for label, cells in arm_lines(interim.summary.arms) if "starved" in label]
    count = len(waits_us)
    assert arm.starved_rounds == count
    assert rows == ([["0 rounds", f"{count} rounds"]] if count else [])
    assert [note.partition(":")[0] for note in notes] == ["fixed"] * bool(count)
    if count:
        assert f"in {count} of 240 completed rounds: it waited {SAYS}" in notes[0]


def test_a_killer_that_is_disabled_for_good_is_a_round_that_hung(tmp_path):
    """The hogs that are left wait at the limit, and nobody is killed any more: the deadline ends the round."""
    lines = Lines()
    lines.own(event="ready", boot_id="b")
    begin(lines, 1, 10_000)
    lines.entry(10_100, 102)
    lines.marker(1, "end", 30_100)
    lines.collector += ["M 1 after memory.events oom_kill 0", "M 1 after memory.current 31457280"]
    for hog in range(5):
        lines.hog(hog=hog, number=1, name=f"hog.{hog}", dead_ms=30_050, cleanup=True, full_ms=0)
    lines.say("round_end", round=1, time_ns=30_090 * 1_000_000, hung=True, stuck=False, recorded=True)
    with EvidenceWriter(tmp_path / "001-1") as evidence:
        for line in lines.collector:
            evidence.collector_line(line.encode())
        for line in lines.supervisor:
            evidence.supervisor_line(line.encode())
    write_trial(
        tmp_path / "001-1",
        TrialRecord(
            trial_id="001-1", block=1, arm="gate", scenario="one-big-many-small", boot=1, first_round=1, rounds=1,
            token="abc", outcome="completed", rounds_begun=1,
        ),
    )  # fmt: skip
    rows = trial_rows(read_evidence(tmp_path / "001-1"), load_scenario("one-big-many-small"))
    (found,) = rows["rounds"]
    assert (found["outcome"], rows["kills"], found["oom_entries"]) == ("hung", [], 1)
    # and one such round forbids the word
    judged = compare(simulated_arm("gate", [[NECESSARY] * 23 + ["hung"], *[[NECESSARY] * 24] * 9]), stock())
    assert judged.verdict == "no difference shown"
    assert "1 of 240 rounds did not complete, against 0 of 240" in judged.because
