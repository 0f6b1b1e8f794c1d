"""The register of line formats: what is read, and which kernels print it. The docs page is made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_Parser = TypeVar("_Parser", bound=Callable[..., object])


@dataclass(frozen=True)
class LineFormat:
    """One line format."""

    group: str  # where in a report it stands
    line: str  # as the kernel prints it, with names for the values
    versions: str  # kernels that print it
    note: str  # quirks, backports, commits
    parser: str  # the function that reads it


LINE_FORMATS: list[LineFormat] = []


def line_format(group: str, line: str, versions: str, note: str = "") -> Callable[[_Parser], _Parser]:
    """Registers the function that reads a line format; give it once for each variant."""

    def register(parser: _Parser) -> _Parser:
        LINE_FORMATS.insert(0, LineFormat(group, line, versions, note, parser.__name__))
        return parser

    return register
