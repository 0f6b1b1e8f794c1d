"""A line that a mailer, a terminal or printk itself broke into several, put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

from . import domain, header, kill, meminfo, release, tasks
from .late_pattern import late_pattern
from .lines import decode
from .logline import LogLine
from .rows import PIECES, is_hard_wrap, joined
from .triggers import KILL_PARSERS, Parser, TriggerHit

# Forms that a mailer or a terminal may have wrapped.
_WRAPPABLE = frozenset(
    (kill.parse_killed, kill.parse_chosen_victim, kill.parse_already_exiting, header.parse_header, domain.parse_summary, release.parse_reaped, kill.parse_group_kill,
     domain.parse_victim_memcg, tasks.parse_table_head, header.parse_cpuset, header.parse_cpu_line, meminfo.parse_free_blocks)
)  # fmt: skip
# Forms that the kernel prints in pieces (pr_cont): a record of another CPU between two of them parts them for good.
_CONTINUED = frozenset((domain.parse_summary, domain.parse_stats_head, domain.parse_victim_memcg))
_GROUP_TAIL = "are going to be killed due to"
_NEAR_LINES = 24  # between two pieces
_WHOLE: dict[Parser, Parser] = {kill.parse_killed: partial(kill.parse_killed, may_be_cut=False)}
# A line that begins a form of its own is no rest of another.
_BEGINS = late_pattern(
    r"\[|Out of [mM]emory|Memory cgroup|Killed process|[Kk]ill process|oom_reaper:|oom-kill:|Tasks in |Mem-Info|CPU:|Node \d|"
    r"memory: |.* invoked oom-killer:|Task in |Call Trace"
)

_MORE_FIELDS = (b", UID:", b"UID:", b" UID:")
_SIZES = late_pattern(r"(?:total-vm|vsz):\d")


class Rejoiner:
    """Reads such lines in one chunk."""

    def __init__(self, data: bytes, peel: Callable[[str], LogLine]) -> None:
        self._data, self._peel = data, peel

    def parse(self, hit: TriggerHit, line: LogLine, first: Any) -> tuple[Any, int]:
        """The record of a line, with the rest that it was wrapped into; and the end of what was used.

        `first` is what the first of its forms made of the line: nothing, or a record that is cut.
        """
        cut, parsers = first, hit.parsers if first is None else hit.parsers[:1]
        # of the forms of a kill a line can be but one
        for parser in () if first is not None and hit.parsers is KILL_PARSERS else hit.parsers[1:]:
            if cut is not None and parser in KILL_PARSERS:
                continue
            record = parser(line.text)
            if record is not None:
                if record.is_whole:
                    return record, -1
                cut, parsers = cut or record, (parser,)
        joinable = _joinable(parsers)
        if not joinable:
            return self._parse_fragments(hit, line, cut)
        begun = line.text
        if begun.startswith("oom-killer:") and (before := self._line_before(hit.start)).endswith(" invoked"):
            begun = f"{before} {begun}"
            if (record := _first_whole(joinable, (begun,))) is not None:
                return record, -1
        rests: list[str] = []
        is_hard = False
        fallback: tuple[Any, int] | None = None
        for rest, end in self._rests(hit, line):
            rests.append(rest)
            is_hard = is_hard or (len(rests) == 1 and is_hard_wrap(hit.end - hit.start, end - hit.end - 1))
            if (record := _first_whole(joinable, joined(begun, rests, is_hard))) is not None:
                if not self._data.startswith(_MORE_FIELDS, end + 1):
                    return record, end
                fallback = record, end  # a kill of 5.1 to 5.3, or a later one that goes on
            elif len(rests) == 1 and (sized := _with_sizes(cut, begun, rest)) is not None:
                fallback = sized, end
        return fallback if fallback is not None else self._parse_fragments(hit, line, cut)

    def _parse_fragments(self, hit: TriggerHit, line: LogLine, cut: Any) -> tuple[Any, int]:
        """The record of a line whose other pieces stand on lines further on, or further up."""
        if line.is_bare:
            return cut, -1
        if kill.parse_group_kill in hit.parsers and line.text.lstrip().startswith(_GROUP_TAIL):
            for piece, _ in self._neighbours(hit.start, line, -1):
                if piece.startswith("Tasks in "):
                    return kill.parse_group_kill(piece + line.text), -1
        parsers = [parser for parser in hit.parsers if parser in _CONTINUED]
        text = line.text
        for piece, end in self._neighbours(hit.end, line, 1) if parsers else ():
            for parser in parsers:
                record = parser(text + piece)
                if record is not None and getattr(record, "is_complete", True):
                    return record, end if parser is domain.parse_stats_head else -1
            if piece[:1] in (",", "/"):
                text += piece
        return cut, -1

    def _neighbours(self, position: int, line: LogLine, direction: int) -> Iterator[tuple[str, int]]:
        """Texts of the same caller near a line, and where they end."""
        for _ in range(_NEAR_LINES):
            if direction > 0:
                begin, end = position + 1, self._data.find(b"\n", position + 1)
                end = len(self._data) if end < 0 else end
                position = end
            else:
                end = position - 1
                begin = position = self._data.rfind(b"\n", 0, max(end, 0)) + 1
            if begin >= len(self._data) or end <= 0:
                return
            near = self._peel(decode(self._data[begin:end]))
            if near.is_kernel and near.caller == line.caller and not near.is_bare:
                yield near.text, end

    def _line_before(self, start: int) -> str:
        begin = self._data.rfind(b"\n", 0, max(start - 1, 0)) + 1
        return self._peel(decode(self._data[begin : max(start - 1, 0)])).text.rstrip()

    def _rests(self, hit: TriggerHit, line: LogLine) -> Iterator[tuple[str, int]]:
        """The following lines that may be the rest of a wrapped one: they have no prefix and begin nothing."""
        data, end = self._data, hit.end
        is_stamped = data.startswith(b"[", hit.start)
        for _ in range(PIECES - 1):
            if end + 1 >= len(data) or (is_stamped and data.startswith(b"[", end + 1)):
                break
            after = data.find(b"\n", end + 1)
            after = len(data) if after < 0 else after
            text = decode(data[end + 1 : after])
            if is_stamped:
                text = text.strip()
            else:
                rest = self._peel(text)
                if not rest.is_bare:
                    break
                text = rest.text
            # Where lines have stamps, one without begins nothing, whatever it says: a name may hold a newline.
            if not text or (line.is_bare and _BEGINS.match(text)):
                break
            yield text.rstrip() if line.is_bare else text, after
            end = after


def _with_sizes(cut: Any, begun: str, rest: str) -> kill.KilledLine | None:
    """A kill with the sizes that somebody put on the next line, not all of them: no join of the lines is whole."""
    if not isinstance(cut, kill.KilledLine) or cut.total_vm_kb is not None or not _SIZES.match(rest):
        return None
    sized = kill.parse_killed(f"{begun} {rest}")
    return sized if sized is not None and sized.total_vm_kb is not None else None


def _first_whole(parsers: tuple[Parser, ...], texts: Iterable[str]) -> Any:
    for text in texts:
        for parser in parsers:
            record = parser(text)
            if record is not None and record.is_whole:
                return record
    return None


@lru_cache(1024)
def _joinable(parsers: tuple[Parser, ...]) -> tuple[Parser, ...]:
    """Those of forms that may be wrapped."""
    return tuple(_WHOLE.get(parser, parser) for parser in parsers if parser in _WRAPPABLE)
