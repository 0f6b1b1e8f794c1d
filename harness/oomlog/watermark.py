"""How much room a global report leaves for the request behind it: what __zone_watermark_ok() would have said.

Only zones count that the request may use (gfp_mask, cpuset, memory policy), without free memory that is not for it (CMA
pages, blocks kept for atomic requests, the reserve against requests for higher zones), and for an order above 0 only
where a block of that order is free.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from .meminfo import FreeBlocks, Zone

# include/linux/gfp_types.h; these four bits have been the same since 2.6.30. In 2.6.23 to 2.6.29 __GFP_MOVABLE was
# another bit, but there are no CMA pages before 3.5, and ZONE_MOVABLE is only left out for want of it.
_DMA, _HIGHMEM, _DMA32, _MOVABLE = 0x01, 0x02, 0x04, 0x08
_ORDER = ("DMA", "DMA32", "Normal", "HighMem", "Movable", "Device")  # enum zone_type, include/linux/mmzone.h
LARGEST_ORDER = (
    40  # MAX_PAGE_ORDER is 10 to 13; 2^40 pages are more than any machine has, and a damaged line may say more
)
_ORDINARY = frozenset("UME")  # unmovable, movable, reclaimable: lists that any request may take from

Zones = Sequence[tuple[Zone, tuple[int, ...]]]
FreeBlocksByZone = Mapping[tuple[int | None, str], FreeBlocks]


def request_room_kb(
    gfp_mask: int | None,
    order: int | None,
    zones: Zones,
    free_blocks: FreeBlocksByZone,
    page_kb: int,
    mems_allowed: str | None,
    nodemask: str | None,
) -> int | None:
    """Free memory above the high watermark in the best zone that the request may use.

    None where that cannot be told: the header is cut, the request is no allocation (SysRq, a page fault), no zone in the
    report is one that it may use, or the answer depends on a memory policy that the report does not name.
    """
    views = zone_views(gfp_mask, order, zones, free_blocks, page_kb, mems_allowed, nodemask)
    rooms: dict[int | None, list[int | None]] = {}
    for view in views:
        if view.is_its_zone and view.is_its_node:
            room = view.room_kb
            if order and room > 0:
                rooms.setdefault(view.zone.node, []).append(None if view.has_block is None else room * view.has_block)
            else:
                rooms.setdefault(view.zone.node, []).append(room)
    best = [_best(of_node) for of_node in rooms.values()]
    if mems_allowed is not None and nodemask is not None:
        return _best(best)
    # One node, or a policy that the report does not name: to 4.8 no report names it.
    least = None if None in best else min((room for room in best if room is not None), default=None)
    most = _best(best)
    return least if least is not None and most is not None and (least > 0) == (most > 0) else None


class ZoneView(NamedTuple):
    """A zone as a request sees it."""

    zone: Zone
    is_its_zone: bool  # gfp_mask allows it
    is_its_node: bool  # cpuset and policy allow it
    cma_kb: int  # free, but for movable requests only, and this is none
    highatomic_kb: int  # free, but for atomic requests only
    reserve_kb: int  # free, but kept from requests for higher zones
    has_block: bool | None  # a free block of the order that the request may take; None: no buddy line
    room_kb: int  # what is left above the high watermark


def zone_views(
    gfp_mask: int | None,
    order: int | None,
    zones: Zones,
    free_blocks: FreeBlocksByZone,
    page_kb: int,
    mems_allowed: str | None,
    nodemask: str | None,
) -> list[ZoneView]:
    """The zones of a report as its request sees them; none where the request is no allocation, or not known."""
    if not gfp_mask or order is None or order < 0 or not zones:
        return []
    named = frozenset(zone.name for zone, _ in zones)
    highest = _highest_zone(gfp_mask, named)
    if highest is None:
        return []
    nodes = _nodes(mems_allowed), _nodes(nodemask)
    is_movable = bool(gfp_mask & _MOVABLE)
    views = []
    for zone, reserve in zones:
        is_its_zone = zone.name in _ORDER and _ORDER.index(zone.name) <= _ORDER.index(highest)
        cma_kb = 0 if is_movable else zone.free_cma_kb or 0
        highatomic_kb = zone.highatomic_kb or 0
        reserve_kb = _reserve_pages(zone.name, reserve, highest, named) * page_kb if is_its_zone else 0
        blocks = free_blocks.get((zone.node, zone.name))
        unusable_kb = ((1 << min(order, LARGEST_ORDER)) - 1) * page_kb + highatomic_kb + cma_kb + reserve_kb
        views.append(
            ZoneView(
                zone,
                is_its_zone,
                zone.node is None or all(allowed is None or zone.node in allowed for allowed in nodes),
                cma_kb,
                highatomic_kb,
                reserve_kb,
                None if blocks is None else not order or _has_block(blocks, order, is_movable),
                zone.free_kb - unusable_kb - zone.high_kb,
            )
        )
    return views


def _best(rooms: Iterable[int | None]) -> int | None:
    """The largest; None where a zone that cannot be judged may be the only one with room."""
    rooms = list(rooms)
    known = [room for room in rooms if room is not None]
    if not known or (None in rooms and max(known) <= 0):
        return None
    return max(known)


def _highest_zone(gfp_mask: int, named: frozenset[str]) -> str | None:
    """gfp_zone(): the highest zone that a request may use."""
    if gfp_mask & _DMA:
        return "DMA" if "DMA" in named else None
    if gfp_mask & _DMA32:
        # OPT_ZONE_DMA32 is ZONE_NORMAL where there is no such zone: on 32 bits
        return "DMA32" if "DMA32" in named or "HighMem" not in named else "Normal"
    if gfp_mask & _HIGHMEM:
        return "Movable" if gfp_mask & _MOVABLE else "HighMem"
    return "Normal"


def _nodes(text: str | None) -> set[int] | None:
    """Nodes of a list such as ``0-2,5``; None for every node."""
    if not text or text.startswith("("):
        return None
    nodes: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()) or len(first + last) > 8:
            return None
        nodes.update(range(int(first), min(int(last or first), int(first) + 4096) + 1))
    return nodes


@lru_cache(1024)
def _reserve_pages(zone: str, reserve: tuple[int, ...], highest: str, named: frozenset[str]) -> int:
    """Pages of a zone that are kept from requests for `highest`: lowmem_reserve[highest].

    The array has an entry for each zone that the kernel was configured with, and its length does not say which these
    are: of all that fit, the largest reserve is taken.
    """
    if not reserve or zone == highest:
        return 0
    found: set[int] = set()
    for zones in itertools.combinations(_ORDER, len(reserve)):
        # no kernel has HighMem and prints no line of it; Normal is always there, Movable since 2.6.23
        if (
            not named & set(_ORDER) <= set(zones)
            or "Normal" not in zones
            or ("HighMem" in zones) > ("HighMem" in named)
        ):
            continue
        if any(reserve[: zones.index(zone) + 1]):
            continue  # a zone has no reserve against requests for itself
        below = [index for index, name in enumerate(zones) if _ORDER.index(name) <= _ORDER.index(highest)]
        found.add(reserve[below[-1]])
    return max(found, default=max(reserve))


def _has_block(blocks: FreeBlocks, order: int, is_movable: bool) -> bool:
    """Whether a free block is large enough and of a kind that the request may take."""
    for count, kinds in list(zip(blocks.counts, blocks.kinds, strict=True))[order:]:
        if count and (not kinds or _ORDINARY & set(kinds) or (is_movable and "C" in kinds)):
            return True
    return False
