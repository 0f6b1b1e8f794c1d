"""Runs one trial in an engine: collector, workload, and their output as raw evidence."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import docker
import msgspec
from docker.models.containers import Container

from harness.collectors.events import Calibration
from harness.collectors.evidence import EvidenceWriter
from harness.containers.images import Image, load_image
from harness.containers.running import (
    API_ERRORS,
    BESIDE,
    COLLECTOR,
    SESSION,
    SUPERVISOR,
    FollowedContainer,
    OutputEndedError,
    WorkloadLimits,
    cannot_keep,
    cgroup_parent,
    create_collector,
    create_workload,
    find_container,
    rename_containers,
    volume_of,
)
from harness.errors import GuestError, HostError
from harness.spec.scenario import DATA_FILE, MACHINE, Scenario

REFUSED = "refused"  # outcome of a trial: the scenario does not do here what it declares
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SOCKET = "/run/oomtrial/collector.sock"
_READY_DEADLINE_S = 120.0
_LAST_LINES_DEADLINE_S = 60.0
# Beyond the round's own deadline: clean-up, draining the logs, baseline; all slow under emulation.
_ROUND_GRACE_S = 240.0
# workloads/collector.c: what is waited for during a trial
_RESTORED, _CLOSED = b'C {"event":"restored"', b'C {"event":"closed"'
_AWAITED = (_RESTORED, _CLOSED)
# workloads/hog/hog.h: exit codes of the supervisor
_EXIT_HUNG, _EXIT_UNCLEAN, _EXIT_DEMAND = 66, 67, 69
_GUEST_DATA = "/usr/share/oomtrial/data"  # harness/guest/rootfs.py


@dataclass(frozen=True)
class TrialJob:
    """What one trial is to do."""

    images: dict[str, Image]
    scenario: Scenario
    token: str  # in the markers and in the containers' names
    first_round: int
    rounds: int
    probes: str  # all, kills or none
    calibrate: bool = False  # try the declared demand before the first round
    session: str = ""  # in an engine that is not ours alone: what is of this trial, and removed after it
    owner: int = 0  # the process of the collector's pid namespace without which no round begins; 0: none
    waits: bool = False  # the supervisor gets `handed_over` from the guest, and else these values as arguments

    @property
    def handed_over(self) -> str:
        """What the guest hands to a supervisor that waits (workloads/collector.c)."""
        return f"{self.token} {self.first_round} {self.rounds} {int(self.calibrate)}"


@dataclass
class TrialEnd:
    """How a trial ended, as far as the containers tell."""

    outcome: str  # completed, hung, harness_error, refused, or "gone" when the guest no longer answers
    reason: str = ""
    rounds_begun: int = 0
    containers_start_s: float = 0.0
    rounds_s: float = 0.0
    under_way: tuple[int, float] | None = None  # the round, and when it began, of time.monotonic()

    @property
    def round_s(self) -> float:
        """How long the round that is under way has taken; 0 where none is."""
        return time.monotonic() - self.under_way[1] if self.under_way else 0.0


def run_trial(
    client: docker.DockerClient,
    job: TrialJob,
    evidence: EvidenceWriter,
    on_round: Callable[[int], None],
    when_prepared: Callable[[], None] = lambda: None,
    end: TrialEnd | None = None,
) -> TrialEnd:
    """Runs a job's rounds in one container; `on_round` is told how many are done. Whatever happens, what was written stays.
    `end` is filled in and returned; a caller's own tells how far it was, too, when an exception ends it.

    Where the supervisor waits for its job, `when_prepared` is called once its containers are there, with nobody connected
    to the engine; a guest that goes on from that point has them already.

    An engine that does not answer ends the trial as "gone"; the caller asks the guest why.
    """
    started, end = time.monotonic(), end or TrialEnd("gone")
    end.outcome = "gone"
    try:
        with contextlib.ExitStack() as followed:
            containers = _find_containers(client, job)
            if containers is None:
                containers = _prepare_containers(client, job, evidence)
                when_prepared()
            collector, workload = _start(client, containers, job, evidence, end, followed)
            end.containers_start_s = time.monotonic() - started
            _follow_rounds(collector, workload, job, end, on_round)
            end.rounds_s = time.monotonic() - started - end.containers_start_s
            collector.check_kept()
            if end.outcome != "gone":
                # The collector's last lines may still be on their way.
                collector.wait_for(_is_last, _LAST_LINES_DEADLINE_S, "its last line")
    except GuestError as error:
        end.reason = end.reason or error.what
    except API_ERRORS as error:
        end.reason = end.reason or f"the engine does not answer: {error}"
    return end


def prepare_engine(
    client: docker.DockerClient, images: dict[str, Image], probes: str, session: str = "", owner: int = 0
) -> None:
    """What every trial in an engine needs: images, and the collector, ready. Nobody is connected to it afterwards.

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
            ready = collector.wait_for(_is_ready, _READY_DEADLINE_S, "word that the collector is ready")
            if owner:
                require_own_kernel(_field(ready[2:], "boot_id"))
        finally:
            collector.close()
    except API_ERRORS as error:
        raise GuestError(f"the engine does not answer: {error}") from error


