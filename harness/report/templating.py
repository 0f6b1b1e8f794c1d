"""Pages from templates: text of others is escaped, and what is not printable shows."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .visible import visible


def page_environment() -> Environment:
    """For templates of pages."""
    return Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )


def _printable(value: object) -> object:
    """What the page shows; markup of ours is left as it is."""
    return (
        visible(value)
        if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable()
        else value
    )
