"""What a command imports before it does anything: a library that it does not use costs every start."""

import json
import os
import subprocess
import sys

import pytest

from harness.oomlog import compiled
from tests.wheel import ROOT

FIGURES = ("matplotlib", "pandas", "scipy")
CLIENTS = ("cryptography", "docker", "requests", "trustme")
HYPERSCAN = ("hyperscan",)
READERS = (*HYPERSCAN, "numpy", "pyarrow")
TERMINAL = ("psutil", "rich")

# In this order each step may import more than the one before it.
STEPS = [
    (["--help"], FIGURES + CLIENTS + READERS + TERMINAL),
    (["run", "--help"], FIGURES + CLIENTS + READERS + TERMINAL),
    (["history"], FIGURES + CLIENTS + READERS),
    (["scenarios"], FIGURES + CLIENTS + READERS),
    (["kernels", "prune", "--dry-run"], FIGURES + CLIENTS + READERS),
    (["kernels", "check", "image:bzImage"], FIGURES + CLIENTS + READERS),
    # What only the reader in Python needs is not there where the compiled one reads a log, and Arrow only for files.
    (["parse", "log"], FIGURES + CLIENTS + (READERS if compiled.exists() else ())),
    (
        ["parse", "log", "--format", "parquet", "--out", "tables"],
        FIGURES + CLIENTS + (HYPERSCAN if compiled.exists() else ()),
    ),
]
EACH = """
import contextlib, io, json, sys
from harness.cli import cli
from harness.errors import OomtrialError

found = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit, OomtrialError):
        cli(arguments)
    found.append(sorted(name for name in sys.modules if "." not in name))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Modules that are there after each step, all in one process."""
    directory = tmp_path_factory.mktemp("start")
    (directory / "log").write_text(
        "[1.5] Memory cgroup out of memory: Killed process 12 (x) total-vm:1kB, anon-rss:1kB\n"
    )
    arguments = json.dumps([arguments for arguments, _ in STEPS])
    paths = {name: str(directory / name) for name in ("OOMTRIAL_CACHE", "OOMTRIAL_STATE")}
    shown = subprocess.run(
        [sys.executable, "-c", EACH, arguments], cwd=directory, env=os.environ | paths | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return [set(names) for names in json.loads(shown.stdout)]


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[" ".join(arguments) for arguments, _ in STEPS])
def test_a_command_imports_only_what_it_uses(modules, step):
    assert modules[step] & set(STEPS[step][1]) == set()


def test_the_steps_did_something(modules):
    """Else the tests above would pass for a process that fails at once."""
    assert {"rich"} <= modules[2]
    assert "zstandard" in modules[-2]
    assert "pyarrow" in modules[-1]