def require_own_kernel(boot_id: str) -> None:
    """Raises HostError when a boot is not that of this machine's kernel: an engine that is said to be here is not."""
    with contextlib.suppress(OSError):
        if boot_id != _BOOT_ID.read_text().strip():
            raise HostError(
                "the container engine runs on another machine, of the same name, kernel and memory as this one",
                "run oomtrial there, or give the engine by that machine's own address",
            )


_Containers = tuple[Container, Container]  # collector and supervisor


def _find_containers(client: docker.DockerClient, job: TrialJob) -> _Containers | None:
    """What a guest has that went on from after `when_prepared`."""
    if not job.waits:
        return None
    collector, workload = find_container(client, COLLECTOR), find_container(client, SUPERVISOR)
    return None if collector is None or workload is None else (collector, workload)


def _prepare_containers(client: docker.DockerClient, job: TrialJob, evidence: EvidenceWriter) -> _Containers:
    """Collector, awake, and workload; a supervisor that waits has started. They are not removed here: a guest that runs
    them lives in memory only, and one that no longer answers would keep us waiting for each removal; elsewhere whoever
    opened the session does it.

    Raises GuestError; what the containers said by then is kept as evidence, which else is read again from its first line.
    """
    container = find_container(client, COLLECTOR, job.session)
    if container is None:
        prepare_engine(client, job.images, job.probes, job.session, job.owner)
        container = find_container(client, COLLECTOR, job.session)
    if container is None:
        raise GuestError("the collector has ended")
    with contextlib.ExitStack() as followed:
        collector = followed.enter_context(_Heard(container, evidence.collector_line))
        collector.follow()
        collector.wait_for(_is_ready, _READY_DEADLINE_S, "word that the collector is ready")
        if not job.session:
            # Before anything is made: an engine that goes on from a snapshot would give the same IDs every time.
            _wake(collector, job)
        created = _create_containers(client, job, volume_of(container))
        if job.waits:
            workload = followed.enter_context(_Heard(created, evidence.supervisor_line))
            workload.start()
            workload.wait_for(_is_prepared, _READY_DEADLINE_S, "word that the supervisor is prepared")
    return container, created


class _Heard(FollowedContainer):
    """A container whose words become evidence only if the block fails."""

    def __init__(self, container: Container, sink: Callable[[bytes], None]) -> None:
        self._heard: list[bytes] = []
        super().__init__(container, self._heard.append)
        self._evidence = sink

    def __enter__(self) -> _Heard:
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


def _wake(collector: FollowedContainer, job: TrialJob) -> None:
    collector.container.kill(signal="SIGUSR1")
    collector.wait_for(lambda line: _is_awake(line, job), _READY_DEADLINE_S, "word that the collector is awake")


def _start(
    client: docker.DockerClient,
    containers: _Containers,
    job: TrialJob,
    evidence: EvidenceWriter,
    end: TrialEnd,
    followed: contextlib.ExitStack,
) -> tuple[FollowedContainer, FollowedContainer]:
    """Follows both, and has the supervisor begin."""

    def keep(line: bytes) -> None:
        evidence.collector_line(line)
        # The supervisor is silent during a round: the collector's word tells which round a guest died in.
        if line.startswith(b'C {"event":"armed"'):
            number = int(_field(line[2:], "round"))
            end.rounds_begun = number - job.first_round + 1
            end.under_way = number, time.monotonic()

    collector = FollowedContainer(containers[0], keep, lambda line: line.startswith(_AWAITED))
    followed.callback(collector.close)
    collector.follow()
    if not job.session:
        rename_containers(client, job.token)
    workload = FollowedContainer(containers[1], evidence.supervisor_line)
    followed.callback(workload.close)
    if job.waits:
        workload.follow()
        _wake(collector, job)
    else:
        workload.start()
    return collector, workload


def _create_containers(client: docker.DockerClient, job: TrialJob, volume: str) -> Container:
    """The supervisor's container, not started; those beside it run, and do nothing but hold a memcg."""
    scenario, reference = job.scenario, job.images["hog"].reference
    parent = cgroup_parent(job.token, scenario.top_level)
    volumes = {volume: {"bind": "/run/oomtrial", "mode": "rw"}}
    ids = {}
    for beside in scenario.file.containers:
        limit = next((limit.bytes for limit in scenario.limits if limit.name == beside.name), None)
        limits = WorkloadLimits(limit, 0, scenario.file.cpus, -1000, parent)
        name = f"oomtrial-{job.token}-{beside.name}"
        container = create_workload(client, reference, name, BESIDE, {}, limits, ["idle"], job.session)
        container.start()
        ids[beside.name] = str(container.id)
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


