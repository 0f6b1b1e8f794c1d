"""What `oomtrial -v` adds to standard error."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at the time: live lines put themselves in its place while they are shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _Seconds(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"[{record.relativeCreated / 1000:6.1f} s] {super().format(record)}"


def show_log(package: str) -> None:
    """Shows the log of a package and its modules: the commands that are run, with their exit status and time, and what is
    taken from the cache."""
    handler = _StandardError()
    handler.setFormatter(_Seconds())
    logger = logging.getLogger(package)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
