"""The one composition root: from a request to a run on disk. The command line and the tests are thin over it."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import psutil

from harness import __version__
from harness.analysis.rates import MIN_BOOTS
from harness.blockwork import BlockJob, run_all
from harness.collectors.evidence import CONSOLE_FILE, HOST_STARTED, EvidenceWriter, TrialRecord, seal, write_trial
from harness.collectors.trial import REFUSED, TrialEnd, TrialJob, prepare_engine, run_trial
from harness.containers.images import NAMES, Image, plan_image
from harness.errors import GuestError, HostError, UsageError
from harness.guest.accel import choose_accel, qemu_version
from harness.guest.machine import Guest
from harness.guest.rootfs import build_rootfs, plan_rootfs
from harness.guest.snapshot import Snapshot
from harness.hostarm import ACCEL, HOST, HostArm, refuse_mixture
from harness.kernels.config import lacks
from harness.kernels.kernel import Kernel, Plan, hold_kernel, make_kernel
from harness.kernels.plan import plan_kernel
from harness.looks import Look
from harness.paths import cache_dir, require_room
from harness.proc import kill_children
from harness.progress import Reporter, Task
from harness.resume import (
    INTERRUPTED,
    BlockState,
    find_kernels,
    find_rootfs,
    plan_same_rootfs,
    recorded_blocks,
    recorded_scenarios,
    recover_trials,
    refuse_other_host,
    refuse_other_images,
    refuse_other_kernels,
    refuse_other_scenarios,
    refuse_unlike,
)
from harness.rundir import (
    COMPLETE,
    RUN_FILE,
    RUN_FORMAT,
    HostRecord,
    PlannedBlock,
    RunRecord,
    ScenarioRecord,
    cpu_model,
    hold_run,
    read_run,
    write_run,
)
from harness.runtables import rebuild_tables
from harness.seats import Seat
from harness.spec.arm import ArmSpec
from harness.spec.kernel import KernelSpec, parse_kernel_spec
from harness.spec.plan import Block, plan_blocks
from harness.spec.scenario import Scenario, load_scenario, scenario_names

# A trial that ends early (a hung round, a guest that died) is followed by another one for the rounds that are left,
# in a fresh guest; so often, and no more.
_EXTRA_TRIALS = 3
_RUN_BYTES = 256 << 20


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    arms: tuple[ArmSpec, ...]
    scenarios: tuple[str, ...]  # names, or paths of .toml files
    rounds: int  # an arm and scenario
    boots: int  # an arm and scenario
    seed: int
    out: Path | None = None  # of the run; results/runs/RUN_ID by default
    vcpus: int = 4
    memory_mib: int = 2048
    accel: str = "auto"
    snapshots: bool = True  # guests go on from the snapshots of earlier boots, and leave snapshots behind
    append: str = ""  # to the guest's kernel command line
    config: tuple[Path, ...] = ()  # config fragments of a person's own, for the kernels that are built
    may_harm_host: bool = False  # on the arm host, scenarios too that can hurt the machine
    until_decided: bool = False  # a look is taken after every turn of the arms; `rounds` and `boots` are the most

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels of the arms, each once."""
        return tuple(dict.fromkeys(arm.kernel for arm in self.arms))


@dataclass(frozen=True)
class Prepared:
    """Everything that is built: what remains is to measure."""

    kernels: dict[str, Kernel]  # by the text of the spec
    rootfs: Path
    images: dict[str, Image]
    accel: str
    accel_reason: str


