"""Classes of kills by the definitions, and what the summary makes of them."""

import json

import msgspec
import numpy as np
import pytest

from harness.analysis.arm import ArmRun, summarize_arm
from harness.analysis.killclass import KillClass
from harness.analysis.rates import difference_interval, exact_interval, exact_test
from harness.analysis.redundancy import classify
from harness.analysis.verdict import compare
from harness.analysis.verdicts import Verdict
from harness.collectors.events import HogEnd
from harness.spec.scenarios import decode, load_scenario
from harness.tables.schema import KILLS, ROUNDS
from harness.tables.stalls import next_progress_ns, union_us

SCENARIO = decode(
    "t",
    """
summary = "10 + 4 x 5 under 24: two must go if small ones go first, one if the big one does"
memory_max = "24M"
base_overhead = "1M"
hog_overhead = "0"
hogs = [{ name = "big", count = 1, size = "10M" }, { name = "small", count = 4, size = "5M", phase = 1 }]
""",
)
WHERE = {"arm": "a", "scenario": "t", "trial_id": "001-1", "boot": 1, "round": 1}
BIG, SMALL = 0, 1


def kill(order, hog, decided, released, *, pid=None, domain="0xa", decider=50, marked=None):
    return {
        **WHERE,
        "order": order,
        "pid": pid or 100 + order,
        "hog": hog,
        "decider_pid": decider + order,
        "decision_time_us": decided,
        "mark_time_us": decided + 1 if marked is None and decided is not None else marked,
        "release_time_us": released,
        "domain": domain,
    }


def round_row(**changes):
    return {
        **WHERE,
        "outcome": "completed",
        "boot_id": "b",
        "lost_trace_events": 0,
        "missed_probes": 0,
        "lost_kmsg_records": 0,
        "witnesses_checked": True,
        **changes,
    }


def classes(*kills, **round_changes):
    rounds = ROUNDS.frame([round_row(**round_changes)])
    return list(classify(KILLS.frame(list(kills)), rounds, {"t": SCENARIO})["kill_class"])


@pytest.mark.parametrize(
    ("kills", "expected"),
    [
        # the big one suffices; the next is decided before its release, or after it
        ([kill(1, BIG, 10, 100), kill(2, SMALL, 50, 200)], ["necessary", "redundant"]),
        ([kill(1, BIG, 10, 100), kill(2, SMALL, 150, 200)], ["necessary", "fruitless"]),
        # a small one does not suffice: the second kill had to come, but not yet
        ([kill(1, SMALL, 10, 100), kill(2, SMALL + 1, 50, 200)], ["necessary", "premature"]),
        ([kill(1, SMALL, 10, 100), kill(2, SMALL + 1, 150, 200)], ["necessary", "necessary"]),
        # the third waits for the second only if the first is gone
        (
            [kill(1, SMALL, 10, 20), kill(2, SMALL + 1, 30, 90), kill(3, SMALL + 2, 95, 99)],
            ["necessary", "necessary", "fruitless"],
        ),
        # never released within the round: still in flight
        ([kill(1, BIG, 10, None), kill(2, SMALL, 50, 60)], ["necessary", "redundant"]),
        # decided first, marked last: the decision counts, not the mark
        ([kill(1, BIG, 10, 100), kill(2, SMALL, 50, 200, marked=150)], ["necessary", "redundant"]),
        # no decision in the trace, another domain: unknown, not guessed
        ([kill(1, BIG, 10, 100), kill(2, SMALL, None, 200)], ["necessary", "unknown"]),
        ([kill(1, BIG, 10, 100), kill(2, SMALL, 50, 200, domain="0xb")], ["necessary", "unknown"]),
        # a global decision looks at every victim
        ([kill(1, BIG, 10, 100), kill(2, SMALL, 50, 200, domain="0x0")], ["necessary", "redundant"]),
        # none of the workload's
        ([kill(1, None, 10, 100), kill(2, BIG, 150, 200)], ["collateral", "necessary"]),
    ],
)
def test_classes(kills, expected):
    assert classes(*kills) == expected


def test_members_of_one_group_decision_do_not_overlap_one_another():
    first, second = kill(1, SMALL, 10, 100), kill(2, SMALL + 1, 10, 200)
    second["decider_pid"] = first["decider_pid"]
    assert classes(first, second) == ["necessary", "necessary"]


