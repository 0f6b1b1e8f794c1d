"""pytest plugin: options and fixtures; everything heavy is imported by the fixture that needs it. docs/pytest.md.

If the plugin is installed but unused, only this file is imported, and no name is taken from the project: where another plugin or a
conftest.py has an option called `--kernel`, `--scenario` or `--rounds`, the plugin's option has
only its long name (`--oomtrial-kernel`), and a project's fixtures override the plugin's.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import OomtrialError

if TYPE_CHECKING:
    import docker

    from ..guest.machine import Guest
    from ..spec.project import Project
    from .containers import ContainerEnd
    from .engines import Engines, KernelEngine
    from .oom_watch import OomWatch
    from .result import Count, TrialResult
    from .trials import Trials

_PACKAGE = Path(__file__).resolve().parents[1]
_MARKER = "oom_scenario"
_MARKER_LINE = (
    f"{_MARKER}(*names, rounds=40, boots=2, seed=1): measures scenarios with the fixture `trial`, once for each name;"
    " --scenario chooses among them, --rounds goes before rounds"
)
_VCPUS, _MEMORY_MIB = 4, 2048  # of a guest
_OPTIONS: dict[str, dict[str, Any]] = {  # each also as --oomtrial-NAME
    "kernel": {
        "action": "append",
        "metavar": "SPEC",
        "help": "tests that use the fixture `kernel` run on each: host (the local engine), debian:6.1, source:6.1+FIX, ..."
        " [default: ini oomtrial_kernels, the project's oomtrial.toml, or host]",
    },
    "scenario": {
        "action": "append",
        "metavar": "NAME",
        "help": "scenarios of tests marked oom_scenario: a name or a .toml file",
    },
    "rounds": {"metavar": "N", "help": "rounds of each trial"},
}
_compared = pytest.StashKey[list["Count"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the --oomtrial-* options and the ini settings."""
    group = parser.getgroup("oomtrial", "oomtrial: OOM kills of containers, on any kernel")
    for name, attributes in _OPTIONS.items():
        group.addoption(f"--oomtrial-{name}", dest=f"oomtrial_{name}", **attributes)
    group.addoption(
        "--oomtrial-out",
        metavar="DIR",
        help="keep the evidence of trials here [default: pytest's temporary directory]",
    )
    parser.addini("oomtrial_kernels", "kernels of tests without --kernel", type="linelist", default=[])
    parser.addini(
        "oomtrial_vcpus",
        "virtual CPUs per guest; more than cores widens the window for a second kill [default: 4]",
        default="",
    )
    parser.addini("oomtrial_memory", "memory per guest, such as 2G [default: 2G]", default="")
    parser.addini("oomtrial_accel", "auto, kvm or tcg", default="auto")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None, object, object]:
    """The short names come last, as far as nobody else has them."""
    result = yield
    group = parser.getgroup("oomtrial")
    # No public API tells the options there are; without it the parser itself refuses, or pytest when it parses.
    groups = [*getattr(parser, "_groups", []), getattr(parser, "_anonymous", group)]
    taken = {name for other in groups for option in other.options for name in option.names()}
    for name, attributes in _OPTIONS.items():
        with contextlib.suppress(argparse.ArgumentError, ValueError):
            if f"--{name}" not in taken:
                group.addoption(f"--{name}", dest=f"oomtrial_{name}", **attributes)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker, and checks the options. Raises pytest.UsageError for values that cannot work."""
    config.addinivalue_line("markers", _MARKER_LINE)
    rounds = config.getoption("oomtrial_rounds") or "1"
    with _as_usage_error():
        kernels = _chosen_kernels(config)
        if not (rounds.isdecimal() and int(rounds)):
            raise pytest.UsageError(f"oomtrial: --rounds {rounds}: write a number from 1 on")
        if list(kernels) != ["host"]:
            from ..spec.kernel import parse_kernel_spec

            for spec in kernels:
                parse_kernel_spec(spec)
            if any(spec != "host" for spec in kernels):
                _guest_size(config)
    config.pluginmanager.register(_Kernels(kernels), "oomtrial-kernels")


def _chosen_kernels(config: pytest.Config) -> dict[str, str]:
    """Specs, each once, with the names that tests have them by: a label, or the spec with its paths shortened."""
    given = config.getoption("oomtrial_kernel") or config.getini("oomtrial_kernels")
    if not given and (project := _project(config)) is not None:
        given = project.kernels
    if not given or given == ["host"]:
        return {"host": "host"}
    from ..spec.arm import name_arms, split_label

    labelled: dict[str, str] = {}
    for text in given:
        labelled.setdefault(split_label(text)[1], text)
    return {spec: arm.name for spec, arm in zip(labelled, name_arms(labelled.values()), strict=True)}


def _project(config: pytest.Config) -> Project | None:
    """The defaults in the root directory of the tests; nothing is imported where there are none."""
    own, shared = config.rootpath / "oomtrial.toml", config.rootpath / "pyproject.toml"
    if not own.is_file() and not (shared.is_file() and b"[tool.oomtrial" in shared.read_bytes()):
        return None
    from ..spec.project import read_project

    return read_project(config.rootpath)


class _Kernels(ModuleType):
    """Holds the fixture `kernel`, whose parameters are the specs: a project's own fixture or parametrization of that name goes
    before it. A module, as pytest takes session fixtures from modules in every version."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__("oomtrial_kernels")
        self.names, self.specs = names, list(names)

        @pytest.fixture(scope="session", params=self.specs, ids=list(names.values()))
        def kernel(request: pytest.FixtureRequest) -> str:
            """Spec of the kernel under test: `host`, or that of a guest (--kernel)."""
            return str(request.param)

        self.kernel = kernel


