"""Minutes to each verdict: `python benchmarks/verdicts.py`. The machine should have nothing else to do.

Pairs of kernels whose difference is known, each with `oomtrial run --until-decided`: in the boots of 6 rounds that it takes by
default, after a warm-up round each, and with `--before` also in boots of 25 rounds without warm-up, as it was done before there was either
(the test is today's in both).
Kernels are built and snapshots are made before the clock starts: a first run of each kind is thrown away. A boot that it did not reach
starts cold; the table says how many did. Wall time is that of the whole command: guests, rounds, interim analyses, tables and summary.

Such a run takes another time with another seed, so each is repeated; the median is printed, with the least and the most. What
was not decided within the maximum is shown as such, and a verdict that is not the known one is counted as wrong. Ctrl-C ends it; the rows
of whole pairs are printed by then.

The last row is simulated: no kernel of the patch library lowers stock's share from 9 % to 2 %, so the same test is made on runs that are
drawn with these shares. Rounds of a boot correlate as they were measured to (ICC 0.012), and every redundant kill is a surplus kill. Its
minutes are its boots at the time that a boot took in all measured runs above together; without any there are none.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.analysis.anytime import log_stakes
from harness.analysis.planning import ALPHA, draw_hits
from harness.analysis.summary import Summary
from harness.errors import INTERRUPTED
from harness.runs.tables import summarize
from harness.spec.boots import INTERIM_ROUNDS

_MOST_ROUNDS = 400  # per arm
_ROUNDS_BEFORE = 25  # per boot
_SIMULATED_SHARES = (0.09, 0.02)  # of rounds with a redundant kill: stock, and the arm
_SIMULATED_RUNS = 100
_MEASURED_ICC = 0.012
_DECIDED = ("better", "worse", "mixed")


@dataclass(frozen=True)
class Pair:
    """A baseline and a kernel that differs from it."""

    base: str
    arm: str
    expected: str  # the verdict, known beforehand
    options: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        amplified = ", amplified" if "--amplify" in self.options else ""
        return f"`{self.base}` against `{self.arm.removeprefix(self.base)}`{amplified}"


PAIRS = (
    Pair("source:6.1", "source:6.1+ignore-pending-victim", "worse"),
    Pair("source:6.1", "source:6.1+recheck-margin", "better"),
    Pair("source:6.1", "source:6.1+recheck-margin", "better", ("--amplify",)),
    Pair("source:7.3", "source:7.3+see-exiting-victims", "better"),
)


@dataclass(frozen=True)
class Found:
    """One run. `rounds` are completed ones of both arms, `boots` those of one arm; `cold`: guests that were booted."""

    verdict: str
    seconds: float | None  # None: simulated, and nothing says how long a boot takes
    rounds: int
    boots: int
    cold: int


def measure(pair: Pair, options: Sequence[str], place: Path) -> Found:
    """Runs a pair with these options of `oomtrial run`. Raises CalledProcessError when that fails."""
    out = Path(tempfile.mkdtemp(dir=place)) / "run"
    kernels = ("--kernel", pair.base, "--kernel", pair.arm)
    argv = [sys.executable, "-m", "harness", "run", *kernels, *pair.options, *options, "--out", str(out)]
    started = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    summary = summarize(out)
    started = [json.loads(path.read_text())["started"] for path in out.glob("trials/*/trial.json")]
    shutil.rmtree(out)  # the evidence of dozens of runs would fill a small disk
    return read_found(summary, seconds, started.count("cold"))


def seconds_per_boot(runs: Sequence[Found]) -> float | None:
    """Of either arm, over all runs together: the start of a command and its tables weigh more on each boot of a short run."""
    timed = [(run.seconds, run.boots) for run in runs if run.seconds is not None]
    return sum(seconds for seconds, _ in timed) / sum(2 * boots for _, boots in timed) if timed else None


def read_found(summary: Summary, seconds: float, cold: int) -> Found:
    """What the summary of a run of two arms says."""
    (comparison,) = summary.comparisons
    rounds = sum(arm.completed_rounds for arm in summary.arms)
    return Found(comparison.verdict, seconds, rounds, max(arm.boots for arm in summary.arms), cold)


def simulate(per_boot: int, most: int, seed: int, boot_s: float | None) -> Found:
    """A run of stock and an arm with fewer redundant kills that goes on until it is decided; `boot_s`: seconds per boot, of either
    arm."""
    generator = np.random.default_rng(seed)
    boots = most // per_boot
    base, arm = (draw_hits(generator, share, _MEASURED_ICC, per_boot, (boots,)) for share in _SIMULATED_SHARES)
    pairs = np.stack([[hits, np.full(boots, per_boot)] for hits in (arm, base)]).astype(np.int64)
    ends = []
    for verdict, direction in (("better", -1), ("worse", 1)):
        reached = log_stakes(pairs, direction) >= np.log(2 / ALPHA)  # two-sided
        ends.append((int(np.argmax(reached)) + 1 if reached.any() else boots + 1, verdict))
    end, verdict = min(ends)
    if end > boots:
        end, verdict = boots, "not enough rounds"
    seconds = None if boot_s is None else 2 * end * boot_s
    return Found(verdict, seconds, 2 * end * per_boot, end, 0)


def row(label: str, how: str, expected: str, runs: Sequence[Found]) -> str:
    """One line of the table; `runs` differ in their seed."""

    def spread(values: Sequence[float], digits: int) -> str:
        middle, low, high = statistics.median(values), min(values), max(values)
        return f"{middle:.{digits}f}" + (f" ({low:.{digits}f} to {high:.{digits}f})" if low < high else "")

    verdicts = [run.verdict for run in runs]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    wrong = sum(verdict in _DECIDED and verdict != expected for verdict in verdicts)
    minutes, rounds, boots, cold = (
        spread(values, digits) if values else "-"
        for values, digits in (
            ([run.seconds / 60 for run in runs if run.seconds is not None], 2),
            ([run.rounds for run in runs], 0),
            ([run.boots for run in runs], 0),
            ([run.cold for run in runs], 0),
        )
    )
    return f"| {label} | {how} | {counts} | {wrong} | {minutes} | {rounds} | {boots} | {cold} |"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vcpus", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each pair, with seeds 1, 2, ...")
    parser.add_argument("--most", type=int, default=_MOST_ROUNDS, help="rounds per arm, at most")
    parser.add_argument("--before", action="store_true", help="also in boots of 25 rounds without warm-up")
    parser.add_argument("--only", metavar="TEXT", help="pairs whose kernel has this in its name, or simulated")
    arguments = parser.parse_args()
    # Ctrl-C is for the run, which clears up after itself; it does not inherit this.
    signal.signal(signal.SIGINT, lambda *_: None)
    now = ("--vcpus", str(arguments.vcpus), "--until-decided", "--rounds", str(arguments.most))
    before = (*now, "--boots", str(arguments.most // _ROUNDS_BEFORE), "--warm-up", "0")
    ways = ((INTERIM_ROUNDS, now), *([(_ROUNDS_BEFORE, before)] if arguments.before else []))
    measured: dict[int, list[Found]] = {per_boot: [] for per_boot, _ in ways}
    print(f"{arguments.vcpus} vCPUs on {os.cpu_count()} cores; both arms together; median (least to most)\n")
    print(
        "| what | how | verdicts | wrong | minutes | rounds | boots per arm | cold boots |\n|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="oomtrial-bench-") as scratch:
        for pair in (pair for pair in PAIRS if not arguments.only or arguments.only in pair.arm):
            for per_boot, options in ways:
                how = f"boots of {per_boot} rounds"
                seeds = [1, *range(1, arguments.repeat + 1)]  # the first run leaves kernels and snapshots
                try:
                    runs = [measure(pair, (*options, "--seed", str(seed)), Path(scratch)) for seed in seeds][1:]
                except subprocess.CalledProcessError as error:
                    if error.returncode == INTERRUPTED:
                        return INTERRUPTED
                    print(
                        f"| {pair.words} | {how} | not measured: exit code {error.returncode} | | | | | |", flush=True
                    )
                    continue
                measured[per_boot] += runs
                print(row(pair.words, how, pair.expected, runs), flush=True)
    if not arguments.only or arguments.only in "simulated":
        words = "simulated: stock {:.0%} against {:.0%}".format(*_SIMULATED_SHARES).replace("%", " %")
        for per_boot, _ in ways:
            boot_s = seconds_per_boot(measured[per_boot])
            found = [simulate(per_boot, arguments.most, seed, boot_s) for seed in range(_SIMULATED_RUNS)]
            print(row(words, f"{_SIMULATED_RUNS} runs in boots of {per_boot} rounds", "better", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
