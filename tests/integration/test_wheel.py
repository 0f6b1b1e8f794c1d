"""The wheel has what it needs, and takes no name that a project may have."""

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from harness.kernels.library import LIBRARY

ROOT = Path(__file__).parents[2]


def test_it_has_everything_that_is_no_code(installed):
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    for directory in ("workloads", "containers"):
        for path in (ROOT / directory).rglob("*"):
            assert path.is_dir() or f"oomtrial/_data/{path.relative_to(ROOT)}" in names, path
    package = ROOT / "harness"
    for path in (
        *LIBRARY.rglob("*.patch"),
        package / "kernels/configs/guest.config",
        package / "py.typed",
        *package.rglob("*.j2"),
        *package.rglob("*.html"),
    ):
        assert f"oomtrial/{path.relative_to(package)}" in names, path
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"oomtrial", "harness.py"}


def test_what_only_some_commands_need_is_an_extra(installed):
    wheel = zipfile.ZipFile(installed.wheel)
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(wheel.read(name))
    needed = {"": set()}
    for line in metadata.get_all("Requires-Dist"):
        package, extra = re.match(r"([\w.-]+(?:\[[^]]*\])?).*?(?:extra == '(\w+)')?$", line).groups()
        needed.setdefault(extra or "", set()).add(package)
    assert {"click", "docker", "pandas", "pyarrow", "scipy"} <= needed[""]
    assert not needed[""] & {"distributed", "jinja2", "matplotlib", "prometheus-client", "pytest", "statsmodels"}
    assert needed["report"] == {"jinja2", "matplotlib"}
    assert needed["cluster"] == {"distributed"}
    assert needed["metrics"] == {"prometheus-client"}
    assert needed["all"] == needed["report"] | needed["cluster"] | needed["metrics"]
    assert set(metadata.get_all("Provides-Extra")) >= {"all", "cluster", "metrics", "pytest", "report"}


def test_the_command_line_works_outside_the_checkout(installed, tmp_path):
    shown = installed.run(installed.python.parent / "oomtrial", "scenarios", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "one-big-many-small" in shown.stdout
    (tmp_path / "log").write_text(
        "[1.5] Memory cgroup out of memory: Killed process 12 (x) total-vm:1kB, anon-rss:1kB\n"
    )
    code = "import harness, sys; print(harness.parse_log('log').kills['pid'].tolist(), harness.__file__); import harness.units"
    shown = installed.run("-c", code, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("[12] ")
    assert str(ROOT) not in shown.stdout


def test_it_has_the_compiled_log_reader(installed, tmp_path):
    """For every Python of this platform; built where a compiler is, as on any host that builds kernels."""
    assert "-py3-none-linux_" in installed.wheel.name
    shown = installed.run("-c", "from oomtrial.oomlog import compiled; print(compiled.exists())", cwd=tmp_path)
    assert shown.stdout == "True\n", shown.stderr


ONE_OF_EACH = """
import sys

import harness
from harness.errors import EvidenceError

try:
    harness.load_run("nosuch")
except EvidenceError as error:
    print("caught", error)
import harness.guest.qemu
import harness.spec.scenario as scenario
import oomtrial.spec.scenario

assert scenario is oomtrial.spec.scenario is harness.spec.scenario
assert harness.guest is oomtrial.guest
assert oomtrial.errors.__name__ == oomtrial.errors.__spec__.name == "oomtrial.errors"
by_file = {}
for name, module in sys.modules.items():
    if name.startswith(("harness.", "oomtrial.")):
        assert by_file.setdefault(module.__file__, module) is module, name
try:
    import harness.nosuch
except ModuleNotFoundError as error:
    print(error)
assert harness is oomtrial
"""


def test_each_module_is_there_once(installed, tmp_path):
    """Else `except harness.errors.EvidenceError` does not catch what `harness.load_run` raises."""
    shown = installed.run("-c", ONE_OF_EACH, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    caught, missing = shown.stdout.splitlines()
    assert caught.startswith("caught nosuch holds no run")
    assert missing == "No module named 'oomtrial.nosuch'"


def test_a_project_may_have_a_package_called_harness(installed, tmp_path):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("MINE = True\n")
    (tmp_path / "test_it.py").write_text(
        "import sys\nimport harness\nfrom oomtrial.errors import HostError\n\n"
        "def test_it(oom_scenario):\n"
        "    assert harness.MINE\n"
        "    assert oom_scenario == 'one-big-many-small'\n"
        "    assert 'oomtrial.pytest_plugin.hooks' in sys.modules\n"
    )
    shown = installed.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, cwd=tmp_path)
    assert shown.returncode == 0, shown.stdout + shown.stderr


IN_A_CHECKOUT = """
import oomtrial
import harness
from oomtrial.errors import EvidenceError
import oomtrial.spec.scenario as scenario
import harness.errors
import harness.spec.scenario

assert oomtrial is harness
assert EvidenceError is harness.errors.EvidenceError
assert scenario is harness.spec.scenario
assert harness.errors.__spec__.name == "harness.errors"
try:
    oomtrial.load_run("nosuch")
except EvidenceError as error:
    print("caught", error)
"""


def test_a_checkout_has_both_names(tmp_path):
    """As an editable installation puts them on the path."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "alias")))
    for arguments, says in (
        (("-c", IN_A_CHECKOUT), "caught nosuch holds no run"),
        (("-m", "oomtrial", "scenarios"), "one-big-many-small"),
        (("-m", "harness", "scenarios"), "one-big-many-small"),
        (
            ("-c", "import harness.plugin, sys; print(sys.modules['harness.plugin'].__name__)"),
            "harness.pytest_plugin.hooks",
        ),
    ):
        shown = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        assert says in shown.stdout


def test_either_name_can_be_run(installed, tmp_path):
    for name in ("oomtrial", "harness"):
        shown = installed.run("-m", name, "scenarios", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert "one-big-many-small" in shown.stdout
