"""What each arm costs beside the kills it saves: `python benchmarks/costs.py RUN...`.

For each run and scenario a table with a line per arm, of the counted rounds (warm-up rounds apart). Shares have the interval of
`oomtrial summary` (95 %, the boot is the cluster). A cost is the median over completed rounds, and in brackets the smallest and
the largest median of a boot: with N boots, the median of what a boot gives lies between them with a probability of 1 - 2^(1 - N)
(99.2 % with 8 boots, 87.5 % with 4), whatever the distribution. With one boot there is no such interval.

`--against ARM` adds a table of the boots' medians against those of that arm, where both have eight boots or more: how many times as much
(ratio of the geometric means, 95 %, Welch's interval of the logarithms), and Mann and Whitney's one-sided p for more and for less, corrected for
nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from harness.analysis.arm import Arm
from harness.analysis.tally import is_warm_up
from harness.errors import OomtrialError, UsageError
from harness.runs.tables import summarize
from harness.spec.boots import MIN_BOOTS
from harness.tables.schema import ROUNDS
from harness.tables.store import load_table

# Column of the table of rounds, heading, what one unit of the heading is in the column's, decimals.
COSTS = (
    ("memory_events_oom", "failed charges", 1, 1),
    ("stall_system_us", "kernel time of waiters, ms", 1000, 0),
    ("stall_us", "stall after decisions, ms", 1000, 1),
    ("longest_wait_us", "longest wait of a survivor, ms", 1000, 0),
    ("waits_jain", "Jain's index of the waits", 1, 2),
    ("duration_us", "duration, ms", 1000, 0),
)
HEADINGS = ("arm", "rounds / boots", "not completed", "with a redundant kill", "surplus kills", "kills per round")


def cost_words(rounds: pd.DataFrame, column: str, unit: int, decimals: int) -> str:
    """The median over rounds, and the range of the boots' medians."""
    known = rounds.dropna(subset=[column])
    if known.empty:
        return "-"
    values = known[column].astype(float) / unit
    boots = values.groupby(known["boot_id"]).median()
    words = f"{values.median():.{decimals}f}"
    return words if len(boots) == 1 else f"{words} ({boots.min():.{decimals}f} to {boots.max():.{decimals}f})"


def boot_medians(rounds: pd.DataFrame, column: str) -> pd.Series:
    """The median of each boot's completed rounds that have the figure."""
    return (
        rounds[rounds["outcome"] == "completed"]
        .dropna(subset=[column])
        .groupby("boot_id")[column]
        .median()
        .astype(float)
    )


def against_words(mine: pd.Series, others: pd.Series) -> str:
    """The medians of an arm's boots against those of another's; a ratio needs costs above 0."""
    if min(len(mine), len(others)) < MIN_BOOTS:
        return f"fewer than {MIN_BOOTS} boots"
    more, less = (stats.mannwhitneyu(mine, others, alternative=side).pvalue for side in ("greater", "less"))
    words = f"p {more:.2g} for more, {less:.2g} for less"
    if min(mine.min(), others.min()) <= 0 or np.ptp(mine) == 0:
        return words
    test = stats.ttest_ind(np.log(mine), np.log(others), equal_var=False)
    ratio = np.exp([np.log(mine).mean() - np.log(others).mean(), *test.confidence_interval()])
    return f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f}), {words}"


def share_words(arm: Arm) -> str:
    """Rounds with a redundant kill, and the interval of the share in %."""
    words = f"{arm.rounds_with_redundant} of {arm.completed_rounds}"
    if arm.ci_low is None or arm.ci_high is None:
        return words
    return f"{words} ({100 * arm.ci_low:.1f} to {100 * arm.ci_high:.1f} %)"


def arm_cells(arm: Arm, rounds: pd.DataFrame) -> list[str]:
    """A line of the table; `rounds`: the arm's counted rounds."""
    failed = rounds.loc[rounds["outcome"] != "completed", "outcome"].value_counts()
    completed = rounds[rounds["outcome"] == "completed"]
    return [
        f"`{arm.arm}`",
        f"{arm.rounds} / {arm.boots}",
        ", ".join(f"{count} {outcome}" for outcome, count in failed.items()) or "0",
        share_words(arm) if arm.has_oracle else "-",
        str(arm.surplus_kills) if arm.has_oracle else "-",
        f"{arm.kills / arm.rounds:.2f}" if arm.rounds else "-",
        *(cost_words(completed, column, unit, decimals) for column, _, unit, decimals in COSTS),
    ]


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |")


def _print_against(base: str, rounds: pd.DataFrame) -> None:
    print(f"\nagainst {base}\n")
    headings = ["arm", *(heading for _, heading, _, _ in COSTS)]
    _print_row(headings)
    _print_row(["---"] * len(headings))
    for arm, own in rounds.groupby("arm", sort=False):
        if arm != base:
            others = rounds[rounds["arm"] == base]
            words = (against_words(boot_medians(own, column), boot_medians(others, column)) for column, *_ in COSTS)
            _print_row([f"`{arm}`", *words])


def print_run(run: Path, against: str | None = None) -> None:
    """A table for each scenario of a run, and one of its costs against those of the arm `against`.

    Raises UsageError where there is no such arm, and EvidenceError for a run that cannot be read.
    """
    rounds = load_table(run / "tables", ROUNDS)
    rounds = rounds[~is_warm_up(rounds)]
    if against is not None and against not in set(rounds["arm"]):
        raise UsageError(f"{run} has no arm {against}", f"its arms: {', '.join(rounds['arm'].unique())}")
    summary = summarize(run)
    for scenario in dict.fromkeys(arm.scenario for arm in summary.arms):
        print(f"\n{run}, {scenario}\n")
        headings = [*HEADINGS, *(heading for _, heading, _, _ in COSTS)]
        _print_row(headings)
        _print_row(["---"] * len(headings))
        for arm in summary.arms:
            if arm.scenario == scenario:
                own = rounds[(rounds["arm"] == arm.arm) & (rounds["scenario"] == scenario)]
                _print_row(arm_cells(arm, own))
        lost = sum(arm.lost_records for arm in summary.arms if arm.scenario == scenario)
        disagree = sum(arm.witness_disagreements for arm in summary.arms if arm.scenario == scenario)
        print(f"\nlost records: {lost}; rounds in which witnesses disagree: {disagree}")
        if against is not None:
            _print_against(against, rounds[rounds["scenario"] == scenario])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--against", metavar="ARM", help="compare the boots of the other arms with this one's")
    arguments = parser.parse_args()
    try:
        for run in arguments.runs:
            print_run(run, arguments.against)
    except OomtrialError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
