"""Faults: runs that are killed at random moments, resumed, and compared with an undisturbed run.

    python benchmarks/faults.py --injections 100

Every injection hits one moment of a real run, from the start of the interpreter to the last table: SIGINT, SIGTERM or
SIGKILL to the harness, or SIGKILL to QEMU. The run is then resumed, and hit again, until it is complete; then the next one
begins. What must hold is in `check_run` and `Watch`. Prints Markdown; exit code 1 when something does not hold. Seeded: the
same seed makes the same choices, though not the same moments.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil

from harness.collectors.files import edited_files
from harness.runs.record import RunRecord, RunStatus, read_run
from harness.system.locks import is_held
from harness.system.paths import cache_dir

PHASES = ("start-up", "no guest", "guest", "rounds")  # no guest: plans, between guests, tables; guest: it starts
KINDS = ("INT", "TERM", "KILL", "QEMU")
_SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
_EXIT_CODES = {"INT": {130}, "TERM": {130}, "KILL": {-9}, "QEMU": {0}}
_DEADLINE_S = 300.0
_DIES_S = 15.0  # what a harness may take to end its guests, and the kernel after it; or to end after a signal


@dataclass
class Injection:
    """One fault: what, when, and what the run was about."""

    kind: str
    after_s: float
    phase: str  # one of PHASES
    recovery_s: float = 0.0  # from the fault to the end of the harness; QEMU: not measured


@dataclass
class Outcome:
    """All of them, and what did not hold."""

    injections: list[Injection] = field(default_factory=list)
    runs: int = 0
    rounds: int = 0
    lost_rounds: int = 0  # of guests that were killed
    rerun_rounds: int = 0  # cut off with the harness, and run again
    violations: list[str] = field(default_factory=list)


class Watch:
    """What a run has started and made, to see that nothing of it is left."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch  # for the temporary files of the runs
        self.pids: set[int] = set()
        self.seen: dict[int, psutil.Process] = {}

    def look(self, pid: int) -> None:
        self.pids.add(pid)
        with contextlib.suppress(psutil.Error):
            self.seen |= {child.pid: child for child in psutil.Process(pid).children(recursive=True)}

    def processes(self) -> list[str]:
        """Those that are still there once they had the time to end; their ports end with them."""
        _, alive = psutil.wait_procs(list(self.seen.values()), timeout=_DIES_S)
        self.seen.clear()
        return [f"process {process.pid} ({_name(process)}) was left" for process in alive]

    def files(self) -> list[str]:
        """Those that no later run and no `doctor --clean` took away."""
        cache = cache_dir()
        left = [path for pid in self.pids for path in cache.glob(f"guests/guest-{pid}-*")]
        left += [
            path for pid in self.pids for path in (*cache.glob(f"*/.*.{pid}.tmp"), *cache.glob(f"*/*/.*.{pid}.tmp"))
        ]
        left += [path for path in cache.glob("snapshots/.new-*") if not is_held(path)]
        return [f"{path} was left" for path in (*left, *self.scratch.iterdir())]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "gone"


def _hear_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and so would what they start


def start(*arguments: object, log: Path) -> subprocess.Popen[bytes]:
    scratch = log.parent / "tmp"
    scratch.mkdir(exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_hear_sigint,
            env={**os.environ, "TMPDIR": str(scratch)},
        )


def phase_of(out: Path, pid: int) -> str:
    """What a run is about, from outside."""
    try:
        if not _hears_sigterm(pid):
            return "start-up"
        if any("qemu" in child.name() for child in psutil.Process(pid).children(recursive=True)):
            trials = sorted((out / "trials").glob("*/"), key=lambda path: path.stat().st_mtime)
            begun = trials and b'"round_start"' in (trials[-1] / "supervisor.jsonl").read_bytes()
            return "rounds" if begun else "guest"
    except (psutil.Error, OSError):
        pass
    return "no guest"