def new_run_id() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Experiment:
    """One run. `check` fails fast, `prepare` builds, `measure` runs the plan and always leaves tables behind."""

    def __init__(
        self,
        request: Request,
        report: Reporter,
        seat: Seat | None = None,
        *,
        resumed: RunRecord | None = None,
        scenarios: dict[str, Scenario] | None = None,
        elsewhere: bool = False,
    ) -> None:
        """`seat`: room that the caller has for its guests; else each takes its own. `resumed`: the record of the run in
        `request.out`, which is gone on with. `scenarios`: those that were read already. `elsewhere`: `run_on` will be
        called."""
        self.request, self.report, self._seat = request, report, seat
        self.resumed, self.elsewhere = resumed, elsewhere
        self._executor: Executor | None = None  # blocks are run one after the other in this process
        self._machine: HostRecord | None = None  # of the executor
        self.run_id = resumed.run_id if resumed else new_run_id()
        self.directory = request.out or Path("results") / "runs" / self.run_id
        self.scenarios = scenarios or (recorded_scenarios(resumed) if resumed else _load_scenarios(request.scenarios))
        self.blocks: list[Block] = []
        self._states: dict[int, BlockState] = {}  # by index of the block; of those that were begun before
        self._plans: list[Plan] = []
        self._cached: dict[str, Kernel] = {}  # kernels of a resumed run that need no plan
        self.held: list[int] = []  # locks, by descriptor: of the run and of its kernels
        self._host: HostArm | None = None  # where the arms are of the running kernel
        self._beside = 0  # the most other guests that ran beside one of ours when it started
        self._refused: dict[tuple[str, str], str] = {}  # (arm, scenario) -> why it does not do here what it declares

    def check(self) -> None:
        """Everything that can be refused before a minute is spent.

        Raises UsageError for a bad request, HostError when this machine lacks something.
        """
        request = self.request
        if self.resumed is None:
            self._refuse_existing()
        specs = [parse_kernel_spec(text) for text in request.kernels]
        if request.until_decided:
            self._check_until_decided(specs)
        self.blocks = (
            recorded_blocks(self.resumed)
            if self.resumed
            else plan_blocks(
                [arm.name for arm in request.arms], list(self.scenarios), request.rounds, request.boots, request.seed
            )
        )
        if HOST in request.kernels:
            refuse_mixture(request.kernels, until_decided=request.until_decided)
            self._host = HostArm(self.report, may_harm=request.may_harm_host)
            self._refuse_scenarios({HOST: self._host.kernel()})
            require_room(self.directory, _RUN_BYTES, "the evidence of a run")
            if self.resumed is not None:
                refuse_other_host(self.resumed, self._host.record(), self._host.engine)
                self._recover()
            return
        for scenario in self.scenarios.values():
            need_mib = sum(limit.bytes for limit in scenario.limits) // (1 << 20) + 512
            if request.memory_mib < need_mib:
                raise UsageError(
                    f"--memory {request.memory_mib} MiB is too little for {scenario.name}", f"it needs {need_mib} MiB"
                )
        available_mib = psutil.virtual_memory().available >> 20
        if available_mib < request.memory_mib + 256:
            raise HostError(
                f"a guest of {request.memory_mib} MiB does not fit: {available_mib} MiB of memory are available"
            )
        qemu_version()
        require_room(self.directory, _RUN_BYTES, "the evidence of a run")
        if self.resumed is None:
            self._plans = [plan_kernel(spec, self.report, request.config) for spec in specs]
        else:
            self._check_resumed(self.resumed, specs)

    def _refuse_existing(self) -> None:
        if (self.directory / RUN_FILE).exists():
            raise UsageError(f"{self.directory} already holds a run", "choose another --out, or go on with --resume")

    def _check_resumed(self, record: RunRecord, specs: list[KernelSpec]) -> None:
        """Closes what was cut off; whatever went into the run must be what it was."""
        if not self.elsewhere:
            refuse_other_host(record, machine_of_guests())
        self._cached = find_kernels(record)
        self._plans = [
            plan_kernel(spec, self.report, self.request.config) for spec in specs if spec.text not in self._cached
        ]
        refuse_other_kernels(record, self._plans)
        self._recover()

    def _recover(self) -> None:
        assert self.resumed is not None
        refuse_other_scenarios(self.resumed)
        self._states, said = recover_trials(self.directory)
        for text in said:
            self.report.say(text)
        for state in self._states.values():
            if state.last is not None and state.last.outcome == REFUSED:
                self._refused[state.last.arm, state.last.scenario] = state.last.reason

    def _check_until_decided(self, specs: list[KernelSpec]) -> None:
        if len(self.request.arms) < 2 or not any(spec.is_stock for spec in specs):
            raise UsageError("--until-decided needs arms to compare", "name a stock kernel and another one")
        if self.request.boots < MIN_BOOTS:
            raise UsageError(
                f"--until-decided with {self.request.boots} boots an arm could never decide",
                f"ask for {MIN_BOOTS} or more",
            )

    def prepare(self) -> Prepared:
        """Builds kernels and the guest's image side by side, whatever the cache lacks.

        Raises BuildError when a download, a patch or a compilation fails.
        """
        if self._host:
            images = {name: plan_image(name) for name in NAMES}
            if self.resumed:
                refuse_other_images(self.resumed, images)
            return Prepared({HOST: self._host.kernel()}, Path(), images, ACCEL, str(self._host.engine))
        with ThreadPoolExecutor(max_workers=2) as pool:
            rootfs_job = pool.submit(self._rootfs)
            kernels_job = pool.submit(
                lambda: self._cached | {plan.spec.text: make_kernel(plan, self.report) for plan in self._plans}
            )
            try:
                images = {name: plan_image(name) for name in NAMES}
                if self.resumed:
                    refuse_other_images(self.resumed, images)
                for job in (rootfs_job, kernels_job):
                    # A failure of either is told at once, not after the other has ended.
                    while not job.done():
                        for other in (rootfs_job, kernels_job):
                            if other.done():
                                other.result()
                        time.sleep(0.1)
                rootfs, kernels = rootfs_job.result(), kernels_job.result()
            except BaseException:
                kill_children()  # threads wait for their children, and the pool for its threads
                raise
        # `oomtrial kernels prune` keeps away from what is held.
        self.held += [hold_kernel(kernel) for kernel in kernels.values()]
        self._refuse_scenarios(kernels)
        first = kernels[self.request.kernels[0]]
        probe = choose_accel(self.request.accel, first, rootfs, self.report)
        reason = self.resumed.accel_reason if self.resumed else probe.reason
        return Prepared(kernels, rootfs, images, probe.accel, reason)

    def _rootfs(self) -> Path:
        if self.resumed is None:
            return build_rootfs(plan_rootfs(), self.report)
        return find_rootfs(self.resumed) or build_rootfs(plan_same_rootfs(self.resumed), self.report)

    def _refuse_scenarios(self, kernels: dict[str, Kernel]) -> None:
        """What a kernel cannot run is left out.

        Raises UsageError when nothing is left.
        """
        for arm in self.request.arms:
            for scenario in self.scenarios.values():
                lacking = self._host.refusal if self._host else partial(_lacking, kernels[arm.kernel])
                if why := lacking(scenario):
                    self._refused[arm.name, scenario.name] = why
                    self.report.say(f"left out: {why}")
        if len(self._refused) == len(self.request.arms) * len(self.scenarios):
            raise UsageError(next(iter(self._refused.values())), "choose another kernel or scenario")

    def run_on(self, executor: Executor, machine: HostRecord) -> None:
        """Has `measure` run blocks side by side. `machine`: what each of the executor's is.

        Raises UsageError when blocks must follow each other, or a resumed run is of other machines.
        """
        if self.request.until_decided:
            raise UsageError("--until-decided looks after every turn, and side by side there are none")
        if self._host is not None:
            raise UsageError("the arm host runs on this machine's engine, and nowhere else")
        if self.resumed:
            refuse_unlike(self.resumed.host, machine, "a worker's")
        self._executor, self._machine = executor, machine

    def measure(self, prepared: Prepared) -> None:
        """Runs the plan. Tables are written however it ends.

        Raises GuestError when no round of any block could be run.
        """
        if self.resumed is None:
            self.held.append(hold_run(self.directory))
            self._refuse_existing()
        write_run(self.directory, self._record(prepared, "running"))
        self.report.say(f"acceleration: {prepared.accel} ({prepared.accel_reason}); evidence: {self.directory}")
        state = "interrupted"
        try:
            with self.report.task("rounds", total=sum(block.rounds for block in self.blocks)) as task:
                problems = self._run_blocks(prepared, task)
            state = COMPLETE
        finally:
            try:
                # complete only once the tables are there: what is not complete can be resumed
                record = self._record(prepared, state)
                for text in rebuild_tables(self.directory, record=record):
                    self.report.say(f"left out of the tables: {text}")
                write_run(self.directory, record)
            except KeyboardInterrupt:  # a second one, from an impatient hand
                self.report.say(
                    f"no tables yet: `oomtrial tables rebuild {self.directory}` makes them of what was measured"
                )
                raise
            finally:
                self.close()
        if problems and len(problems) == len(self.blocks):
            raise GuestError(f"no block could be completed: {problems[0]}", f"evidence: {self.directory}")
        for problem in problems:
            self.report.say(problem)

    def close(self) -> None:
        """Lets go of the run and of its kernels; `measure` does so at its end."""
        while self.held:
            os.close(self.held.pop())

    def _run_blocks(self, prepared: Prepared, task: Task) -> list[str]:
        """Runs the plan, or as much of it as it takes to decide. Returns what went wrong."""
        if self._executor is not None:
            return self._run_side_by_side(self._executor, prepared, task)
        problems, look = [], Look(self.directory)
        for number, block in enumerate(self.blocks, start=1):
            before = task.done

            def show(rounds: int, detail: str, before: int = before) -> None:
                task.update(done=before + rounds, detail=detail)

            if problem := self._run_block(block, prepared, show):
                problems.append(problem)
            task.update(done=before + block.rounds)
            later = self.blocks[number] if number < len(self.blocks) else None
            # a turn of the arms ends where the next boot begins; of a resumed run, those before were looked at already
            is_turn = later is None or (later.boot != block.boot and later.index not in self._states)
            if self.request.until_decided and is_turn and look.is_decided():
                self.report.say(f"decided after {number} of {len(self.blocks)} blocks, {block.boot} boots an arm")
                self.blocks = self.blocks[:number]
                break
        return problems

    def _run_side_by_side(self, executor: Executor, prepared: Prepared, task: Task) -> list[str]:
        """Runs all blocks that are left on an executor; first boots first, as these tell whether a scenario is refused."""
        texts = {scenario.name: scenario.text for scenario in self.scenarios.values()}
        problems, host = [], self._machine or machine_of_guests()
        for blocks in ([b for b in self.blocks if b.boot == 1], [b for b in self.blocks if b.boot > 1]):
            jobs = []
            for block in blocks:
                state = self._states.get(block.index, BlockState())
                if state.next_round > block.rounds or (block.arm, block.scenario) in self._refused:
                    problem = self._run_block(block, prepared, lambda *_: None)
                    problems += [problem] if problem else []
                    task.update(done=task.done + block.rounds)
                else:
                    jobs.append(BlockJob(self.request, texts, prepared, block, state, host, cache_dir()))
            for result in run_all(executor, jobs, self.directory, self.report, task):
                problems += [result.problem] if result.problem else []
                if result.refused:
                    self._refused[result.block.arm, result.block.scenario] = result.refused
                self._beside = max(self._beside, result.beside)
        return problems

    def run_block(self, block: Block, state: BlockState, prepared: Prepared) -> tuple[str | None, str, int]:
        """Runs one block and nothing else, as a worker does. Returns what went wrong, why the scenario was refused, and the
        most other guests that ran beside."""
        self._states[block.index] = state
        problem = self._run_block(block, prepared, lambda *_: None)
        return problem, self._refused.get((block.arm, block.scenario), ""), self._beside

    def _run_block(self, block: Block, prepared: Prepared, show: Callable[[int, str], None]) -> str | None:
        """Runs a block's rounds in one trial, or in a few if trials end early. `show` is told how many are done.

        Returns what went wrong at last, if anything.
        """
        name = f"{block.arm}, {block.scenario}" if len(self.scenarios) > 1 else block.arm
        if why := self._refused.get((block.arm, block.scenario)):
            return f"{name}, boot {block.boot}: not run, as the scenario was refused: {why}"
        state = self._states.get(block.index, BlockState())
        first, early, record = state.next_round, state.ended_early, state.last
        for attempt in itertools.count(state.next_attempt):
            if first > block.rounds or early > _EXTRA_TRIALS:
                break
            detail, done = f"{name}, boot {block.boot}", first - 1
            show(done, detail)
            record = TrialRecord(
                trial_id=f"{block.index:03d}-{attempt}",
                block=block.index,
                arm=block.arm,
                scenario=block.scenario,
                boot=block.boot,
                first_round=first,
                rounds=block.rounds - first + 1,
                token=secrets.token_hex(6),
                state="running",
            )

            def on_round(number: int, done: int = done, detail: str = detail) -> None:
                show(done + number, detail)

            record = self._run_trial(record, prepared, on_round)
            first += record.rounds_begun
            if first > block.rounds:
                break
            early += 1
            self.report.say(
                f"trial {record.trial_id} ({name}) ended early: {record.outcome}, {record.reason or 'no reason given'}"
            )
            if record.outcome == REFUSED:
                self._refused[block.arm, block.scenario] = record.reason
                break
            if self._host and not record.rounds_begun:
                break  # the same engine would say the same
        if first <= block.rounds and record is not None:
            return f"{name}, boot {block.boot}: {block.rounds - first + 1} of {block.rounds} rounds were not run ({record.outcome}: {record.reason})"
        return None

    def _run_trial(self, record: TrialRecord, prepared: Prepared, on_round: Callable[[int], None]) -> TrialRecord:
        directory = self.directory / "trials" / record.trial_id
        arm = next(arm for arm in self.request.arms if arm.name == record.arm)
        session = self._host.session() if self._host else None
        job = TrialJob(
            images=session.own_images(prepared.images) if session else prepared.images,
            scenario=self.scenarios[record.scenario],
            token=record.token,
            first_round=record.first_round,
            rounds=record.rounds,
            probes=arm.probes,
            calibrate=record.boot == 1 and record.first_round == 1,
            session=session.id if session else "",
            owner=self._host.owner if self._host else 0,
            waits=session is None,
        )
        guest_start_s, end, is_restored, beside, state = 0.0, TrialEnd("lost"), False, 0, INTERRUPTED
        with EvidenceWriter(directory) as evidence:
            write_trial(directory, record)
            try:
                machine = (
                    self._host.machine(session)
                    if self._host and session
                    else self._guest(arm, job, record, prepared, directory / CONSOLE_FILE)
                )
                with machine as (guest, guest_start_s, save):
                    is_restored, beside = guest.is_restored, guest.beside
                    self._beside = max(self._beside, beside)
                    run_trial(guest.docker, job, evidence, on_round, save, end)
                    if end.outcome == "gone":
                        end.outcome, said = guest.ending()
                        end.reason = said or end.reason
                state = "ended"
            except GuestError as error:
                end.outcome, end.reason, state = "lost", error.what, "ended"
            except BaseException as error:
                end.outcome, end.reason = "lost", str(error) or "interrupted"
                if isinstance(error, KeyboardInterrupt) and end.round_s > job.scenario.round_deadline_s:
                    # who ends a run because nothing happens any more has seen a hang
                    end.outcome, state = "hung", "ended"
                    end.reason = f"interrupted when its round had taken {end.round_s:.0f} s"
                raise
            finally:
                record = msgspec.structs.replace(
                    record,
                    outcome=end.outcome,
                    reason=end.reason,
                    rounds_begun=end.rounds_begun,
                    state=state,
                    started=HOST_STARTED if session else "restored" if is_restored else "cold",
                    beside=beside,
                    guest_start_s=round(guest_start_s, 3),
                    containers_start_s=round(end.containers_start_s, 3),
                    rounds_s=round(end.rounds_s, 3),
                )
                write_trial(directory, record)
        seal(directory)
        return record

    @contextlib.contextmanager
    def _guest(
        self, arm: ArmSpec, job: TrialJob, record: TrialRecord, prepared: Prepared, console: Path
    ) -> Iterator[tuple[Guest, float, Callable[[], None]]]:
        """A guest that was restored or booted, how long that took, in seconds, and what saves it once the scenario's
        containers are prepared.

        Two snapshots are left for the next time: of the engine, prepared for any scenario, and of the containers.
        """
        cgroup = job.scenario.file.cgroup
        parts = self._guest_parts(arm, prepared, cgroup)
        of_engine = Snapshot.of_boot(record.boot, *parts)
        of_scenario = Snapshot.of_boot(record.boot, *parts, job.scenario.version)

        def make(snapshot: Snapshot | None) -> Guest:
            return self._make_guest(arm, prepared, cgroup, console, snapshot, job.handed_over)

        started = time.monotonic()
        for snapshot in (of_scenario, of_engine):
            if self.request.snapshots and snapshot.is_there:
                try:
                    guest = make(snapshot)
                    guest.start()
                except GuestError as error:
                    self.report.say(f"{error.what}; it is thrown away")
                    snapshot.discard()
                else:
                    with guest:
                        yield guest, time.monotonic() - started, partial(self._save, guest, of_scenario)
                    return
        with make(None) as guest:
            guest_start_s = time.monotonic() - started
            if self.request.snapshots:
                prepare_engine(guest.docker, prepared.images, arm.probes)
                self._save(guest, of_engine)
            yield guest, guest_start_s, partial(self._save, guest, of_scenario)

    @contextlib.contextmanager
    def open_engine(self, prepared: Prepared, console: Path) -> Iterator[Guest]:
        """A guest of the first arm with images and collector, for work that is no trial: the engine's snapshot, or a boot
        that leaves one.

        Raises GuestError when it does not start.
        """
        arm = self.request.arms[0]
        snapshot = Snapshot.of_boot(1, *self._guest_parts(arm, prepared, "v2"))
        with contextlib.ExitStack() as stack:
            guest = self._make_guest(arm, prepared, "v2", console, snapshot if self.request.snapshots else None)
            try:
                stack.enter_context(guest)
            except GuestError as error:
                if not snapshot.is_there:
                    raise
                self.report.say(f"{error.what}; it is thrown away")
                snapshot.discard()
                guest = stack.enter_context(self._make_guest(arm, prepared, "v2", console, None))
            if not guest.is_restored:
                prepare_engine(guest.docker, prepared.images, arm.probes)
                self._save(guest, snapshot)
            yield guest

    def _guest_parts(self, arm: ArmSpec, prepared: Prepared, cgroup: str) -> list[str]:
        """Everything that a snapshot of a prepared engine depends on."""
        request = self.request
        images = [f"{name} {image.key}" for name, image in sorted(prepared.images.items())]
        machine = [prepared.accel, str(request.vcpus), str(request.memory_mib), qemu_version(), cpu_model()]
        kernel = prepared.kernels[arm.kernel]
        return [kernel.key, prepared.rootfs.stem, *machine, arm.probes, cgroup, request.append, *images]

    def _make_guest(
        self, arm: ArmSpec, prepared: Prepared, cgroup: str, console: Path, snapshot: Snapshot | None, job: str = ""
    ) -> Guest:
        kernel, request = prepared.kernels[arm.kernel], self.request
        return Guest(
            kernel=Path(kernel.image),
            initrd=Path(kernel.initrd) if kernel.initrd else None,
            rootfs=prepared.rootfs,
            accel=prepared.accel,
            vcpus=request.vcpus,
            memory_mib=request.memory_mib,
            console=console,
            extra_cmdline=(f"oomtrial.cgroup={cgroup}", *request.append.split()),
            snapshot=snapshot,
            job=job,
            seat=self._seat,
        )

    def _save(self, guest: Guest, snapshot: Snapshot) -> None:
        if not self.request.snapshots:
            return
        with snapshot.lock():
            if not snapshot.is_there:
                try:
                    guest.save(snapshot)
                except HostError as error:  # no room: the run goes on without
                    self.report.say(f"no snapshot is kept: {error}")

    def _record(self, prepared: Prepared, state: str) -> RunRecord:
        request, before = self.request, self.resumed
        if before is not None:
            blocks = [PlannedBlock(b.index, b.arm, b.scenario, b.boot, b.rounds) for b in self.blocks]
            beside = max(before.beside, self._beside)
            return msgspec.structs.replace(
                before, state=state, blocks=blocks, resumed=before.resumed + 1, beside=beside
            )
        return RunRecord(
            format=RUN_FORMAT,
            run_id=self.run_id,
            state=state,
            oomtrial=__version__,
            command=["oomtrial", *sys.argv[1:]],
            seed=request.seed,
            rounds=request.rounds,
            boots=request.boots,
            scenarios=[ScenarioRecord(s.name, s.version, s.text) for s in self.scenarios.values()],
            kernels=[prepared.kernels[text] for text in request.kernels],
            images={name: image.key for name, image in prepared.images.items()},
            rootfs=prepared.rootfs.stem,
            vcpus=self._host.engine.cores if self._host else request.vcpus,
            memory_mib=self._host.engine.memory_bytes >> 20 if self._host else request.memory_mib,
            append=request.append,
            accel=prepared.accel,
            accel_reason=prepared.accel_reason,
            arms=list(request.arms),
            host=self._host.record() if self._host else self._machine or machine_of_guests(),
            engine=self._host.engine if self._host else None,
            may_harm_host=request.may_harm_host,
            snapshots=request.snapshots,
            config=[str(path) for path in request.config],
            until_decided=request.until_decided,
            beside=self._beside,
            blocks=[PlannedBlock(b.index, b.arm, b.scenario, b.boot, b.rounds) for b in self.blocks],
        )


