"""The containers of a trial: collector and workload, created, or found again and woken in a restored guest."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import docker
from docker.models.containers import Container

from ..collectors.events import CollectorEvent, Prepared, decode_collector, decode_supervisor
from ..collectors.files import EvidenceWriter
from ..containers.images import Image, load_image
from ..containers.running import (
    API_ERRORS,
    COLLECTOR,
    SECONDARY,
    SESSION,
    SUPERVISOR,
    WAKE,
    FollowedContainer,
    WorkloadLimits,
    cannot_keep,
    cgroup_parent,
    create_collector,
    create_workload,
    find_container,
    rename_containers,
    volume_of,
)
from ..errors import GuestError, HostError
from ..spec.arm import Probes
from ..spec.scenario import Limit, Scenario
from ..spec.scenariofile import DATA_FILE, MACHINE

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SOCKET = "/run/oomtrial/collector.sock"
_READY_DEADLINE_S = 120.0
# workloads/collector: what is waited for during a trial
RESTORED, CLOSED = b'C {"event":"restored"', b'C {"event":"closed"'
_READY, _ERROR = b'C {"event":"ready"', b'C {"event":"error"'
_GUEST_DATA = "/usr/share/oomtrial/data"  # harness/guest/rootfs.py


@dataclass(frozen=True)
class TrialJob:
    """The job of one trial."""

    images: dict[str, Image]
    scenario: Scenario
    token: str  # in the markers and in the containers' names
    first_round: int
    rounds: int
    probes: Probes
    calibrate: bool = False  # try the declared demand before the first round
    session: str = ""  # in a shared engine: the session that marks this trial's objects
    owner: int = 0  # the process of the collector's pid namespace without which no round begins; 0: none
    waits: bool = False  # the supervisor gets `handed_over` from the guest, and else these values as arguments

    @property
    def handed_over(self) -> str:
        """What the guest hands to a supervisor that waits (workloads/collector)."""
        return f"{self.token} {self.first_round} {self.rounds} {int(self.calibrate)}"


def prepare_engine(
    client: docker.DockerClient, images: dict[str, Image], probes: Probes, session: str = "", owner: int = 0
) -> None:
    """Loads images and starts the collector, which every trial in an engine needs. No client is connected afterwards.

    Raises GuestError when the collector does not get ready, HostError when `owner` is of another machine.
    """
    try:
        references = {name: load_image(client, image) for name, image in images.items()}
        # The kernel takes letters, digits and _ in the names of probes.
        name = session.rpartition("-")[2] or secrets.token_hex(6)
        volume = client.volumes.create(f"oomtrial-{name}", labels={SESSION: session} if session else None)
        arguments = [
            "--socket",
            _SOCKET,
            "--name",
            name,
            "--probes",
            probes,
            *(["--owner", str(owner)] if owner else []),
        ]
        container = create_collector(
            client, references["collector"], f"oomtrial-{name}-collector", volume.name, arguments, session
        )
        collector = FollowedContainer(container, lambda _: None)
        try:
            collector.start()
            ready = collector.wait_for(_is_ready, _READY_DEADLINE_S, "message that the collector is ready")
            if owner:
                event = decode_collector(ready[2:])
                require_own_kernel(event.boot_id if event else "")
        finally:
            collector.close()
    except API_ERRORS as error:
        raise GuestError(f"the engine does not answer: {error}") from error


def require_own_kernel(boot_id: str) -> None:
    """Raises HostError when the boot_id is not this machine's: an engine that seems local is not."""
    with contextlib.suppress(OSError):
        if boot_id != _BOOT_ID.read_text().strip():
            raise HostError(
                "the container engine runs on another machine, of the same name, kernel and memory as this one",
                "run oomtrial there, or address the engine by that machine's own name",
            )


Containers = tuple[Container, Container]  # collector and supervisor


def take_containers(client: docker.DockerClient, job: TrialJob) -> Containers | None:
    """Collector and workload of a guest that was restored from a snapshot after `when_prepared`, renamed for this trial; None if it
    has none."""
    if not job.waits:
        return None
    found = rename_containers(client, job.token)
    return (found[COLLECTOR], found[SUPERVISOR]) if found.keys() >= {COLLECTOR, SUPERVISOR} else None


def prepare_containers(client: docker.DockerClient, job: TrialJob, evidence: EvidenceWriter) -> Containers:
    """Collector, awake, and workload; a supervisor that waits has started. They are not removed here: a guest that runs
    them lives in memory only, and an unresponsive one would delay each removal; in a shared engine the session
    removes them.

    Raises GuestError; what the containers said by then is kept as evidence, which else is read again from its first line.
    """
    container = find_container(client, COLLECTOR, job.session)
    if container is None:
        prepare_engine(client, job.images, job.probes, job.session, job.owner)
        container = find_container(client, COLLECTOR, job.session)
    if container is None:
        raise GuestError("the collector has ended")
    with contextlib.ExitStack() as followed:
        collector = followed.enter_context(BufferedContainer(container, evidence.collector_line))
        collector.follow()
        collector.wait_for(_is_ready, _READY_DEADLINE_S, "message that the collector is ready")
        if not job.session:
            # Before anything is made: an engine restored from a snapshot would give the same IDs every time.
            wake(collector, job)
        created = _create_containers(client, job, volume_of(container))
        if job.waits:
            workload = followed.enter_context(BufferedContainer(created, evidence.supervisor_line))
            workload.start()
            workload.wait_for(_is_prepared, _READY_DEADLINE_S, "message that the supervisor is prepared")
    return container, created


