"""Extras: libraries that only some commands need, and that `pip install oomtrial` leaves out."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import HostError

_MODULES = {  # those whose absence is told; an extra may bring more
    "cluster": ("distributed",),
    "metrics": ("prometheus_client",),
    "report": ("jinja2", "matplotlib"),
}


def require_extra(what: str, extra: str) -> None:
    """Raises HostError, with the line that installs it, when a library of an extra is missing. Nothing is imported.

    `what`: the command or option that needs it.
    """
    missing = [name for name in _MODULES[extra] if find_spec(name) is None]
    if missing:
        raise HostError(f"{what} needs {' and '.join(missing)}", f"pip install 'oomtrial[{extra}]'")
