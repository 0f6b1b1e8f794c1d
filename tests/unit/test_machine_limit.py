"""The machine's memory as a limit: an oracle for global OOM; and the hogs that hold what another one needs."""

from types import SimpleNamespace

import pytest

from harness.collectors.events import Calibration, decode_supervisor
from harness.errors import UsageError
from harness.experiment.host import HostArm
from harness.experiment.preflight import refuse_little_memory
from harness.experiment.trial import _why_refused
from harness.experiment.workload import TrialJob, _supervisor_arguments
from harness.spec.scenario import Scenario
from harness.spec.scenariofile import MACHINE
from harness.spec.scenarios import decode, load_scenario

GLOBAL = "global-one-big-many-small"


def _decode(text: str) -> Scenario:
    return decode("x", 'summary = "x"\n' + text)


def test_global_oom_has_an_oracle():
    scenario = load_scenario(GLOBAL)
    assert scenario.machine_bytes == 160 << 20
    assert scenario.memory_max_bytes is None
    assert not scenario.is_limited  # the supervisor is protected, and the scenario is for guests
    assert scenario.oom_score_adj == -900
    everyone = set(range(21))
    assert not scenario.demand_fits(everyone, victim=0)
    assert scenario.demand_fits(everyone - {0}, victim=1)  # one kill is needed: any further one is surplus


def test_the_machine_is_calibrated_like_a_memcg():
    scenario = load_scenario(GLOBAL)
    (tried,) = scenario.calibrations()
    assert (tried.limit.name, tried.fit, tried.over) == (MACHINE, [0, 20], [1, 20])
    job = TrialJob({}, scenario, "token", 1, 10, "all", calibrate=True)
    arguments = _supervisor_arguments(job, {})
    assert arguments[arguments.index("--machine") + 1] == str(160 << 20)
    assert arguments[arguments.index("--calibrate") + 1] == f"machine;0,20;1,20;{160 << 20};{8 << 20}"


def test_a_guest_too_small_is_refused_with_the_numbers():
    with pytest.raises(UsageError, match=f"--memory 512 MiB is too little for {GLOBAL}"):
        refuse_little_memory(512, [load_scenario(GLOBAL)])
    line = b'{"event":"calibration","limit":"machine","capacity_bytes":167772160,"available_bytes":122880000}'
    event = decode_supervisor(line)
    assert isinstance(event, Calibration)
    assert "120000 kB left for hogs, and is to have 163840 kB" in _why_refused(event)


def test_the_host_is_never_filled():
    arm = object.__new__(HostArm)
    arm.__dict__.update(
        engine=SimpleNamespace(name="the engine", memory_bytes=4 << 30, cgroup="v2"), _may_harm=True, _config=None
    )
    refusal = arm.refusal(load_scenario(GLOBAL))
    assert refusal is not None
    assert "takes all of the machine's memory except 160M; the engine has 4096 MiB" in refusal


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('machine_max = "100M"\n[[hogs]]\nname = "a"\nsize = "200M"\n', "allowed are 4K to its limit"),
        ('machine_max = "100M"\n[[hogs]]\nname = "a"\nsize = "90M"\ncount = 2\n', 'where = "guest"'),
        ('machine_max = "4M"\nwhere = "guest"\n[[hogs]]\nname = "a"\nsize = "3M"\ncount = 2\n', "machine_max is 4M"),
        (
            'machine_max = "100M"\nwhere = "guest"\nmemory_max = "30M"\nmemory_swap_max = "8M"\n'
            '[[hogs]]\nname = "a"\nsize = "20M"\ncount = 9\n',
            "can have no swap",
        ),
        (
            'memory_max = "30M"\n[[containers]]\nname = "machine"\n[[hogs]]\nname = "a"\nsize = "20M"\ncount = 2\n',
            "container name 'machine' is taken",
        ),
        (
            'memory_max = "30M"\n[[hogs]]\nname = "a"\nsize = "20M"\ncount = 2\nkind = "readmem"\n',
            "kind readmem and reads",
        ),
        (
            'memory_max = "30M"\n[[hogs]]\nname = "a"\nsize = "20M"\ncount = 2\nkind = "readmem"\nreads = "b"\n',
            "reads 'b', which is not a group of an earlier phase",
        ),
    ],
)
def test_what_cannot_work_is_refused(text, says):
    with pytest.raises(UsageError, match=says):
        _decode(text)


def test_the_reader_is_told_whom_to_read():
    scenario = load_scenario("pinned-victim")
    hogs = scenario.hog_arguments({})
    assert [part for part in hogs[3].split(",") if part.startswith(("kind", "reads"))] == ["kind=readmem", "reads=big"]
    assert scenario.demand_fits(set(range(1, 21)))
    assert [scenario.read_by(hog) for hog in range(21)] == [None, 0, 0, 0, 0] + 16 * [None]


@pytest.mark.parametrize("name", ["two-at-once", "pinned-beside"])
def test_victims_of_two_containers_cannot_help_each_other(name):
    scenario = load_scenario(name)
    containers = {hog.containers[0]: number for number, hog in enumerate(scenario.hogs)}
    assert scenario.domains_differ(*containers.values()) is True
