"""Records of many lines: text that the kernel or a log program put into one record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import domain, header, kill, meminfo, release, tasks
from .logline import LogLine
from .rows import RowReader
from .triggers import KILL_PARSERS, Parser


def read_pieces(whole: str, pieces: list[str]) -> Iterator[Any]:
    """Records of a record of many lines. A kill counts only at its beginning, as a process name may hold a newline, or behind
    the choice of its process: node-problem-detector makes one event of both.
    """
    for parser in (*KILL_PARSERS, header.parse_header, domain.parse_summary, release.parse_reaped):
        record = parser(whole)
        if record is not None and getattr(record, "is_complete", True):
            yield record
            return
    stats: domain.StatsHead | None = domain.parse_stats_head(pieces[0])
    loose: dict[str, int] = {}
    reader: RowReader | None = None
    may_kill = True
    for number, piece in enumerate(pieces):
        text = piece.strip(" \t")
        if match := domain.STAT.fullmatch(text):
            (stats.values if stats else loose)[match[1]] = int(match[2])
        elif head := tasks.parse_table_head(text):
            reader = RowReader(head)
        elif reader is not None and tasks.ROW_BEGUN.match(text):
            reader.add_line(LogLine(text), number)
        else:
            parsers: tuple[Parser, ...] = (*_PIECE_PARSERS, *KILL_PARSERS) if may_kill else _PIECE_PARSERS
            records = [record for parser in parsers if (record := parser(text)) is not None]
            may_kill = any(isinstance(record, kill.ChosenVictim) for record in records)
            yield from records
            continue
        may_kill = False
    if stats:
        yield stats
    elif loose:
        yield domain.StatsHead("", loose)
    if reader is not None:
        yield reader.table()


_PIECE_PARSERS: tuple[Parser, ...] = (
    domain.parse_usage, domain.parse_victim_memcg, meminfo.parse_zone, meminfo.parse_lowmem_reserve, meminfo.parse_free_blocks, meminfo.parse_page_counts,
    meminfo.parse_swap, meminfo.parse_ram_pages,
)  # fmt: skip
