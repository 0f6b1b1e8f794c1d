"""The harness's own proof: what counts as an effect, the judgement of a control, and the sequential test of a bisection."""

from functools import cache

import numpy as np
import pytest

from harness.analysis.controls import judge_control
from harness.analysis.effects import count_effect
from harness.analysis.power import exact_power
from harness.analysis.rates import exact_test
from harness.analysis.sequential import ERROR, decide, likelihood_ratio
from harness.errors import UsageError
from harness.spec.arm import name_arms
from harness.spec.controls import ALPHA, CONTROLS, choose_controls
from harness.studies.controls import control_arm, reference_arm
from harness.tables.schema import KILLS, ROUNDS

CONTROL = {control.name: control for control in CONTROLS}


def tables(**arms):
    """Rounds and kills of arms, each given as (rounds with a redundant kill, rounds without, rounds that hung)."""
    rounds, kills = [], []
    for arm, (hit, clean, hung) in arms.items():
        for number in range(hit + clean + hung):
            where = {"arm": arm, "scenario": "s", "trial_id": arm, "round": number}
            outcome = "completed" if number < hit + clean else "hung"
            rounds.append({**where, "outcome": outcome, "kmsg_kills": 1 + (number < hit), "memory_events_oom": number})
            kills += [{**where, "kill_class": name} for name in ("necessary", "redundant")[: 1 + (number < hit)]]
    return ROUNDS.frame(rounds), KILLS.frame(kills)


def judged(name, reference, control):
    rounds, kills = tables(reference=reference, control=control)
    return judge_control(CONTROL[name], "reference", "control", rounds, kills)


def test_effects_are_counted_over_the_rounds_that_can_show_them():
    rounds, kills = tables(a=(3, 7, 2))
    seen = {effect: count_effect(effect, rounds, kills, rounds) for effect in ("redundant", "second-kill", "hung")}
    assert seen == {"redundant": (3, 10), "second-kill": (3, 10), "hung": (2, 12)}
    # of ten rounds with 0 to 9 failed charges the last lies above the 95th percentile
    assert count_effect("retries", rounds, kills, rounds) == (1, 10)


def test_a_redundant_kill_in_a_round_that_hung_is_no_hit():
    rounds, kills = tables(a=(3, 0, 0))
    rounds["outcome"] = ["completed", "hung", "completed"]
    assert count_effect("redundant", rounds, kills, rounds) == (2, 2)


@pytest.mark.parametrize(
    ("name", "reference", "control", "passed"),
    [
        ("ignore-pending-victim", (4, 36, 0), (30, 10, 0), True),
        ("ignore-pending-victim", (4, 36, 0), (6, 34, 0), False),
        ("ignore-pending-victim", (30, 10, 0), (4, 36, 0), False),  # a difference, the wrong way
        ("A/A", (4, 36, 0), (6, 34, 0), True),
        ("A/A", (1, 39, 0), (20, 20, 0), False),
        ("observer", (4, 36, 0), (0, 40, 0), True),
        ("wait-forever", (0, 5, 0), (0, 0, 5), True),
        ("wait-forever", (0, 5, 0), (0, 5, 0), False),
        ("ignore-pending-victim", (4, 36, 0), (0, 0, 0), False),  # an arm without rounds shows nothing
        ("A/A", (0, 0, 0), (0, 0, 0), False),
    ],
)
def test_a_control_passes_only_as_it_claims(name, reference, control, passed):
    result = judged(name, reference, control)
    assert result.passed is passed
    assert (result.reference_rounds, result.rounds) == tuple(
        sum(arm) if name == "wait-forever" else arm[0] + arm[1] for arm in (reference, control)
    )


