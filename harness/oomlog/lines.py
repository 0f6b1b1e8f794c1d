"""Lines of a chunk as text."""

from __future__ import annotations

import re
from collections.abc import Iterator


def decode(raw: bytes) -> str:
    """The text; bytes that are no UTF-8 become surrogates, as everywhere here."""
    return raw.decode("utf-8", "surrogateescape")


def lines(data: bytes, begin: int, stop: int) -> Iterator[tuple[int, int]]:
    """Where the lines between two places begin and end."""
    while begin < stop:
        end = data.find(b"\n", begin, stop)
        end = stop if end < 0 else end
        yield begin, end
        begin = end + 1


def pieces_of(text: str) -> list[str]:
    """The lines of a record that holds several: rsyslog writes a newline as #012, JSON and /dev/kmsg keep it."""
    if "\n" not in text and "#012" not in text:
        return [text]
    return [piece for piece in re.split(r"\n|#012", text) if piece]
