"""Lines without their prefixes, by what is known of all logs and by what this log has taught."""

from __future__ import annotations

from .fields import member_text
from .logline import LogLine
from .prefix import peel
from .unknown_prefixes import PrefixPattern, clean, line_of, longest

_MEMBER = ('"', ",", "M", "\x1b")  # what a line of a record that is spread over lines begins with


class Peeler:
    """Peels prefixes off lines. `patterns`: those of prefixes that no other log has."""

    def __init__(self, patterns: tuple[PrefixPattern, ...] = ()) -> None:
        self.patterns = patterns

    def peel(self, text: str) -> LogLine:
        """The line without its prefix, by what is known of prefixes, or by what this log has taught."""
        line = peel(text)
        if self.patterns:
            end = longest(self.patterns, text)
            if not end and (cleaned := clean(text)) != text:
                text, end = cleaned, longest(self.patterns, cleaned)
            if end > len(text) - len(line.text):
                learnt = line_of(text[:end], text[end:])
                learnt.host = line.host if text.endswith(line.text) and learnt.wall_s is None else ""
                return learnt
        if line.is_bare and text.lstrip()[:1] in _MEMBER and (value := member_text(text)) is not None:
            line.text, line.is_bare, line.is_member = value.rstrip("\n"), False, True
        return line
