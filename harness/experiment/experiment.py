"""The composition root: from a request to a run on disk. The command line and the pytest plugin are thin layers over it."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Executor
from pathlib import Path

import msgspec

from ..errors import GuestError, UsageError
from ..kernels.kernel import hold_kernel
from ..kernels.provenance import Provenance
from ..maintenance.tidy import tidy
from ..progress import Reporter, Task
from ..report.armnames import short_names
from ..report.liveview import LiveView, Pace
from ..runs.interim import InterimAnalysis
from ..runs.record import (
    RUN_FORMAT,
    HostRecord,
    PlannedBlock,
    RunRecord,
    RunStatus,
    ScenarioRecord,
    hold_run,
    new_run_id,
    read_run,
    write_run,
)
from ..runs.tables import rebuild_tables
from ..spec.kernel import parse_kernel_spec
from ..spec.outcome import Outcome
from ..spec.plan import Block, plan_blocks
from ..spec.scenario import Scenario
from ..system.paths import require_room
from ..system.slots import GuestSlot
from ..version import __version__
from .artifacts import Artifacts
from .block import BlockRunner, RunState
from .host import HOST
from .places import place_of
from .preflight import (
    refuse_existing,
    refuse_undecidable,
    refuse_unspeakable,
    require_descriptors,
    require_writable,
)
from .request import Request, load_scenarios, recorded_request
from .resume import (
    recorded_blocks,
    recorded_scenarios,
    recover_trials,
    refuse_other_scenarios,
    refuse_unlike,
)
from .schedule import run_in_turn, run_side_by_side

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
        `request.out` that is to be resumed. `elsewhere`: `run_on` will be called."""
        self.request, self.progress = request, progress
        self.resumed, self.elsewhere = resumed, elsewhere
        self.place = place_of(request, progress, slot)
        self._workers: tuple[Executor, HostRecord] | None = None  # else blocks are run in turn in this process
        self.run_id = resumed.run_id if resumed else new_run_id()
        self.directory = request.out or request.runs / self.run_id
        self.scenarios: dict[str, Scenario] = (
            recorded_scenarios(resumed) if resumed else load_scenarios(request.scenarios)
        )
        self.blocks: list[Block] = []
        self.run_state = RunState()
        self._provenance: list[Provenance] = []
        self.held: list[int] = []  # locks, by descriptor: of the run and of its kernels

    def __enter__(self) -> Experiment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Refuses requests that cannot work, before anything is built.

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
        self.blocks = self._plan()
        require_room(self.directory, _RUN_BYTES, "the evidence of a run", "choose another --out")
        self.place.check(self.scenarios, self.resumed, elsewhere=self.elsewhere)
        self._refuse_scenarios()
        if self.resumed is not None:
            self._recover(self.resumed)

    def _plan(self) -> list[Block]:
        if self.resumed:
            return recorded_blocks(self.resumed)
        request = self.request
        arms = [arm.name for arm in request.arms]
        return plan_blocks(arms, list(self.scenarios), request.rounds, request.boots, request.seed)

    def _recover(self, record: RunRecord) -> None:
        """Closes interrupted trials."""
        refuse_other_scenarios(record)
        self.run_state.states, messages = recover_trials(self.directory)
        for text in messages:
            self.progress.say(text)
        for state in self.run_state.states.values():
            if state.last is not None and state.last.outcome == Outcome.REFUSED:
                self.run_state.refused[state.last.arm, state.last.scenario] = state.last.reason

    def describe(self) -> list[str]:
        """What `prepare` and `measure` would do, a line each; to be called after `check`."""
        request, boots = self.request, self.request.boots
        counts = sorted({block.rounds for block in self.blocks})
        warm_up = f", after {_counted(request.warm_up, 'warm-up round')} per boot" if request.warm_up else ""
        total = sum(block.rounds + request.warm_up for block in self.blocks)
        return [
            *self.place.kernels_to_make(),
            *(f"scenario {scenario.name}: {scenario.summary}" for scenario in self.scenarios.values()),
            f"{_counted(len(request.arms), 'arm')} and {_counted(len(self.scenarios), 'scenario')}: {request.rounds} rounds each in {boots} boots"
            f" of {' or '.join(map(str, counts))}{warm_up}",
            f"{_counted(len(self.blocks), 'boot')} and {total} rounds in all; evidence would go to {self.directory}",
        ]

    def prepare(self) -> Artifacts:
        """Builds whatever the cache lacks.

        Raises BuildError when a download, a patch or a compilation fails.
        """
        prepared = self.place.prepare(self.resumed)
        # `oomtrial kernels prune` keeps away from what is held.
        self.held += [hold_kernel(kernel) for kernel in prepared.kernels.values() if kernel.image]
        self._refuse_scenarios()
        return prepared

    def _refuse_scenarios(self) -> None:
        """Leaves out scenarios that a kernel cannot run.

        Raises UsageError when nothing is left.
        """
        refused = self.run_state.refused
        for arm in self.request.arms:
            for scenario in self.scenarios.values():
                if (arm.name, scenario.name) not in refused and (why := self.place.refusal(arm, scenario)):
                    refused[arm.name, scenario.name] = why
                    self.progress.say(f"left out: {why}")
        if len(refused) == len(self.request.arms) * len(self.scenarios):
            raise UsageError(next(iter(refused.values())), "choose another kernel or scenario")

    def run_on(self, executor: Executor, machine: HostRecord) -> None:
        """Makes `measure` run blocks side by side on an executor. `machine`: the machine of its workers.

        Raises UsageError when blocks must follow each other, or a resumed run is of other machines.
        """
        if self.request.until_decided:
            raise UsageError("--until-decided checks after each block, so blocks cannot run side by side")
        if HOST in self.request.kernels:
            raise UsageError("the arm host runs only on this machine's engine")
        if self.resumed:
            refuse_unlike(self.resumed.host, machine, "a worker's")
        self._workers = executor, machine

    def measure(self, prepared: Artifacts) -> None:
        """Runs the plan. Tables are written however it ends.

        Raises GuestError when no round of any block could be run.
        """
        with self:
            if self.resumed is None:
                self.held.append(hold_run(self.directory))
                refuse_existing(self.directory)
                self._provenance = self.place.keep_provenance(self.directory)
            write_run(self.directory, self._record(prepared, RunStatus.RUNNING))
            self.progress.say(f"acceleration: {prepared.accel} ({prepared.accel_reason}); evidence: {self.directory}")
            try:
                with self.progress.task("rounds", total=sum(block.rounds for block in self.blocks)) as task:
                    problems = self._run_blocks(prepared, task)
            except BaseException:
                try:
                    self._write_tables(prepared, RunStatus.INTERRUPTED)
                except Exception as error:  # the user must see the error that ended the run
                    self._say_no_tables(str(error) or type(error).__name__)
                raise
            # complete only once the tables are there: what is not complete can be resumed
            self._write_tables(prepared, RunStatus.COMPLETE)
        if problems and len(problems) == len(self.blocks):
            raise GuestError(f"no block could be completed: {problems[0]}", f"evidence: {self.directory}")
        for problem in problems:
            self.progress.say(problem)

    def _write_tables(self, prepared: Artifacts, state: RunStatus) -> None:
        """Writes the tables of the evidence, then the run's record."""
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
            f"no tables yet ({why}): `oomtrial tables rebuild {self.directory}` makes them from the evidence"
        )

    def close(self) -> None:
        """Releases the locks of the run and of its kernels; `measure` does so at its end."""
        while self.held:
            os.close(self.held.pop())

    def _run_blocks(self, prepared: Artifacts, task: Task) -> list[str]:
        """Runs the plan, or the part of it that decides the comparison. Returns the problems."""
        trials = self.place.trials(prepared)
        runner = BlockRunner(self.request, self.scenarios, self.directory, self.progress, trials, self.run_state)
        if self._workers is not None:
            return run_side_by_side(runner, self.blocks, task, *self._workers)
        is_live = self.progress.live is not None
        interim = InterimAnalysis(self.directory) if is_live or self.request.until_decided else None
        if not is_live:
            self.blocks, problems = run_in_turn(runner, self.blocks, task, interim)
            return problems
        pace = Pace(sum(block.rounds for block in self.blocks))
        view = LiveView(short_names(self.request.arms), pace, until_decided=self.request.until_decided)
        with self.progress.board(view):
            self.blocks, problems = run_in_turn(runner, self.blocks, task, interim, view)
        return problems

    def _record(self, prepared: Artifacts, state: RunStatus) -> RunRecord:
        request, before = self.request, self.resumed
        blocks = [PlannedBlock(b.index, b.arm, b.scenario, b.boot, b.rounds) for b in self.blocks]
        if before is not None:
            concurrent_guests = max(before.concurrent_guests, self.run_state.concurrent_guests)
            return msgspec.structs.replace(
                before, state=state, blocks=blocks, resumed=before.resumed + 1, concurrent_guests=concurrent_guests
            )
        vcpus, memory_mib = self.place.size()
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
            vcpus=vcpus,
            memory_mib=memory_mib,
            append=request.append,
            accel=prepared.accel,
            accel_reason=prepared.accel_reason,
            arms=list(request.arms),
            host=self._workers[1] if self._workers else self.place.record(),
            engine=self.place.engine,
            may_harm_host=request.may_harm_host,
            snapshots=request.snapshots,
            config=[str(path) for path in request.config],
            until_decided=request.until_decided,
            disturbed=request.disturbed,
            warm_up=request.warm_up,
            amplified=request.amplified,
            concurrent_guests=self.run_state.concurrent_guests,
            blocks=blocks,
            provenance=self._provenance,
        )


def resume_run(directory: Path, progress: Reporter, *, elsewhere: bool = False) -> Experiment:
    """The experiment that resumes a run with the parameters of its record; the run's directory is locked.

    Raises EvidenceError if there is no run, UsageError when another process is writing it.
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


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
