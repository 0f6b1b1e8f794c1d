"""Nothing is called better that is not, on data whose truth is known. That tests hold their level: tests/simulation."""

import msgspec
import numpy as np
import pytest
from simulated import boot_counts, rounds_with, simulated_arm

from harness.analysis import anytime, likelihood
from harness.analysis.checks import check_summary, parse_condition
from harness.analysis.costs import costs_of
from harness.analysis.families import holm, holm_factors, p_words
from harness.analysis.permutation import boot_test, paired_blocks
from harness.analysis.planning import simulated_power
from harness.analysis.rates import exact_interval, rate_of
from harness.analysis.summary import Summary
from harness.analysis.tally import BootCount
from harness.analysis.verdict import compare, compare_all
from harness.report.comparisontable import comparison_lines


def test_no_hit_leaves_a_sensible_interval():
    rate = rate_of([0] * 8, [15] * 8)
    assert rate.low == 0
    assert exact_interval(0, 120)[1] < rate.high < 0.06
    assert rate_of([0] * 7, [15] * 7).is_clustered is False
    assert rate_of([15] * 8, [15] * 8).high == 1


def test_what_is_permuted_is_said():
    hit, none = boot_counts("a", [3] * 8, 15), boot_counts("b", [0] * 8, 15)
    found = boot_test(hit, none, "redundant", "completed")
    assert (found.units, found.p_value) == ("boots within blocks", 2 / 256)
    elsewhere = [BootCount(block=f"other {c.block}", boot_id=c.boot_id, completed=15) for c in none]
    found = boot_test(hit, elsewhere, "redundant", "completed")
    assert found.units == "all boots"
    assert found.p_value == pytest.approx(2 / 12870)


def test_a_boot_that_two_runs_went_on_from_is_one_boot():
    twice = [BootCount(block=f"r{run}/{n}", boot_id=str(n), completed=5, redundant=1) for run in "ab" for n in range(4)]
    other = [BootCount(block=c.block, boot_id=f"o{c.boot_id}", completed=5) for c in twice]
    pairs = paired_blocks(twice, other, "redundant", "completed")
    assert pairs.tolist() == [[[2] * 4, [10] * 4], [[0] * 4, [10] * 4]]


def test_a_stake_is_the_same_however_it_is_looked_at():
    generator = np.random.default_rng(9)
    hits = generator.binomial(8, 0.6, 30), generator.binomial(8, 0.3, 30)
    rounds = np.full(30, 8), generator.integers(5, 9, 30)
    pairs = np.array([[np.minimum(h, n), n] for h, n in zip(hits, rounds, strict=True)])
    whole = likelihood.log_ratios(pairs, 1)
    assert likelihood.log_ratios(pairs, 1, looks=np.array([3, 29])) == pytest.approx(whole[[3, 29]])
    assert likelihood.log_ratios(pairs[:, :, :4], 1)[-1] == pytest.approx(whole[3])
    assert likelihood.log_ratios(pairs[::-1], -1) == pytest.approx(whole)
    assert likelihood.log_ratios(pairs, 1, is_coarse=True) == pytest.approx(whole, abs=0.2)
    assert (
        likelihood.log_ratios(pairs, 1, most_icc=0.3) <= whole + 1e-9
    ).mean() > 0.9  # more is possible without a difference


def test_a_decision_takes_two_boots_of_each_kernel():
    def p_value(hits, base):
        return anytime.anytime_p(np.array([[hits, [6] * len(hits)], [base, [6] * len(base)]]), "two-sided")

    assert p_value([6], [0]) == 1  # one boot may be unlike all others
    assert p_value([4, 4], [0, 0]) < 0.05
    assert p_value([0, 0], [4, 4]) < 0.05
    assert p_value([4, 3], [0, 0]) > 0.05


def test_a_decision_says_up_to_which_icc_it_holds():
    strong = np.array([[[8] * 3, [8] * 3], [[0] * 3, [8] * 3]])
    narrow = np.array([[[8, 7], [8, 8]], [[1, 0], [8, 8]]])
    assert 0.1 <= anytime.turning_icc(narrow, "two-sided", 0.05) < anytime.turning_icc(strong, "two-sided", 0.05)
    assert anytime.turning_icc(narrow, "two-sided", 1e-6) is None  # not decided
    assert anytime.turning_icc(np.repeat(strong[:, :, :1], 12, axis=2), "two-sided", 0.05) is None  # betting alone


