"""Kernels whose difference is known, measured anew: `python benchmarks/comparison.py DIRECTORY`. Nothing else should run on the machine.

For 6.1, 6.12 and 7.3, with 4 vCPUs and with 2: stock, stock again (A/A), patches and known-bad kernels, in one run each, which stands in
DIRECTORY under a name such as 6.1-4-vcpus. How many rounds each has is fixed beforehand, by what stock's share is known to be. On 6.1 with 2
vCPUs on 2 idle cores that is below 1 %, too little for a patch to be told from stock in a night: there is a second run, amplified, which tells
the patches; known-bad kernels are told by the first, as the earlier victim ends while the scan sleeps, hidden or not.

A run that was stopped, here or with Ctrl-C, is resumed by the same command, and one that is there is not made again: the whole takes hours
where a guest boots slowly. `--only TEXT`: the runs whose name has it.

A Markdown table of each run is printed; at the end, how many of the known differences were found, the verdicts of the A/A pairs, and those of
arms of which nothing was known. `--tables`: of the runs that are there; nothing is measured.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.arm import Arm
from harness.analysis.families import p_words
from harness.analysis.summary import Summary
from harness.analysis.verdict import Comparison as ArmComparison
from harness.errors import OomtrialError
from harness.runs.tables import summarize
from harness.spec.arm import AMPLIFIER

# What each patch is known to do, from runs before (docs/regression-7.x.md, results/comparison-8-boots); None: nothing is known beforehand.
_OLD = {
    "wait-for-victim": "better",
    "recheck-margin": "better",
    "hide-exiting-victims": "worse",
    "early-reap-no-margin": "worse",
}
KNOWN: dict[str, dict[str, str | None]] = {
    "6.1": dict(_OLD),
    "6.12": dict(_OLD),
    "7.3": {
        "wait-for-victim": "better",
        "recheck-margin": "better",
        "see-exiting-victims": "better",
        "early-reap-no-margin": None,
    },
}
_KNOWN_BAD = {"ignore-pending-victim": "worse"}  # of every version; older runs have it
HEADINGS = (
    "arm",
    "rounds with a redundant kill",
    "95 % interval",
    "difference, points",
    "test: rounds with redundant / surplus kills / surplus kills per round",
    "verdict",
    "kills / redundant / surplus",
    "round, ms",
    "stalled, ms",
)


@dataclass(frozen=True)
class Comparison:
    """One run: a version's arms with so many vCPUs, and so many rounds and boots per arm."""

    version: str
    vcpus: int
    rounds: int = 200
    boots: int = 10
    is_amplified: bool = False
    untold: tuple[str, ...] = ()  # patches of which nothing is known in this run

    @property
    def name(self) -> str:
        return f"{self.version}-{self.vcpus}-vcpus{'-amplified' if self.is_amplified else ''}"

    def command(self, out: Path) -> list[str]:
        """What begins it, or goes on with it."""
        argv = [sys.executable, "-m", "harness", "run"]
        if (out / "run.json").exists():
            return [*argv, "--resume", str(out)]
        stock = f"source:{self.version}"
        kernels = [stock, stock, *(f"{stock}+{patch}" for patch in KNOWN[self.version])]
        for kernel in kernels:
            argv += ["--kernel", kernel]
        argv += [
            "--rounds",
            f"{self.rounds}",
            "--boots",
            f"{self.boots}",
            "--vcpus",
            f"{self.vcpus}",
            "--out",
            f"{out}",
        ]
        return [*argv, "--amplify"] if self.is_amplified else argv

    def expected(self, kernel: str) -> str | None:
        """The verdict that is known of an arm."""
        patches = kernel.partition(" ")[0].split("+")[1:]
        name = "+".join(patch for patch in patches if patch != AMPLIFIER)
        return None if name in self.untold else (_KNOWN_BAD | KNOWN[self.version]).get(name)


COMPARISONS = (
    Comparison("6.1", 4, 400),
    Comparison("6.1", 2, 500, untold=("wait-for-victim", "recheck-margin")),
    Comparison("6.1", 2, 100, is_amplified=True, untold=("hide-exiting-victims", "early-reap-no-margin")),
    Comparison("6.12", 4, 400),
    Comparison("6.12", 2, 600, 12),
    Comparison("7.3", 4),
    Comparison("7.3", 2),
)


def p_text(p: float | None) -> str:
    return "-" if p is None else p_words(p)


