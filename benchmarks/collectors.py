"""What observation costs, and where a run's time goes: `python benchmarks/collectors.py`.

1. Rounds with and without each thing that is recorded or read. One guest a boot, one collector (the shipped source, with a
   clock beside it: collectors.c), which leaves out something else every five rounds; the first of the five is not counted.
   Every guest boots cold.
2. A run of two arms as anybody would make it, by part: wall time, and CPU time of the harness itself. Guests go on from
   snapshots where there are some; the first time there are none.

Intervals are 95 %, by bootstrap over boots. The machine should have nothing else to do. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from harness.collectors.events import HogEnd, RoundEnd, RoundStart, read_supervisor
from harness.collectors.files import EvidenceWriter, read_trial
from harness.containers.images import Image
from harness.errors import GuestError
from harness.experiment.artifacts import Artifacts
from harness.experiment.experiment import Experiment
from harness.experiment.request import Request
from harness.experiment.trial import run_trial
from harness.experiment.workload import TrialJob
from harness.guest.machine import Guest, GuestConfig
from harness.progress import Reporter
from harness.spec.arm import name_arms
from harness.spec.scenarios import load_scenario
from harness.system.paths import content_key

SOURCE = Path(__file__).with_suffix(".c")
MODES = (
    "nothing", "the probes that explain a kill", "the probes", "reading the trace", "reading the kernel log",
    "reading memcg files", "all of it",
)  # fmt: skip
PARTS = {
    "begin": "collector: begin",
    "fork": "hogs forked and ready",
    "armed": "collector: memcg files, trace on, marker",
    "in_round": "the round itself",
    "end": "collector: marker, memcg files, kernel log, trace",
    "reap": "survivors killed and reaped, ends of hogs written",
    "clean": "collector: usage back at its baseline",
}
TURN = 5  # rounds in one mode, one after the other
_RESAMPLES = 4000


class Cost(msgspec.Struct, frozen=True):
    """One round, as benchmarks/collectors.c saw it; times in microseconds, CPU time unless they say wall."""

    round: int
    mode: int
    wall_us: int  # from its begin to the next one's
    workload_us: int  # of the container under test in that time
    workload_in_round_us: int  # from the start marker to the end marker
    engine_us: int  # of dockerd, containerd and their shims
    engine_in_round_us: int
    collector_us: int
    begin_us: int  # of these, by the supervisor's request
    armed_us: int
    end_us: int
    clean_us: int
    begin_wall_us: int  # how long the supervisor waited for it
    armed_wall_us: int
    end_wall_us: int
    clean_wall_us: int
    fork_wall_us: int  # from the reply to begin until all hogs are there
    reap_wall_us: int  # from the reply to end until the survivors are dead and the hogs' ends written


def build_collector(image: Image, place: Path) -> Image:
    """The collector's image with its measured build.

    Raises CalledProcessError when collectors.c no longer fits workloads/collector.
    """
    binary = place / image.binary.name
    flags = ["-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror", f"-DTURN={TURN}"]
    subprocess.run(["musl-gcc", *flags, "-o", str(binary), str(SOURCE)], check=True)
    return dataclasses.replace(image, binary=binary, key=content_key(binary.read_bytes(), *image.changes))


@dataclass(frozen=True)
class Bench:
    """What both tables are of."""

    kernel: str
    scenario: str
    vcpus: int
    place: Path

    def request(self, rounds: int, boots: int, arms: int = 1, name: str = "none") -> Request:
        out = self.place / name
        return Request(name_arms([self.kernel] * arms), (self.scenario,), rounds, boots, 1, out=out, vcpus=self.vcpus)


def run_boot(bench: Bench, prepared: Artifacts, boot: int, turns: int) -> pd.DataFrame:
    """The counted rounds of one boot, each mode as often as any other. Boot by boot another mode comes first."""
    directory, kernel = bench.place / f"boot-{boot}", prepared.kernels[bench.kernel]
    first = TURN * ((boot - 1) % len(MODES)) + 1
    count = TURN * turns * len(MODES)
    # one more: the cost of a round is told when the next one begins
    job = TrialJob(prepared.images, load_scenario(bench.scenario), f"costs{boot}", first, count + 1, "all")
    config = GuestConfig(
        kernel=Path(kernel.image),
        initrd=Path(kernel.initrd) if kernel.initrd else None,
        rootfs=prepared.rootfs,
        accel=prepared.accel,
        vcpus=bench.vcpus,
        memory_mib=2048,
        console=bench.place / "console.log",
        api_deadline_s=600,
    )
    with Guest(config) as guest, EvidenceWriter(directory) as evidence:
        end = run_trial(guest.docker, job, evidence, lambda _: None)
    if end.outcome != "completed":
        raise GuestError(f"{end.outcome}, {end.reason}")
    return read_rounds(directory).assign(boot=boot)


def read_rounds(directory: Path) -> pd.DataFrame:
    """Cost and course of each counted round, times in milliseconds."""
    costs, starts, lasted, kills = {}, {}, {}, dict[int, int]()
    for line in (directory / "collector.jsonl").read_bytes().splitlines():
        if line.startswith(b'{"event":"cost"'):
            cost = msgspec.json.decode(line, type=Cost)
            costs[cost.round] = cost
    for event in read_supervisor((directory / "supervisor.jsonl").read_text().splitlines()):
        match event:
            case RoundStart():
                starts[event.round] = event.time_ns
            case RoundEnd():
                lasted[event.round] = event.time_ns - starts[event.round]
            case HogEnd() if event.dead and event.signal == 9 and not event.cleanup:
                kills[event.round] = kills.get(event.round, 0) + 1
            case _:
                pass
    rows = [
        {name.removesuffix("_us"): value / 1000 for name, value in msgspec.structs.asdict(cost).items()}
        | {"round": number, "mode": cost.mode, "in_round_wall": lasted[number] / 1e6, "kills": kills.get(number, 0)}
        for number, cost in costs.items()
        if number % TURN != 1  # the round after a change of mode
    ]
    return pd.DataFrame(rows)


class Figures:
    """Figures of a mode with their intervals: of each boot the median (wall time) or the mean (CPU time) of its rounds, of
    all boots the mean."""

    def __init__(self, rounds: pd.DataFrame) -> None:
        grouped = rounds.groupby(["mode", "boot"])
        self._boots = {"median": grouped.median(), "mean": grouped.mean()}
        boots = rounds["boot"].nunique()
        self._picks = np.random.default_rng(1).integers(0, boots, (_RESAMPLES, boots))

    def _of_boots(self, mode: int, column: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        kind = "median" if column.endswith("wall") else "mean"
        return self._boots[kind].loc[mode][column].to_numpy(float)

    def mean(self, mode: int, column: str) -> float:
        return float(self._of_boots(mode, column).mean())

    def text(self, mode: int, *columns: str) -> str:
        """The sum of columns, in ms."""
        values = sum(self._of_boots(mode, column) for column in columns)
        low, high = np.percentile(values[self._picks].mean(axis=1), [2.5, 97.5])
        return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"

    def ratio(self, mode: int, column: str) -> str:
        """Against nothing left out, boot by boot."""
        values, base = self._of_boots(mode, column), self._of_boots(0, column)
        low, high = np.percentile(values[self._picks].mean(axis=1) / base[self._picks].mean(axis=1), [2.5, 97.5])
        return f"{values.mean() / base.mean():.3f} ({low:.3f} to {high:.3f})"


def print_costs(rounds: pd.DataFrame) -> None:
    """Three tables: wall time by mode, CPU time by mode, and the collector's by request with nothing left out."""
    figures = Figures(rounds)
    waits = ("begin_wall", "armed_wall", "end_wall", "clean_wall")
    print(
        "| left out | rounds | the round, ms | ratio to nothing left out | from round to round, ms | ratio to nothing left out",
        end="",
    )
    print(" | in it, waiting for the collector, ms | rounds with a second kill |\n|---|---|---|---|---|---|---|---|")
    for mode, name in enumerate(MODES):
        of_mode = rounds[rounds["mode"] == mode]
        cells = [name, str(len(of_mode)), figures.text(mode, "in_round_wall"), figures.ratio(mode, "in_round_wall")]
        cells += [figures.text(mode, "wall"), figures.ratio(mode, "wall"), figures.text(mode, *waits)]
        print("| " + " | ".join([*cells, str(int((of_mode["kills"] > 1).sum()))]) + " |")
    print(
        "\n| left out | collector, CPU ms per round | engine | of that in the round | workload | of that in the round |"
    )
    print("|---|---|---|---|---|---|")
    columns = ("collector", "engine", "engine_in_round", "workload", "workload_in_round")
    for mode, name in enumerate(MODES):
        print("| " + " | ".join([name, *(figures.text(mode, column) for column in columns)]) + " |")
    whole = sum(figures.mean(0, column) for column in ("collector", "engine", "workload"))
    shares = [
        f"{100 * figures.mean(0, column) / whole:.1f} % {column}" for column in ("collector", "engine", "workload")
    ]
    print(f"\nOf their CPU time with nothing left out: {', '.join(shares)}.\n")
    print("| part of a round, nothing left out | ms | CPU ms of the collector |\n|---|---|---|")
    for name, description in PARTS.items():
        own = figures.text(0, name) if name in ("begin", "armed", "end", "clean") else ""
        print(f"| {description} | {figures.text(0, f'{name}_wall')} | {own} |")


