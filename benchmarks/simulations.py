"""Level, coverage and power of the tests and intervals that decide a verdict: the tables of docs/statistics.md.

    python benchmarks/simulations.py [DRAWS]

Every number is of seeded draws, 4,000 by default; the standard error of 5 % is then 0.34 points. The level of the one-sided test is of
five times as many.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np

from harness.analysis.anytime import log_stakes
from harness.analysis.bounds import bounds_of
from harness.analysis.planning import draw_hits, simulated_power
from harness.analysis.rates import exact_test, rate_of
from harness.analysis.shares import clusters_of, shares_of, shares_to_show_more
from harness.spec.boots import DEFAULT_ICC
from harness.spec.controls import ALPHA

SHARES = (0.02, 0.05, 0.1, 0.3, 0.5)
PAIRS = ((0.0, 0.1), (0.02, 0.09), (0.335, 0.185), (0.3, 0.02), (0.5, 0.3))
ICCS = ((0.0, 0.0), (0.012, 0.012), (0.03, 0.03), (0.1, 0.1), (0.0, 0.1), (0.3, 0.3))
DESIGNS = ((2, 100), (4, 25), (8, 25), (20, 5), (40, 5), (40, 10))  # boots, rounds per boot
WITH_LONG = (*DESIGNS[:3], (20, 25), (40, 25), *DESIGNS[3:])  # of the one-sided test
RARE = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.2, 0.35, 0.5)  # shares of rounds that fail or starve a survivor
FAILURES = (
    (0.0, 0.05),
    (0.0, 0.1),
    (0.0, 0.2),
    (0.0, 0.4),
    (0.01, 0.1),
    (0.02, 0.09),
)  # of the baseline, and of the arm
CONTROLS = (2, 30)  # boots and rounds per boot that `oomtrial controls` takes by default
AMPLIFIED = (0.45, 0.52, 0.65)  # shares of rounds with a redundant kill, against none
BOOTS = ((8, 25), (10, 20), (20, 5), (40, 5), (40, 10))  # of the test that takes 8 boots
SPREADS = (
    (0.0, 0.0),
    (0.2, 0.2),
    (0.5, 0.5),
    (0.0, 0.2),
    (0.2, 0.0),
    (0.0, 0.5),
    (0.5, 0.0),
)  # of boots, see draw_kills()
KILLS = (0.05, 0.3, 1.5, 6.0)  # surplus kills per round
MORE_KILLS = ((0.05, 0.15), (0.2, 0.4), (1.5, 2.0), (1.5, 3.0), (1.7, 5.5))  # of the baseline, and of the arm
_FLIPS = 2000
POWERS = ((0.09, 0.02), (0.185, 0.335), (0.08, 0.0))


def limits_of(arm: np.ndarray, base: np.ndarray, per_boot: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the difference of shares in each draw, of hits in boots of as many rounds."""
    rounds = np.full(arm.shape, float(per_boot))
    clusters = clusters_of(arm, rounds, base, rounds)
    totals = [each.sum(-1) for each in (arm, rounds, base, rounds)]
    return shares_of(totals, clusters.design_effect, clusters.degrees).limits(alpha)