def stock(boots=8, rounds=30, share=0.3, seed=10):
    return simulated_arm("stock", rounds_with(np.random.default_rng(seed), share, "redundant", boots, rounds))


def clean(name, boots=8, rounds=30, **more):
    return simulated_arm(name, [[("necessary",)] * rounds for _ in range(boots)], **more)


@pytest.mark.parametrize("boots", [4, 8])
def test_better_is_said_of_a_kernel_that_saves_processes(boots):
    found = compare(clean("fixed", boots), stock(boots))
    assert found.verdict == "better"
    assert found.difference_high < 0
    assert found.ratio_high < 1
    assert ("estimated" in found.test) == (boots == 8)
    assert (found.permutation_p_value is not None) == (boots == 8)


@pytest.mark.parametrize("boots", [4, 8])
@pytest.mark.parametrize("seed", range(5))
def test_better_is_never_said_of_a_kernel_that_kills_as_many(boots, seed):
    """As with shmem-survivor under a gate: the kills come, later, and gain nothing."""
    later = rounds_with(np.random.default_rng(100 + seed), 0.27, "fruitless", boots, 30)
    found = compare(simulated_arm("delays", later, duration_us=5000), stock(boots, seed=seed))
    assert found.verdict == "no difference shown"
    assert "not fewer surplus kills" in found.because
    assert [cost.split(", p")[0] for cost in found.costs] == ["rounds take 5.0 times as long, 5 ms against 1 ms"] * (
        boots == 8
    )


def with_kills(name, kills, boots=8, rounds=20, **more):
    """An arm in whose rounds, all but one of each boot, so many processes are killed needlessly."""
    some = [("necessary", *["redundant"] * kills)] * (rounds - 1)
    return simulated_arm(name, [[*some, ("necessary",)] for _ in range(boots)], **more)


@pytest.mark.parametrize("is_sequential", [False, True])
def test_more_surplus_kills_are_worse_where_as_many_rounds_have_one(is_sequential):
    """As with early-reap-no-margin on 7.3: a round in nine of ten has one on either kernel, or six."""
    pairs = [(with_kills("many", 6), with_kills("stock", 2)), (with_kills("few", 2), with_kills("stock", 2))]
    many, few = compare_all(pairs, is_sequential=is_sequential)
    assert (many.verdict, few.verdict) == ("worse", "no difference shown")
    assert many.because.startswith("more surplus kills per round: 5.70 against 1.90, p = ")
    assert many.difference == 0
    assert few.surplus_kills_p_value is None
    lines = "\n".join(comparison_lines(many, with_tests=True))
    assert "more surplus kills per round p = " in lines
    assert "of which the verdict asks only whether it is more: 5.70 surplus kills per round against 1.90" in lines


def test_kills_that_are_one_a_round_are_not_tested_twice():
    """More rounds have one: that is what the share of rounds says, with its interval."""
    many = simulated_arm("many", rounds_with(np.random.default_rng(1), 0.4, "redundant", 10, 20))
    found = compare(many, stock(10, 20, 0.2))
    assert found.surplus_difference > 0
    assert found.surplus_kills_p_value is None


def test_more_surplus_kills_take_boots_enough_and_a_declared_demand():
    assert compare(with_kills("many", 6, boots=4), with_kills("stock", 2, boots=4)).surplus_kills_p_value is None
    unknown = with_kills("many", 6, has_oracle=False), with_kills("stock", 2, has_oracle=False)
    assert compare(*unknown).surplus_kills_p_value is None


def stalled(arm, times_us):
    """An arm whose rounds stalled so long, boot by boot."""
    boots = [
        msgspec.structs.replace(boot, stall_us=int(times.sum()), stall_rounds=len(times))
        for boot, times in zip(arm.by_boot, times_us, strict=True)
    ]
    mean, sd = times_us.mean() / 1000, times_us.std(ddof=1) / 1000
    return msgspec.structs.replace(arm, by_boot=boots, stall_ms_per_round=mean, stall_ms_sd=sd)


