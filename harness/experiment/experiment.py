"""The one composition root: from a request to a run on disk. The command line and the tests are thin over it."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import msgspec

from ..errors import GuestError, UsageError
from ..guest.accel import choose_accel
from ..guest.qemu import qemu_version
from ..kernels.keeping import keep_provenance
from ..kernels.kernel import Kernel, KernelPlan, hold_kernel
from ..kernels.plan import plan_kernel
from ..kernels.provenance import Provenance
from ..maintenance.cleanup import tidy
from ..progress import Reporter, Task
from ..runs.interim import InterimAnalysis
from ..runs.record import (
    COMPLETE,
    RUN_FORMAT,
    HostRecord,
    PlannedBlock,
    RunRecord,
    ScenarioRecord,
    hold_run,
    new_run_id,
    read_run,
    write_run,
)
from ..runs.tables import rebuild_tables
from ..spec.kernel import KernelSpec, parse_kernel_spec
from ..spec.plan import Block, plan_blocks
from ..spec.scenario import Scenario
from ..system.paths import require_room
from ..system.slots import GuestSlot
from ..version import __version__
from .artifacts import Artifacts, build_images, build_parts
from .block import BlockRunner, RunState
from .guests import TrialGuests, machine_of_guests
from .host import ACCEL, HOST, HostArm, refuse_mixture
from .preflight import (
    lacking,
    refuse_existing,
    refuse_little_memory,
    refuse_undecidable,
    refuse_unspeakable,
    require_descriptors,
    require_writable,
)
from .request import Request, load_scenarios, recorded_request
from .resume import (
    find_kernels,
    recorded_blocks,
    recorded_scenarios,
    recover_trials,
    refuse_other_host,
    refuse_other_kernels,
    refuse_other_scenarios,
    refuse_unlike,
)
from .schedule import run_in_turn, run_side_by_side
from .trial import REFUSED

_RUN_BYTES = 256 << 20


class Experiment:
    """One run. `check` fails fast, `prepare` builds, `measure` runs the plan and always leaves tables behind."""

    def __init__(
        self,
        request: Request,
        progress: Reporter,
        slot: GuestSlot | None = None,
        *,
        resumed: RunRecord | None = None,
        elsewhere: bool = False,
    ) -> None:
        """`slot`: room that the caller has for its guests; else each takes its own. `resumed`: the record of the run in
        `request.out`, which is gone on with. `elsewhere`: `run_on` will be called."""
        self.request, self.progress, self._slot = request, progress, slot
        self.resumed, self.elsewhere = resumed, elsewhere
        self._executor: Executor | None = None  # blocks are run one after the other in this process
        self._machine: HostRecord | None = None  # of the executor
        self.run_id = resumed.run_id if resumed else new_run_id()
        self.directory = request.out or request.runs / self.run_id
        self.scenarios: dict[str, Scenario] = (
            recorded_scenarios(resumed) if resumed else load_scenarios(request.scenarios)
        )
        self.blocks: list[Block] = []
        self.standing = RunState()
        self._plans: list[KernelPlan] = []
        self._provenance: list[Provenance] = []
        self._cached: dict[str, Kernel] = {}  # kernels of a resumed run that need no plan
        self.held: list[int] = []  # locks, by descriptor: of the run and of its kernels
        self._host: HostArm | None = None  # where the arms are of the running kernel

    def check(self) -> None:
        """Everything that can be refused before a minute is spent.

        Raises UsageError for a bad request, HostError when this machine lacks something.
        """
        request = self.request
        refuse_unspeakable(self.directory)
        require_writable(self.directory)
        require_descriptors()
        for removed in tidy():
            self.progress.say(f"removed {removed.what}: {removed.why}")
        if self.resumed is None:
            refuse_existing(self.directory)
        specs = [parse_kernel_spec(text) for text in request.kernels]
        if request.until_decided:
            refuse_undecidable(request, specs)
        self.blocks = (
            recorded_blocks(self.resumed)
            if self.resumed
            else plan_blocks(
                [arm.name for arm in request.arms], list(self.scenarios), request.rounds, request.boots, request.seed
            )
        )
        if HOST in request.kernels:
            refuse_mixture(request.kernels, until_decided=request.until_decided)
            self._host = HostArm(self.progress, may_harm=request.may_harm_host)
            self._refuse_scenarios({HOST: self._host.kernel()})
            require_room(self.directory, _RUN_BYTES, "the evidence of a run")
            if self.resumed is not None:
                refuse_other_host(self.resumed, self._host.record(), self._host.engine)
                self._recover(self.resumed)
            return
        refuse_little_memory(request.memory_mib, self.scenarios.values())
        qemu_version()
        require_room(self.directory, _RUN_BYTES, "the evidence of a run")
        if self.resumed is None:
            self._plans = [plan_kernel(spec, self.progress, request.config) for spec in specs]
        else:
            self._check_resumed(self.resumed, specs)

    def _check_resumed(self, record: RunRecord, specs: list[KernelSpec]) -> None:
        """Closes what was cut off; whatever went into the run must be what it was."""
        if not self.elsewhere:
            refuse_other_host(record, machine_of_guests())
        self._cached = find_kernels(record)
        self._plans = [
            plan_kernel(spec, self.progress, self.request.config) for spec in specs if spec.text not in self._cached
        ]
        refuse_other_kernels(record, self._plans)
        self._recover(record)

    def _recover(self, record: RunRecord) -> None:
        refuse_other_scenarios(record)
        self.standing.states, said = recover_trials(self.directory)
        for text in said:
            self.progress.say(text)
        for state in self.standing.states.values():
            if state.last is not None and state.last.outcome == REFUSED:
                self.standing.refused[state.last.arm, state.last.scenario] = state.last.reason

    def prepare(self) -> Artifacts:
        """Builds kernels and the guest's image side by side, whatever the cache lacks.

        Raises BuildError when a download, a patch or a compilation fails.
        """
        if self._host:
            images = build_images(self.resumed, self.progress)
            return Artifacts({HOST: self._host.kernel()}, Path(), images, ACCEL, str(self._host.engine))
        kernels, rootfs, images = build_parts(self._plans, self._cached, self.resumed, self.progress)
        # `oomtrial kernels prune` keeps away from what is held.
        self.held += [hold_kernel(kernel) for kernel in kernels.values()]
        self._refuse_scenarios(kernels)
        first = kernels[self.request.kernels[0]]
        probe = choose_accel(self.request.accel, first, rootfs, self.progress)
        reason = self.resumed.accel_reason if self.resumed else probe.reason
        return Artifacts(kernels, rootfs, images, probe.accel, reason)

    def _refuse_scenarios(self, kernels: dict[str, Kernel]) -> None:
        """What a kernel cannot run is left out.

        Raises UsageError when nothing is left.
        """
        refused = self.standing.refused
        for arm in self.request.arms:
            for scenario in self.scenarios.values():
                refusal = self._host.refusal if self._host else partial(lacking, kernels[arm.kernel])
                if why := refusal(scenario):
                    refused[arm.name, scenario.name] = why
                    self.progress.say(f"left out: {why}")
        if len(refused) == len(self.request.arms) * len(self.scenarios):
            raise UsageError(next(iter(refused.values())), "choose another kernel or scenario")

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

    def measure(self, prepared: Artifacts) -> None:
        """Runs the plan. Tables are written however it ends.

        Raises GuestError when no round of any block could be run.
        """
        if self.resumed is None:
            self.held.append(hold_run(self.directory))
            refuse_existing(self.directory)
            self._provenance = [
                keep_provenance(plan, prepared.kernels[plan.spec.text], self.directory) for plan in self._plans
            ]
        write_run(self.directory, self._record(prepared, "running"))
        self.progress.say(f"acceleration: {prepared.accel} ({prepared.accel_reason}); evidence: {self.directory}")
        try:
            try:
                with self.progress.task("rounds", total=sum(block.rounds for block in self.blocks)) as task:
                    problems = self._run_blocks(prepared, task)
            except BaseException:
                try:
                    self._write_tables(prepared, "interrupted")
                except Exception as error:  # what ended the run is what a person must hear of
                    self._say_no_tables(str(error) or type(error).__name__)
                raise
            # complete only once the tables are there: what is not complete can be resumed
            self._write_tables(prepared, COMPLETE)
        finally:
            self.close()
        if problems and len(problems) == len(self.blocks):
            raise GuestError(f"no block could be completed: {problems[0]}", f"evidence: {self.directory}")
        for problem in problems:
            self.progress.say(problem)

    def _write_tables(self, prepared: Artifacts, state: str) -> None:
        """Tables of what was measured, then the record of the run that says so."""
        try:
            record = self._record(prepared, state)
            for text in rebuild_tables(self.directory, record=record):
                self.progress.say(f"left out of the tables: {text}")
            write_run(self.directory, record)
        except KeyboardInterrupt:  # a second one, from an impatient hand
            self._say_no_tables("interrupted")
            raise

    def _say_no_tables(self, why: str) -> None:
        self.progress.say(
            f"no tables yet ({why}): `oomtrial tables rebuild {self.directory}` makes them of what was measured"
        )

    def close(self) -> None:
        """Lets go of the run and of its kernels; `measure` does so at its end."""
        while self.held:
            os.close(self.held.pop())

    def _run_blocks(self, prepared: Artifacts, task: Task) -> list[str]:
        """Runs the plan, or as much of it as it takes to decide. Returns what went wrong."""
        guests = TrialGuests(self.request, prepared, self.progress, self._slot)
        runner = BlockRunner(
            self.request, self.scenarios, self.directory, self.progress, guests, self.standing, self._host
        )
        if self._executor is not None and self._machine is not None:
            return run_side_by_side(runner, self.blocks, task, self._executor, self._machine)
        interim = InterimAnalysis(self.directory) if self.request.until_decided else None
        self.blocks, problems = run_in_turn(runner, self.blocks, task, interim)
        return problems

    def _record(self, prepared: Artifacts, state: str) -> RunRecord:
        request, before = self.request, self.resumed
        blocks = [PlannedBlock(b.index, b.arm, b.scenario, b.boot, b.rounds) for b in self.blocks]
        if before is not None:
            concurrent_guests = max(before.concurrent_guests, self.standing.concurrent_guests)
            return msgspec.structs.replace(
                before, state=state, blocks=blocks, resumed=before.resumed + 1, concurrent_guests=concurrent_guests
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
            disturbed=request.disturbed,
            concurrent_guests=self.standing.concurrent_guests,
            blocks=blocks,
            provenance=self._provenance,
        )


def resume_run(directory: Path, progress: Reporter, *, elsewhere: bool = False) -> Experiment:
    """The experiment that goes on with a run as its record says; the run's directory is held.

    Raises EvidenceError where there is none, UsageError when another process is writing it.
    """
    read_run(directory)
    held = hold_run(directory)
    try:
        record = read_run(directory)
        experiment = Experiment(recorded_request(record, directory), progress, resumed=record, elsewhere=elsewhere)
    except BaseException:
        os.close(held)
        raise
    experiment.held.append(held)
    return experiment