@contextlib.contextmanager
def _as_usage_error() -> Iterator[None]:
    try:
        yield
    except OomtrialError as error:
        raise pytest.UsageError(f"oomtrial: {error}") from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Lines on the kernels under test, at the top of the session."""
    kernels = _kernels_of(config)
    guests = [spec for spec in kernels if spec != "host"]
    if not guests:
        return []
    from ..system.machine import machine_budget

    vcpus, memory_mib = _guest_size(config)
    lines = [f"oomtrial: {', '.join(_described(config))}; guests of {vcpus} vCPUs and {memory_mib} MiB"]
    workers, budget = config.getoption("numprocesses", None) or 0, machine_budget()
    room = budget.slots(vcpus, memory_mib)
    if workers > room:
        lines.append(
            f"oomtrial: {workers} workers, and room for {room} guest{'s' * (room != 1)} at a time"
            f" ({budget.cores} cores, {budget.memory_mib} MiB): the other workers wait their turn"
        )
    return lines


def _guest_size(config: pytest.Config) -> tuple[int, int]:
    from ..units import parse_size

    """vCPUs and MiB. Raises pytest.UsageError, which names the ini option."""
    from ..spec.project import MAX_VCPUS, MIN_MEMORY_MIB

    vcpus, memory = config.getini("oomtrial_vcpus"), config.getini("oomtrial_memory")
    with _as_usage_error():
        project = _project(config)
        if vcpus and not (vcpus.isdecimal() and 1 <= int(vcpus) <= MAX_VCPUS):
            raise pytest.UsageError(f"oomtrial: oomtrial_vcpus = {vcpus}: write a number from 1 to {MAX_VCPUS}")
        try:
            memory_mib = parse_size(memory) >> 20 if memory else (project and project.memory_mib) or _MEMORY_MIB
        except OomtrialError as error:
            raise pytest.UsageError(f"oomtrial: oomtrial_memory: {error}") from None
        if memory_mib < MIN_MEMORY_MIB:
            raise pytest.UsageError(f"oomtrial: oomtrial_memory = {memory}: at least {MIN_MEMORY_MIB}M are needed")
        return int(vcpus or (project and project.vcpus) or _VCPUS), memory_mib


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the marker runs once for each of its scenarios, as far as --scenario wants them."""
    marker = metafunc.definition.get_closest_marker(_MARKER)
    if marker is None or "oom_scenario" not in metafunc.fixturenames:
        return
    wanted = metafunc.config.getoption("oomtrial_scenario") or []
    names = list(marker.args) or wanted
    chosen: list[Any] = [name for name in names if name in wanted or not wanted]
    if names and not chosen:
        why = f"it measures {', '.join(names)}, and --scenario asks for {', '.join(wanted)}"
        chosen = [pytest.param(names[0], marks=pytest.mark.skip(reason=why))]
    if chosen:
        metafunc.parametrize("oom_scenario", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def oom_scenario(request: pytest.FixtureRequest) -> str:
    """Name of the scenario that `trial()` measures: of the marker, of --scenario, or one-big-many-small."""
    wanted = request.config.getoption("oomtrial_scenario") or ["one-big-many-small"]
    return str(getattr(request, "param", wanted[0]))


@pytest.fixture(scope="session")
def _oomtrial_engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    from .engines import Engines, GuestSize

    config = request.config
    capture = config.pluginmanager.getplugin("capturemanager")

    def showing() -> contextlib.AbstractContextManager[None]:
        disabled: contextlib.AbstractContextManager[None] = capture.global_and_fixture_disabled()
        return disabled

    vcpus, memory_mib = _guest_size(config)
    machine = GuestSize(vcpus, memory_mib, config.getini("oomtrial_accel"))
    engines = Engines(
        machine, tmp_path_factory.mktemp("oomtrial-guests"), showing if capture else contextlib.nullcontext
    )
    yield engines
    engines.close()


@pytest.fixture(scope="session")
def _oomtrial_trials(
    request: pytest.FixtureRequest, _oomtrial_engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Trials:
    from .trials import Trials

    out = request.config.getoption("oomtrial_out")
    return Trials(_oomtrial_engines, Path(out).absolute() if out else tmp_path_factory.mktemp("oomtrial-trials"))


@pytest.fixture
def _oomtrial_engine(kernel: str, _oomtrial_engines: Engines) -> Iterator[KernelEngine]:
    yield _oomtrial_engines.open(kernel)
    _oomtrial_engines.rest()


@pytest.fixture
def guest(_oomtrial_engine: KernelEngine) -> Guest | None:
    """The running guest of the kernel under test; None for `host`, which has none."""
    return _oomtrial_engine.guest


@pytest.fixture
def docker_client(_oomtrial_engine: KernelEngine) -> docker.DockerClient:
    """docker-py's client of the engine on the kernel under test."""
    return _oomtrial_engine.client


@pytest.fixture
def _oomtrial_names(_oomtrial_engine: KernelEngine) -> dict[str, str]:
    """Containers of this test: id to name."""
    return {}


@pytest.fixture
def memcg_container(
    _oomtrial_engine: KernelEngine, _oomtrial_names: dict[str, str]
) -> Iterator[Callable[..., ContainerEnd]]:
    """Runs an image with a memory limit to its end: `memcg_container(IMAGE, [COMMAND, ...], memory="64M")`."""
    from .containers import Containers

    containers = Containers(_oomtrial_engine, _oomtrial_names)
    yield containers
    containers.remove()


@pytest.fixture
def oom_watch(
    _oomtrial_engine: KernelEngine, _oomtrial_names: dict[str, str]
) -> Callable[[], contextlib.AbstractContextManager[OomWatch]]:
    """What the OOM killer does within a block: `with oom_watch() as seen: ...`, then `seen.kills`."""
    from .oom_watch import watching

    def watch() -> contextlib.AbstractContextManager[OomWatch]:
        return watching(_oomtrial_engine.kernel, _oomtrial_engine.watcher, _oomtrial_names)

    return watch


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, kernel: str, oom_scenario: str, _oomtrial_trials: Trials
) -> Callable[..., TrialResult]:
    """Measures a scenario on the kernel under test: `trial()`, or `trial(NAME, rounds=40, boots=2, seed=1)`."""
    marker = request.node.get_closest_marker(_MARKER)
    given: dict[str, Any] = dict(marker.kwargs) if marker else {}
    option = int(request.config.getoption("oomtrial_rounds") or 0)

    def measure(
        scenario: str = oom_scenario, rounds: int | None = None, boots: int | None = None, seed: int | None = None
    ) -> TrialResult:
        __tracebackhide__ = True
        rounds = option or rounds or given.get("rounds") or 40
        boots = boots or given.get("boots") or 2
        seed = given.get("seed", 1) if seed is None else seed
        return _oomtrial_trials.measure(kernel, scenario, rounds, min(boots, rounds), seed)

    return measure


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """A count of a trial explains itself. pytest cuts long explanations, so the timeline is a section of the report."""
    count = next((side for side in (left, right) if hasattr(side, "explanation") and hasattr(side, "kill_class")), None)
    if count is None:
        return None
    config.stash.setdefault(_compared, []).append(count)  # type: ignore[arg-type]
    return [f"{left!r} {op} {right!r}", *count.explanation()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows an OomtrialError without frames of libraries, and adds the first round's timeline to a failed comparison of counts."""
    error = call.excinfo.value if call.excinfo else None
    shown = None
    if isinstance(error, OomtrialError):
        # What a person did wrong, or this machine lacks, is not found in our frames, nor in those of libraries.
        error.__cause__, error.__suppress_context__ = None, True
        if call.when != "call" or not _end_at_test(error.__traceback__, item.path):
            shown = f"oomtrial: {error}"
    report = yield
    if shown and report.failed:
        report.longrepr = shown
    compared = item.config.stash.get(_compared, [])
    if call.when == "call" and isinstance(error, AssertionError):
        for count in compared:
            if timeline := count.timeline():
                report.sections.append((f"oomtrial: the first round of {int(count)} {count.what}", timeline))
    compared.clear()
    return report


def _end_at_test(trace: TracebackType | None, test: Path) -> bool:
    """Cuts a traceback before our first frame that is called from a test; False where there is none."""
    seen_test = False
    while trace is not None and trace.tb_next is not None:
        seen_test |= Path(trace.tb_frame.f_code.co_filename) == test
        if seen_test and _PACKAGE in Path(trace.tb_next.tb_frame.f_code.co_filename).parents:
            trace.tb_next = None
            return True
        trace = trace.tb_next
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """pytest-xdist: a worker that was killed leaves its containers in the local engine to us."""
    if not error:
        return
    if _uses_host(node):
        from .engines import sweep

        with contextlib.suppress(OomtrialError):
            sweep()


def _uses_host(node: object) -> bool:
    config = getattr(node, "config", None)
    return config is not None and "host" in _kernels_of(config)


def _kernels_of(config: pytest.Config) -> list[str]:
    plugin = config.pluginmanager.get_plugin("oomtrial-kernels")
    return plugin.specs if plugin else []


def _described(config: pytest.Config) -> list[str]:
    """The kernels with the names that test ids have, where those differ."""
    plugin = config.pluginmanager.get_plugin("oomtrial-kernels")
    names: dict[str, str] = plugin.names if plugin else {}
    return [spec if name == spec else f"{name} ({spec})" for spec, name in names.items()]
