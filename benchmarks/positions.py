"""Whether the share of rounds with a redundant kill depends on when a round ran: `python benchmarks/positions.py RUN...`.

For each run and scenario two tables. The first has the share by the position of the round in its boot, with the warm-up rounds
apart; the second by the turn of the arms that the boot belongs to, which is time. An interval is that of a rate of
`oomtrial summary` (95 %, the boot is the cluster), and counts are of completed rounds.

Three tests, two-sided and corrected for nothing:

- *first rounds*: the warm-up rounds against the counted ones; in a run without warm-up rounds the first round of a boot against
  the later ones. Rounds are permuted within their boot.
- *trend by position*: Cochran and Armitage's statistic over the counted rounds, permuted within their boot, so that boots may
  differ from each other as they want.
- *trend by turn*: the same statistic over boots, which are permuted among the turns of their arm: rounds of a boot may be alike.

The line "all arms" adds the statistics of the arms up: what happens to all of them is seen there best.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.killclass import KillClass
from harness.analysis.rates import rate_of
from harness.analysis.tally import is_warm_up
from harness.tables.schema import KILLS, ROUNDS
from harness.tables.store import load_table

_PERMUTATIONS = 20_000
_SEED = 1
_MOST_TURNS = 8  # columns of the second table; more turns are put together
_ROUNDING = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stratum:
    """Values whose scores may be exchanged if there is no trend."""

    values: Floats
    scores: Floats


def trend_p(strata: Sequence[Stratum]) -> float | None:
    """The two-sided p-value of the sum over strata of values times scores, each about its mean; None where no permutation
    changes it."""
    generator = np.random.default_rng(_SEED)
    observed, drawn = 0.0, np.zeros(_PERMUTATIONS)
    is_open = False
    for stratum in strata:
        scores = stratum.scores - stratum.scores.mean()
        if np.ptp(scores) == 0 or np.ptp(stratum.values) == 0:
            continue
        is_open = True
        observed += float(scores @ stratum.values)
        drawn += generator.permuted(np.tile(scores, (_PERMUTATIONS, 1)), axis=1) @ stratum.values
    if not is_open:
        return None
    return float((1 + np.sum(np.abs(drawn) >= abs(observed) - _ROUNDING)) / (1 + _PERMUTATIONS))


def placed_rounds(run: Path, skip: int = 0) -> pd.DataFrame:
    """The completed rounds of a run: `hit`, `warm_up`, `position` among the counted rounds of their start of a guest (from 1;
    0 for warm-up rounds), and `turn`. The first `skip` rounds of each start count as warm-up rounds too."""
    rounds, kills = (load_table(run / "tables", table) for table in (ROUNDS, KILLS))
    rounds = rounds.sort_values(["trial_id", "round"])
    place = rounds.groupby("trial_id").cumcount()
    warm_up = is_warm_up(rounds) | (place < skip)
    redundant = kills[kills["kill_class"] == KillClass.REDUNDANT]
    hits = pd.MultiIndex.from_frame(redundant[["trial_id", "round"]])
    placed = rounds.assign(
        hit=pd.MultiIndex.from_frame(rounds[["trial_id", "round"]]).isin(hits),
        warm_up=warm_up,
        position=(~warm_up).groupby(rounds["trial_id"]).cumsum().where(~warm_up, 0),
        turn=rounds["boot"],
        boot_id=rounds["boot_id"].fillna(rounds["trial_id"]),
    )
    return placed[placed["outcome"] == "completed"]


def position_groups(last: int) -> list[tuple[int, int]]:
    """Positions in groups that double: 1, 2, 3 to 4, 5 to 8, and so on to the last."""
    groups, first = [(1, 1)], 2
    while first <= last:
        groups.append((first, min(last, 2 * first - 2)))
        first = groups[-1][1] + 1
    return groups


def first_rounds_p(rounds: pd.DataFrame) -> float | None:
    """Of the first rounds against the later ones of their boot."""
    is_first = rounds["warm_up"] if rounds["warm_up"].any() else rounds["position"] == 1
    return trend_p(list(_within_boots(rounds, is_first.astype(float))))


def position_p(rounds: pd.DataFrame) -> float | None:
    """Of a trend over the counted rounds of a boot."""
    counted = rounds[~rounds["warm_up"]]
    return trend_p(list(_within_boots(counted, counted["position"].astype(float))))


def turn_p(rounds: pd.DataFrame) -> float | None:
    """Of a trend from turn to turn."""
    strata = []
    for _, arm in rounds[~rounds["warm_up"]].groupby("arm"):
        boots = arm.groupby(["turn", "boot_id"])["hit"].agg(["sum", "count"]).reset_index()
        excess = boots["sum"] - boots["count"] * arm["hit"].mean()
        strata.append(Stratum(excess.to_numpy(float), boots["turn"].to_numpy(float)))
    return trend_p(strata)


def _within_boots(rounds: pd.DataFrame, scores: pd.Series) -> Iterator[Stratum]:
    for _, trial in rounds.groupby("trial_id"):
        yield Stratum(trial["hit"].to_numpy(float), scores[trial.index].to_numpy(float))


def share_words(rounds: pd.DataFrame, *, with_interval: bool) -> str:
    """Hits, rounds, and the interval of the share in %."""
    if rounds.empty:
        return "-"
    boots = rounds.groupby("boot_id")["hit"].agg(["sum", "count"])
    rate = rate_of(boots["sum"].astype(int).tolist(), boots["count"].astype(int).tolist())
    words = f"{rate.hits}/{rate.rounds}"
    if not with_interval or rate.low is None or rate.high is None:
        return words
    return f"{words} ({100 * rate.low:.0f} to {100 * rate.high:.0f} %)"


def _p_words(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.2g}"


def _arms(rounds: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """Each arm, and all of them: their rates differ, so a common interval would mean nothing."""
    names = list(dict.fromkeys(rounds["arm"]))
    for name in names:
        yield f"`{name}`", rounds[rounds["arm"] == name], True
    if len(names) > 1:
        yield "all arms", rounds, False


def _range_words(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |")


def print_run(name: str, rounds: pd.DataFrame) -> None:
    """Both tables of one scenario of a run."""
    groups = position_groups(int(rounds["position"].max()))
    print(f"\n{name}: redundant kills by the round's position in its boot\n")
    heading = ["arm", "warm-up", *(_range_words(*group) for group in groups), "first rounds, p", "trend by position, p"]
    _print_row(heading)
    _print_row(["---"] * len(heading))
    for arm, own, with_interval in _arms(rounds):
        parts = [own[own["warm_up"]], *(own[own["position"].between(*group)] for group in groups)]
        shares = [share_words(part, with_interval=with_interval) for part in parts]
        _print_row([arm, *shares, _p_words(first_rounds_p(own)), _p_words(position_p(own))])
    counted = rounds[~rounds["warm_up"]]
    turns = np.array_split(np.unique(counted["turn"]), min(_MOST_TURNS, counted["turn"].nunique()))
    print(f"\n{name}: redundant kills by turn\n")
    heading = ["arm", *(_range_words(int(group[0]), int(group[-1])) for group in turns), "trend by turn, p"]
    _print_row(heading)
    _print_row(["---"] * len(heading))
    for arm, own, with_interval in _arms(counted):
        shares = [share_words(own[own["turn"].isin(group)], with_interval=with_interval) for group in turns]
        _print_row([arm, *shares, _p_words(turn_p(own))])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument(
        "--skip",
        type=int,
        default=0,
        metavar="N",
        help="count the first N rounds of each boot as warm-up rounds, in runs that have none",
    )
    arguments = parser.parse_args()
    for run in arguments.runs:
        rounds = placed_rounds(run, arguments.skip)
        for scenario, own in rounds.groupby("scenario"):
            print_run(f"{run}, {scenario}", own)


if __name__ == "__main__":
    main()
