"""How the wheel is made: the package `harness` is installed as `oomtrial`, with an alias of the old name.

`harness` is what projects call directories of their own, and a pytest plugin is imported into every project of a venv. So
nothing of ours may stand under that name before somebody asks for it; docs/architecture.md. Imports are the only places
where the package names itself, and are rewritten; tests/unit/test_wheel.py runs the result.
"""

import re
import runpy
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_IMPORT = re.compile(r"^(\s*(?:from|import) )harness\b", re.MULTILINE)
_ALIAS = '''"""The name under which the documentation has `parse_log`, `load_run` and `errors`: an alias of `oomtrial`."""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

import oomtrial
from oomtrial import __version__

__all__ = ["OomLog", "Run", "__version__", "load_run", "parse_log"]


class _Alias(MetaPathFinder, Loader):
    """`harness.errors` is the module `oomtrial.errors` itself: a copy would raise and catch other classes."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name.startswith(__name__ + ".") else None

    def create_module(self, spec):
        module = import_module("oomtrial" + spec.name.removeprefix(__name__))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state  # its own; the import system has put ours there


sys.meta_path.insert(0, _Alias())  # the path finder would make a copy of what is below oomtrial.spec


def __getattr__(name: str) -> object:
    return getattr(oomtrial, name)
'''


class WheelHook(BuildHookInterface):  # type: ignore[type-arg]
    """For wheels: in an editable installation the checkout is used as it is. Both get the compiled log reader."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        has_reader = self._build_reader()
        if version == "editable":
            return
        if has_reader:  # by ctypes: for every Python of this platform
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{re.sub('[^a-z0-9]', '_', sysconfig.get_platform())}"
        root, scratch = Path(self.root), Path(tempfile.mkdtemp(prefix="oomtrial-wheel-"))
        self._scratch = scratch
        package = scratch / "oomtrial"
        shutil.copytree(root / "harness", package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("workloads", "containers"):
            shutil.copytree(root / name, package / "_data" / name)
        for path in package.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            path.write_text(_IMPORT.sub(r"\1oomtrial", text), encoding="utf-8")
        (scratch / "harness.py").write_text(_ALIAS)
        build_data["force_include"][str(package)] = "oomtrial"
        build_data["force_include"][str(scratch / "harness.py")] = "harness/__init__.py"
        core = self.metadata.core
        for points in (core.scripts, *core.entry_points.values()):
            for name, target in points.items():
                points[name] = re.sub(r"^harness\b", "oomtrial", target)

    def _build_reader(self) -> bool:
        """Builds the compiled log reader; without a compiler logs are read by Python alone."""
        build = runpy.run_path(str(Path(self.root) / "harness" / "oomlog" / "native" / "build.py"))["build"]
        try:
            build()
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"without the compiled log reader: {error}")
            return False
        return True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        if version != "editable":
            shutil.rmtree(self._scratch, ignore_errors=True)
