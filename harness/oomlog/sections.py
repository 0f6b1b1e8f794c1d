"""What follows a line of a report on lines of its own: the rows of a task table, the memory statistics of a memcg."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from . import domain, tasks
from .late_pattern import late_pattern
from .lines import decode, lines, pieces_of
from .logline import LogLine
from .rows import RowReader
from .triggers import TriggerHit

_OTHERS = 2000  # lines of other callers and hosts between those of one table
_FOREIGN_RUN = 40  # lines of others that end a table which has no end of its own


class TriggerHits(Protocol):
    """The lines of a chunk that hold words, in order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> TriggerHit: ...


class Sections:
    """Reads them in one chunk."""

    def __init__(
        self,
        data: bytes,
        end: int,
        trigger_hits: TriggerHits,
        peel: Callable[[str], LogLine],
        line_of: Callable[[int], int],
        in_bulk: bool,
    ) -> None:
        """`end` of the chunk; `line_of` gives the number of the line at a position."""
        self._data, self._end, self._trigger_hits = data, end, trigger_hits
        self._peel, self._line_of, self._in_bulk = peel, line_of, in_bulk

    def read(self, index: int, record: Any, line: LogLine, end: int) -> Any:
        """A record with the table or statistics that follow it."""
        if isinstance(record, tasks.TableHead):
            table = self._table(index, record, line, end)
            raw = self._data[self._trigger_hits[index].start : self._trigger_hits[index].end]
            # no name of a column ends with blanks or in a colour, so that of a process does not either
            return table.unpadded() if raw.rstrip(b"\r\n")[-1:].isspace() or b"\x1b" in raw else table
        return self._statistics(index, record, line, end)

    def _zone(self, index: int, start: int, line: LogLine, is_row: Callable[[bytes], object]) -> tuple[int, int]:
        """The lines from `start` to the caller's next that holds a word and is no row: (begin, end)."""
        stop = self._end
        name = re.escape(line.caller.encode("utf-8", "surrogateescape"))
        caller = re.compile(rb"\[[ \t]*%b\]|caller=%b[;,]" % (name, name)) if name else None
        host = line.host.encode("utf-8", "surrogateescape")
        for following in range(index + 1, len(self._trigger_hits)):
            hit = self._trigger_hits[following]
            text = self._data[hit.start : hit.end]
            if hit.start <= start or host not in text or is_row(text):
                continue
            if caller is None or caller.search(text):
                stop = hit.start
                break
        return min(start + 1, stop), stop

    def _token(self, line: LogLine, raw: bytes) -> bytes | None:
        """What every line beside this one holds; None where lines must be looked at one by one."""
        if (
            line.is_member
            or raw[:1] in b"{<>|\x1b\x1e"
            or raw.startswith(b"data: {")
            or line.sequence is not None
            or raw[:6].rstrip() in (b"kern", b"kern:")
        ):
            return None
        if line.caller:
            name = re.escape(line.caller.encode("utf-8", "surrogateescape"))
            found = re.search(rb"\[[ \t]*" + name + rb"\]", raw)
            return found[0] if found else None
        token = b" %b kernel: " % line.host.encode("utf-8", "surrogateescape")
        return token if token in raw else b" kernel: " if b" kernel: " in raw else b"["

    def _table(self, index: int, head: tasks.TableHead, line: LogLine, head_end: int) -> tasks.TaskTable:
        begin, stop = self._zone(index, head_end, line, tasks.ROW_SHAPE.search)
        raw = self._data[self._trigger_hits[index].start : self._trigger_hits[index].end]
        token = self._token(line, raw)
        first_line = self._line_of(begin)
        if token is not None:
            zone = self._data[begin:stop]
            count = zone.count(b"\n") + (not zone.endswith(b"\n") and stop > begin)
            rows = tasks.bulk_rows(len(head.columns)).findall(zone) if self._in_bulk else []
            if self._in_bulk and len(rows) == count and zone.count(token) >= count:
                return tasks.build_table(head, rows, range(first_line, first_line + count))
            if self._in_bulk and (table := tasks.wrapped_table(head, raw, token, zone, first_line)) is not None:
                return table
            if (table := self._table_of_lines(head, raw, token, zone, first_line)) is not None:
                return table
        return self._table_by_lines(head, line, head_end > self._trigger_hits[index].end, begin, stop, first_line)

    @staticmethod
    def _table_of_lines(
        head: tasks.TableHead, raw: bytes, token: bytes, zone: bytes, first_line: int
    ) -> tasks.TaskTable | None:
        """A table with foreign lines, or rows that a mailer wrapped; None when a row cannot be read so."""
        is_stamped = raw.startswith(b"[")
        lines: list[bytes] = []
        numbers: list[int] = []
        wrapped: set[int] = set()
        find = tasks.bulk_rows(len(head.columns)).search
        for number, text in enumerate(zone.split(b"\n"), start=first_line):
            if is_stamped and lines and text and not text.startswith(b"[") and not find(text):
                lines[-1] += b" " + text.strip()
                wrapped.add(numbers[-1])
            elif text:
                lines.append(text)
                numbers.append(number)
        rows, places, foreign, run = [], [], 0, 0
        for text, number in zip(lines, numbers, strict=True):
            match = find(text) if token in text else None
            if match:
                if number in wrapped and b" " in match[2]:
                    return None  # a name with a blank, or one that a terminal's edge cut
                rows.append((match[1], match[2]))
                places.append(number)
                foreign, run = foreign + run, 0
            elif tasks.ROW_LIKE.search(text):
                return None
            else:
                run += 1
                if run > _FOREIGN_RUN or wrapped:
                    return None
        if not rows:
            return None
        return tasks.build_table(head, rows, places, foreign)

    def _table_by_lines(
        self, head: tasks.TableHead, line: LogLine, is_wrapped: bool, begin: int, stop: int, number: int
    ) -> tasks.TaskTable:
        reader = RowReader(head, is_wrapped)
        others = 0
        for position, end in lines(self._data, begin, stop):
            rest = self._peel(decode(self._data[position:end]))
            if _is_of_another(rest, line):
                others += 1
                if others > _OTHERS:
                    break
                reader.foreign += 1
            else:
                reader.add_line(rest, number)
            if reader.foreign_run > _FOREIGN_RUN:
                break
            number += 1
        return reader.table()

    def _statistics(self, index: int, head: domain.StatsHead, line: LogLine, head_end: int) -> domain.StatsHead:
        if head.values and "cache" in head.values:
            return head  # the one-line form
        begin, stop = self._zone(index, head_end, line, lambda _: False)
        values = dict(head.values)
        raw = self._data[self._trigger_hits[index].start : self._trigger_hits[index].end]
        token = self._token(line, raw)
        if token is not None and stop - begin < 1 << 16:
            zone = self._data[begin:stop]
            entries, count = _BULK_STATS.findall(zone) if self._in_bulk else [], zone.count(b"\n")
            # a line of several, and a record of several lines without prefixes, are read one by one
            if self._in_bulk and len(entries) == count and b"#012" not in zone:
                is_ours = line.is_bare or zone.count(token) >= count
                if is_ours or all(token in text or _PLAIN_STAT.fullmatch(text) for text in zone.split(b"\n")[:-1]):
                    names, numbers = zip(*entries, strict=True) if entries else ((), ())
                    values.update(zip(map(_stat_name, names), map(int, numbers), strict=True))
                    return domain.StatsHead(head.memcg, values)
        misses = others = 0
        for position, end in lines(self._data, begin, stop):
            near = self._data[position:end]
            if token is not None and b"#012" not in near and (line.is_bare or token in near):
                entry = _BULK_STATS.search(near)  # as in bulk: a damaged stamp before it does no harm
                if entry:
                    values[_stat_name(entry[1])] = int(entry[2])
                    misses = 0
                    continue
            rest = self._peel(decode(near))
            if _is_of_another(rest, line):
                others += 1
                if others > _OTHERS:
                    break
            elif found := _stat_pieces(rest.text):
                values |= found
                misses = 0
            else:
                misses += 1
                if misses > _FOREIGN_RUN:
                    break
        return domain.StatsHead(head.memcg, values)


def _is_of_another(rest: LogLine, line: LogLine) -> bool:
    """Whether a line is of another caller or host, or of user space: between the lines of one report it counts not."""
    if not rest.is_kernel or (rest.host and rest.host != line.host):
        return True
    return bool(line.caller and rest.caller and rest.caller != line.caller)


_BULK_STATS = late_pattern(rb"(?<![^ \t\]:\n])([a-z]\w*+) (\d{1,18}+)\r?$", re.MULTILINE)
_PLAIN_STAT = late_pattern(
    rb"[ \t]*+[a-z]\w*+ \d{1,18}+\r?"
)  # without a prefix: of the record that began with the head's line


@lru_cache(4096)
def _stat_name(name: bytes) -> str:
    """One string for each name: they are few, and sent between processes often."""
    return name.decode()


def _stat_pieces(text: str) -> dict[str, int] | None:
    """Statistics of one line, or of a record of many (to 6.1); None when the line is another's."""
    matches = [domain.STAT.fullmatch(piece.strip()) for piece in pieces_of(text)]
    found = {sys.intern(match[1]): int(match[2]) for match in matches if match}
    return found if matches and len(found) == len(matches) else None
