"""Load, classify, compare and report a large run: `python benchmarks/analysis.py [--rounds N] [--kills N]`.

The run is made up, as tables: two arms, eight boots each, the asked-for kills spread over the rounds. Its scenario is
equal-hogs' shape with more processes. Prints a Markdown table; memory is the peak of the process that does each step.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import pandas as pd

ARMS, BOOTS = ("source:6.1", "source:6.1+wait-for-victim"), 8


def scenario_text(kills: int) -> str:
    """A scenario in which one kill less than that is needed."""
    return f"""summary = "made up"
memory_max = "32M"
hogs = [{{ name = "hog", count = {kills + 8}, size = "3M" }}]
"""


def make_tables(rounds: int, kills: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rounds of all arms and boots, and their kills, not classified."""
    from harness.tables.schema import KILLS, ROUNDS

    random, round_rows, kill_rows, per_round = np.random.default_rng(1), [], [], kills // rounds
    for number in range(rounds):
        arm, boot = ARMS[number % 2], number // 2 % BOOTS + 1
        where = {
            "arm": arm,
            "scenario": "made-up",
            "trial_id": f"{(boot - 1) * 2 + number % 2 + 1:03d}-1",
            "boot": boot,
            "round": number // (2 * BOOTS) + 1,
        }
        round_rows.append(
            where
            | {"boot_id": f"{arm}-{boot}", "outcome": "completed", "hogs": per_round + 8, "kmsg_kills": per_round}
            | {
                "oom_kill": per_round,
                "trace_marks": per_round,
                "supervisor_kills": per_round,
                "witnesses_checked": True,
            }
            | {"lost_kmsg_records": 0, "lost_trace_events": 0, "missed_probes": 0, "trouble_lines": 0}
            | {"memory_events_oom": per_round + 3, "duration_us": int(random.integers(100_000, 400_000))}
        )
        decided = np.cumsum(random.integers(5_000, 20_000, size=per_round))
        for order in range(per_round):
            marked = int(decided[order]) + 2_000
            late = number % 2 == 0 and random.random() < 0.05
            kill_rows.append(
                where
                | {"order": order + 1, "pid": 1000 + order, "comm": f"hog.{order}", "hog": order, "domain": "0x1"}
                | {"demand_bytes": 3 << 20, "decider_pid": 2000 + order, "decision_time_us": int(decided[order])}
                | {"mark_time_us": marked, "release_time_us": marked + (30_000 if late else 1_000)}
            )
    return ROUNDS.frame(round_rows), KILLS.frame(kill_rows)


def write_run(directory: Path, rounds: int, kills: int) -> None:
    """A run directory with tables alone."""
    from harness.kernels.kernel import Kernel
    from harness.runs.record import HostRecord, PlannedBlock, RunRecord, ScenarioRecord, write_run
    from harness.spec.arm import name_arms
    from harness.tables.schema import TABLES
    from harness.tables.store import save_tables

    tables = make_tables(rounds, kills)
    frames = {table.name: table.frame([]) for table in TABLES} | {"rounds": tables[0], "kills": tables[1]}
    directory.mkdir(parents=True, exist_ok=True)
    per_boot = rounds // len(ARMS) // BOOTS
    blocks = [
        PlannedBlock(number * 2 + side + 1, arm, "made-up", number + 1, per_boot)
        for number in range(BOOTS)
        for side, arm in enumerate(ARMS)
    ]
    kernels = [
        Kernel(
            spec=arm,
            key=arm,
            image="",
            source="",
            patches={"p": "1"} if side else {},
            config_key="",
            compiler="",
            config_not_taken=[],
        )
        for side, arm in enumerate(ARMS)
    ]
    record = RunRecord(
        format=2, run_id="made-up", state="complete", oomtrial="", command=["oomtrial", "run"], seed=1, rounds=rounds,
        boots=BOOTS, scenarios=[ScenarioRecord("made-up", "1", scenario_text(kills // rounds))], kernels=kernels, images={},
        rootfs="", vcpus=4, memory_mib=2048, accel="tcg", accel_reason="", host=HostRecord(2, "", ""), blocks=blocks,
        arms=list(name_arms(ARMS, "all")),
    )  # fmt: skip
    write_run(directory, record)
    save_tables(directory / "tables", frames)


def classify(directory: Path) -> None:
    """Tables are read, and each kill gets its class anew."""
    from harness.analysis.redundancy import classify
    from harness.runs.record import read_run
    from harness.spec.scenarios import decode
    from harness.tables.store import load_tables, save_tables

    scenarios = {scenario.name: decode(scenario.name, scenario.text) for scenario in read_run(directory).scenarios}
    tables = load_tables(directory / "tables")
    tables["kills"] = classify(tables["kills"], tables["rounds"], scenarios)
    save_tables(directory / "tables", tables)


def compare(directory: Path) -> None:
    """What `oomtrial compare` does."""
    from harness.runs.summary import summarize_runs

    print(summarize_runs([directory], None).comparisons[0].because, file=sys.stderr)


def report(directory: Path) -> None:
    """What `oomtrial report` does."""
    from click.testing import CliRunner

    from harness.cli import cli

    result = CliRunner().invoke(cli, ["report", str(directory)])
    assert result.exit_code == 0, result.output


def _measured(step: Callable[[Path], None], directory: Path, results: SimpleQueue[tuple[float, float]]) -> None:
    started = time.monotonic()
    step(directory)
    results.put((time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100_000)
    arguments = parser.parse_args()
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        write_run(directory, arguments.rounds, arguments.kills)
        print(f"{arguments.rounds} rounds, {arguments.kills} kills\n\n| step | s | peak MB |\n|---|---|---|")
        total = 0.0
        for step in (classify, compare, report):
            results = context.SimpleQueue()
            process = context.Process(target=_measured, args=(step, directory, results))
            process.start()
            seconds, peak_mb = results.get()
            process.join()
            total += seconds
            print(f"| {step.__name__} | {seconds:.1f} | {peak_mb:.0f} |", flush=True)
        print(f"| together | {total:.1f} | |")


if __name__ == "__main__":
    main()