def _supervisor_arguments(job: TrialJob, container_ids: dict[str, str]) -> list[str]:
    scenario = job.scenario
    options: list[tuple[str, object]] = [
        ("socket", _SOCKET),
        *(() if job.waits else (("token", job.token), ("rounds", job.rounds), ("first-round", job.first_round))),
        ("deadline-ms", int(scenario.round_deadline_s * 1000)),
        ("top", scenario.top_level),
    ]
    options += [("set", f"{level}:{file}={value}") for level, file, value in scenario.memcg_settings()]
    options += [("group", container_ids[beside.name]) for beside in scenario.file.containers if beside.oom_group]
    if scenario.swap_bytes:
        # zram takes its memory from the guest: twice as large as what may be swapped, so that it is never full
        options.append(("swap", 2 * scenario.swap_bytes))
    if scenario.machine_bytes:
        options.append(("machine", scenario.machine_bytes))
    for tried in scenario.calibrations() if job.calibrate or job.waits else []:
        where = tried.limit.level if tried.limit.level >= 0 else container_ids.get(tried.limit.name, MACHINE)
        fit, over = (",".join(map(str, counts)) for counts in (tried.fit, tried.over))
        options.append(("calibrate", f"{where};{fit};{over};{tried.capacity_bytes};{scenario.reserve_bytes}"))
    arguments = [text for name, value in options for text in (f"--{name}", str(value))]
    return ["supervise", *arguments, *scenario.hog_arguments(container_ids)]


def _is_last(line: bytes) -> bool:
    return line.startswith(_CLOSED)


def _is_awake(line: bytes, job: TrialJob) -> bool:
    """Not for an earlier job, of which the collector's log tells too."""
    awake = line.startswith(_RESTORED)
    return awake and (not job.waits or _field(line[2:], "token") == job.token)


def _is_prepared(line: bytes) -> bool:
    return line.startswith(b'{"event":"prepared"')


def _is_ready(line: bytes) -> bool:
    if line.startswith(b'C {"event":"error"'):
        raise GuestError(f"the collector cannot start: {_field(line[2:], 'what')} ({_field(line[2:], 'reason')})")
    return line.startswith(b'C {"event":"ready"')


def _field(line: bytes, name: str) -> str:
    with contextlib.suppress(msgspec.DecodeError):
        return str(msgspec.json.decode(line).get(name, ""))
    return ""


def _follow_rounds(
    collector: FollowedContainer,
    workload: FollowedContainer,
    job: TrialJob,
    end: TrialEnd,
    on_round: Callable[[int], None],
) -> None:
    """Reads the supervisor's events until it ends; sets the outcome."""
    patience = job.scenario.round_deadline_s + _ROUND_GRACE_S
    hung_round, calibration = 0, b"{}"
    while True:
        try:
            line = workload.next_line(time.monotonic() + patience)
        except OutputEndedError:
            break
        if line is None:
            end.reason = f"no word from the supervisor for {patience:.0f} s"
            return
        event = _field(line, "event")
        if event == "round_end":
            if end.under_way and end.under_way[0] == int(_field(line, "round")):
                end.under_way = None
            collector.check_kept()
            on_round(int(_field(line, "round")) - job.first_round + 1)
            if _field(line, "hung") == "True":
                hung_round = int(_field(line, "round"))
        elif event == "calibration":
            calibration = line
        elif event == "error":
            end.reason = _field(line, "what")
    status = workload.exit_status(30.0)
    if status == 0:
        end.outcome = "completed"
    elif status == _EXIT_HUNG:
        end.outcome, end.reason = "hung", f"round {hung_round}: its processes cannot be killed"
    elif status == _EXIT_UNCLEAN:
        # The rounds so far are good; the next one needs a fresh container.
        end.outcome = "completed"
    elif status == _EXIT_DEMAND:
        end.outcome, end.reason = REFUSED, _why_refused(calibration)
    elif status is not None:
        end.outcome, end.reason = "harness_error", end.reason or f"the supervisor ended with status {status}"


def _why_refused(line: bytes) -> str:
    found = msgspec.json.decode(line, type=Calibration)
    if 0 <= found.available_bytes < found.capacity_bytes:
        return (
            f"the machine has {found.available_bytes >> 10} kB left for hogs,"
            f" and is to have {found.capacity_bytes >> 10} kB: give the guest more --memory"
        )
    if found.fit_bytes < 0:
        return "the hogs that are to survive do not get their memory alone"
    if found.oom:
        return f"the hogs that are to survive enter the OOM killer {found.oom} times alone"
    if found.fit_bytes > found.capacity_bytes - found.reserve_bytes:
        return (
            f"the hogs that are to survive take {found.fit_bytes >> 10} kB alone,"
            f" {(found.capacity_bytes - found.reserve_bytes) >> 10} kB leave the reserve free"
        )
    return f"with one process more they take {found.over_bytes >> 10} kB, the limit of {found.capacity_bytes >> 10} kB is not reached"