def resume_run(directory: Path, report: Reporter, *, elsewhere: bool = False) -> Experiment:
    """The experiment that goes on with a run as its record says; the run's directory is held.

    Raises EvidenceError where there is none, UsageError when another process is writing it.
    """
    read_run(directory)
    held = hold_run(directory)
    try:
        record = read_run(directory)
        request = Request(
            arms=tuple(record.arms),
            scenarios=tuple(scenario.name for scenario in record.scenarios),
            rounds=record.rounds,
            boots=record.boots,
            seed=record.seed,
            out=directory,
            vcpus=record.vcpus,
            memory_mib=record.memory_mib,
            accel=record.accel,
            snapshots=record.snapshots,
            append=record.append,
            may_harm_host=record.may_harm_host,
            config=tuple(Path(path) for path in record.config),
            until_decided=record.until_decided,
        )
        experiment = Experiment(request, report, resumed=record, elsewhere=elsewhere)
    except BaseException:
        os.close(held)
        raise
    experiment.held.append(held)
    return experiment


def _load_scenarios(names: tuple[str, ...]) -> dict[str, Scenario]:
    """By name; "all" stands for every one of ours."""
    chosen: dict[str, Scenario] = {}
    for name in dict.fromkeys(one for given in names for one in (scenario_names() if given == "all" else [given])):
        scenario = load_scenario(name)
        if scenario.name in chosen:
            raise UsageError(f"two scenarios are called {scenario.name}", "give their files different names")
        chosen[scenario.name] = scenario
    return chosen


def _lacking(kernel: Kernel, scenario: Scenario) -> str | None:
    """Why a kernel cannot run a scenario, or None."""
    options = lacks(kernel, scenario.needed_options)
    return f"{kernel.spec} lacks {', '.join(options)}, which scenario {scenario.name} needs" if options else None


def machine_of_guests() -> HostRecord:
    """This machine, as far as it matters to guests on it."""
    return HostRecord(cores=len(os.sched_getaffinity(0)), cpu=cpu_model(), qemu=qemu_version())
