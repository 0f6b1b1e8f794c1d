"""Without the extras: what needs none works, and what needs one says in a line which, before it measures anything."""

import json
import os
import subprocess
import sys

import pytest

from harness.errors import HostError
from harness.system.extras import require_extra
from tests.wheel import ROOT

EXAMPLE = str(ROOT / "results/example")
REPORT = "needs jinja2 and matplotlib; pip install 'oomtrial[report]'"
REFUSED = {
    ("report", EXAMPLE): f"report {REPORT}",
    ("report", EXAMPLE, "--png", "out"): f"report {REPORT}",
    ("report", EXAMPLE, "--mail", "--out", "page.html"): f"report {REPORT}",
    ("matrix", "--out", "out", "--kernels", "source:6.1"): f"matrix {REPORT}",
    ("series", "6.1", "6.12", "--out", "out"): f"the picture of a series {REPORT}",
    ("series", "--from", EXAMPLE): f"the picture of a series {REPORT}",
    ("watch", "--metrics", "9745"): "--metrics needs prometheus_client; pip install 'oomtrial[metrics]'",
    ("run", "--kernel", "source:6.1", "--cluster", "local:2", "--out", "out"): "--cluster needs distributed;"
    " pip install 'oomtrial[cluster]'",
}
WORKS = [
    ("report", EXAMPLE, "--text"),
    ("report", EXAMPLE, "--mail"),
    ("report", EXAMPLE, "--trace", "trace.json"),
    ("summary", EXAMPLE),
    ("compare", EXAMPLE),
    ("parse", "log"),
    *((name, "--help") for name in ("demo", "matrix", "try", "watch", "run")),
]
# what every command but those above, and the plugin, must be able to import
MODULES = (
    "studies.demo",
    "studies.trying",
    "studies.bisect",
    "studies.controls",
    "logs.follow",
    "pytest_plugin.trials",
)
EACH = """
import contextlib, importlib, io, json, sys
for name in ("jinja2", "markupsafe", "matplotlib", "distributed", "prometheus_client", "statsmodels"):
    sys.modules[name] = None
from harness import cli

found = []
commands, modules = json.loads(sys.argv[1])
for arguments in commands:
    sys.argv = ["oomtrial", *arguments]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    found.append((code, said.getvalue()))
for name in modules:
    importlib.import_module(f"harness.{name}")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("extras")
    (place / "log").write_text("[1.5] Memory cgroup out of memory: Killed process 12 (x) total-vm:1kB, anon-rss:1kB\n")
    return place


@pytest.fixture(scope="module")
def ends(place):
    """Exit code and standard error of each command, all in one process that has no extra."""
    commands = [*REFUSED, *WORKS]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OOMTRIAL_CACHE": str(place / "cache")}
    shown = subprocess.run(
        [sys.executable, "-c", EACH, json.dumps([commands, MODULES])], cwd=place, env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    return dict(zip(commands, json.loads(shown.stdout), strict=True))


@pytest.mark.parametrize("command", REFUSED, ids=lambda command: " ".join(command[:1] + command[2:]))
def test_a_command_that_needs_an_extra_says_which_and_does_nothing(ends, place, command):
    code, said = ends[command]
    assert (code, said) == (3, f"oomtrial: {REFUSED[command]}\n")
    assert not (place / "out").exists()


@pytest.mark.parametrize("command", WORKS, ids=lambda command: " ".join(command[:1] + command[2:]))
def test_a_command_that_needs_none_works(ends, command):
    code, said = ends[command]
    assert code == 0, said


def test_a_missing_library_is_named_alone(monkeypatch):
    require_extra("report", "report")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HostError, match=r"^report needs matplotlib; pip install 'oomtrial\[report\]'$"):
        require_extra("report", "report")
