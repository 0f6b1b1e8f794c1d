"""Types of option values, with messages in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import nearest

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # generic since click 8.2


class IntRange(click.IntRange):
    """click calls the type of this value an "integer range", in its help and when the value is no integer."""

    name = "integer"


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
