"""The OOM domain of a kill: known from its report or message, inferred from what stands before, or unknown.

In a storm the kernel prints a tenth of the reports (10 in 5 s) and all of the kills.
"""

from __future__ import annotations

from collections import deque

from .kill import is_memcg
from .records import Kill, Report

_TABLES = 64  # task tables that are remembered
_NEAR_S = 10.0  # two rate limit windows

KNOWN, UNKNOWN = "known", "unknown"


def in_subtree(memcg: str, root: str) -> bool:
    """Whether a memcg is `root` or lies below it."""
    return memcg == root or root == "/" or memcg.startswith(root.rstrip("/") + "/")


class DomainInference:
    """The memcg reports of one boot."""

    def __init__(self) -> None:
        self._reports: deque[Report] = deque(maxlen=_TABLES)

    def assign_domain(self, kill: Kill) -> None:
        """Fills in the domain of a kill, and remembers its report."""
        report = kill.report
        if report is not None and report.domain is not None:
            kill.oom_memcg, kill.is_global, kill.domain_source = report.oom_memcg, report.oom_memcg is None, KNOWN
            if report.oom_memcg is not None and (not self._reports or self._reports[-1] is not report):
                self._reports.append(report)
        elif is_memcg(kill.message) is False:
            kill.is_global, kill.domain_source = True, KNOWN  # the message says so
        elif is_memcg(kill.message):
            kill.oom_memcg, kill.is_global, kill.domain_source = None, False, UNKNOWN
            self._infer(kill)

    def _infer(self, kill: Kill) -> None:
        for found, how in (self._by_table(kill), self._by_group(kill), self._by_neighbours(kill)):
            if found is not None:
                kill.oom_memcg, kill.domain_source = found, f"inferred: {how}"
                return

    def _by_table(self, kill: Kill) -> tuple[str | None, str]:
        """The memcg whose task table listed the victim; no answer when two did."""
        listing = [r for r in self._reports if r.oom_memcg and _lists(r, kill)]
        domains = {r.oom_memcg for r in listing}
        if len(domains) != 1:
            return None, ""
        found = listing[-1].oom_memcg or ""
        # A memcg above or below that ran out too may have been it this time.
        if any(r.oom_memcg and r.oom_memcg != found and _nested(r.oom_memcg, found) for r in self._reports):
            return None, ""
        return found, f"task table of report {listing[-1].index}"

    def _by_group(self, kill: Kill) -> tuple[str | None, str]:
        if kill.group is None:
            return None, ""
        above = {r.oom_memcg for r in self._reports if r.oom_memcg and in_subtree(kill.group, r.oom_memcg)}
        return (next(iter(above)), "the group's memcg lies in it") if len(above) == 1 else (None, "")

    def _by_neighbours(self, kill: Kill) -> tuple[str | None, str]:
        """The only memcg that reported shortly before, if its tasks had the victim's name."""
        now = kill.location.time_s
        if now is None:
            return None, ""
        near = [r for r in self._reports if r.location.time_s is not None and 0 <= now - r.location.time_s <= _NEAR_S]
        domains = {r.oom_memcg for r in near}
        if len(domains) != 1 or not any(_has_name(r, kill.killed.comm) for r in near):
            return None, ""
        return near[-1].oom_memcg, "the only memcg that reported within 10 s"


def _nested(one: str, other: str) -> bool:
    return in_subtree(one, other) or in_subtree(other, one)


def _lists(report: Report, kill: Kill) -> bool:
    table = report.tasks
    if table is None or not table.row_count:
        return False
    rows = (table.pids == kill.killed.pid).nonzero()[0]
    return len(rows) > 0 and (kill.killed.comm is None or table.comms()[int(rows[0])] == kill.killed.comm)


def _has_name(report: Report, comm: str | None) -> bool:
    return comm is not None and report.tasks is not None and comm in report.tasks.comms()
