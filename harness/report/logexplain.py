"""What a log proves of one process, container, pod or unit: `oomtrial parse --explain`."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from ..oomlog.assemble import Output
from ..oomlog.owner import NOBODY, owner_of
from ..oomlog.records import Kill, KnownLosses, OtherEvent, Report
from ..oomlog.user_space_killers import KILLERS, REPORTED
from ..tables.logtotals import LogTotals
from ..units import format_count
from .killwords import VERDICTS, domain_of
from .logwhy import why_of
from .visible import visible

_SHOWN = 20
_SHORTEST_ID = 6  # of a container: as `docker ps` may be cut


class LogExplain:
    """Keeps what concerns the one that is asked for."""

    def __init__(self, console: Console, wanted: str, names: Mapping[str, str] | None = None) -> None:
        """`names` of containers by ID, where an engine runs that knows them; one may be asked for by its name."""
        self._console, self._names_by_id = console, names or {}
        ids = {name: container for container, name in self._names_by_id.items()}
        self._wanted = ids.get(wanted.strip(), wanted.strip())
        self._pid = int(self._wanted) if self._wanted.isdecimal() and len(self._wanted) <= 10 else None
        self._kills: list[Kill] = []
        self._decisions: dict[int, int] = {}  # kills of each
        self._chosen: list[Report] = []
        self._listed: list[tuple[Report, int]] = []  # reports whose table has the process, and its size in kB
        self._others: list[OtherEvent] = []

    def add(self, output: Output, file: str) -> None:
        """Takes one record of the log."""
        del file
        match output:
            case Kill():
                self._decisions[output.decision] = self._decisions.get(output.decision, 0) + 1
                if self._is_wanted_kill(output):
                    self._kills.append(output)
            case Report():
                self._take_report(output)
            case OtherEvent() if output.kind in KILLERS or output.kind in ("skipped", REPORTED):
                named = output.pid == self._pid if self._pid is not None else self._wanted in output.text
                if named:
                    self._others.append(output)
            case _:
                pass

    def _is_wanted_kill(self, kill: Kill) -> bool:
        if self._pid is not None and self._pid in (kill.killed.pid, kill.chosen_pid, *kill.sharing_pids):
            return True
        return any(self._names(memcg) for memcg in (kill.task_memcg, kill.group, kill.oom_memcg))

    def _names(self, memcg: str | None) -> bool:
        if memcg is None or not self._wanted:
            return False
        owner = owner_of(memcg)
        if self._wanted in (memcg, owner.unit, owner.pod_uid, owner.container_id):
            return True
        is_long = len(self._wanted) >= _SHORTEST_ID
        return is_long and (owner.container_id or "").startswith(self._wanted)

    def _take_report(self, report: Report) -> None:
        if report.outcome != "killed" and (
            (self._pid is not None and report.chosen_pid == self._pid)
            or (self._pid is None and (self._names(report.task_memcg) or self._names(report.oom_memcg)))
        ):
            self._chosen.append(report)
        table = report.tasks
        if self._pid is not None and table is not None and table.row_count and self._pid in table.values[:, 0]:
            row = (table.values[:, 0] == self._pid).nonzero()[0][0]
            rss = table.column("rss")
            self._listed.append((report, int(rss[row]) * (report.page_kb or 4) if rss is not None else 0))

    def finish(self, totals: LogTotals, missing: KnownLosses) -> None:
        """Prints what the log proves."""
        for kill in self._kills[-_SHOWN:]:
            self._explain(kill)
        if len(self._kills) > _SHOWN:
            self._say(f"{len(self._kills) - _SHOWN} kills before these are not shown; --format csv gives them all")
        if not self._kills:
            self._nothing(totals, missing)

    def _explain(self, kill: Kill) -> None:
        name = visible(kill.killed.comm or "(its name is cut)")
        head = f"pid {kill.killed.pid} ({name}) was killed by the kernel's OOM killer: line {kill.location.line}"
        self._console.print(Text(head, style="bold"), soft_wrap=True)
        if kill.killed.pid != self._pid and self._pid in kill.sharing_pids:
            self._say(f"pid {self._pid} shared its memory and was killed with it")
        elif self._pid is not None and kill.killed.pid != self._pid:
            self._say(
                f"pid {self._pid} was chosen, but another process was killed instead: a child, or its main thread"
            )
        memcg = kill.task_memcg or kill.group or kill.oom_memcg
        if memcg is not None:
            owner = owner_of(memcg)
            container = owner.container_id
            if container is not None and container in self._names_by_id:
                container = f"{container} ({self._names_by_id[container]})"
            labels = (
                ("pod", owner.pod_uid),
                ("container", container),
                ("unit", owner.unit),
                ("runtime", owner.runtime),
            )
            parts = [f"{label} {visible(value)}" for label, value in labels if value] if owner != NOBODY else []
            self._say(f"owner: {', '.join([*parts, f'memcg {visible(memcg)}'])}")
        self._say(f"OOM domain: {domain_of(kill)} ({kill.domain_source})")
        members = self._decisions[kill.decision]
        if kill.group is not None:
            self._say(
                f"the whole memcg {visible(kill.group)} was killed, as memory.oom.group is set: {members} process{'es'[: 2 * (members != 1)]} in this log"
            )
        else:
            self._say("one process was killed by this decision, not a group")
        if kill.report is None:
            self._say("its report is not in the log: it was suppressed by the rate limit, or cut")
        else:
            for reason in why_of(kill.report):
                self._say(reason)
        for release in kill.released:
            self._say(f"oom_reaper: {release.reaped.kind}, line {release.location.line}")
        self._say(
            f"before an earlier victim's memory was free: {VERDICTS[kill.overlap_estimated][0]} ({kill.overlap_evidence})"
        )

    def _nothing(self, totals: LogTotals, missing: KnownLosses) -> None:
        wanted = f"pid {self._pid}" if self._pid is not None else visible(self._wanted)
        self._console.print(
            Text(f"no line of this log shows that the kernel's OOM killer killed {wanted}", style="bold"),
            soft_wrap=True,
        )
        for report in self._chosen[-_SHOWN:]:
            self._say(
                f"it was chosen, but its kill is not in the log: line {report.location.line} (outcome: {report.outcome})"
            )
        for other in self._others[-_SHOWN:]:
            who = "the kernel" if other.kind == "skipped" else "user space"
            self._say(f"{who}, line {other.location.line}: {visible(other.text)}")
        for report, size_kb in self._listed[-1:]:
            self._say(f"it was alive at line {report.location.line}, in the task table of a report, with {size_kb} kB")
        kills = totals.kills
        if kills.at_most > kills.printed:
            more = kills.at_most - kills.printed
            self._say(f"up to {format_count(more, 'kill')} may be missing from the log, so it may be one of these")
            if missing.unread_lines:
                self._say(f"lines that could not be read: {', '.join(map(str, missing.unread_lines[:12]))}")
        else:
            self._say("nothing is known to be missing from the log")
        self._say(
            "exit code 137 only means SIGKILL: a stop that took too long, a failed probe, an eviction or another program also sends it"
        )

    def _say(self, text: str) -> None:
        self._console.print(Text(f"  {text}"), soft_wrap=True)
