"""Whether a kill came before an earlier victim's memory was free, as far as a log can say.

The log shows no release, so this is an estimate from what the report shows, best evidence first:

1. room: when the report was printed, the margin was at least what was asked for, and there was an earlier victim in the
   domain. Some room is always about (other tasks give back a page), so it must be a fair part of the victim's memory.
   It is strong evidence and no proof: the report is printed after the decision, and another task may have freed it.
2. listed: an earlier victim still stands in the task table.
3. in flight: more anonymous memory is charged than the listed tasks own, by a fair part of the victim's; where the whole
   machine ran out: an earlier victim is gone from the table, and its memory from nowhere.
4. reaped later: the oom_reaper's line of an earlier victim comes after this kill.

Without any of them the answer is no, unless an earlier victim is fresh: then the log does not say. A kill whose report is
not in the log can show the last of these only. It gets a no as well if nothing is lost and every earlier victim is old, but
not if one of them was large, or a line of the oom_reaper says that it took its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .infer import in_subtree
from .located import Location
from .records import DEFAULT_PAGE_KB, Kill, Release, Report
from .tasks import TaskTable
from .watermark import LARGEST_ORDER

_LOOK_BACK = 32  # kills; a bound for storms
WINDOW_S = 10.0  # a victim killed longer ago is taken to be released
# A victim so young may still be on its way out though nothing shows it. In guests with 4 vCPUs on 2 cores every overlap
# came within 0.2 s of a kill before (docs/oom-log.md has the numbers behind each of these).
_JUST_BEFORE_S = 0.25
_ROOM_KB, _ROOM_PART = 256, 8  # the margin is at least this, and an eighth of the last victim's memory
# Without a report nothing shows memory in flight. To free 1 GiB of small pages takes a tenth of a second or so; the victims
# that _FRESH_S was measured on had 50 MB at most.
_LARGE_KB = 1 << 20
_NO_REPORT = "its report is not in the log"
_NO_REPORT_ALL_OLD = f"{_NO_REPORT}, the kills before it are older than {_JUST_BEFORE_S} s"
_SHOWN = 5
_FLIGHT_KB, _FLIGHT_PART = 1024, 4  # as for the margin; a fresh victim needs no part, as counters are kept per CPU


def estimate(kill: Kill, kills: Sequence[Kill], has_losses: bool) -> None:
    """Fills in the estimate. `kills` are the last kills of the same boot, in order, with this one among them."""
    if kill.report is None and kill.domain is None and (open_kills := list(_pending(kill, kills))):
        _without_report(kill, open_kills, has_losses)
        return
    recent, is_first = _recent(kill, kills)
    if not recent:
        none = "no kill before it" if is_first else f"no kill in the {WINDOW_S:.0f} s before it"
        _set(kill, None if has_losses else False, none + (" that is in the log" if has_losses else ""))
        return
    related = _all_related(recent, kill)
    pending = [(k, sure) for k, sure in related if sure is not False and not _released_before(k, kill)]
    if not pending:
        gone = "other memcgs'" if all(sure is False for _, sure in related) else "reaped, or other memcgs'"
        _set(kill, None if has_losses else False, f"the kills before it are {gone}")
        return
    certain = [k for k, sure in pending if sure]
    kill.earlier_kills = [k.index for k in certain] or [k.index for k, _ in pending]
    if certain:
        found = _evidence(kill, certain)
        if found:
            _set(kill, True, found)
            return
    if kill.report is None:
        _without_report(kill, [k for k, _ in pending], has_losses)
    elif not certain:
        _set(kill, None, "the memcgs of the kills before it are not known")
    else:
        _without_evidence(kill, kill.report, certain)


def copy_estimate(of: Kill, kill: Kill) -> None:
    """Gives a member of a group kill the estimate of its decision."""
    kill.overlap_estimated, kill.overlap_evidence = of.overlap_estimated, of.overlap_evidence
    kill.earlier_kills = list(of.earlier_kills)


def _set(kill: Kill, overlap: bool | None, evidence: str) -> None:
    kill.overlap_estimated, kill.overlap_evidence = overlap, evidence


def _evidence(kill: Kill, certain: list[Kill]) -> str:
    report = kill.report
    if report is not None:
        for find in (_room, _listed, _in_flight):
            if found := find(report, certain):
                return found
        if report.is_memcg is False:
            kill.global_in_flight_kb = global_in_flight_kb(report, certain)
            if found := _global_in_flight(kill, certain):
                return found
    later = [
        k.killed.pid
        for k in certain
        if any(r.reaped.kind == "reaped" and kill.location.is_before(r.location) for r in k.released)
    ]
    return f"reaped later: {_pids(later)}" if later else ""


def _room(report: Report, certain: list[Kill]) -> str:
    order = report.header.order
    if order is None or order < 0:
        return ""
    need_kb = (report.page_kb or DEFAULT_PAGE_KB) << min(order, LARGEST_ORDER)
    room_kb = report.margin_kb if report.is_memcg else report.zone_margin_kb
    if room_kb is None or room_kb < need_kb:
        return ""
    if report.is_memcg and report.kmem_margin_kb is not None and report.kmem_margin_kb < need_kb:
        return ""  # kernel memory has a limit of its own on v1, and that was hit
    fair_kb = max(_ROOM_KB, (certain[-1].killed.anon_rss_kb or 0) // _ROOM_PART)
    return f"room: {room_kb} kB, asked for {need_kb} kB" if room_kb >= fair_kb else ""


def _listed(report: Report, certain: list[Kill]) -> str:
    if report.tasks is None:
        return ""
    listed = set(report.tasks.pids.tolist())
    still = [k.killed.pid for k in certain if k.killed.pid in listed]
    return f"listed: {_pids(still)}" if still else ""


def _in_flight(report: Report, certain: list[Kill]) -> str:
    in_flight_kb = report.in_flight_kb
    if in_flight_kb is None or in_flight_kb < _FLIGHT_KB:
        return ""
    last = certain[-1]
    if not _killed_just_before(last, report.location) and in_flight_kb * _FLIGHT_PART < (last.killed.anon_rss_kb or 0):
        return ""
    return f"in flight: {in_flight_kb} kB of no listed task"


def _global_in_flight(kill: Kill, certain: list[Kill]) -> str:
    """Memory of victims that no task owns and that is not free; a fair part of theirs, as files are mapped and unmapped."""
    anon_kb = max((k.killed.anon_rss_kb or 0 for k in certain), default=0)
    if kill.global_in_flight_kb is None or kill.global_in_flight_kb < max(_FLIGHT_KB, anon_kb // _FLIGHT_PART):
        return ""
    return f"in flight: {kill.global_in_flight_kb} kB of no listed task"


def global_in_flight_kb(report: Report, certain: list[Kill]) -> int | None:
    """At least how much of the victims' anonymous memory is neither free nor another task's, by two reports' difference.

    Between the report of an earlier kill and this one, victims are gone from the task table. Had their memory been freed,
    there would be so much less anonymous memory (unevictable pages included, as they may be locked), but for what tasks
    that are listed and tmpfs have gained. None where the reports do not tell.
    """
    before = next((k.report for k in reversed(certain) if k.report is not None and k.report is not report), None)
    if before is None or report.tasks is None or before.tasks is None or not _is_grown_from(report, before):
        return None
    was, now = _sizes_kb(before), _sizes_kb(report)
    anon_was, anon_now = _anon_kb(before), _anon_kb(report)
    if was is None or now is None or anon_was is None or anon_now is None:
        return None
    gone_kb = sum(
        min(k.killed.anon_rss_kb or 0, was[k.killed.pid])
        for k in certain
        if k.killed.pid in was and k.killed.pid not in now
    )
    gained_kb = sum(max(0, size_kb - was.get(pid, 0)) for pid, size_kb in now.items())
    gained_kb += max(0, report.page_counts["shmem"] - before.page_counts["shmem"]) * _page_kb(report)
    return max(0, gone_kb + anon_now - anon_was - gained_kb)


def _is_grown_from(report: Report, before: Report) -> bool:
    """Whether two reports are whole enough, and of the same kernel, to be held against each other."""
    return (
        all(r.has_whole_table and r.page_counts.keys() >= _PAGE_COUNTS for r in (report, before))
        and report.boot == before.boot
        and _page_kb(report) == _page_kb(before)
    )


_PAGE_COUNTS = {"active_anon", "inactive_anon", "unevictable", "shmem"}


def _page_kb(report: Report) -> int:
    return report.page_kb or DEFAULT_PAGE_KB


def _anon_kb(report: Report) -> int | None:
    lists = report.page_counts
    pages = lists["active_anon"] + lists["inactive_anon"] + lists.get("isolated_anon", 0) + lists["unevictable"]
    return pages * _page_kb(report)


def _sizes_kb(report: Report) -> dict[int, int] | None:
    """Anonymous memory of the listed tasks, by pid; with mapped files before 6.8."""
    table: TaskTable | None = report.tasks
    if table is None:
        return None
    sizes = table.column("rss_anon")
    sizes = table.column("rss") if sizes is None else sizes
    if sizes is None:
        return None
    return dict(zip(table.pids.tolist(), (sizes * _page_kb(report)).tolist(), strict=True))


def _without_report(kill: Kill, pending: list[Kill], has_losses: bool) -> None:
    """Only the age of the victims is left. The reason says what the log does show: victims that were reaped are not simply unknown.

    A victim of a memcg that is not known counts too, and so does one that the log may have lost.
    """
    reaped = [k.killed.pid for k in pending if _reaped_before(k, kill.location)]
    if not has_losses and not any(
        _killed_just_before(k, kill.location) or _may_be_slow(k, kill.location) for k in pending
    ):
        _set(kill, False, _NO_REPORT_ALL_OLD)
    elif len(reaped) == len(pending):
        _set(kill, None, f"{_pids(reaped)} was reaped before it, but less than {_JUST_BEFORE_S} s before")
    else:
        _set(kill, None, _NO_REPORT)


def _may_be_slow(before: Kill, location: Location) -> bool:
    """Whether an old victim may have had memory left at a place: it was large, or of an unknown size, or a line of the oom_reaper
    says so, or comes only later."""
    size_kb = before.killed.anon_rss_kb
    return (
        size_kb is None
        or size_kb > _LARGE_KB
        or any(
            location.is_before(r.location) or r.reaped.kind != "reaped" or r.reaped.anon_rss_kb for r in before.released
        )
    )


def _without_evidence(kill: Kill, report: Report, certain: list[Kill]) -> None:
    order = report.header.order
    is_by_hand = order is not None and order < 0  # SysRq-F asks for no memory
    if report.task_count is None or order is None or (report.is_memcg and report.margin_kb is None):
        _set(kill, None, "its report is cut")
    elif not report.is_memcg and report.zone_margin_kb is None and not is_by_hand:
        _set(kill, None, _no_zones(report))
    elif fresh := [k.killed.pid for k in certain if _killed_just_before(k, report.location)]:
        were = "were" if len(fresh) > 1 else "was"
        _set(kill, None, f"nothing shows it, but {_pids(fresh)} {were} killed only just before")
    else:
        is_told = kill.in_flight_kb is not None
        _set(kill, False, "no room, none listed" + (" or in flight" if is_told else ""))


def _no_zones(report: Report) -> str:
    if report.header.gfp_mask == 0:
        return "a page fault's report does not say what was asked for"
    if not report.zones:
        return "its report is cut"
    return "its report does not say what room the request had"


def _pids(pids: list[int]) -> str:
    return (
        "pid " + ", ".join(map(str, pids[-_SHOWN:])) + (f" and {len(pids) - _SHOWN} more" if len(pids) > _SHOWN else "")
    )


def _killed_just_before(before: Kill, location: Location) -> bool:
    """Whether a victim was killed just before a place; stamps of whole seconds, and none, leave it open."""
    then, now = before.location.time_s, location.time_s
    if then is None or now is None or before.location.clock != location.clock:
        return True
    return now - then <= (_JUST_BEFORE_S if location.uptime_s is not None else 1.0)


def _recent(kill: Kill, kills: Sequence[Kill]) -> tuple[list[Kill], bool]:
    """Kills of other decisions shortly before this one, in order; and whether there was none at all."""
    recent: list[Kill] = []
    is_first = True
    index, decision, now, clock = kill.index, kill.decision, kill.location.time_s, kill.location.clock
    for before in reversed(kills):
        if before.index >= index or before.decision == decision:
            continue
        is_first = False
        then = before.location.time_s
        if len(recent) == _LOOK_BACK:
            break
        if then is not None and now is not None and now - then > WINDOW_S and before.location.clock == clock:
            break
        recent.append(before)
    return recent[::-1], is_first


def _pending(kill: Kill, kills: Sequence[Kill]) -> Iterator[Kill]:
    """Kills shortly before that may not be released, whatever their memcgs, the last first."""
    return (before for before in reversed(_recent(kill, kills)[0]) if not _released_before(before, kill))


def _all_related(recent: list[Kill], kill: Kill) -> list[tuple[Kill, bool | None]]:
    """Each with its answer of `_related`: in a storm few memcgs are asked about again and again."""
    known: dict[tuple[str | None, ...], bool | None] = {}
    found = []
    for before in recent:
        memcgs = (before.task_memcg, before.group, before.oom_memcg)
        if memcgs not in known:
            known[memcgs] = _related(before, kill)
        found.append((before, known[memcgs]))
    return found


def _related(before: Kill, kill: Kill) -> bool | None:
    """Whether the earlier victim's memory counts against this kill's domain; None when the log does not say."""
    if kill.is_global:
        return True
    if kill.oom_memcg is None:
        return None
    for memcg in (before.task_memcg, before.group, before.oom_memcg):
        if memcg is not None and in_subtree(memcg, kill.oom_memcg):
            return True
    if before.task_memcg is not None:
        return False
    if before.oom_memcg is not None and not in_subtree(kill.oom_memcg, before.oom_memcg):
        return False
    return None


def _released_before(before: Kill, kill: Kill) -> bool:
    """Its memory was reaped well before this kill's report began, and nothing was left.

    Reaping is no release: exit_mmap() still has to come, but then soon and with little to free.
    """
    if not before.released:
        return False
    location = kill.report.location if kill.report else kill.location
    return any(not _is_just_before(r.location, location) for r in _reaps(before, location))


def _reaped_before(before: Kill, location: Location) -> bool:
    return any(True for _ in _reaps(before, location))


def _reaps(before: Kill, location: Location) -> Iterator[Release]:
    """Reapings that left nothing, printed before a place."""
    for release in before.released:
        if release.reaped.kind == "reaped" and release.location.is_before(location) and not release.reaped.anon_rss_kb:
            yield release


def _is_just_before(then: Location, now: Location) -> bool:
    """Whether one place stands just before another, by stamps of microseconds; coarser ones do not say."""
    return then.uptime_s is not None and now.uptime_s is not None and now.uptime_s - then.uptime_s <= _JUST_BEFORE_S
