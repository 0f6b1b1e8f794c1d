"""Mem-Info: how full the zones were, as far as a reader needs it to see why."""

from __future__ import annotations

import re

from harness.oomlog.forms import form
from harness.oomlog.record import Record


class Zone(Record, frozen=True):
    """A zone and its watermarks; the last attempt before a kill is made at `high_kb` (__alloc_pages_may_oom())."""

    node: int | None  # None: a kernel without NUMA, 2.6.11
    name: str
    free_kb: int
    min_kb: int
    low_kb: int
    high_kb: int


_ZONE = re.compile(
    r"(?:Node (\d{1,18}) )?(\w+) free:(\d{1,18})kB (?:boost:\d{1,18}kB )?min:(\d{1,18})kB low:(\d{1,18})kB high:(\d{1,18})kB",
    re.DOTALL,
)


@form(
    "Mem-Info", "[Node N ]ZONE free:NkB [boost:NkB ]min:NkB low:NkB high:NkB ...", "2.6.11 to 6.18", "boost from 5.18"
)
def parse_zone(text: str) -> Zone | None:
    """A zone's free memory and watermarks (show_free_areas(), mm/page_alloc.c, later mm/show_mem.c)."""
    match = _ZONE.match(text)
    if not match:
        return None
    return Zone(None if match[1] is None else int(match[1]), match[2], *map(int, match.groups()[2:]))


class Reserve(Record, frozen=True):
    """Pages of the zone before that higher zones' allocations may not use."""

    pages: tuple[int, ...]


_RESERVE = re.compile(r"(?:lowmem_reserve|protections)\[\]:((?: \d{1,18})+)")


@form("Mem-Info", "lowmem_reserve[]: N N ...", "2.6.11 to 6.18", "protections[] in early 2.6")
def parse_reserve(text: str) -> Reserve | None:
    """lowmem_reserve of the zone before (show_free_areas())."""
    match = _RESERVE.match(text)
    return Reserve(tuple(map(int, match[1].split()))) if match else None


class Swap(Record, frozen=True):
    kind: str  # Free or Total
    kb: int


_SWAP = re.compile(r"(Free|Total) swap *(?:=|:) *(\d{1,18})kB")


@form("Mem-Info", "Free swap  = NkB / Total swap = NkB", "2.6.11 to 6.18")
def parse_swap(text: str) -> Swap | None:
    """Swap of the machine (show_swap_cache_info(), mm/swap_state.c)."""
    match = _SWAP.match(text)
    return Swap(match[1], int(match[2])) if match else None


class Ram(Record, frozen=True):
    pages: int


_RAM = re.compile(r"(\d{1,18}) pages (?:of )?RAM")


@form("Mem-Info", "N pages RAM", "2.6.11 to 6.18", "pages of the kernel's page size")
def parse_ram(text: str) -> Ram | None:
    """Pages of the machine (show_mem())."""
    match = _RAM.fullmatch(text)
    return Ram(int(match[1])) if match else None