def simulate(
    shares: tuple[float, float], iccs: tuple[float, float], design: tuple[int, int], draws: int, alpha: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the difference in each draw."""
    boots, per_boot = design
    generator = np.random.default_rng(1)
    arm, base = (
        draw_hits(generator, share, icc, per_boot, (draws, boots)) for share, icc in zip(shares, iccs, strict=True)
    )
    return limits_of(arm, base, per_boot, alpha)


def level(share: float, iccs: tuple[float, float], design: tuple[int, int], draws: int) -> float:
    low, high = simulate((share, share), iccs, design, draws)
    return float(np.mean((low > 0) | (high < 0)))


def more_shown(shares: tuple[float, float], iccs: tuple[float, float], design: tuple[int, int], draws: int) -> float:
    """How often the one-sided test at 2.5 % says that more rounds of the arm fail; shares and ICCs of the arm come first."""
    boots, per_boot = design
    generator = np.random.default_rng(1)
    arm, base = (
        draw_hits(generator, share, icc, per_boot, (draws, boots)) for share, icc in zip(shares, iccs, strict=True)
    )
    rounds = np.full((draws, boots), float(per_boot))
    found = shares_to_show_more(
        [each.sum(-1) for each in (arm, rounds, base, rounds)], clusters_of(arm, rounds, base, rounds)
    )
    return float(np.mean(found.limits(0.05)[0] > 0))


def draw_kills(
    generator: np.random.Generator, mean: float, spread: float, design: tuple[int, int], draws: int
) -> np.ndarray:
    """Surplus kills in each round of each boot of each draw. `spread`: the standard deviation of a boot's own mean, over the mean."""
    boots, per_boot = design
    means = generator.gamma(1 / spread**2, mean * spread**2, (draws, boots, 1)) if spread else mean
    return generator.poisson(np.broadcast_to(means, (draws, boots, per_boot)))


def p_of_more(arm: np.ndarray, base: np.ndarray) -> np.ndarray:
    """One-sided p-values of `permutation.boot_test` for counts of boots in pairs, with as many rounds in each boot."""
    boots = arm.shape[-1]
    is_exact = 2**boots <= _FLIPS
    if is_exact:
        signs = 1 - 2 * (np.arange(2**boots) >> np.arange(boots)[:, None] & 1)
    else:
        signs = np.random.default_rng(1).choice([-1, 1], (boots, _FLIPS))
    differences = (arm - base).astype(float)
    reached = (differences @ signs >= differences.sum(-1)[:, None] - 1e-9).sum(-1)
    return np.asarray(reached / 2**boots if is_exact else (reached + 1) / (_FLIPS + 1))


def shown_by_kills(arm: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Whether the one-sided test at 2.5 % says that the arm has more surplus kills per round, of the kills of each round."""
    shown = np.ones(len(arm), dtype=bool)
    for sides in ((arm, base), (np.maximum(arm - 1, 0), np.maximum(base - 1, 0))):
        mine, others = (side.sum(-1) for side in sides)
        shown &= (p_of_more(mine, others) < 0.025) & (mine.sum(-1) > others.sum(-1))
    return shown


def more_kills_shown(
    means: tuple[float, float], spreads: tuple[float, float], design: tuple[int, int], draws: int
) -> float:
    """How often that test says so; means and spreads of the arm come first."""
    generator = np.random.default_rng(1)
    sides = [draw_kills(generator, *each, design, draws) for each in zip(means, spreads, strict=True)]
    return float(shown_by_kills(*sides).mean())


def more_shown_of_either(mean: float, spread: float, design: tuple[int, int], draws: int) -> tuple[float, float]:
    """How often the same kernel twice is called worse by the share of rounds with a surplus kill; and by that, or by surplus kills
    per round."""
    generator = np.random.default_rng(1)
    kills, base_kills = (draw_kills(generator, mean, spread, design, draws) for _ in "ab")
    arm, base = ((each > 0).sum(-1).astype(float) for each in (kills, base_kills))
    by_rounds = limits_of(arm, base, design[1], 0.05)[0] > 0
    return float(by_rounds.mean()), float((by_rounds | shown_by_kills(kills, base_kills)).mean())


def fisher(shares: tuple[float, float], icc: float, draws: int, side: str) -> float:
    """How often Fisher's test on rounds tells a control of its default size from its reference."""
    boots, per_boot = CONTROLS
    generator, test = np.random.default_rng(1), cache(exact_test)
    arm, base = (draw_hits(generator, share, icc, per_boot, (draws, boots)).sum(-1).astype(int) for share in shares)
    rounds = boots * per_boot
    pairs = zip(arm.tolist(), base.tolist(), strict=True)
    return float(np.mean([test(hits, rounds, base_hits, rounds, side) < ALPHA for hits, base_hits in pairs]))


def coverage_of_bound(share: float, icc: float, design: tuple[int, int], draws: int) -> float:
    """How often the upper bound of a share, at 95 %, is no lower than the share."""
    boots, per_boot = design
    hits = draw_hits(np.random.default_rng(1), share, icc, per_boot, (draws, boots)).astype(int)
    return float(np.mean([bounds_of(each.tolist(), [per_boot] * boots, 0.95).high >= share for each in hits]))


def coverage(shares: tuple[float, float], iccs: tuple[float, float], design: tuple[int, int], draws: int) -> float:
    low, high = simulate(shares, iccs, design, draws)
    difference = shares[0] - shares[1]
    return float(np.mean((low <= difference) & (difference <= high)))


def coverage_of_share(share: float, icc: float, design: tuple[int, int], draws: int) -> float:
    boots, per_boot = design
    hits = draw_hits(np.random.default_rng(1), share, icc, per_boot, (draws, boots)).astype(int)
    rates = [rate_of(each.tolist(), [per_boot] * boots) for each in hits]
    return float(np.mean([(rate.low or 0) <= share <= (rate.high or 0) for rate in rates]))


def power(shares: tuple[float, float], design: tuple[int, int], draws: int) -> float:
    base, share = shares
    low, high = simulate((share, base), (0.012, 0.012), design, draws, 0.0125)
    return float(np.mean(high < 0 if share < base else low > 0))


def stopped(base: float, share: float, rounds: int, most: int, draws: int) -> tuple[float, float, float]:
    """Of runs that end when they are decided: how many blocks in the median, the share of runs that are decided, and the mean
    difference that they show at their end over the true one."""
    generator, ends, shown = np.random.default_rng(1), [], []
    for _ in range(draws // 8):
        hits = np.array([generator.binomial(rounds, each, most) for each in (share, base)])
        pairs = np.stack([hits, np.full_like(hits, rounds)], axis=1)
        direction = 1 if share > base else -1
        stakes = log_stakes(pairs, direction)
        if stakes.max() < np.log(40):
            continue
        end = int(np.argmax(stakes >= np.log(40))) + 1
        ends.append(end)
        shown.append((hits[0, :end].sum() - hits[1, :end].sum()) / (rounds * end))
    return float(np.median(ends)), len(ends) / (draws // 8), float(np.mean(shown)) / (share - base)


def show(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}\n")
    for row in (heading, ["---"] * len(heading), *rows):
        print(f"| {' | '.join(row)} |")


def spread_words(spreads: tuple[float, float]) -> str:
    return (
        f"{spreads[0]:g}" if spreads[0] == spreads[1] else f"{spreads[0]:g} of the arm, {spreads[1]:g} of the baseline"
    )


def icc_words(iccs: tuple[float, float]) -> str:
    return f"{iccs[0]:g}" if iccs[0] == iccs[1] else f"{iccs[0]:g} and {iccs[1]:g}"


def main(draws: int) -> None:
    designs, long_designs = ([f"{boots} x {rounds}" for boots, rounds in each] for each in (DESIGNS, WITH_LONG))
    show(
        "Level of the test at 5 %: the worst of shares of 2 to 50 %, in %",
        ["ICC", *designs],
        [
            [icc_words(iccs), *(f"{100 * max(level(s, iccs, d, draws) for s in SHARES):.1f}" for d in DESIGNS)]
            for iccs in ICCS
        ],
    )
    show(
        "Level of the one-sided test at 2.5 % (failed rounds, starved survivors): the worst of shares of 0.5 to 50 %, in %;"
        ' of "0 and 0.1", the baseline\'s rounds correlate',
        ["ICC", *long_designs],
        [
            [
                icc_words(iccs),
                *(f"{100 * max(more_shown((s, s), iccs, d, 5 * draws) for s in RARE):.1f}" for d in WITH_LONG),
            ]
            for iccs in ((0.03, 0.03), (0.1, 0.1), (0.0, 0.1), (0.03, 0.1), (0.1, 0.0), (0.3, 0.3), (0.9, 0.9))
        ],
    )
    show(
        "Power of the one-sided test at 2.5 %",
        ["baseline against arm", "ICC", *long_designs],
        [
            [f"{100 * base:g} % against {100 * share:g} %", f"{icc:g}"]
            + [f"{more_shown((share, base), (icc, icc), d, draws):.2f}" for d in WITH_LONG]
            for base, share in FAILURES
            for icc in (0.012, 0.1)
        ],
    )
    boots_designs = [f"{boots} x {rounds}" for boots, rounds in BOOTS]
    show(
        "Level of the one-sided test at 2.5 % of surplus kills per round: the worst of 0.05 to 6 kills, in %, by the spread of boots",
        ["spread", *boots_designs],
        [
            [
                spread_words(spreads),
                *(f"{100 * max(more_kills_shown((k, k), spreads, d, draws) for k in KILLS):.1f}" for d in BOOTS),
            ]
            for spreads in SPREADS
        ],
    )
    show(
        "Power of the one-sided test at 2.5 % of surplus kills per round",
        ["baseline against arm", "spread", *boots_designs],
        [
            [f"{base:g} against {mean:g}", f"{spread:g}"]
            + [f"{more_kills_shown((mean, base), (spread, spread), d, draws):.2f}" for d in BOOTS]
            for base, mean in MORE_KILLS
            for spread in (0.0, 0.2)
        ],
    )
    show(
        "The same kernel twice: called worse by rounds with a surplus kill, and by these or surplus kills per round; the worst of"
        " 0.05 to 6 kills, in %",
        ["spread", *boots_designs],
        [
            [f"{spread:g}"]
            + [
                " / ".join(
                    f"{100 * max(each):.1f}"
                    for each in zip(*(more_shown_of_either(k, spread, d, draws) for k in KILLS), strict=True)
                )
                for d in BOOTS
            ]
            for spread in (0.0, 0.2, 0.5)
        ],
    )
    show(
        "Coverage of the 95 % interval of a difference: the worst of five pairs of shares, in %",
        ["ICC", *designs],
        [
            [icc_words(iccs), *(f"{100 * min(coverage(p, iccs, d, draws) for p in PAIRS):.1f}" for d in DESIGNS)]
            for iccs in ICCS
        ],
    )
    show(
        "Coverage of the 95 % interval of a share: the worst of 2, 10 and 50 %, in %",
        ["ICC", *designs],
        [
            [
                f"{icc:g}",
                *(f"{100 * min(coverage_of_share(s, icc, d, draws) for s in SHARES[::2]):.1f}" for d in DESIGNS),
            ]
            for icc in (0.0, 0.012, 0.03, 0.1, 0.3)
        ],
    )
    show(
        "Coverage of the upper 95 % bound of a share (`assert_rate_below`): the worst of 2, 10 and 50 %, in %",
        ["ICC", *designs],
        [
            [
                f"{icc:g}",
                *(f"{100 * min(coverage_of_bound(s, icc, d, draws) for s in SHARES[::2]):.1f}" for d in DESIGNS),
            ]
            for icc in (0.0, 0.012, 0.03, 0.1, 0.3)
        ],
    )
    show(
        f"Fisher's test of `controls` at level {ALPHA}, {CONTROLS[0]} boots of {CONTROLS[1]} rounds: how often it tells two"
        " arms apart, in %",
        ["shares", "side", *(f"ICC {icc:g}" for icc in (0.0, 0.012, 0.03, 0.1))],
        [
            [f"{100 * base:g} % against {100 * share:g} %", side]
            + [f"{100 * fisher((share, base), icc, draws, side):.1f}" for icc in (0.0, 0.012, 0.03, 0.1)]
            for base, share, side in (
                *((share, share, "two-sided") for share in (0.05, 0.1, 0.2, 0.5)),
                *((share, share, "greater") for share in (0.05, 0.1, 0.2, 0.5)),
                (0.1, 0.4, "two-sided"),
                *((base, share, "greater") for base, share in ((0.25, 0.7), (0.12, 0.45), (0.08, 0.4), (0.05, 0.5))),
            )
        ],
    )
    show(
        f"Power of amplified runs, against no redundant kill, at an ICC of {DEFAULT_ICC}",
        ["share", "level", *(f"{boots} x {rounds}" for boots, rounds in ((8, 2), (8, 3), (8, 5), (16, 1)))],
        [
            [f"{100 * share:g} %", f"{alpha:g}"]
            + [
                f"{simulated_power(share, 0.0, boots, rounds, DEFAULT_ICC, alpha):.2f}"
                for boots, rounds in ((8, 2), (8, 3), (8, 5), (16, 1))
            ]
            for share in AMPLIFIED
            for alpha in (0.05, 0.0125)
        ],
    )
    show(
        "Power at level 0.0125 and an ICC of 0.012, 200 rounds per arm",
        ["shares", "8 x 25", "20 x 10", "40 x 5"],
        [
            [f"{100 * a:g} % against {100 * b:g} %", *(f"{power((a, b), d, draws):.2f}" for d in ((8, 25), (20, 10), (40, 5)))]
            for a, b in POWERS
        ],
    )  # fmt: skip
    show(
        "Runs that end when they are decided, blocks of 5 rounds, 400 at most (500 draws each)",
        ["shares", "blocks, median", "decided", "shown over true difference"],
        [
            [f"{100 * a:g} % against {100 * b:g} %", f"{blocks:.0f}", f"{100 * decided:.0f} %", f"{factor:.2f}"]
            for a, b in ((0.2, 0.0), (0.09, 0.02), (0.185, 0.335), (0.9, 0.1))
            for blocks, decided, factor in [stopped(a, b, 5, 400, draws)]
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
