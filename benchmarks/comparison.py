"""Kernels whose difference is known, measured anew: `python benchmarks/comparison.py DIRECTORY`. Nothing else should run on the machine.

For 6.1, 6.12 and 7.3, with 4 vCPUs and with 2: stock, stock again (A/A), three patches and a known-bad kernel, in one run each, which stands
in DIRECTORY under a name such as 6.1-4-vcpus. A run that was stopped, here or with Ctrl-C, is resumed by the same command, and one that is
there is not made again: the whole takes hours where a guest boots slowly. `--only TEXT`: the runs whose name has it.

A Markdown table of each run is printed; at the end, how many of the known differences were found, the verdicts of the A/A pairs, and those of
arms of which nothing was known. `--tables`: of the runs that are there; nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSIONS = ("6.1", "6.12", "7.3")
VCPUS = (4, 2)
# What each patch is known to do, from runs before (docs/regression-7.x.md, results/comparison); None: nothing is known beforehand.
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
    "p, redundant / surplus",
    "verdict",
    "kills / redundant / surplus",
    "round, ms",
    "stalled, ms",
)


@dataclass(frozen=True)
class Comparison:
    """One run: a version's arms with so many vCPUs."""

    version: str
    vcpus: int

    @property
    def name(self) -> str:
        return f"{self.version}-{self.vcpus}-vcpus"

    def command(self, out: Path, rounds: int, boots: int) -> list[str]:
        """What begins it, or goes on with it."""
        argv = [sys.executable, "-m", "harness", "run"]
        if (out / "run.json").exists():
            return [*argv, "--resume", str(out)]
        stock = f"source:{self.version}"
        kernels = [stock, stock, *(f"{stock}+{patch}" for patch in KNOWN[self.version])]
        for kernel in kernels:
            argv += ["--kernel", kernel]
        return [*argv, "--rounds", str(rounds), "--boots", str(boots), "--vcpus", str(self.vcpus), "--out", str(out)]

    def expected(self, kernel: str) -> str | None:
        """The verdict that is known of an arm."""
        return (_KNOWN_BAD | KNOWN[self.version]).get(kernel.partition("+")[2].partition(" ")[0])


def read_summary(out: Path) -> dict[str, Any]:
    """The summary of a run."""
    argv = [sys.executable, "-m", "harness", "summary", "--format", "json", str(out)]
    summary: dict[str, Any] = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return summary


def p_words(p: float | None) -> str:
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def row(arm: dict[str, Any], comparison: dict[str, Any] | None) -> str:
    """An arm's line; without a comparison it is stock."""
    completed = arm["completed_rounds"]
    cells = [
        f"`{arm['kernel']}`",
        f"{arm['rounds_with_redundant']} of {completed}, {100 * arm['rate']:.1f} %" if completed else "none completed",
        f"{100 * arm['ci_low']:.1f} to {100 * arm['ci_high']:.1f} %" if completed else "-",
    ]
    if comparison is None or comparison["difference"] is None:
        cells += ["", "", ""]
    else:
        low, high = comparison["difference_low"], comparison["difference_high"]
        cells += [
            f"{100 * comparison['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
            f"{p_words(comparison['p_adjusted'])} / {p_words(comparison['surplus_p_adjusted'])}",
            comparison["verdict"],
        ]
    cells.append(f"{arm['kills']} / {arm['redundant_kills']} / {arm['surplus_kills']}")
    cells += ["-" if arm[key] is None else f"{arm[key]:.0f}" for key in ("duration_ms_per_round", "stall_ms_per_round")]
    return f"| {' | '.join(cells)} |"


def table(comparison: Comparison, summary: dict[str, Any]) -> str:
    """A run as Markdown, with what its numbers rest on."""
    arms = summary["arms"]
    by_kernel = {one["kernel"]: one for one in summary["comparisons"]}
    completed, run = (sum(arm[key] for arm in arms) for key in ("completed_rounds", "rounds"))
    lines = [
        f"**{comparison.version}, {comparison.vcpus} vCPUs** ({summary['state']})",
        "",
        f"| {' | '.join(HEADINGS)} |",
        "|---" * len(HEADINGS) + "|",
        *(row(arm, by_kernel.get(arm["kernel"])) for arm in arms),
        "",
        f"{completed} of {run} rounds completed, {sum(arm['warm_up_rounds'] for arm in arms)} warm-up rounds apart; "
        f"{min(arm['boots'] for arm in arms)} to {max(arm['boots'] for arm in arms)} boots per arm; "
        f"{sum(arm['witness_disagreements'] for arm in arms)} disagreements of the witnesses, "
        f"{sum(arm['lost_records'] for arm in arms)} lost records, {sum(arm['unknown_kills'] for arm in arms)} kills of unknown class",
    ]
    return "\n".join(lines)


def findings(runs: Sequence[tuple[Comparison, dict[str, Any]]]) -> str:
    """How the verdicts fit what is known."""
    missed, pairs, unknown = [], Counter[str](), []
    known = found = 0
    for comparison, summary in runs:
        for one in summary["comparisons"]:
            where = f"{one['kernel']}, {comparison.vcpus} vCPUs: {one['verdict']}"
            expected = comparison.expected(one["kernel"])
            if one["is_null"]:
                pairs[one["verdict"]] += 1
            elif expected is None:
                unknown.append(where)
            else:
                known += 1
                found += one["verdict"] == expected
                if one["verdict"] != expected:
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
    parser.add_argument("--rounds", type=int, default=200, help="per arm")
    parser.add_argument("--boots", type=int, default=20, help="per arm")
    parser.add_argument("--only", metavar="TEXT", default="", help="runs whose name has this in it")
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    runs = []
    for version in VERSIONS:
        for vcpus in VCPUS:
            comparison = Comparison(version, vcpus)
            out = arguments.directory / comparison.name
            if arguments.only not in comparison.name:
                continue
            if not arguments.tables:
                argv = comparison.command(out, arguments.rounds, arguments.boots)
                done = subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
                if done.returncode:
                    return done.returncode
            if out.exists():
                runs.append((comparison, read_summary(out)))
                print(table(*runs[-1]), end="\n\n", flush=True)
    print(findings(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
