"""Numbers are parsed and worded at the border; inside, everything is bytes, microseconds or seconds."""

from __future__ import annotations

import re

from .errors import UsageError

_SUFFIXES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
SIZE_PATTERN = r"^(\d+\s*[KMGkmg]?([iI]?[bB])?)?$"  # for a JSON schema; empty where a size may be left out
_SIZE = re.compile(r"(\d+)\s*([KMG]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of a size such as ``60M``, ``192K`` or ``4096`` (binary multiples).

    Raises UsageError when the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"not a size: {text!r}", "write a number with K, M or G, such as 60M")
    return int(match[1]) * _SUFFIXES[match[2].upper()]


def format_size(size_bytes: int) -> str:
    """The shortest exact form: 62914560 -> ``60M``."""
    for suffix in ("G", "M", "K"):
        if size_bytes and size_bytes % _SUFFIXES[suffix] == 0:
            return f"{size_bytes // _SUFFIXES[suffix]}{suffix}"
    return str(size_bytes)


def format_count(number: int, noun: str) -> str:
    """``1 kill``, ``2 kills``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
