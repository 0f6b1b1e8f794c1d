"""Who prints a report: what its header's prefix says of the lines that follow."""

from __future__ import annotations

from typing import NamedTuple

from .located import Location
from .logline import LogLine
from .triggers import BARE_PART_PARSERS, PART_PARSERS, Parser

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)


class Origin(NamedTuple):
    """The prefix of a header: the lines of its report have the same, but for the digits of their stamps."""

    masked: bytes
    length: int
    caller: bytes
    host: bytes
    line: LogLine
    location: Location
    parsers: frozenset[Parser]  # of parts that can be read behind such a prefix, without peeling it off

    @classmethod
    def of(cls, raw: bytes, line: LogLine, location: Location) -> Origin | None:
        """None where digits mean more than time: levels, numbers of records."""
        if line.is_bare:
            return cls(b"", 0, b"", b"", line, location, BARE_PART_PARSERS)
        text = line.text.encode("utf-8", "surrogateescape")
        length = len(raw) - len(text)
        prefix = raw[:length]
        if not raw.endswith(text) or b"<" in prefix or b"{" in prefix or line.sequence is not None:
            return None
        host, caller = (name.encode("utf-8", "surrogateescape") for name in (line.host, line.caller))
        return cls(prefix.translate(_DIGITS), length, caller, host, line, location, PART_PARSERS)

    @property
    def is_bare(self) -> bool:
        """Whether the lines of the report have no prefix."""
        return not self.length

    def text_of(self, raw: bytes) -> str | None:
        """The text of a line of the report; None where the line must be peeled."""
        length = self.length
        if not length:
            # parse_* of these forms match from the first byte, with words that no prefix begins with
            return None if raw.endswith(b"\r") else raw.decode("utf-8", "surrogateescape")
        begin = raw[:length]
        if begin.translate(_DIGITS) != self.masked or self.caller not in begin or self.host not in begin:
            return None
        return raw[length:].decode("utf-8", "surrogateescape")
