"""Places where trials run: guests, or containers of the local engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import docker

from ..collectors.files import HOST_STARTED, TrialRecord
from ..guest.accel import choose_accel
from ..guest.activity import ActivityWatch
from ..guest.engine import EngineInfo
from ..guest.qemu import qemu_version
from ..kernels.keeping import keep_provenance
from ..kernels.kernel import Kernel, KernelPlan, ready_kernel
from ..kernels.plan import plan_kernels
from ..kernels.provenance import Provenance
from ..progress import Reporter
from ..runs.record import HostRecord, RunRecord
from ..spec.arm import ArmSpec
from ..spec.kernel import parse_kernel_spec
from ..spec.machine import Accel
from ..spec.outcome import Outcome
from ..spec.scenario import Scenario
from ..system.slots import GuestSlot
from .artifacts import Artifacts, build_images, build_parts
from .guests import TrialGuests, machine_of_guests
from .host import HOST, HostArm, refuse_mixture
from .preflight import lacking, refuse_little_memory
from .request import Request
from .resume import find_kernels, refuse_other_host, refuse_other_kernels
from .workload import TrialJob


class Machine(Protocol):
    """What a trial runs on: a guest, or the local engine."""

    @property
    def docker(self) -> docker.DockerClient:
        """Client of its Docker Engine."""

    @property
    def concurrent_guests(self) -> int:
        """Other guests on this machine when it started."""

    def activity(self) -> ActivityWatch | None:
        """Tells from now on whether it is stopped; None where that cannot be told."""

    def ending(self) -> tuple[Outcome, str]:
        """Returns (outcome, reason) for a machine that stopped responding."""


@dataclass(frozen=True)
class OpenTrial:
    """Everything that one trial needs to begin."""

    job: TrialJob
    machine: Machine
    start_s: float  # seconds that the start of the machine took
    save: Callable[[], None]  # to be called when the containers are prepared
    started: str  # cold, restored or host
    keep_calibration: Callable[[], None] = lambda: None  # to be called when the trial has completed


class Trials(Protocol):
    """Opens the trials of a run, one after the other."""

    prepared: Artifacts
    started: str  # how a machine is started that does not get that far
    is_fresh: bool  # each trial has a machine of its own: another one may fare better

    def open(
        self, arm: ArmSpec, record: TrialRecord, scenario: Scenario, console: Path
    ) -> contextlib.AbstractContextManager[OpenTrial]:
        """Raises GuestError when the machine does not start."""


class Place(Protocol):
    """A place where a run is made: guests, or the local engine."""

    @property
    def engine(self) -> EngineInfo | None:
        """The local engine; None for guests."""

    def check(self, scenarios: Mapping[str, Scenario], resumed: RunRecord | None, *, elsewhere: bool) -> None:
        """Refuses requests that cannot work, before anything is built. `elsewhere`: other machines will run the blocks.

        Raises UsageError for a bad request, HostError when this machine lacks something.
        """

    def prepare(self, resumed: RunRecord | None) -> Artifacts:
        """Builds what the cache lacks.

        Raises BuildError when a download, a patch or a compilation fails.
        """

    def kernels_to_make(self) -> list[str]:
        """A line per kernel: where it comes from, and whether the cache has it; to be called after `check`."""

    def keep_provenance(self, run: Path) -> list[Provenance]:
        """Writes what the kernels were built from to a run's directory; to be called after `prepare`.

        Raises HostError when that cannot be written.
        """

    def refusal(self, arm: ArmSpec, scenario: Scenario) -> str | None:
        """Why an arm does not run a scenario, as far as is known, or None."""

    def record(self) -> HostRecord:
        """The machine, as far as it matters to the figures."""

    def size(self) -> tuple[int, int]:
        """Cores and MiB of memory of what the kernels run on."""

    def trials(self, prepared: Artifacts) -> Trials:
        """What opens the trials of the run; to be called after `prepare`."""


def place_of(request: Request, progress: Reporter, slot: GuestSlot | None) -> Place:
    """The local engine if the request has the arm `host`, otherwise guests."""
    return HostPlace(request, progress) if HOST in request.kernels else GuestPlace(request, progress, slot)


class GuestPlace:
    """Guests of this machine, each with a kernel under test."""

    engine: EngineInfo | None = None

    def __init__(self, request: Request, progress: Reporter, slot: GuestSlot | None) -> None:
        """`slot`: room that the caller has for the guests; else each takes its own."""
        self._request, self._progress, self._slot = request, progress, slot
        self._plans: list[KernelPlan] = []
        self._cached: dict[str, Kernel] = {}  # kernels of a resumed run that need no plan
        self._kernels: dict[str, Kernel] = {}

    def check(self, scenarios: Mapping[str, Scenario], resumed: RunRecord | None, *, elsewhere: bool) -> None:
        """As `Place.check`; it also resolves the specs to packages, which may contact the mirror."""
        request = self._request
        refuse_little_memory(request.memory_mib, scenarios.values())
        qemu_version()  # it is installed
        if resumed is not None:
            if not elsewhere:
                refuse_other_host(resumed, machine_of_guests())
            self._cached = find_kernels(resumed)
        specs = [parse_kernel_spec(text) for text in request.kernels if text not in self._cached]
        self._plans = plan_kernels(specs, self._progress, request.config)
        if resumed is not None:
            refuse_other_kernels(resumed, self._plans)

    def prepare(self, resumed: RunRecord | None) -> Artifacts:
        """Kernels, the guest's image and the containers' images side by side; the acceleration by booting a guest."""
        self._kernels, rootfs, images = build_parts(self._plans, self._cached, resumed, self._progress)
        first = self._kernels[self._request.kernels[0]]
        probe = choose_accel(self._request.accel, first, rootfs, self._progress)
        reason = resumed.accel_reason if resumed else probe.reason
        return Artifacts(self._kernels, rootfs, images, probe.accel, reason)

    def kernels_to_make(self) -> list[str]:
        """A line per kernel: its source, and whether the cache has it. Call it after `check`."""
        return [
            f"{plan.spec.text}: {plan.source}, {'in the cache' if ready_kernel(plan) else 'to be made'}"
            for plan in self._plans
        ]

    def keep_provenance(self, run: Path) -> list[Provenance]:
        """Patches, config and a tree's changes, for each kernel."""
        return [keep_provenance(plan, self._kernels[plan.spec.text], run) for plan in self._plans]

    def refusal(self, arm: ArmSpec, scenario: Scenario) -> str | None:
        """What the kernel's config lacks for the scenario. None while the kernel is not made yet."""
        kernel = self._kernels.get(arm.kernel)
        return lacking(kernel, scenario) if kernel else None

    def record(self) -> HostRecord:
        """This machine: the CPU model, cores and QEMU that the guests have."""
        return machine_of_guests()

    def size(self) -> tuple[int, int]:
        """Virtual CPUs and MiB of a guest."""
        return self._request.vcpus, self._request.memory_mib

    def trials(self, prepared: Artifacts) -> Trials:
        """What boots or restores a guest for each trial. `prepared`: the result of `prepare`."""
        return GuestTrials(TrialGuests(self._request, prepared, self._progress, self._slot))