def costs(bench: Bench, boots: int, turns: int, keep: Path | None) -> None:
    """The first table and those with it."""
    with Reporter() as progress:
        experiment = Experiment(bench.request(1, 1), progress)
        experiment.check()
        prepared = experiment.prepare()
        measured = build_collector(prepared.images["collector"], bench.place)
        prepared = dataclasses.replace(prepared, images=prepared.images | {"collector": measured})
        frames, failed = [], 0
        for boot in range(1, boots + 1):
            progress.say(f"boot {boot} of {boots}")
            try:
                frames.append(run_boot(bench, prepared, boot, turns))
            except GuestError as error:
                failed += 1
                progress.say(f"boot {boot} is left out: {error.what}")
        if not frames:
            raise SystemExit("no boot came to its end")
        experiment.close()
    rounds = pd.concat(frames)
    if keep:
        rounds.to_csv(keep, index=False)
    print(
        f"{bench.scenario}, {bench.kernel}, {bench.vcpus} vCPUs on {os.cpu_count()} cores, {prepared.accel};", end=" "
    )
    print(f"{len(frames)} boots ({failed} more failed), {len(rounds)} rounds counted\n")
    print_costs(rounds)


@dataclass
class Parts:
    """Wall and CPU time by part, each without the parts within it."""

    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    within_s: dict[str, float] = field(default_factory=dict)  # of the parts within a part
    _stack: list[str] = field(default_factory=list)
    _then: tuple[float, float] = (0.0, 0.0)

    def _charge(self) -> None:
        now = time.perf_counter(), time.process_time()
        if self._stack:
            part = self._stack[-1]
            self.wall_s[part] = self.wall_s.get(part, 0.0) + now[0] - self._then[0]
            self.cpu_s[part] = self.cpu_s.get(part, 0.0) + now[1] - self._then[1]
            for outer in self._stack[:-1]:
                self.within_s[outer] = self.within_s.get(outer, 0.0) + now[0] - self._then[0]
        self._then = now

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._charge()
        self._stack.append(name)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        """Charges every call of a function to a part, from now on."""
        wrapped: Callable[..., Any] = getattr(owner, attribute)

        @functools.wraps(wrapped)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return wrapped(*args, **kwargs)

        setattr(owner, attribute, timed)


