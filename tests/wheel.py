"""The wheel, installed in a clean environment outside the checkout; its dependencies are those of this one."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel."""

    python: Path
    wheel: Path

    def run(self, *arguments, cwd, env=None, timeout=300):
        """Its Python with these arguments; nothing of the checkout is on its path."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
        return subprocess.run(
            [self.python, *map(str, arguments)], cwd=cwd, env=clean | (env or {}), capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip


def install_wheel(directory):
    """Builds and installs it."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "build", "--wheel", "--out-dir", directory, ROOT], check=True)
    (wheel,) = directory.glob("oomtrial-*.whl")
    venv = directory / "venv"
    subprocess.run([*uv, "venv", "--python", sys.executable, venv], check=True)
    python = venv / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--python", python, "--no-deps", "--offline", wheel], check=True)
    # As plain directory, so that an editable installation in it does not count.
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(python, wheel)
