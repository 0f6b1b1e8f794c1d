"""Text of others (a process may be called anything) made harmless before it is shown."""

from __future__ import annotations

from rich.cells import cell_len


def visible(text: str) -> str:
    """Text that is safe on a terminal and in XML: what is not printable, escape sequences included, shows as ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def shorten(text: str, letters: int) -> str:
    """The same, cut where it is longer."""
    shown = visible(text)
    return shown if len(shown) <= letters else shown[: letters - 1] + "…"


def squeeze(text: str, cells: int) -> str:
    """Text on at most so many cells of a terminal; of a longer one the middle is left out, as names differ at both ends."""
    if cell_len(text) <= cells:
        return text
    tail = (cells - 1) // 2
    head = cells - 1 - tail
    front, back = text, text
    while cell_len(front) > head:
        front = front[:-1]
    while cell_len(back) > tail:
        back = back[1:]
    return f"{front}…{back}"
