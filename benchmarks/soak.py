"""Soak: many rounds in one go, and whether anything grows: `python benchmarks/soak.py --rounds 2000`.

Samples the harness's memory, descriptors and threads, the guest's memory as QEMU holds it, and the disk that a guest's
private directory takes; then asks the tables whether rounds got slower. Prints Markdown, the first tenth of the samples
against the last. Run it by itself: about 15 minutes under emulation.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from harness.kernels.inventory import disk_bytes
from harness.system.paths import cache_dir

_EVERY_S = 2.0


@dataclass(frozen=True)
class Sample:
    """At one moment of the rounds."""

    rss_mib: float
    descriptors: int
    threads: int
    guest_rss_mib: float  # of QEMU: what the guest has ever touched
    private_mib: float  # on the disk, of the guest
    evidence_mib: float


def sample(process: psutil.Process, out: Path) -> Sample | None:
    with contextlib.suppress(psutil.Error):
        guests = [child for child in process.children(recursive=True) if "qemu" in child.name()]
        if not guests:
            return None
        private = cache_dir().glob(f"guests/guest-{process.pid}-*")
        return Sample(
            process.memory_info().rss / (1 << 20),
            process.num_fds(),
            process.num_threads(),
            guests[0].memory_info().rss / (1 << 20),
            sum(disk_bytes(path) for path in private) / (1 << 20),
            disk_bytes(out) / (1 << 20),
        )
    return None


def run(kernel: str, rounds: int, boots: int, out: Path) -> list[Sample]:
    """The samples of a run."""
    argv = [sys.executable, "-m", "harness", "run", "--kernel", kernel]
    argv += ["--rounds", str(rounds), "--boots", str(boots), "--out", str(out)]
    with Path(f"{out}.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        samples = []
        while process.poll() is None:
            samples += [latest] if (latest := sample(psutil.Process(process.pid), out)) else []
            time.sleep(_EVERY_S)
    if process.returncode:
        raise SystemExit(f"the run failed: {out}.log")
    return samples


def print_samples(samples: list[Sample]) -> None:
    tenth = max(1, len(samples) // 10)
    print(f"| {len(samples)} samples | first tenth | last tenth | maximum |")
    print("|---|---|---|---|")
    for field, name in (
        ("rss_mib", "harness, MiB resident"),
        ("descriptors", "harness, open descriptors"),
        ("threads", "harness, threads"),
        ("guest_rss_mib", "QEMU, MiB resident"),
        ("private_mib", "private directory of the guest, MiB"),
        ("evidence_mib", "evidence, MiB"),
    ):
        values = [float(getattr(moment, field)) for moment in samples]
        first, last = statistics.median(values[:tenth]), statistics.median(values[-tenth:])
        print(f"| {name} | {first:.1f} | {last:.1f} | {max(values):.1f} |")


def print_drift(out: Path) -> None:
    """Round time by round number, within a trial: what a leak in the guest would show."""
    rounds = pd.read_parquet(out / "tables/rounds.parquet")
    trials = pd.read_parquet(out / "tables/trials.parquet")
    completed = rounds[rounds["outcome"] == "completed"]
    ms = completed["duration_us"].to_numpy(float) / 1000
    numbers = completed["round"].to_numpy(float)
    slope, _ = np.polyfit(numbers, ms, 1)
    quarter = max(1, len(ms) // 4)
    first, last = np.median(ms[:quarter]), np.median(ms[-quarter:])
    whole_s = float(trials["rounds_s"].sum())
    print(
        f"\n{len(rounds)} rounds, {len(completed)} completed, in {len(trials)} trials; {whole_s / len(rounds):.3f} s a round."
    )
    print(
        f"The workload of a round: median {np.median(ms):.0f} ms, {first:.0f} in the first quarter, {last:.0f} in the last;"
        f" {slope * 1000:+.1f} ms in 1,000 rounds."
    )
    for column in ("lost_kmsg_records", "lost_trace_events", "missed_probes"):
        print(f"{column}: {int(rounds[column].sum())}")
    print(f"baseline not clean: {int((rounds['baseline_clean'] == False).sum())}")  # noqa: E712


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="source:6.1")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--boots", type=int, default=1, help="1: all of them in one guest")
    parser.add_argument("--out", type=Path, help="keeps the run there")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        out = given.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))) / "run"
        samples = run(given.kernel, given.rounds, given.boots, out)
        print_samples(samples)
        print_drift(out)


if __name__ == "__main__":
    main()
