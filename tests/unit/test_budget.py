"""What a process may use of the machine: one answer, everywhere."""

import ast
import os
from pathlib import Path

import psutil
import pytest

import harness
from harness.errors import HostError
from harness.experiment.guests import machine_of_guests
from harness.experiment.preflight import refuse_little_memory
from harness.kernels import build
from harness.logs.parse import _cores
from harness.system import machine
from harness.system.machine import Budget, available_mib, machine_budget


@pytest.fixture
def cgroup(monkeypatch, tmp_path):
    """The cgroup that this process is in, with no limit yet."""
    monkeypatch.setattr(machine, "_own_cgroups", lambda: iter([tmp_path]))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    return tmp_path


def test_guests_that_fit_side_by_side():
    assert Budget(2, 24_000).slots(4, 2048) == 1  # one may always
    assert Budget(16, 24_000).slots(4, 2048) == 4
    assert Budget(16, 8_000).slots(4, 2048) == 3  # memory, with an eighth to spare
    assert Budget(2, 8_000).holds([], 4, 2048)
    assert not Budget(2, 8_000).holds([(1, 1024)], 4, 2048)
    assert Budget(2, 8_000).holds([(1, 1024)], 1, 1024)


def test_the_budget_is_no_more_than_the_machine():
    budget = machine_budget()
    assert budget.cores >= 1
    assert 0 < budget.memory_mib <= psutil.virtual_memory().total >> 20


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n", "memory.max": f"{1 << 30}\n"}, Budget(1, 1024, 1.5)),
        ({"cpu.cfs_quota_us": "250000", "cpu.cfs_period_us": "100000", "memory.limit_in_bytes": f"{1 << 30}"}, Budget(2, 1024, 2.5)),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, Budget(4, psutil.virtual_memory().total >> 20)),
        ({"cpu.max": "900000 100000\n"}, Budget(4, psutil.virtual_memory().total >> 20)),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, Budget(4, psutil.virtual_memory().total >> 20)),
    ],
)  # fmt: skip
def test_cgroup_limits_count(cgroup, files, expected):
    for name, text in files.items():
        (cgroup / name).write_text(text)
    assert machine_budget() == expected


def test_a_run_under_a_quota_is_recorded_as_one(cgroup):
    (cgroup / "cpu.max").write_text("150000 100000\n")
    record = machine_of_guests()
    assert (record.cores, record.cpu_quota) == (1, 1.5)
    assert _cores() == 1


def test_a_guest_that_the_cgroup_has_no_memory_for_is_refused(cgroup):
    (cgroup / "memory.max").write_text(f"{1 << 30}")
    (cgroup / "memory.current").write_text(f"{512 << 20}")
    (cgroup / "memory.stat").write_text(f"anon 1\ninactive_file {100 << 20}\n")
    assert available_mib() == 612
    with pytest.raises(HostError, match="a guest of 512 MiB does not fit: 612 MiB"):
        refuse_little_memory(512, [])


def test_a_build_has_as_many_jobs_as_cores(cgroup, monkeypatch, tmp_path):
    (cgroup / "cpu.max").write_text("300000 100000\n")
    asked = []
    monkeypatch.setattr(build, "run", lambda argv, **_: asked.append(argv) or 0)
    build._make(tmp_path, tmp_path / "log", "bzImage", task=None, lock=0)
    assert "-j3" in asked[0]


def test_nobody_else_asks_the_machine():
    # the engine of the arm host is in no cgroup of oomtrial, and engine.py tells machines apart
    allowed = {"machine.py", "host.py", "engine.py"}
    asks = {"sched_getaffinity", "cpu_count", "process_cpu_count", "virtual_memory"}
    found = {
        path.name
        for path in Path(harness.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in asks
    }
    assert found <= allowed
