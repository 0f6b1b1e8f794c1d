"""Guests and rounds against what one would do instead, each as a ratio in one run: `python benchmarks/guests.py`.

1. A guest that is ready: its Docker API answers, from a snapshot and from a cold boot, against virtme-ng booting the same
   kernel to a shell (`--virtme PATH-OF-VNG`; `pip install virtme-ng`; without it that line is left out).
2. Rounds a minute, everything included, against a shell loop of `docker run` in the same guest, and against a boot a test.
3. A verdict: stock against `ignore-pending-victim` until it is decided, against the same rounds at a boot a test.

The machine should have nothing else to do. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.summary import Summary
from harness.errors import INTERRUPTED
from harness.runs.tables import summarize

CONFIG = Path(__file__).with_name("virtme.config")
CHROOT = ["/host/usr/bin/busybox", "chroot", "/host", "/bin/sh", "-c"]
# One hog of 40 MB under a limit of 30 MB: less work than a round of oomtrial, in a container of its own.
LOOP = """
i=0
while [ $i -lt {rounds} ]; do
    docker run --rm --network none --memory 30m --memory-swap 30m {image} vm bytes=41943040 >/dev/null 2>&1
    [ $? = 137 ] || exit 1
    i=$((i + 1))
done
"""


@dataclass(frozen=True)
class Ran:
    """A run, as it ended."""

    summary: Summary
    wall_s: float
    guest_start_s: list[float]  # of each trial


class Machine:
    """One kernel, its guests, and what a run of oomtrial needs."""

    def __init__(self, spec: str, vcpus: int, place: Path) -> None:
        from harness.experiment.experiment import Experiment
        from harness.experiment.request import Request
        from harness.progress import Reporter
        from harness.spec.arm import name_arms

        self.spec, self.vcpus, self.place = spec, vcpus, place
        request = Request(
            name_arms([spec]), ("one-big-many-small",), 1, 1, 1, out=place / "none", vcpus=vcpus, config=(CONFIG,)
        )
        with Reporter() as progress:
            experiment = Experiment(request, progress)
            experiment.check()
            self.prepared = experiment.prepare()
        self.kernel = self.prepared.kernels[spec]

    def guest(self) -> Any:
        from harness.guest.machine import Guest, GuestConfig

        config = GuestConfig(
            kernel=Path(self.kernel.image),
            rootfs=self.prepared.rootfs,
            accel=self.prepared.accel,
            vcpus=self.vcpus,
            memory_mib=2048,
            console=self.place / "console.log",
        )
        return Guest(config)

    def run(self, *arguments: str) -> Ran:
        """`oomtrial run` with these arguments. Ends the benchmark when it fails."""
        out = Path(tempfile.mkdtemp(dir=self.place)) / "run"
        argv = [sys.executable, "-m", "harness", "run", "--config", str(CONFIG), "--vcpus", str(self.vcpus)]
        # Ctrl-C is for the run meanwhile, which clears up after itself; it does not inherit this.
        handler = signal.signal(signal.SIGINT, lambda *_: None)
        started = time.monotonic()
        try:
            done = subprocess.run([*argv, "--out", str(out), *arguments], check=False, stdout=subprocess.DEVNULL)
        finally:
            signal.signal(signal.SIGINT, handler)
        wall_s = time.monotonic() - started
        if done.returncode:
            sys.exit(done.returncode)
        starts = [json.loads(path.read_text())["guest_start_s"] for path in out.glob("trials/*/trial.json")]
        return Ran(summarize(out), wall_s, starts)


@contextlib.contextmanager
def running(machine: Machine) -> Iterator[tuple[Any, float]]:
    """A guest that was booted cold, and the seconds that took."""
    started = time.monotonic()
    with machine.guest() as guest:
        yield guest, time.monotonic() - started


def virtme_s(vng: str, machine: Machine) -> float:
    """Seconds until virtme-ng has run `true` in a shell of the same kernel, and ended."""
    argv = [vng, "--run", machine.kernel.image, "--cpus", str(machine.vcpus), "--memory", "2G", "--force-9p"]
    if machine.prepared.accel == "tcg":
        argv.append("--disable-kvm")
    started = time.monotonic()
    # It wants a terminal; script(1) is one.
    command = " ".join([*argv, "--exec", "true"])
    # vng finds virtme-run by PATH, also where it was called by its own.
    env = os.environ | {"PATH": f"{Path(vng).resolve().parent}:{os.environ['PATH']}"}
    subprocess.run(
        ["script", "-qec", command, "/dev/null"], check=True, stdout=subprocess.DEVNULL, timeout=300, env=env
    )
    return time.monotonic() - started


def docker_loop_s(machine: Machine, rounds: int) -> float:
    """Seconds a turn of the loop, in a shell of the guest."""
    from docker.types import LogConfig

    from harness.containers.images import load_image

    with running(machine) as (guest, _):
        image = load_image(guest.docker, machine.prepared.images["hog"])
        seconds = []
        for count in (1, rounds):  # the first warms up
            started = time.monotonic()
            guest.docker.containers.run(
                image,
                entrypoint=CHROOT,
                command=[LOOP.format(rounds=count, image=image)],
                privileged=True,
                network_mode="none",
                volumes={"/": {"bind": "/host", "mode": "rw"}, "/run": {"bind": "/host/run", "mode": "rw"}},
                log_config=LogConfig(type=LogConfig.types.JSON),
                remove=True,
            )
            seconds.append(time.monotonic() - started)
        return seconds[-1] / rounds


def boot_a_test_s(machine: Machine) -> float:
    """Seconds for one round in a guest of its own."""
    from harness.collectors.files import EvidenceWriter
    from harness.experiment.trial import run_trial
    from harness.experiment.workload import TrialJob
    from harness.spec.scenarios import load_scenario

    directory = Path(tempfile.mkdtemp(dir=machine.place))
    job = TrialJob(machine.prepared.images, load_scenario("one-big-many-small"), "bench", 1, 1, "all")
    started = time.monotonic()
    with running(machine) as (guest, _), EvidenceWriter(directory) as evidence:
        end = run_trial(guest.docker, job, evidence, lambda _: None)
    assert end.outcome == "completed", end.reason
    return time.monotonic() - started


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="source:6.1")
    parser.add_argument("--vcpus", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5, help="of what takes seconds; medians are printed")
    parser.add_argument("--virtme", metavar="VNG", help="the program of virtme-ng")
    arguments = parser.parse_args()
    repeat = arguments.repeat

    def row(label: str, value: str, ratio: float | None = None) -> None:
        print(f"| {label} | {value} | {'' if ratio is None else f'{ratio:.2g}'} |", flush=True)

    with tempfile.TemporaryDirectory(prefix="oomtrial-bench-") as place:
        machine = Machine(arguments.kernel, arguments.vcpus, Path(place))
        patched = f"{arguments.kernel}+ignore-pending-victim"
        options = ("--kernel", arguments.kernel, "--rounds", str(arguments.rounds), "--boots", "1")
        machine.run(*options)  # leaves the snapshots
        print(f"{arguments.kernel}, {arguments.vcpus} vCPUs on {os.cpu_count()} cores, {machine.prepared.accel}\n")
        print("| what | figure | ratio |\n|---|---|---|")

        colds = []
        for _ in range(repeat):
            with running(machine) as (_, seconds):
                colds.append(seconds)
        cold_s = statistics.median(colds)
        warm_s = statistics.median(
            s for _ in range(repeat) for s in machine.run(*options[:2], "--rounds", "1", "--boots", "1").guest_start_s
        )
        if arguments.virtme:
            other_s = statistics.median(virtme_s(arguments.virtme, machine) for _ in range(repeat))
            row("virtme-ng, to a shell and out", f"{other_s:.1f} s", 1)
        else:
            other_s = None
        row("guest from a snapshot, containers started", f"{warm_s:.1f} s", other_s and warm_s / other_s)
        row("guest from a cold boot, Docker answers", f"{cold_s:.1f} s", other_s and cold_s / other_s)

        minute = 60 * arguments.rounds / machine.run(*options).wall_s
        loop_minute = 60 / docker_loop_s(machine, 20)
        test_s = statistics.median(boot_a_test_s(machine) for _ in range(3))
        row("rounds per minute, oomtrial run", f"{minute:.0f}", 1)
        row("kills a minute, loop of docker run in the guest", f"{loop_minute:.1f}", loop_minute / minute)
        row("rounds per minute, one boot per test", f"{60 / test_s:.1f}", 60 / test_s / minute)

        kernels = ("--kernel", arguments.kernel, "--kernel", patched)
        most = ("--rounds", "200", "--boots", "25", "--until-decided")
        machine.run(*kernels, *most)  # builds, and leaves the snapshots
        ran = machine.run(*kernels, *most)
        (verdict,) = {comparison.verdict for comparison in ran.summary.comparisons}
        rounds = sum(arm.completed_rounds for arm in ran.summary.arms)
        row(f"until decided ({verdict}, {rounds} rounds)", f"{ran.wall_s:.0f} s", 1)
        row("as many rounds, one boot per test", f"{rounds * test_s:.0f} s", rounds * test_s / ran.wall_s)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