class BufferedContainer(FollowedContainer):
    """A container whose output becomes evidence only if the block fails."""

    def __init__(self, container: Container, sink: Callable[[bytes], None]) -> None:
        self._heard: list[bytes] = []
        super().__init__(container, self._heard.append)
        self._evidence = sink

    def __enter__(self) -> BufferedContainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None:
            try:
                for line in self._heard:
                    self._evidence(line)
            except OSError as failure:
                raise cannot_keep(failure) from failure


def wake(collector: FollowedContainer, job: TrialJob) -> None:
    """Wakes the collector of a restored guest and hands it a trial's job. Raises GuestError when it does not answer."""
    # A signal would do as well, but for each one the engine starts runc, which takes half a second under emulation.
    collector.tell(WAKE)
    collector.wait_for(lambda line: _is_awake(line, job), _READY_DEADLINE_S, "message that the collector is awake")


def _create_containers(client: docker.DockerClient, job: TrialJob, volume: str) -> Container:
    """The supervisor's container, not started; those beside it run, and do nothing but hold a memcg."""
    scenario, reference = job.scenario, job.images["hog"].reference
    parent = cgroup_parent(job.token, scenario.top_level)
    volumes = {volume: {"bind": "/run/oomtrial", "mode": "rw"}}
    ids = {}
    for secondary in scenario.file.containers:
        limit = next((limit.bytes for limit in scenario.limits if limit.name == secondary.name), None)
        limits = WorkloadLimits(limit, 0, scenario.file.cpus, -1000, parent)
        name = f"oomtrial-{job.token}-{secondary.name}"
        container = create_workload(client, reference, name, SECONDARY, {}, limits, ["idle"], job.session)
        container.start()
        ids[secondary.name] = str(container.id)
    if any(group.kind == "pagecache" for group in scenario.file.hogs):
        volumes[_GUEST_DATA] = {"bind": DATA_FILE, "mode": "ro"}
    # The supervisor locks what it needs, which is little, as far as it is allowed to.
    memlock = not job.session or any(group.kind == "mlock" for group in scenario.file.hogs)
    limits = WorkloadLimits(
        scenario.memory_max_bytes, scenario.swap_bytes, scenario.file.cpus, scenario.oom_score_adj, parent, memlock
    )
    name = f"oomtrial-{job.token}-workload"
    arguments = _supervisor_arguments(job, ids)
    return create_workload(client, reference, name, SUPERVISOR, volumes, limits, arguments, job.session)


def _where(limit: Limit, container_ids: dict[str, str]) -> str:
    """A limit as the collector is told of it: a level, a container beside the supervisor's, or the machine."""
    if limit.name == MACHINE:
        return MACHINE
    return str(limit.level) if limit.level >= 0 else f"container:{container_ids[limit.name]}"


def _supervisor_arguments(job: TrialJob, container_ids: dict[str, str]) -> list[str]:
    scenario = job.scenario
    options: list[tuple[str, object]] = [
        ("socket", _SOCKET),
        *(() if job.waits else (("token", job.token), ("rounds", job.rounds), ("first-round", job.first_round))),
        ("deadline-ms", int(scenario.round_deadline_s * 1000)),
        ("top", scenario.top_level),
    ]
    options += [("set", f"{level}:{file}={value}") for level, file, value in scenario.memcg_settings()]
    options += [
        ("group", container_ids[secondary.name]) for secondary in scenario.file.containers if secondary.oom_group
    ]
    if scenario.swap_bytes:
        # zram takes its memory from the guest: twice as large as what may be swapped, so that it is never full
        options.append(("swap", 2 * scenario.swap_bytes))
    if scenario.machine_bytes:
        options.append(("machine", scenario.machine_bytes))
    for tried in scenario.calibrations() if job.calibrate or job.waits else []:
        where = _where(tried.limit, container_ids)
        fit, over = (",".join(map(str, counts)) for counts in (tried.fit, tried.over))
        options.append(("calibrate", f"{where};{fit};{over};{tried.capacity_bytes};{scenario.reserve_bytes}"))
    arguments = [text for name, value in options for text in (f"--{name}", str(value))]
    return ["supervise", *arguments, *scenario.hog_arguments(container_ids)]


def _is_awake(line: bytes, job: TrialJob) -> bool:
    """Whether the collector is awake for this job, not for an earlier one in its log."""
    if not line.startswith(RESTORED):
        return False
    event = decode_collector(line[2:])
    return not job.waits or (event is not None and event.token == job.token)


def _is_prepared(line: bytes) -> bool:
    return isinstance(decode_supervisor(line), Prepared)


def _is_ready(line: bytes) -> bool:
    if line.startswith(_ERROR):
        event = decode_collector(line[2:]) or CollectorEvent("error")
        raise GuestError(f"the collector cannot start: {event.what} ({event.reason})")
    return line.startswith(_READY)