def _hears_sigterm(pid: int) -> bool:
    """Whether its handlers stand."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def inject(process: subprocess.Popen[bytes], kind: str, after_s: float, out: Path, watch: Watch) -> Injection | None:
    """Waits, then hits. None where the run was over by then; a guest that is to be hit is waited for."""
    begun = time.monotonic()
    while time.monotonic() < begun + after_s:
        watch.look(process.pid)
        if process.poll() is not None:
            return None
        time.sleep(0.02)
    try:
        if kind == "QEMU":
            target = _wait_for_guest(process)
            if target is None:
                return None
            phase = phase_of(out, process.pid)
            target.kill()
        else:
            phase = phase_of(out, process.pid)
            watch.look(process.pid)
            process.send_signal(_SIGNALS[kind])
    except psutil.NoSuchProcess:
        return None
    return Injection(kind, time.monotonic() - begun, phase)


def _wait_for_guest(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                if "qemu" in child.name() and "-m" in child.cmdline():  # and is not asked for its version
                    return child
        time.sleep(0.02)
    return None


def _is_locked(out: Path) -> bool:
    if not out.exists():
        return False
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_run(out: Path, guests_killed: int) -> list[str]:
    """What must hold of every complete run, however it was disturbed; `guests_killed`: each may have cost one round."""
    record = read_run(out)
    wrong = [] if record.state == RunStatus.COMPLETE else [f"its state is {record.state}"]
    tables = {path.stem: path.read_bytes() for path in (out / "tables").glob("*.parquet")}
    rounds, kills, trials = (pd.read_parquet(out / f"tables/{name}.parquet") for name in ("rounds", "kills", "trials"))
    wrong += _planned_once(record, rounds)
    lost = rounds[rounds["outcome"] != "completed"]
    if len(lost) > guests_killed:
        wrong.append(f"{len(lost)} rounds did not complete, {guests_killed} guests were killed")
    for row in rounds[rounds["witness_disagreement"].notna()].itertuples():
        wrong.append(f"witnesses disagree in {row.trial_id}/{row.round}: {row.witness_disagreement}")
    completed = rounds[rounds["outcome"] == "completed"]
    if not completed["witnesses_checked"].all():
        wrong.append("completed rounds lack a witness")
    if (completed["kmsg_kills"] < 1).any():
        wrong.append("completed rounds without a kill")
    key = ["trial_id", "round"]
    if kills.duplicated([*key, "order"]).any() or kills.duplicated([*key, "pid"]).any():
        wrong.append("a kill stands twice in the table")
    counted = kills.groupby(key).size().rename("rows")
    joined = rounds.set_index(key)["kmsg_kills"].to_frame().join(counted, how="outer").fillna(0)
    if (joined["rows"] != joined["kmsg_kills"]).any():
        wrong.append("kills stand in other rounds than they were counted in")
    wrong += [f"{trial} is not sealed" for trial in trials["trial_id"] if not _sealed(out / "trials" / trial)]
    wrong += [f"{path} was left" for path in out.rglob(".*")]
    subprocess.run([sys.executable, "-m", "harness", "tables", "rebuild", str(out)], check=True, capture_output=True)
    again = {path.stem: path.read_bytes() for path in (out / "tables").glob("*.parquet")}
    wrong += [f"table {name} is another when it is made anew" for name in tables if tables[name] != again.get(name)]
    return [f"{out.name}: {text}" for text in wrong]


def _sealed(trial: Path) -> bool:
    return (trial / "checksums.json").exists() and not edited_files(trial)


def _planned_once(record: RunRecord, rounds: pd.DataFrame) -> list[str]:
    """Each boot has as many counted rounds as were planned, and no number stands twice. A trial that goes on after a fault
    begins with warm-up rounds of its own, which take numbers too."""
    place = ["arm", "scenario", "boot"]
    planned = Counter({(b.arm, b.scenario, b.boot): 0 for b in record.blocks})
    for block in record.blocks:
        planned[block.arm, block.scenario, block.boot] += block.rounds
    counted = rounds[~rounds["warm_up"].astype(bool)]
    measured = Counter(zip(*(counted[name] for name in place), strict=True))
    missing, surplus = planned - measured, measured - planned
    twice = int(rounds.duplicated([*place, "round"]).sum())
    return (
        [f"{sum(missing.values())} rounds are missing: {sorted(missing)[:3]}"] * bool(missing)
        + [f"{sum(surplus.values())} rounds were not planned: {sorted(surplus)[:3]}"] * bool(surplus)
        + [f"{twice} rounds stand twice"] * bool(twice)
    )


@dataclass(frozen=True)
class Plan:
    """The runs that are disturbed."""

    kernels: tuple[str, ...]
    rounds: int
    boots: int
    place: Path

    def arguments(self) -> list[object]:
        kernels = [text for kernel in self.kernels for text in ("--kernel", kernel)]
        return ["run", *kernels, "--rounds", self.rounds, "--boots", self.boots]


def run_undisturbed(plan: Plan) -> tuple[Path, float]:
    """The run to compare with, and what it takes once the snapshots are there."""
    seconds = 0.0
    for name in ("warm-up", "undisturbed"):
        begun = time.monotonic()
        process = start(*plan.arguments(), "--out", plan.place / name, log=plan.place / f"{name}.log")
        if process.wait(_DEADLINE_S * 4):
            raise SystemExit(f"the run without faults failed: {plan.place / name}.log")
        seconds = time.monotonic() - begun
    return plan.place / "undisturbed", seconds


def disturb(plan: Plan, injections: int, seed: int, run_s: float) -> Outcome:
    """Makes runs and hits each until it is complete, so many times in all."""
    choose, outcome = random.Random(seed), Outcome()
    while len(outcome.injections) < injections:
        outcome.runs += 1
        out = plan.place / f"run-{outcome.runs:03d}"
        log, watch, hits = plan.place / f"{out.name}.log", Watch(plan.place / "tmp"), len(outcome.injections)
        while True:
            begun = (out / "run.json").exists()
            arguments = ["run", "--resume", out] if begun else [*plan.arguments(), "--out", out]
            process = start(*arguments, log=log)
            injection = None
            try:
                if len(outcome.injections) < injections:
                    killed = sum(hit.kind == "QEMU" for hit in outcome.injections[hits:])
                    # a block whose guests die four times is given up, which is not what is asked here
                    kind = choose.choice(KINDS if killed < 3 else KINDS[:3])
                    injection = inject(process, kind, choose.uniform(0, run_s), out, watch)
                hit_at = time.monotonic()
                status = process.wait(_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                outcome.violations.append(f"{out.name}: the harness has not ended after {_DEADLINE_S:.0f} s")
                break
            if injection is not None:
                injection.recovery_s = time.monotonic() - hit_at
                outcome.injections.append(injection)
                if injection.kind in _SIGNALS and injection.recovery_s > _DIES_S:
                    outcome.violations.append(
                        f"{out.name}: ended {injection.recovery_s:.1f} s after {injection.kind} in {injection.phase}, status {status}"
                    )
                if status not in _exit_codes(injection):
                    outcome.violations.append(
                        f"{out.name}: exit status {status} after {injection.kind} in {injection.phase}"
                    )
            elif status:
                outcome.violations.append(f"{out.name}: exit status {status} without a fault, see {log}")
                break
            outcome.violations += [f"{out.name}: {text}" for text in watch.processes()]
            if _is_locked(out):
                outcome.violations.append(f"{out.name}: is locked, and nobody writes to it")
            if (out / "run.json").exists() and read_run(out).state == RunStatus.COMPLETE:
                _account(outcome, out, sum(hit.kind == "QEMU" for hit in outcome.injections[hits:]))
                break
        subprocess.run([sys.executable, "-m", "harness", "doctor", "--clean"], check=True, capture_output=True)
        outcome.violations += [f"{out.name}: {text}" for text in watch.files()]
    return outcome


def _exit_codes(injection: Injection) -> set[int]:
    """Before its handlers stand, a signal ends the interpreter; one that comes last may come too late."""
    before = {-_SIGNALS[injection.kind], 1} if injection.phase == "start-up" and injection.kind in _SIGNALS else set()
    return _EXIT_CODES[injection.kind] | before | {0}


def _account(outcome: Outcome, out: Path, guests_killed: int) -> None:
    outcome.violations += check_run(out, guests_killed)
    rounds, trials = (pd.read_parquet(out / f"tables/{name}.parquet") for name in ("rounds", "trials"))
    outcome.rounds += int((~rounds["warm_up"].astype(bool)).sum())
    outcome.lost_rounds += int((rounds["outcome"] != "completed").sum())
    outcome.rerun_rounds += int(trials["rounds_begun"].sum()) - len(rounds)


def print_outcome(outcome: Outcome, undisturbed: Path, run_s: float) -> None:
    print(f"| fault | {' | '.join(PHASES)} | all | s until the harness had ended, median (maximum) |")
    print(f"|---|{'---|' * len(PHASES)}---|---|")
    for kind in KINDS:
        hits = [hit for hit in outcome.injections if hit.kind == kind]
        cells = [str(sum(hit.phase == phase for hit in hits)) for phase in PHASES]
        took = sorted(hit.recovery_s for hit in hits)
        times = f"{took[len(took) // 2]:.2f} ({took[-1]:.2f})" if took and kind != "QEMU" else ""
        name = "SIGKILL to QEMU" if kind == "QEMU" else f"SIG{kind} to the harness"
        print(f"| {name} | {' | '.join(cells)} | {len(hits)} | {times} |")
    kills = pd.read_parquet(undisturbed / "tables/kills.parquet")
    rounds = pd.read_parquet(undisturbed / "tables/rounds.parquet")
    print(
        f"\n{len(outcome.injections)} faults in {outcome.runs} runs, all complete in the end: {outcome.rounds} rounds"
        f" planned and found once each; {outcome.rerun_rounds} were cut off with the harness and run again,"
        f" {outcome.lost_rounds} were lost with their guest and are counted as lost."
        f"\nUndisturbed: {len(rounds)} rounds, {len(kills)} kills, {run_s:.1f} s."
    )
    print(f"\nNot held: {len(outcome.violations)}")
    for text in outcome.violations:
        print(f"- {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--injections", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kernel", action="append", help="spec; repeatable")
    parser.add_argument("--rounds", type=int, default=12, help="an arm")
    parser.add_argument("--boots", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keeps the runs there")
    given = parser.parse_args()
    kernels = tuple(given.kernel or ("source:6.1", "source:6.1+ignore-pending-victim"))
    with contextlib.ExitStack() as stack:
        place = given.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        place.mkdir(parents=True, exist_ok=True)
        plan = Plan(kernels, given.rounds, given.boots, place)
        undisturbed, run_s = run_undisturbed(plan)
        wrong = check_run(undisturbed, 0)
        outcome = disturb(plan, given.injections, given.seed, run_s)
        outcome.violations = wrong + outcome.violations
        print_outcome(outcome, undisturbed, run_s)
    raise SystemExit(bool(outcome.violations))


if __name__ == "__main__":
    main()