@pytest.mark.parametrize("boots", [2, 8])
def test_a_cost_is_said_if_a_test_says_so(boots):
    """The same kernel twice on a machine whose speed changes from boot to boot; then one that is slower by itself."""
    generator, said = np.random.default_rng(12), []
    arms = [clean(name, boots, 10) for name in "ab"]
    for factor in (1.0, 3.0):
        count = 0
        for _ in range(150):
            speeds = generator.lognormal(0, 0.5, (2, boots, 1))
            times = generator.exponential(5000, (2, boots, 10)) * speeds
            times[1] *= factor
            base, arm = (stalled(*pair) for pair in zip(arms, times, strict=True))
            count += bool(costs_of([(arm, base)])[0])
        said.append(count / 150)
    assert said[0] <= 0.05 + 2 * 0.018
    # with fewer boots a test on rounds calls a third of alike kernels slower: nothing is said
    assert said[1] >= 0.85 if boots == 8 else said[1] == 0


@pytest.mark.parametrize("boots", [1, 8])
def test_a_kernel_that_hangs_is_worse(boots):
    """As with wait-forever: a few rounds hang, the rest is given up."""
    hangs = [["hung"] * 4 for _ in range(boots)]
    assert compare(simulated_arm("hangs", hangs, planned=30), stock(boots)).verdict == "worse"


def test_a_kernel_that_hangs_now_and_then_is_not_better():
    rounds = [[("necessary",)] * 29 + ["hung"] for _ in range(2)] + [[("necessary",)] * 30] * 6
    found = compare(simulated_arm("hangs", rounds), stock())
    assert found.verdict == "no difference shown"
    assert "2 of 240 rounds did not complete" in found.because


def test_a_kernel_that_hangs_in_another_scenario_is_not_better_here():
    """As with gate-without-victim."""
    there = stock(4), simulated_arm("stock", [[("necessary",)] * 10] * 4, "no-victim-then-big")
    hangs = simulated_arm("gate", [["hung"] * 4] * 4, "no-victim-then-big", planned=10)
    found = compare_all([(clean("gate", 4), there[0]), (hangs, there[1])])
    assert [each.verdict for each in found] == ["mixed", "worse"]


def test_kills_of_unknown_class_are_no_cure():
    counts_only = rounds_with(np.random.default_rng(1), 0.3, "unknown", 8, 30)
    assert compare(simulated_arm("counts only", counts_only), stock()).verdict != "better"


def test_too_few_rounds_say_how_many_more_boots_for_the_declared_effect():
    """Not for what happened to be seen: here none, which few rounds would tell from a fifth."""
    found = compare(clean("fixed", 8, 3), stock(8, 3, share=0.2))
    assert found.verdict == "not enough rounds"
    assert "more boots per arm" in found.because
    assert "half the baseline's share" in found.because
    seen = round(stock(8, 3, share=0.2).rate, 3)
    boots = 8 + found.boots_wanted
    assert found.rounds_wanted == 3 * found.boots_wanted
    icc = round(max(0.03, found.icc), 2)
    assert simulated_power(seen, seen / 2, boots, 3, icc) >= 0.9
    assert simulated_power(seen, seen / 2, int(0.9 * boots), 3, icc) < 0.9


def test_alike_and_large_is_no_difference_and_many_comparisons_are_corrected_for():
    base, alike = stock(60, 10), stock(60, 10, seed=11)
    assert compare(alike, base).verdict == "no difference shown"
    found = compare_all([(clean("fixed", 60, 10), base), (alike, base), (alike, base)])
    assert [each.verdict for each in found] == ["better", "no difference shown", "no difference shown"]
    assert found[0].p_adjusted == pytest.approx(3 * found[0].p_value)
    assert found[0].confidence == pytest.approx(1 - 0.05 / 3)


def test_the_baseline_measured_again_costs_the_others_nothing():
    base, again = stock(20, 5), msgspec.structs.replace(stock(20, 5, seed=11), arm="stock (2)")
    fixed = clean("fixed", 20, 5)
    alone = compare(fixed, base)
    found = compare_all([(again, base), (fixed, base)], nulls={"stock (2)"})
    assert (found[1].p_adjusted, found[1].comparisons) == (alone.p_value, 1)
    assert found[0].is_null
    assert "the baseline's own kernel" in found[0].because


def test_more_surplus_kills_are_worse_whatever_overlaps():
    """A gate prevents "overlapping" by construction; the processes are dead all the same."""
    many = rounds_with(np.random.default_rng(5), 0.7, "fruitless", 20, 6)
    found = compare(simulated_arm("gate", many), stock(20, 6))
    assert found.verdict == "worse"
    assert "surplus kills in more rounds" in found.because
    summary = Summary(
        run_id="", state="", arms=[simulated_arm("gate", many)], comparisons=[found], disagreements=[], notes=[]
    )
    (check,) = check_summary(summary, [parse_condition("worse")])
    assert check.failed


