"""oomtrial: counts the OOM kills that waiting for the earlier victim would have spared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .logs.captures import Captures, load_captures
    from .logs.frames import OomLog, parse_log
    from .runs.frames import Run, load_run

__all__ = ["Captures", "OomLog", "Run", "__version__", "load_captures", "load_run", "parse_log"]


def __getattr__(name: str) -> object:
    """pandas takes a second to import: only who asks for a table pays for it."""
    if name in ("OomLog", "parse_log"):
        from .logs import frames

        return getattr(frames, name)
    if name in ("Run", "load_run"):
        from .runs import frames as run_frames

        return getattr(run_frames, name)
    if name in ("Captures", "load_captures"):
        from .logs import captures

        return getattr(captures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