class GuestTrials:
    """Trials, each in a guest of its own."""

    started, is_fresh = "cold", True

    def __init__(self, guests: TrialGuests) -> None:
        self._guests, self.prepared = guests, guests.prepared

    @contextlib.contextmanager
    def open(self, arm: ArmSpec, record: TrialRecord, scenario: Scenario, console: Path) -> Iterator[OpenTrial]:
        """Restores or boots a guest, which ends with the context. Raises GuestError when it does not start."""
        job = TrialJob(
            images=self.prepared.images,
            scenario=scenario,
            token=record.token,
            first_round=record.first_round,
            rounds=record.rounds,
            probes=arm.probes,
            calibrate=record.is_first,
            waits=True,
        )
        with self._guests.of_trial(arm, job, record, console) as started:
            how = "restored" if started.guest.is_restored else "cold"
            yield OpenTrial(job, started.guest, started.start_s, started.save, how, started.keep_calibration)


class HostPlace:
    """The running kernel, through this machine's engine."""

    def __init__(self, request: Request, progress: Reporter) -> None:
        self._request, self._progress = request, progress
        self._arm: HostArm | None = None
        self._refusals: dict[str, str | None] = {}  # by scenario: asked once, as the memory that is available changes

    @property
    def host(self) -> HostArm:
        """Raises HostError, with advice, when there is no engine that can serve."""
        if self._arm is None:
            self._arm = HostArm(self._progress, may_harm=self._request.may_harm_host)
        return self._arm

    @property
    def engine(self) -> EngineInfo:
        """Raises HostError as `host` does."""
        return self.host.engine

    def check(self, scenarios: Mapping[str, Scenario], resumed: RunRecord | None, *, elsewhere: bool) -> None:
        """As `Place.check`; asks each scenario now whether it may run on this machine."""
        refuse_mixture(self._request.kernels, until_decided=self._request.until_decided)
        self._refusals = {name: self.host.refusal(scenario) for name, scenario in scenarios.items()}
        if resumed is not None and not elsewhere:
            refuse_other_host(resumed, self.record(), self.engine)

    def prepare(self, resumed: RunRecord | None) -> Artifacts:
        """The images of the containers; the kernel is there."""
        images = build_images(resumed, self._progress)
        return Artifacts({HOST: self.host.kernel()}, Path(), images, Accel.NATIVE, str(self.engine))

    def kernels_to_make(self) -> list[str]:
        """One line: the running kernel, which is not built."""
        return [f"{HOST}: the running kernel, {self.host.kernel().source}"]

    def keep_provenance(self, run: Path) -> list[Provenance]:  # noqa: ARG002
        """Nothing: the running kernel was not built by oomtrial."""
        return []

    def refusal(self, arm: ArmSpec, scenario: Scenario) -> str | None:  # noqa: ARG002
        """Why this machine must not run a scenario, by what `check` found."""
        return self._refusals.get(scenario.name)

    def record(self) -> HostRecord:
        """The machine of the local engine. Raises HostError as `host` does."""
        return self.host.record()

    def size(self) -> tuple[int, int]:
        """Cores and MiB of memory that the engine reports."""
        return self.engine.cores, self.engine.memory_bytes >> 20

    def trials(self, prepared: Artifacts) -> Trials:
        """What opens a session of the local engine for each trial. `prepared`: the result of `prepare`."""
        return HostTrials(self.host, prepared)


class HostTrials:
    """Trials in the local engine, each of which removes what it made."""

    started, is_fresh = HOST_STARTED, False

    def __init__(self, host: HostArm, prepared: Artifacts) -> None:
        self._host, self.prepared = host, prepared

    @contextlib.contextmanager
    def open(self, arm: ArmSpec, record: TrialRecord, scenario: Scenario, console: Path) -> Iterator[OpenTrial]:  # noqa: ARG002
        """Opens a session in the engine, which removes its containers and volumes at the end of the context."""
        session = self._host.session()
        job = TrialJob(
            images=session.own_images(self.prepared.images),
            scenario=scenario,
            token=record.token,
            first_round=record.first_round,
            rounds=record.rounds,
            probes=arm.probes,
            calibrate=record.is_first,
            session=session.id,
            owner=self._host.owner,
        )
        with self._host.machine(session) as (machine, start_s, save):
            yield OpenTrial(job, machine, start_s, save, HOST_STARTED)
