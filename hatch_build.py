"""What the wheel has beside the package: its data, and the alias of its former name. An editable installation uses the
checkout as it is.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_BESIDE = {
    "workloads": "oomtrial/_data/workloads",
    "containers": "oomtrial/_data/containers",
    "alias/oomtrial/__init__.py": "harness.py",  # not harness/: hatchling would map that to oomtrial/ too
}


class WheelHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling's `force-include` would put these files into an editable installation too, and hide the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"].update(_BESIDE)
