"""What the wheel has beside the package: its data, the alias of its former name, and the compiled log reader. An editable
installation uses the checkout as it is; the reader is built into it.
"""

import re
import runpy
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_BESIDE = {
    "workloads": "oomtrial/_data/workloads",
    "containers": "oomtrial/_data/containers",
    "alias/oomtrial/__init__.py": "harness.py",  # not harness/: hatchling would map that to oomtrial/ too
}
_NATIVE = "oomlog/native"


class WheelHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling's `force-include` would put these files into an editable installation too, and hide the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        library = self._build_reader()
        if version == "editable":
            return
        build_data["force_include"].update(_BESIDE)
        if library is not None:  # loaded by ctypes, so for every Python of this platform
            build_data["force_include"][str(library)] = f"oomtrial/{_NATIVE}/{library.name}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{re.sub('[^a-z0-9]', '_', sysconfig.get_platform())}"

    def _build_reader(self) -> Path | None:
        build = runpy.run_path(str(Path(self.root) / "harness" / _NATIVE / "build.py"))["build"]
        try:
            library: Path = build()
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the compiled log reader is not built, logs are read by Python alone: {error}")
            return None
        return library
