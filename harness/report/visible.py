"""Text of others (a process may be called anything) made harmless before it is shown."""

from __future__ import annotations


def visible(text: str) -> str:
    """Text that is safe on a terminal and in XML: what is not printable, escape sequences included, shows as ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def shorten(text: str, letters: int) -> str:
    """The same, cut where it is longer."""
    shown = visible(text)
    return shown if len(shown) <= letters else shown[: letters - 1] + "…"