@pytest.mark.parametrize("loss", ["lost_trace_events", "missed_probes"])
def test_a_lossy_trace_makes_later_kills_unknown(loss):
    assert classes(kill(1, BIG, 10, 100), kill(2, SMALL, 50, 200), **{loss: 1}) == ["necessary", "unknown"]


def arm(name, with_redundant, completed, hung=0, surplus_only=0):
    rounds, kills = [], []
    for number in range(1, completed + hung + 1):
        outcome = "completed" if number <= completed else "hung"
        rounds.append(round_row(round=number, outcome=outcome))
        kills.append({**kill(1, BIG, 10, 100), "round": number})
        if number <= with_redundant:
            kills.append({**kill(2, SMALL, 50, 200), "round": number})
        elif number <= with_redundant + surplus_only:
            kills.append({**kill(2, SMALL, 150, 200), "round": number})
    frame = ROUNDS.frame(rounds)
    classified = classify(KILLS.frame(kills), frame, {"t": SCENARIO})
    machine = {"vcpus": 4, "accel": "tcg", "host_cores": 2}
    run = ArmRun(arm=name, scenario="t", planned={"1": completed + hung}, ended=["1"], **machine)
    return summarize_arm(run, frame, classified)


def test_the_summary_counts_rounds_not_kills_for_the_rate():
    found = arm("x", 3, 20)
    assert (found.kills, found.redundant_kills, found.rounds_with_redundant, found.rate) == (23, 3, 3, 0.15)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.0174, 0.4539), abs=1e-4)  # one boot
    assert found.kill_to_release_us_median == 89


def test_json_keeps_its_words():
    """Files of earlier versions, and scripts that read them, know the arm's name as `kernel`."""
    found = arm("x", 3, 20)
    assert (found.arm, found.kernel) == ("x", "x")
    assert next(iter(msgspec.to_builtins(found).items())) == ("kernel", "x")
    against = msgspec.to_builtins(compare(found, arm("stock", 15, 60)))
    assert (against["kernel"], against["baseline"]) == ("x", "stock")
    assert json.loads(json.dumps(list(Verdict))) == [
        "better", "worse", "mixed", "no difference shown", "not enough rounds",
    ]  # fmt: skip
    assert json.loads(json.dumps(list(KillClass))) == [
        "redundant", "fruitless", "premature", "necessary", "collateral", "unknown",
    ]  # fmt: skip


def test_without_decisions_the_rate_has_bounds():
    """A kill that the declared demand makes necessary is not redundant, whatever nobody knows of it."""
    rounds = ROUNDS.frame([round_row(round=number) for number in (1, 2)])
    untraced = [
        *(kill(1, BIG, None, None), kill(2, SMALL, None, None)),  # surplus
        *({**kill(n, hog, None, None), "round": 2} for n, hog in ((1, SMALL), (2, SMALL + 1))),  # needed
    ]
    found = classify(KILLS.frame(untraced), rounds, {"t": SCENARIO})
    assert list(found["kill_class"]) == ["necessary", "unknown"] * 2
    machine = {"vcpus": 2, "accel": "native", "host_cores": 2}
    run = ArmRun(arm="host", scenario="t", planned={"1": 2}, ended=["1"], **machine)
    arm = summarize_arm(run, rounds, found)
    assert (arm.unknown_kills, arm.maybe_redundant_kills, arm.rounds_with_unknown) == (2, 1, 1)
    assert (arm.rate, arm.rate_at_most, arm.decisions_traced) == (0.0, 0.5, False)
    assert (arm.stall_ms_per_round, arm.kill_to_release_us_median) == (None, None)


def test_better_is_said_of_a_kernel_that_saves_processes():
    assert compare(arm("x", 0, 60), arm("stock", 15, 60)).verdict == "better"
    assert compare(arm("x", 50, 60), arm("stock", 15, 60)).verdict == "worse"
    assert compare(arm("x", 12, 60), arm("stock", 15, 60)).verdict == "not enough rounds"


def test_better_is_never_said_of_a_kernel_that_hangs_or_only_delays():
    assert compare(arm("x", 0, 30, hung=30), arm("stock", 15, 60)).verdict == "worse"
    assert compare(arm("x", 0, 59, hung=1), arm("stock", 15, 60)).verdict == "no difference shown"
    assert compare(arm("x", 0, 60, surplus_only=20), arm("stock", 15, 60)).verdict == "no difference shown"


