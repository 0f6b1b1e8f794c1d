"""Types of option values, with messages in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError, nearest
from ..units import format_size, parse_size

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # generic since click 8.2


RUN_PATH = click.Path(path_type=Path, readable=False)  # reading it says why it cannot be read, with exit code 6


class IntRange(click.IntRange):
    """click calls the type of this value an "integer range", in its help and when the value is no integer."""

    name = "integer"


class Mebibytes(IntRange):
    """A size: a number alone is in MiB, and `2G` and `2048M` are as in a configuration file."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises BadParameter for what is no size, no whole number of MiB, or out of range."""
        if isinstance(value, str) and not value.strip().lstrip("-").isdecimal():
            try:
                size_bytes = parse_size(value)
            except UsageError as error:
                self.fail(f"{error.what}; write a number of MiB, or a size such as 2G", param, ctx)
            value, rest = divmod(size_bytes, 1 << 20)
            if rest:
                self.fail(f"{format_size(size_bytes)} is no whole number of MiB", param, ctx)
        return int(super().convert(value, param, ctx))


class FloatRange(click.FloatRange):
    """As `IntRange`: "number" in place of "float range"."""

    name = "number"


class Choice(_Choice):
    """A name of several, which suggests the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises BadParameter with the names, and with the one that was perhaps meant."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = nearest(str(value), self.choices)
            self.fail(f"{error.message} Did you mean {near}?" if near else error.message, param, ctx)