def test_power_is_that_of_the_test_that_is_made():
    """Of the test that a control is judged by, on runs whose shares are known."""
    for hits, base_hits in ((4, 6), (20, 12), (24, 6), (36, 1)):
        made = judged("A/A", (base_hits, 60 - base_hits, 0), (hits, 60 - hits, 0)).p_value
        assert made == exact_test(hits, 60, base_hits, 60)
    rng, test = np.random.default_rng(5), cache(exact_test)
    found = [
        test(int(hits), 60, int(base_hits), 60) < ALPHA
        for base_hits, hits in zip(rng.binomial(60, 0.1, 2000), rng.binomial(60, 0.4, 2000), strict=True)
    ]
    power = exact_power(0.1, 0.4, 60, 60, ALPHA, "two-sided")
    assert np.mean(found) == pytest.approx(power, abs=3 * np.sqrt(power * (1 - power) / 2000))


def test_at_the_default_size_every_control_has_the_power_to_show_what_it_claims():
    for control in CONTROLS:
        rounds, side = control.rounds or 60, "two-sided" if control.direction == "alike" else "greater"
        assert exact_power(*control.claim, rounds, rounds, ALPHA, side) > 0.8, control.name


def test_the_test_of_a_control_holds_its_level():
    assert exact_power(0.2, 0.2, 60, 60, ALPHA, "greater") <= ALPHA
    assert exact_power(0.2, 0.2, 60, 60, ALPHA, "two-sided") <= ALPHA


def test_unknown_control_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'busy-wait'"):
        choose_controls(["bussy-wait"], "6.1.192")
    assert [control.name for control in choose_controls(["busy-wait", "A/A"], "6.1.192")] == ["A/A", "busy-wait"]


def test_controls_are_those_of_the_kernel_version():
    old, new = ({control.name for control in choose_controls([], release)} for release in ("6.12.117", "7.3.4"))
    assert {control.name for control in CONTROLS} == old | new
    assert old - new == {"hide-exiting-victims"}
    assert new - old == {"hidden-victims"}
    with pytest.raises(
        UsageError, match=r"hide-exiting-victims does not apply to 7\.3\.4; it applies to kernels up to 6\.19\.8"
    ):
        choose_controls(["hide-exiting-victims"], "7.3.4")


def test_where_stock_hides_victims_controls_are_laid_upon_the_repair():
    control, base = CONTROL["ignore-pending-victim"], "source:X"
    assert reference_arm(control, base, "6.19.8").kernel == "source:X"
    assert reference_arm(control, base, "6.19.9").kernel == "source:X+see-exiting-victims"
    assert control_arm(control, base, "7.3").kernel == "source:X+see-exiting-victims+ignore-pending-victim"
    hidden = CONTROL["hidden-victims"]
    assert reference_arm(hidden, base, "7.3.4").kernel == "source:X+see-exiting-victims"
    assert control_arm(hidden, base, "7.3.4").kernel == "source:X"


def test_arms_of_one_kernel_have_names_of_their_own():
    arms = name_arms(["source:6.1", "source:6.1+x", "source:6.1"])
    assert [arm.name for arm in arms] == ["source:6.1", "source:6.1+x", "source:6.1 (2)"]
    assert [arm.kernel for arm in arms] == ["source:6.1", "source:6.1+x", "source:6.1"]


def test_the_sequential_test_keeps_its_errors():
    """Shares of 10 % and 60 %, seen in 60 rounds each; batches of 15 rounds, as a bisection has."""
    rng = np.random.default_rng(9)
    low, high = (6, 60), (36, 60)
    wrong = {0.1: 1, 0.6: -1}
    for share, error in wrong.items():
        ends = []
        for _ in range(2000):
            hits = rounds = side = 0
            while not side and rounds < 600:
                hits, rounds = hits + rng.binomial(15, share), rounds + 15
                side = decide(likelihood_ratio(hits, rounds, low, high))
            ends.append(side)
        assert np.mean([end == error for end in ends]) <= ERROR
        assert np.mean([end == -error for end in ends]) >= 1 - 2 * ERROR


def test_the_sequential_test_can_be_undecided_and_takes_effects_that_go():
    assert decide(likelihood_ratio(2, 10, (1, 20), (10, 20))) == 0
    # the good end shows the effect, the bad one does not: it went
    assert decide(likelihood_ratio(0, 20, (18, 20), (0, 20))) == 1
    assert decide(likelihood_ratio(20, 20, (18, 20), (0, 20))) == -1
