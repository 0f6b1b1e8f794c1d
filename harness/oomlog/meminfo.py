"""Mem-Info: how full the zones were, as far as a reader needs it to see why."""

from __future__ import annotations

import re

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record


class Zone(Record, frozen=True):
    """A zone and its watermarks; the last attempt before a kill is made at `high_kb` (__alloc_pages_may_oom())."""

    node: int | None  # None: a kernel without NUMA, 2.6.11
    name: str
    free_kb: int
    min_kb: int
    low_kb: int
    high_kb: int
    highatomic_kb: int | None = None  # kept for atomic requests; printed from 4.4 or so
    free_cma_kb: int | None = None  # of free_kb, for movable pages only; with CONFIG_CMA, from 3.6


_ZONE = late_pattern(
    r"(?:Node (\d{1,18}) )?(\w+) free:(\d{1,18})kB (?:boost:\d{1,18}kB )?min:(\d{1,18})kB low:(\d{1,18})kB high:(\d{1,18})kB",
    re.DOTALL,
)


@line_format(
    "Mem-Info", "[Node N ]ZONE free:NkB [boost:NkB ]min:NkB low:NkB high:NkB ...", "2.6.11 to 6.18", "boost from 5.18"
)
def parse_zone(text: str) -> Zone | None:
    """A zone's free memory and watermarks (show_free_areas(), mm/page_alloc.c, later mm/show_mem.c)."""
    match = _ZONE.match(text)
    if not match:
        return None
    node = None if match[1] is None else int(match[1])
    return Zone(
        node, match[2], int(match[3]), int(match[4]), int(match[5]), int(match[6]),
        _field_kb(text, "free_highatomic:") or _field_kb(text, "reserved_highatomic:"), _field_kb(text, "free_cma:"),
    )  # fmt: skip


def _field_kb(text: str, name: str) -> int | None:
    """A size further on in the line: which fields stand between differs from kernel to kernel."""
    begin = text.find(name)
    if begin < 0:
        return None
    begin += len(name)
    digits = text[begin : begin + _LONGEST_SIZE].partition("B")[0][:-1]  # kB, and KB for atomic reserves
    return int(digits) if digits.isdecimal() else None


_LONGEST_SIZE = 21  # digits and kB


class LowmemReserve(Record, frozen=True):
    """Pages of the zone before that higher zones' allocations may not use."""

    pages: tuple[int, ...]


_LOWMEM_RESERVE = late_pattern(r"(?:lowmem_reserve|protections)\[\]:((?: \d{1,18})+)")


@line_format("Mem-Info", "lowmem_reserve[]: N N ...", "2.6.11 to 6.18", "protections[] in early 2.6")
def parse_lowmem_reserve(text: str) -> LowmemReserve | None:
    """lowmem_reserve of the zone before (show_free_areas())."""
    match = _LOWMEM_RESERVE.match(text)
    return LowmemReserve(tuple(map(int, match[1].split()))) if match else None


class FreeBlocks(Record, frozen=True):
    """Free blocks of a zone, by order."""

    node: int | None
    zone: str
    blocks: str  # as printed: counts are seldom asked for
    is_complete: bool

    @property
    def is_whole(self) -> bool:
        """Whether the line has its last field, the total."""
        return self.is_complete

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of free blocks of each order, from 0."""
        return tuple(map(int, _COUNTS.findall(self.blocks)))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Letters of the lists that are not empty, by order: U, M, E, C (CMA), H (atomic), I; none to 3.8."""
        return tuple(kinds for _, kinds in _BLOCKS.findall(self.blocks))


_FREE_BLOCKS = late_pattern(r"(?:Node (\d{1,18}) )?(\w+): (\d{1,18}\*\d{1,18}kB [^=\n]*)(= \d{1,18}kB)?")
_COUNTS = late_pattern(r"(\d{1,18})\*\d{1,18}kB")
_BLOCKS = late_pattern(r"(\d{1,18})\*\d{1,18}kB(?: \(([A-Z]*)\))?")


@line_format(
    "Mem-Info",
    "[Node N ]ZONE: N*4kB (UME) N*8kB (UM) ... = NkB",
    "2.6.11 to 6.18",
    "letters from 3.9: free lists that have a block of that order",
)
def parse_free_blocks(text: str) -> FreeBlocks | None:
    """Free blocks of a zone (show_free_areas())."""
    match = _FREE_BLOCKS.match(text)
    if not match:
        return None
    return FreeBlocks(None if match[1] is None else int(match[1]), match[2], match[3], match[4] is not None)


class PageCounts(Record, frozen=True):
    """Pages on the machine's lists: one of the first lines of Mem-Info."""

    text: str

    @property
    def pages(self) -> dict[str, int]:
        """By the kernel's names, in small letters."""
        return {name.lower(): int(pages) for name, pages in _PAGE_COUNT.findall(self.text)}


_PAGE_COUNTS = late_pattern(r"(?:active_anon|unevictable|mapped):\d{1,18} ", re.IGNORECASE)
_PAGE_COUNT = late_pattern(r"([A-Za-z_]{1,20}):(\d{1,18})(?![\dkK])")


@line_format(
    "Mem-Info",
    "active_anon:N inactive_anon:N isolated_anon:N",
    "2.6.28 to 6.18",
    "pages; the first to 2.6.32 is Active_anon",
)
@line_format("Mem-Info", "unevictable:N dirty:N ... / mapped:N shmem:N pagetables:N ...", "2.6.28 to 6.18", "pages")
def parse_page_counts(text: str) -> PageCounts | None:
    """Pages of the whole machine, by list (show_free_areas())."""
    text = text.lstrip()
    return PageCounts(text) if _PAGE_COUNTS.match(text) else None


class Swap(Record, frozen=True):
    """Free or total swap of the machine."""

    kind: str  # Free or Total
    kb: int


_SWAP = late_pattern(r"(Free|Total) swap *(?:=|:) *(\d{1,18})kB")


@line_format("Mem-Info", "Free swap  = NkB / Total swap = NkB", "2.6.11 to 6.18")
def parse_swap(text: str) -> Swap | None:
    """Swap of the machine (show_swap_cache_info(), mm/swap_state.c)."""
    match = _SWAP.match(text)
    return Swap(match[1], int(match[2])) if match else None


class RamPages(Record, frozen=True):
    """Pages of the whole machine, reserved ones included."""

    pages: int


_RAM_PAGES = late_pattern(r"(\d{1,18}) pages (?:of )?RAM")


@line_format("Mem-Info", "N pages RAM", "2.6.11 to 6.18", "pages of the kernel's page size")
def parse_ram_pages(text: str) -> RamPages | None:
    """Pages of the machine (show_mem())."""
    match = _RAM_PAGES.fullmatch(text)
    return RamPages(int(match[1])) if match else None
