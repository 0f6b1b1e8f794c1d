"""Stock against itself over many runs: `python benchmarks/pairs.py RUN...`.

A run that has its baseline's kernel twice tells nothing but chance by that pair, and one pair in twenty differs at a level of 5 %. Here all
pairs are looked at together: for each turn of the arms, the share of counted rounds with a redundant kill of the baseline less that of the
second arm. If chance is all there is, each difference has either sign; the two-sided p-value is that of their sum, signs permuted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import harness
from harness.analysis.killclass import KillClass
from harness.analysis.tally import is_warm_up

_DRAWS, _SEED = 100_000, 1
_ROUNDING = 1e-9


def differences(run: Path) -> list[float]:
    """Of each turn. Raises ValueError where no arm has the baseline's kernel."""
    loaded = harness.load_run(run)
    again = next((found.arm for found in loaded.summary.comparisons if found.is_null), None)
    if again is None:
        raise ValueError(f"{run}: no arm has the baseline's kernel")
    keys = ["arm", "boot", "round"]
    rounds, kills = loaded.rounds[~is_warm_up(loaded.rounds)], loaded.kills
    hit = set(kills.loc[kills["kill_class"] == KillClass.REDUNDANT, keys].itertuples(index=False, name=None))
    shares = (
        rounds.assign(hit=[key in hit for key in rounds[keys].itertuples(index=False, name=None)])
        .pivot_table(index="boot", columns="arm", values="hit", aggfunc="mean")
        .dropna(subset=[loaded.summary.arms[0].arm, again])
    )
    return list(shares[loaded.summary.arms[0].arm] - shares[again])


def sign_p(values: Sequence[float]) -> float:
    """The p-value of a sum whose terms could each have had the other sign."""
    signs = np.random.default_rng(_SEED).choice([-1, 1], (_DRAWS, len(values)))
    return float(np.mean(np.abs(signs @ np.asarray(values)) >= abs(sum(values)) - _ROUNDING))


def main() -> None:
    """Prints a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    runs = parser.parse_args().runs
    try:
        values = [value for run in runs for value in differences(run)]
    except ValueError as error:
        parser.error(str(error))
    print(
        f"{len(runs)} pairs, {len(values)} turns: the second arm has {100 * np.mean(values):.1f} points fewer, p = {sign_p(values):.1g}"
    )


if __name__ == "__main__":
    main()
