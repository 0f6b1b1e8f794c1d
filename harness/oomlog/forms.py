"""The register of line forms: what is read, and which kernels print it. The docs page is made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_Parser = TypeVar("_Parser", bound=Callable[..., object])


@dataclass(frozen=True)
class Form:
    """One line form."""

    group: str  # where in a report it stands
    line: str  # as the kernel prints it, with names for the values
    versions: str  # kernels that print it
    note: str  # quirks, backports, commits
    parser: str  # the function that reads it


FORMS: list[Form] = []


def form(group: str, line: str, versions: str, note: str = "") -> Callable[[_Parser], _Parser]:
    """Registers the function that reads a line form; give it once for each variant."""

    def register(parser: _Parser) -> _Parser:
        FORMS.insert(0, Form(group, line, versions, note, parser.__name__))
        return parser

    return register