def test_no_rounds_give_no_rate():
    found = arm("x", 0, 0, hung=5)
    assert (found.rate, found.ci_low) == (None, None)
    assert exact_interval(0, 0) is None


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (1, 20), (7, 40), (399, 400), (20, 20)])
def test_the_exact_interval_is_that_of_scipy_and_takes_parts_of_a_round(successes, trials):
    from scipy.stats import beta, binomtest  # a second, which each worker of pytest-xdist would take for it

    expected = binomtest(successes, trials).proportion_ci(method="exact")
    assert exact_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = exact_interval(6.5, 31.25)
    assert beta.cdf(low, 6.5, 25.75) == pytest.approx(0.025)
    assert beta.sf(high, 7.5, 24.75) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # method 10 in table II of Newcombe, Statistics in Medicine 17 (1998)
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((0, 10, 0, 10), (-0.2775, 0.2775)),
        ((10, 10, 0, 20), (0.6791, 1.0000)),
        ((10, 10, 0, 10), (0.6075, 1.0000)),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(counts, expected):
    assert difference_interval(*counts) == pytest.approx(expected, abs=6e-5)


def test_intervals_cover_at_their_nominal_rate():
    generator = np.random.default_rng(1)
    truth, trials = 0.12, 40
    covered = 0
    for successes in generator.binomial(trials, truth, size=400):
        low, high = exact_interval(int(successes), trials)
        covered += low <= truth <= high
    assert covered / 400 >= 0.95


def test_the_exact_test_holds_its_level():
    generator = np.random.default_rng(2)
    draws = generator.binomial(40, 0.2, size=(400, 2))
    assert np.mean([exact_test(int(a), 40, int(b), 40) < 0.05 for a, b in draws]) <= 0.05


def classes_in(scenario, *kills):
    named = [{**found, "scenario": scenario.name} for found in kills]
    rounds = ROUNDS.frame([round_row(scenario=scenario.name)])
    return list(classify(KILLS.frame(named), rounds, {scenario.name: scenario})["kill_class"])


def test_a_victim_of_another_container_could_not_have_helped():
    four = load_scenario("four-at-once")  # hogs 0 and 21 are the big ones of two containers, 1 and 22 small ones
    kills = [kill(1, 0, 10, 100, domain="0xa"), kill(2, 21, 50, 100, domain="0xb"), kill(3, 22, 60, 120, domain="0xb")]
    assert classes_in(four, *kills) == ["necessary", "necessary", "redundant"]


def test_the_kills_of_one_group_decision_share_its_class():
    group = load_scenario("oom-group")  # hogs 0 to 2 are one container, 3 to 22 the other
    first = [kill(n + 1, n, 10, 100, decider=50 - n) for n in range(3)]
    second = [kill(n + 1, n, 60, 200, decider=150 - n) for n in range(3, 23)]
    assert classes_in(group, *first, *second) == ["necessary"] * 3 + ["redundant"] * 20


def test_nothing_is_surplus_where_nobody_knows_the_demand():
    storm = load_scenario("global-oom")
    assert classes_in(storm, kill(1, 0, 10, 100), kill(2, 1, 50, 200)) == ["unknown", "unknown"]


def hog_end(begin, full, *stalls, dead=False):
    return HogEnd(1, 0, "h", 1, 1, full, dead, 0, 9 if dead else 0, -1, False, begin_ns=begin, stalls=list(stalls))


def test_a_stall_ends_with_the_first_page_of_a_survivor():
    waiting, later = hog_end(5, 900, (100, 400, 7)), hog_end(5, 900, (90, 600, 7))
    assert next_progress_ns([waiting, later], 200) == 400
    assert next_progress_ns([waiting, later], 50) == 50  # both get pages
    assert next_progress_ns([waiting, hog_end(5, 150)], 200) == 400  # who has all wants none
    assert next_progress_ns([hog_end(300, 900)], 200) is None  # not begun
    assert next_progress_ns([hog_end(5, 0, (100, 400, 7), dead=True)], 200) is None
    assert union_us([(0, 10), (5, 20), (30, 31)]) == 21
