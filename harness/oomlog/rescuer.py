"""Lines that cannot be read as they stand: their prefix is unknown, or something stands behind their text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from . import domain, header, kill
from .lines import decode
from .located import ForgedLine, LocatedRecord, UnreadableLine
from .logline import LogLine
from .peeler import Peeler
from .prefix import peel
from .rejoin import Rejoiner
from .triggers import TriggerHit
from .unknown_prefixes import (
    SPEAKS,
    PrefixPattern,
    clean,
    find_beginning,
    has_prefix_in_comm,
    is_comm,
    is_from_kernel,
    is_plausible_comm,
    line_of,
    split_head,
    trailer_pattern,
    trailer_text,
    without_trailer,
)

# Lines with an end that can be told.
ENDED = (kill.KilledLine, kill.ChosenVictim, header.Header, domain.OomKillSummary)
LONGEST_RESCUED = 64 << 10  # bytes of a line
_MOST_PATTERNS = 16  # of prefixes that a chunk may teach


class Rescuer:
    """Reads such lines in one chunk, and keeps what they tell of all lines of the log."""

    def __init__(self, peeler: Peeler, rejoiner: Rejoiner) -> None:
        self._peeler, self._rejoiner = peeler, rejoiner
        self.has_markup = False  # of a page or a forum, around its lines
        self.trailers: dict[str, re.Pattern[str]] = {}  # of what stands behind the texts, by their patterns
        self.trailer_count = 0  # lines that had one
        self.learnt: dict[str, PrefixPattern] = {}  # of prefixes, by their patterns

    def rescue(
        self, hit: TriggerHit, raw: bytes, line: LogLine, record: Any, consumed_to: int
    ) -> tuple[Any, LogLine, int]:
        """What a line says that could not be read as it stands, or not whole: its prefix may be one that nobody knows.

        What was made of it so far, if nothing better is found; where nothing is, a line that speaks of a kill is an `UnreadableLine`.
        """
        is_bad = isinstance(record, header.Header) and not is_plausible_comm(record.comm, line)
        # a kernel's stamp is followed by its text, so the name is a long one, unless stamps or marks stand in it
        is_kept = record is not None and not (is_bad and has_prefix_in_comm(record.comm, line))
        text = decode(raw) if len(raw) <= LONGEST_RESCUED else ""
        best: tuple[Any, LogLine, int, bool] | None = None
        for attempt, is_learnt in self._attempts(text, line):
            found, end = self.parse_attempt(hit, attempt)
            if found is None or not (found.is_whole or record is None or is_bad):
                continue
            if is_bad and not (isinstance(found, header.Header) and (found.comm is not None or not is_kept)):
                continue
            if not is_bad and _has_name(record) and not _has_name(found):
                continue  # the head of 2.6.18, without a name, behind a name that was read
            if best is None or found.is_whole:
                best = found, attempt, end, is_learnt or (best is not None and best[3])
            if found.is_whole:
                break
        if best is not None:
            found, attempt, end, is_learnt = best
            if not attempt.is_kernel:
                return forged(found), attempt, consumed_to
            self._learn(text, found, attempt, is_learnt)
            return found, attempt, max(consumed_to, end)
        if is_kept:
            return record, line, consumed_to
        spoken = SPEAKS.search(raw)
        return (UnreadableLine(spoken.lastgroup or "") if spoken else None), line, consumed_to

    def _learn(self, text: str, found: Any, line: LogLine, is_prefix: bool) -> None:
        """Keeps what the line tells of all lines of the log: what stands before their texts, and behind them."""
        if self._peeler.patterns:
            return  # they are learnt
        # behind a known stamp stands the text, whatever it looks like
        self.has_markup = self.has_markup or (clean(text) != text and peel(text).is_bare)
        if (
            found.is_whole
            and (trailer := trailer_pattern(text))
            and not SPEAKS.search(trailer_text(text).encode("utf-8", "replace"))
        ):
            self.trailer_count += 1
            if len(self.trailers) < _MOST_PATTERNS:
                self.trailers.setdefault(trailer.pattern, trailer)
        place = text.find(line.text)
        if (
            is_prefix
            and place > 0
            and len(self.learnt) < _MOST_PATTERNS
            and (pattern := PrefixPattern.from_prefix(text[:place])) is not None
        ):
            self.learnt.setdefault(pattern.pattern, pattern)

    @staticmethod
    def _attempts(text: str, line: LogLine) -> Iterator[tuple[LogLine, bool]]:
        """Other ways to read a line, likely ones first; and whether its prefix is one to learn."""
        if (short := without_trailer(line.text)) != line.text:
            yield msgspec.structs.replace(line, text=short), False
        cleaned = clean(text)
        if cleaned != text:
            again = peel(cleaned)
            yield again, False
            yield msgspec.structs.replace(again, text=without_trailer(again.text)), False
        begin = find_beginning(cleaned)
        if begin is not None:
            is_kernel = is_from_kernel(cleaned[:begin], text)
            if begin and is_kernel is not None:
                attempt = line_of(cleaned[:begin], cleaned[begin:])
                attempt.is_kernel = is_kernel
                yield attempt, True
                yield msgspec.structs.replace(attempt, text=without_trailer(attempt.text)), False
        elif (parts := split_head(cleaned)) is not None and (is_kernel := is_from_kernel(parts[0], text)) is not None:
            attempt = line_of(*parts)
            attempt.is_kernel = is_kernel
            yield attempt, False
            yield msgspec.structs.replace(attempt, text=without_trailer(attempt.text)), False

    def parse_attempt(self, hit: TriggerHit, line: LogLine) -> tuple[Any, int]:
        """The record of one way to read a line (None: no form fits), and the end of the lines that it took (-1: the line alone)."""
        cut = None
        for parser in hit.parsers:
            record = parser(line.text)
            if record is None or (isinstance(record, header.Header) and not is_comm(record.comm)):
                continue
            if record.is_whole:
                return record, -1
            cut = cut or record
        if header.parse_header in hit.parsers and cut is None and not line.is_bare:
            cut = header.parse_bare_head(line.text)
        found, end = self._rejoiner.parse(hit, line, cut) if line.is_kernel else (cut, -1)
        return (None, -1) if isinstance(found, header.Header) and not is_comm(found.comm) else (found, end)

    def has_trailers(self, found: list[LocatedRecord]) -> bool:
        """Whether most lines of reports and kills have something behind their texts: one may be glued to the next."""
        if not self.trailers:
            return False
        return 2 * self.trailer_count > sum(isinstance(one.record, ENDED) for one in found)


def forged(record: Any) -> ForgedLine | None:
    """What a record counts as if user space wrote its line; None where that does not look like a kill or a report."""
    if isinstance(record, kill.KilledLine):
        return ForgedLine("kill")
    return ForgedLine("head") if isinstance(record, (header.Header, domain.OomKillSummary)) else None


def _has_name(record: Any) -> bool:
    return isinstance(record, header.Header) and record.comm is not None
