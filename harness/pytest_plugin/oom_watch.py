"""What the OOM killer did in a stretch of the kernel log, for assertions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ..oomlog.reading import collect_kmsg
from ..oomlog.records import Kill, Report
from ..report.visible import visible
from .watcher import Stretch, Watcher

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class OomKill:
    """One process that the OOM killer killed, as the kernel log has it. Null where it does not say."""

    pid: int
    comm: str
    time_s: float | None  # since the boot of that kernel
    domain: str | None  # the memcg whose limit was hit, or "global"
    container: str | None  # the name that `memcg_container` gave; None for a process of anything else
    anon_rss_kb: int | None
    file_rss_kb: int | None
    shmem_rss_kb: int | None
    oom_score_adj: int | None
    has_report: bool  # the kernel's rate limit keeps reports back, never kills
    margin_kb: int | None  # room under the limit when it was reported
    in_flight_kb: int | None  # charged memory of tasks on their way out
    overlap_estimated: bool | None  # killed before an earlier victim's memory was free; docs/oom-log.md
    overlap_evidence: str

    def __str__(self) -> str:
        location = self.container or visible(self.domain or "unknown domain")
        overlap = {True: "overlap", False: "no overlap", None: "overlap unknown"}[self.overlap_estimated]
        room = "" if self.margin_kb is None else f", margin {self.margin_kb} kB"
        return f"{visible(self.comm)} ({self.pid}) in {location}, {(self.anon_rss_kb or 0) / 1024:.1f} MiB{room}, {overlap}"


@dataclass
class OomWatch:
    """Everything that the OOM killer did within a block; filled in when the block is left."""

    kernel: str
    kills: list[OomKill] = field(default_factory=list)  # in our containers, in order
    foreign: list[OomKill] = field(default_factory=list)  # anywhere else on that kernel
    reports: list[Report] = field(default_factory=list)  # as printed, of our containers and of others
    lost_records: int = 0  # of the kernel log: each may have been a kill

    @property
    def frame(self) -> pd.DataFrame:
        """The kills as a DataFrame."""
        import pandas as pd

        return pd.DataFrame([asdict(kill) for kill in self.kills], columns=list(OomKill.__dataclass_fields__))

    def __repr__(self) -> str:
        lines = [f"{len(self.kills)} OOM kills on {self.kernel}", *(f"  {kill}" for kill in self.kills)]
        if self.foreign:
            lines.append(f"  and {len(self.foreign)} in containers outside this test")
        if self.lost_records:
            lines.append(f"  {self.lost_records} records of the kernel log were lost")
        return "\n".join(lines)


@contextlib.contextmanager
def watching(kernel: str, watcher: Watcher, containers: dict[str, str]) -> Iterator[OomWatch]:
    """Fills in what happened within the block once it is left, by an exception too. `containers`: id to name."""
    watch, begin = OomWatch(kernel), watcher.mark()
    try:
        yield watch
    finally:
        fill_in(watch, watcher.between(begin, watcher.mark()), watcher, containers)


def fill_in(watch: OomWatch, stretch: Stretch, watcher: Watcher, containers: dict[str, str]) -> None:
    """`containers`: id to name, of those that were made in this engine."""
    collected = collect_kmsg(stretch.records)
    watch.lost_records, watch.reports = stretch.lost_records, collected.reports
    for kill in collected.kills:
        is_ours = watcher.is_ours(kill.domain) or watcher.is_ours(kill.task_memcg)
        (watch.kills if is_ours else watch.foreign).append(_told(kill, containers))


def _told(kill: Kill, containers: dict[str, str]) -> OomKill:
    killed, report = kill.killed, kill.report
    path = f"{kill.task_memcg or ''} {kill.domain or ''}"
    return OomKill(
        pid=killed.pid,
        comm=killed.comm or "?",
        time_s=kill.location.time_s,
        domain=kill.domain,
        container=next((name for id_, name in containers.items() if id_ in path), None),
        anon_rss_kb=killed.anon_rss_kb,
        file_rss_kb=killed.file_rss_kb,
        shmem_rss_kb=killed.shmem_rss_kb,
        oom_score_adj=killed.oom_score_adj,
        has_report=report is not None,
        margin_kb=report.margin_kb if report else None,
        in_flight_kb=report.in_flight_kb if report else None,
        overlap_estimated=kill.overlap_estimated,
        overlap_evidence=kill.overlap_evidence,
    )