def profile(bench: Bench, boots: int, rounds: int) -> None:
    """The second table: stock against stock, `boots` boots an arm, `rounds` rounds a boot."""
    from harness.experiment import block as blockrun
    from harness.experiment import experiment
    from harness.experiment import guests as trialguests
    from harness.experiment.driver import run_experiment
    from harness.report.terminal import print_summary
    from harness.runs.tables import summarize

    started = time.perf_counter()
    modules = "harness.cli, harness.experiment.experiment, harness.runs.tables, harness.report.terminal, harness.experiment.dask"
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
    imports_s = time.perf_counter() - started

    parts = Parts()
    parts.watch(Experiment, "check", "plan: what is asked for, keys of the content")
    parts.watch(Experiment, "prepare", "prepare: kernel, root, images from the cache")
    parts.watch(Guest, "start", "guests: start")
    parts.watch(Guest, "save", "guests: snapshots saved")
    parts.watch(Guest, "stop", "guests: stop")
    parts.watch(trialguests, "prepare_engine", "images and collector into a new guest")
    parts.watch(blockrun, "run_trial", "trials")
    for module, name in ((blockrun, "seal"), (blockrun, "write_trial"), (experiment, "write_run")):
        parts.watch(module, name, "records and seals")
    parts.watch(experiment, "rebuild_tables", "parse and tables")
    request = bench.request(boots * rounds, boots, arms=2, name="run")
    with parts.part("everything else"), Reporter() as progress:
        run_experiment(Experiment(request, progress))
        assert request.out is not None
        with parts.part("summary"):
            print_summary(progress.console, summarize(request.out))
    trials = [path for path in request.out.glob("trials/*") if path.is_dir()]
    records = [read_trial(path) for path in trials]
    in_rounds_s = 0.0
    for path in trials:
        for event in read_supervisor((path / "supervisor.jsonl").read_text().splitlines()):
            if isinstance(event, RoundStart | RoundEnd):
                in_rounds_s += event.time_ns / 1e9 * (1 if isinstance(event, RoundEnd) else -1)
    containers_s, rounds_s = (
        sum(record.containers_start_s for record in records),
        sum(record.rounds_s for record in records),
    )
    trials_s = parts.wall_s.pop("trials")
    # a cold guest's second snapshot is made between the start of its containers and the first round
    own_containers_s = containers_s - parts.within_s.get("trials", 0.0)
    parts.wall_s = {
        "interpreter and imports": imports_s,
        **parts.wall_s,
        "containers: start, or found in the guest": own_containers_s,
        "rounds": in_rounds_s,
        "around the rounds: forks, evidence, clean-up": rounds_s - in_rounds_s,
        "last lines of a trial": trials_s - own_containers_s - rounds_s,
    }
    whole_s = sum(parts.wall_s.values())
    cold = sum(record.started == "cold" for record in records)
    counted = sum(record.rounds_begun for record in records)
    print(f"\n{counted} rounds in {len(records)} trials ({cold} booted cold), {whole_s:.1f} s:\n")
    print("| part | s | share | s a trial | CPU s of the harness |\n|---|---|---|---|---|")
    of_trials = parts.cpu_s["trials"]
    for name, seconds in sorted(parts.wall_s.items(), key=lambda item: -item[1]):
        cpu = "" if name not in parts.cpu_s else f"{parts.cpu_s[name]:.2f}"
        print(f"| {name} | {seconds:.2f} | {100 * seconds / whole_s:.1f} % | {seconds / len(records):.2f} | {cpu} |")
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"\nWhile trials ran the harness took {of_trials:.2f} s of CPU, {1000 * of_trials / counted:.1f} ms a round; QEMU and"
        f" other children took {children.ru_utime + children.ru_stime:.1f} s in all."
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="source:6.1")
    parser.add_argument("--scenario", default="one-big-many-small")
    parser.add_argument("--vcpus", type=int, default=4)
    parser.add_argument("--boots", type=int, default=8, help="of the first table; 0: without it")
    parser.add_argument("--turns", type=int, default=2, help="of each mode in each boot, five rounds long")
    parser.add_argument("--csv", type=Path, help="keeps the rounds of the first table there")
    parser.add_argument("--run-boots", type=int, default=4, help="an arm of the run; 0: without the second table")
    parser.add_argument("--run-rounds", type=int, default=25, help="of the run, a boot")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oomtrial-bench-") as place:
        bench = Bench(given.kernel, given.scenario, given.vcpus, Path(place))
        if given.boots:
            costs(bench, given.boots, given.turns, given.csv)
        if given.run_boots:
            profile(bench, given.run_boots, given.run_rounds)


if __name__ == "__main__":
    main()