def row(arm: Arm, comparison: ArmComparison | None) -> str:
    """An arm's line; without a comparison it is stock."""
    cells = [f"`{arm.arm}`", f"{arm.rounds_with_redundant} of {arm.completed_rounds}"]
    if arm.rate is None or arm.ci_low is None or arm.ci_high is None:
        cells.append("-")
    else:
        cells[-1] += f", {100 * arm.rate:.1f} %"
        cells.append(f"{100 * arm.ci_low:.1f} to {100 * arm.ci_high:.1f} %")
    if comparison is None:
        cells += ["", "", ""]
    else:
        shown = [comparison.difference, comparison.difference_low, comparison.difference_high]
        points = [f"{100 * value:+.1f}" for value in shown if value is not None]
        cells += [
            f"{points[0]} ({points[1]} to {points[2]})" if len(points) == len(shown) else "-",
            " / ".join(
                map(p_text, (comparison.p_adjusted, comparison.surplus_p_adjusted, comparison.surplus_kills_p_adjusted))
            ),
            comparison.verdict,
        ]
    cells.append(f"{arm.kills} / {arm.redundant_kills} / {arm.surplus_kills}")
    cells += ["-" if ms is None else f"{ms:.0f}" for ms in (arm.duration_ms_per_round, arm.stall_ms_per_round)]
    return f"| {' | '.join(cells)} |"


def table(comparison: Comparison, summary: Summary) -> str:
    """A run as Markdown, with what its numbers rest on."""
    arms, by_arm = summary.arms, {one.arm: one for one in summary.comparisons}
    lines = [
        f"**{comparison.version}, {comparison.vcpus} vCPUs{', amplified' if comparison.is_amplified else ''}** ({summary.state})",
        "",
        f"| {' | '.join(HEADINGS)} |",
        "|---" * len(HEADINGS) + "|",
        *(row(arm, by_arm.get(arm.arm)) for arm in arms),
        "",
        f"{sum(arm.completed_rounds for arm in arms)} of {sum(arm.rounds for arm in arms)} rounds completed, "
        f"{sum(arm.warm_up_rounds for arm in arms)} warm-up rounds apart; {', '.join(str(arm.boots) for arm in arms)} boots; "
        f"{sum(arm.witness_disagreements for arm in arms)} disagreements of the witnesses, "
        f"{sum(arm.lost_records for arm in arms)} lost records, {sum(arm.unknown_kills for arm in arms)} kills of unknown class",
    ]
    return "\n".join(lines)


def findings(runs: Sequence[tuple[Comparison, Summary]]) -> str:
    """How the verdicts fit what is known."""
    missed, pairs, unknown = [], Counter[str](), []
    known = found = 0
    for comparison, summary in runs:
        for one in summary.comparisons:
            where = f"{one.arm}, {comparison.vcpus} vCPUs: {one.verdict}"
            expected = comparison.expected(one.arm)
            if one.is_null:
                pairs[one.verdict] += 1
            elif expected is None:
                unknown.append(where)
            else:
                known += 1
                found += one.verdict == expected
                if one.verdict != expected:
                    missed.append(f"{where}, not {expected}")
    lines = [f"{found} of {known} known differences found."]
    lines += [f"- {words}" for words in missed]
    lines.append("A/A pairs: " + (", ".join(f"{count} {verdict}" for verdict, count in pairs.items()) or "none") + ".")
    lines += [f"Nothing was known of {words}." for words in unknown]
    return "\n".join(lines)


def main() -> int:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", metavar="TEXT", default="", help="runs whose name has this in it")
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    # Ctrl-C is for the run, which clears up after itself and can be resumed; it does not inherit this.
    signal.signal(signal.SIGINT, lambda *_: None)
    runs = []
    for comparison in COMPARISONS:
        out = arguments.directory / comparison.name
        if arguments.only not in comparison.name:
            continue
        if not arguments.tables:
            done = subprocess.run(comparison.command(out), stdout=subprocess.DEVNULL, check=False)
            if done.returncode:
                return done.returncode
        if out.exists():
            runs.append((comparison, summarize(out)))
            print(table(*runs[-1]), end="\n\n", flush=True)
    if not runs:
        parser.error(
            f"{arguments.directory} has no such run; its name is one of {', '.join(each.name for each in COMPARISONS)}"
        )
    print(findings(runs))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OomtrialError as error:
        print(f"comparison: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
