"""oomtrial: counts the OOM kills that waiting for the earlier victim would have spared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.logframes import OomLog, parse_log
    from harness.runframes import Run, load_run

__all__ = ["OomLog", "Run", "__version__", "load_run", "parse_log"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """pandas takes a second to import: only who asks for a table pays for it."""
    if name in ("OomLog", "parse_log"):
        from harness import logframes

        return getattr(logframes, name)
    if name in ("Run", "load_run"):
        from harness import runframes

        return getattr(runframes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
