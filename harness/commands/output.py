"""Standard output: for people, and for machines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 120  # where standard output is no terminal


def console_on_stdout(plain_width: int = _PLAIN_WIDTH) -> Console:
    """As wide as the terminal, or as `plain_width` where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else plain_width)


def console_on_stderr() -> Console:
    """For what stands beside a result that something else reads."""
    from rich.console import Console

    return Console(stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


def require_parent(path: Path) -> None:
    """Raises UsageError when the directory of a file that is to be written does not exist."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: {path.parent} is not a directory", "make it, or name another file")


def print_json(value: object) -> None:
    """Prints what msgspec can encode, indented."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
