"""Why a report came about though memory was free, in words: limits, fragmentation, zones, CMA, cpusets."""

from __future__ import annotations

from collections.abc import Iterator

from ..oomlog.records import DEFAULT_PAGE_KB, Report
from ..oomlog.watermark import ZoneView
from .visible import visible


def why_of(report: Report) -> list[str]:
    """What the report shows of the reason, most telling first."""
    header = report.header
    if header.order is not None and header.order < 0:
        return ["requested manually (SysRq-F): memory was not short"]
    if header.gfp_mask == 0:
        return [
            "a page fault failed (gfp_mask 0, pagefault_out_of_memory()): the report does not show which allocation "
            "it was or whose limit; free memory does not contradict that"
        ]
    return list(_limits(report) if report.is_memcg else _machine(report))


def _limits(report: Report) -> Iterator[str]:
    memcg = visible(report.oom_memcg or "a memcg")
    for counter, name in (("memory", "memory"), ("memory+swap", "memory and swap"), ("kmem", "kernel memory")):
        if counter not in report.counters:
            continue
        usage, limit, _ = report.counters[counter]
        if limit - usage < (report.page_kb or DEFAULT_PAGE_KB) << max(report.header.order or 0, 0):
            yield f"{memcg} reached its limit of {name}: {usage} of {limit} kB; free memory of the machine does not matter"
    if report.margin_kb is not None and report.margin_kb >= (report.page_kb or DEFAULT_PAGE_KB):
        yield f"{report.margin_kb} kB were free under the limit of {memcg} when the report was printed, after the decision"


def _machine(report: Report) -> Iterator[str]:
    views = report.zone_views()
    if not views:
        yield "the machine ran out; the report does not show its zones or what was asked for"
        return
    free_kb = sum(view.zone.free_kb for view in views)
    usable, room_kb = "how much of that it could use is unknown", report.zone_margin_kb
    if room_kb is not None:
        usable = f"it could use {room_kb} kB" if room_kb > 0 else "it could use none of it"
    yield f"the machine ran out: {free_kb} kB were free, the request was for {_asked(report)}, and above the watermarks {usable}"
    others = [view for view in views if view.zone.free_kb > view.zone.high_kb and not view.is_its_zone]
    if others:
        yield f"{_free(others)} are in zones that it may not use ({_names(others)}): kernel memory must be in a lower zone"
    others = [
        view for view in views if view.is_its_zone and not view.is_its_node and view.zone.free_kb > view.zone.high_kb
    ]
    if others:
        allowed = report.nodemask if report.nodemask and not report.nodemask.startswith("(") else report.mems_allowed
        yield f"{_free(others)} are on nodes that its cpuset or policy forbids (it has {visible(allowed or '?')})"
    its = [view for view in views if view.is_its_zone and view.is_its_node]
    for name, sizes in (
        ("CMA pages, for movable requests only", [view.cma_kb for view in its]),
        ("kept for atomic requests", [view.highatomic_kb for view in its]),
        ("reserved against requests for higher zones (lowmem_reserve)", [view.reserve_kb for view in its]),
    ):
        if total := sum(sizes):
            yield f"{total} kB of its zones are {name}"
    if any(view.has_block is False and view.room_kb > 0 for view in its):
        order = report.header.order or 0
        yield f"fragmentation: no zone has a free block of {(report.page_kb or DEFAULT_PAGE_KB) << order} kB (order {order}) that it may take"
    if report.total_swap_kb is not None:
        yield (
            f"swap: {report.free_swap_kb or 0} of {report.total_swap_kb} kB free"
            if report.total_swap_kb
            else "there is no swap"
        )


def _asked(report: Report) -> str:
    order, flags = report.header.order or 0, report.header.gfp_flags or hex(report.header.gfp_mask or 0)
    return f"{(report.page_kb or DEFAULT_PAGE_KB) << order} kB, {visible(flags)}"


def _free(views: list[ZoneView]) -> str:
    return f"{sum(view.zone.free_kb for view in views)} kB"


def _names(views: list[ZoneView]) -> str:
    return ", ".join(dict.fromkeys(view.zone.name for view in views))