def test_the_interval_stands_where_the_verdict_does():
    """Of four comparisons, each at the level at which it is tested."""
    base = stock(8, 25, share=0.18)
    arms = [
        clean("fixed", 8, 25),
        stock(8, 25, share=0.33, seed=12),
        stock(8, 25, share=0.25, seed=13),
        stock(8, 25, share=0.18, seed=14),
    ]
    for found in compare_all([(msgspec.structs.replace(arm, arm=str(n)), base) for n, arm in enumerate(arms)]):
        excludes = found.difference_low > 0 or found.difference_high < 0
        assert excludes == (found.p_adjusted < 0.05)
        assert found.ratio_low <= found.ratio <= found.ratio_high
        assert (found.ratio_high < 1 or found.ratio_low > 1) == excludes


def test_the_likeness_of_rounds_that_would_turn_a_verdict_is_said():
    found = compare(clean("fixed", 2, 100), stock(2, 100, share=0.2))
    assert found.verdict == "better"
    assert found.design_effect == pytest.approx(1 + 99 * 0.03)
    assert 0.03 < found.icc_turns < 0.1
    assert any("holds up to an ICC of" in line for line in comparison_lines(found, with_tests=True))


def test_p_values_have_no_more_digits_than_boots_bear_out():
    found = compare(simulated_arm("bad", [[("necessary", "redundant")] * 10] * 20), clean("stock", 20, 10))
    lines = "\n".join(comparison_lines(found, with_tests=True))
    assert "p < 0.001" in lines
    assert "e-" not in lines
    one, two = (p_words(value) for value in (0.00099, 0.014))
    assert (one, two) == ("p < 0.001", "p = 0.014")


def test_holm_in_steps():
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.04, 0.09, 0.09, 1.0])
    assert holm_factors([0.001, 0.012, 0.0121, 0.2], 0.05) == [
        (pytest.approx(0.004), 4), (pytest.approx(0.036), 3), (pytest.approx(0.036), 2), (pytest.approx(0.2), 1)
    ]  # fmt: skip
    # after the first that is not shown, no level is larger than its own
    assert [factor for _, factor in holm_factors([0.071, 0.001, 0.0295], 0.05)] == [2, 3, 2]
    for values in np.random.default_rng(6).uniform(0, 0.1, (200, 5)):
        for value, (adjusted, factor) in zip(values, holm_factors(values.tolist(), 0.05), strict=True):
            assert (adjusted < 0.05) == (value < 0.05 / factor)


def test_secondary_endpoints_decide_nothing():
    base, arm = stock(2, 10), clean("gate", 2, 10)
    arm, base = (
        msgspec.structs.replace(
            side, by_boot=[msgspec.structs.replace(boot, traced=10, reentered=hits) for boot in side.by_boot]
        )
        for side, hits in ((arm, 0), (base, 9))
    )
    found = compare(arm, base)
    (again,) = [each for each in found.secondary if each.endpoint == "re-entry"]
    assert again.words.startswith(
        "out_of_memory() entered again after the first kill in 0 of 20 rounds against 18 of 20, p"
    )
    assert again.p_value < 0.01
    assert found.verdict == compare(clean("gate", 2, 10), stock(2, 10)).verdict
    assert [each.p_value for each in found.secondary if each.endpoint == "surplus"] == [None]


def test_a_sequential_run_is_judged_by_an_e_process():
    found = compare_all([(clean("fixed", 10, 8), stock(10, 8))], is_sequential=True)[0]
    assert "e-process" in found.test
    assert found.verdict == "better"
    undecided = compare_all([(clean("fixed", 3, 8), stock(3, 8))], is_sequential=True)[0]
    assert (undecided.verdict, undecided.rounds_wanted > 0) == ("not enough rounds", True)
    interim = compare_all([(clean("fixed", 3, 8), stock(3, 8))], is_sequential=True, is_interim=True)[0]
    assert (interim.verdict, interim.p_adjusted, interim.rounds_wanted) == (
        undecided.verdict,
        undecided.p_adjusted,
        None,
    )
