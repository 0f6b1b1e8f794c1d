"""Records of a log that nobody wrote, and the tables that both assemblers make of records.

Values come from few, so that records meet: the same pids, names, memcgs and callers, times that stand still, jump and go back.
"""

from random import Random

import msgspec
import numpy as np
import pyarrow as pa

from harness.oomlog.assemble import Assembler
from harness.oomlog.columns import ColumnAssembler, encode_records
from harness.oomlog.domain import LimitReached, OomKillSummary, Protection, StatsHead, Usage, VictimMemcg
from harness.oomlog.events import Boot, Event
from harness.oomlog.header import CpuLine, Cpuset, Header
from harness.oomlog.kill import AlreadyExitingVictim, ChosenVictim, GroupKill, KilledLine, SharedMmKill
from harness.oomlog.located import ForgedLine, LocatedRecord, Location, OrphanRows, Part, ReportParts, UnreadableLine
from harness.oomlog.losses import DroppedRecords, RateLimitedReports
from harness.oomlog.meminfo import FreeBlocks, LowmemReserve, PageCounts, RamPages, Swap, Zone
from harness.oomlog.release import Reaped
from harness.oomlog.tasks import TableHead, TaskTable
from harness.oomlog.turned import Turns
from harness.oomlog.user_space_killers import UserSpaceKill
from harness.tables.logcolumns import tables_of_columns
from harness.tables.logrows import LogRows

MESSAGES = (
    "",
    "",
    "Memory cgroup out of memory",
    "Memory cgroup out of memory",
    "Out of memory",
    "No available memory in cpuset",
)
COMMS = ("hog", "hog", "java", " hog", "hog\u3000", "\udcff\udcfex", "na\u00efve", "", "a\udced\udca0\udc80b")
MEMCGS = ("/", "/m", "/m/a", "/m/b", "/n", "/m/", "/docker/" + "a" * 64, "global", "/m\udcff")
ZONE_NAMES = ("DMA", "DMA32", "Normal", "HighMem", "Movable", "Device", "Odd")
COLUMNS = (
    ("pid", "uid", "tgid", "total_vm", "rss", "nr_ptes", "swapents", "oom_score_adj"),
    ("pid", "uid", "tgid", "total_vm", "rss", "rss_anon", "rss_file", "rss_shmem", "pgtables_bytes", "swapents", "oom_score_adj"),
    ("pid", "uid", "tgid", "total_vm", "rss", "cpu", "oom_adj"),
    ("pid", "uid", "tgid", "new", "oom_score_adj"),
)  # fmt: skip


STEPS_S = (0, 0.01, 1e-6, 0.1, 0.2, 0.3, 1, 1, 5, 11, 61, -0.5, -2, -9000, -3e7)


class Source:
    """Records of one log, in order."""

    def __init__(self, seed: int) -> None:
        self.order = Random(seed)
        order = self.order
        self.style = order.choice(("uptime", "uptime", "wall", "yearless", "none", "mixed"))
        self.hosts = order.choice((("",), ("",), ("n1",), ("", "n1", "n2")))
        self.callers = order.choice((("",), ("",), ("T1", "T2"), tuple(f"T{n}" for n in range(1500))))
        self.boot_ids = order.choice((("",), ("",), ("", "a" * 32, "b" * 32)))
        self.has_sequence = order.random() < 0.2
        self.losses = order.random() < 0.2
        self.page_kb = order.choice((4, 4, 16, 3))
        self.is_calm = order.random() < 0.5  # a log as most are: whole reports of one kernel, time goes on
        self.comms, self.memcgs = (COMMS[:3], MEMCGS[:7]) if order.random() < 0.7 else (COMMS, MEMCGS)
        self.columns = order.choice(COLUMNS[:2])
        self.kind = order.choice(("memcg", "global", "both"))
        self.alive, self.last_pid = list(range(1, 12)), 12
        self.gaps_s = order.choice(((0, 0.01, 0.1), (0.1, 0.3, 1, 4), (0, 0.2, 1, 11)))
        self.time_s, self.line, self.offset = float(order.randrange(1000)), 0, 0

    def records(self, count: int) -> list[LocatedRecord]:
        found: list[LocatedRecord] = []
        while len(found) < count:
            tell = self.order.choice(
                (self.report, self.report, self.lone_line, self.lone_line, self.group_kill, self.choice, self.boot)
            )
            found += tell()
            if self.order.random() < 0.05:
                found.append(self.order.choice(found[-20:]))  # pasted again
        return [_without_number(one) if self.order.random() < 0.003 else one for one in found]

    def located(self, record: object, caller: str | None = None) -> LocatedRecord:
        order = self.order
        self.line += order.choice((0, 1, 1, 1, 2, 5, 700))
        self.offset += order.choice((0, 60, 60))
        if self.is_calm:
            self.time_s += order.choice(self.gaps_s)
        elif order.random() < 0.5:
            self.time_s = max(0.0, self.time_s + order.choice(STEPS_S))
        style = order.choice(("uptime", "wall", "none")) if self.style == "mixed" else self.style
        location = Location(
            self.line, self.offset, self.time_s if style == "uptime" else None, self.time_s if style in ("wall", "yearless") else None, style == "yearless",
            order.choice(self.callers) if caller is None else caller, order.choice(self.hosts), order.choice(self.boot_ids),
            order.randrange(50) if self.has_sequence else None,
        )  # fmt: skip
        return LocatedRecord(location, record)

    def number(self) -> int:
        return self.order.choice((0, 1, 7, 100, 4096, 1 << 20, 10**18 - 1))

    def maybe(self, value: object) -> object:
        return self.order.choice((None, value))

    def pid(self) -> int:
        return self.order.choice(self.alive) if self.is_calm else self.order.randrange(1, 12)

    def victim(self) -> int:
        """A process that is gone then, most likely; others come in its place."""
        pid = self.pid()
        if self.is_calm and self.order.random() < 0.9:
            self.alive.remove(pid)
            self.alive.append(self.last_pid)
            self.last_pid += 1
        return pid

    def comm(self) -> str:
        return self.order.choice(self.comms)

    def memcg(self) -> str:
        return self.order.choice(self.memcgs)

    def size(self) -> int:
        return self.order.choice((0, 40, 400, 4000, 40_000, 400_000))

    def report(self) -> list[LocatedRecord]:
        """A report as a kernel prints it, with something missing now and then, and its kill."""
        order = self.order
        caller = order.choice(self.callers)
        parts = [part for part in self.parts() if self.is_calm or order.random() < 0.95]
        found = [self.located(self.header(), caller)] if order.random() < 0.9 else []
        if order.random() < 0.8:
            found.append(self.located(ReportParts(tuple(parts)), caller))
        else:
            found += [self.located(part, caller) for part in parts]
        if order.random() < 0.8:
            found.append(self.located(self.killed(), caller))
        return found

    def lone_line(self) -> list[LocatedRecord]:
        found = self.located(self.line_record())
        return [found] * (2 if self.order.random() < 0.05 else 1)

    def group_kill(self) -> list[LocatedRecord]:
        """A whole memcg: its head stands behind the victim's line, and the victim is printed again."""
        caller, chosen, head = self.order.choice(self.callers), self.killed(), GroupKill(self.memcg())
        members = [self.killed() for _ in range(self.order.randrange(5))]
        members.insert(self.order.randint(0, len(members)), chosen)
        first = [chosen] if self.order.random() < 0.8 else []
        found = [self.located(record, caller) for record in (*first, head, *members)]
        if self.order.random() < 0.2:
            found.append(found[len(first)])
        return found

    def boot(self) -> list[LocatedRecord]:
        """Now and then; log and copy may be pasted one behind the other."""
        if self.order.random() < 0.8:
            return self.lone_line()
        found = self.located(
            Boot(self.order.choice(("6.1.0", "6.1.0", "6.12", None)), self.order.choice(("", "", "c" * 32)))
        )
        return (
            [found, self.located(self.killed()), found]
            if self.order.random() < 0.3
            else [found] * self.order.choice((1, 2))
        )

    def choice(self) -> list[LocatedRecord]:
        """A choice, and the kill of it or of a child on the next line: to 5.0."""
        caller = self.order.choice(self.callers)
        found = [self.chosen(), self.killed(message="")] if self.order.random() < 0.8 else [self.chosen()]
        return [self.located(record, caller) for record in found]

    def parts(self) -> list[Part]:
        order = self.order
        kind = order.choice(("memcg", "global")) if self.kind == "both" else self.kind
        if kind == "memcg":
            memcg: list[Part] = [
                order.choice((VictimMemcg(self.memcg(), self.memcg()), LimitReached(self.memcg()))),
                *(Usage(name, self.size(), order.choice((400, 4000, 40_000, 1 << 50, 10**15)), self.maybe(3)) for name in ("memory", order.choice(("memory+swap", "swap")), "kmem")),
                *(self.stats() for _ in range(order.randrange(3))),
            ]  # fmt: skip
        else:
            nodes = order.choice(((None,), (0,), (0, 1)))
            zones = [(node, name) for node in nodes for name in order.sample(ZONE_NAMES, order.randrange(1, 5))]
            memcg = [PageCounts(self.lists()) for _ in range(1 if self.is_calm else order.randrange(3))]
            for node, name in zones:
                memcg.append(Zone(node, name, self.size(), 0, 0, self.size(), self.maybe(40), self.maybe(40)))
                memcg.append(LowmemReserve(tuple(order.choice((0, 0, 10, 1000)) for _ in range(order.randrange(1, 7)))))
            memcg += [FreeBlocks(node, name, self.blocks(), order.random() < 0.8) for node, name in zones]
            memcg += [Swap("Free", self.size()), Swap("Total", self.size()), RamPages(1000)]
        return [
            CpuLine(self.pid(), self.comm(), self.maybe("6.1.0")), Cpuset(self.maybe("x"), "/", order.choice(("0", "0-1", "1,x", ""))), *memcg,
            Protection(1, 2), self.table(), self.summary(),
        ]  # fmt: skip

    def stats(self) -> StatsHead:
        names = self.order.choice((("cache", "rss", "swap"), ("anon", "file"), ("total_rss", "cache"), ("rss",), ()))
        return StatsHead(
            self.order.choice(("", self.memcg())),
            {name: self.order.choice((0, 4096, 4 << 20, 10**18)) for name in names},
        )

    def lists(self) -> str:
        order = self.order
        names = ["active_anon", "Inactive_anon", "isolated_anon", "unevictable", "shmem", "x" * 25]
        shown = names if self.is_calm else order.sample(names, order.randrange(3, 7))
        return " ".join(f"{name}:{order.randrange(3000)}{'kB' if order.random() < 0.02 else ''}" for name in shown)

    def blocks(self) -> str:
        order = self.order
        return "".join(f"{order.choice((0, 1, 30))}*{4 << n}kB {order.choice(('', '(UME) ', '(C) ', '(H) ', '() ', '(u) '))}" for n in range(order.randrange(12)))  # fmt: skip

    def table(self) -> TaskTable:
        order = self.order
        columns, rows = (self.columns, 11) if self.is_calm else (order.choice(COLUMNS), order.choice((0, 1, 6, 11)))
        pids = self.alive if self.is_calm else [self.pid() for _ in range(rows)]
        values = np.array(
            [
                [pids[row], *(order.choice((0, 10, 100, 1000, 5 if self.is_calm else -5)) for _ in columns[1:])]
                for row in range(rows)
            ],
            dtype=np.int64,
        )
        names = b"".join(self.comm().encode("utf-8", "surrogateescape") + b"\n" for _ in range(rows))
        places = np.arange(self.line, self.line + rows, dtype=np.int64).tobytes()
        return TaskTable(columns, values.tobytes(), names, places, 0 if self.is_calm else order.choice((0, 0, 0, 2)), 0)

    def summary(self) -> OomKillSummary:
        order = self.order
        oom_memcg = self.maybe(self.memcg())
        return OomKillSummary(
            "CONSTRAINT_MEMCG", order.choice(("(null)", "0", "0-1")), self.maybe("/"), order.choice((None, "0", "0-1", "9", "1-", "0-99999999", "0-1,x", "2,0-0", "3-1")), oom_memcg,
            oom_memcg is None and order.random() < 0.5, self.maybe(self.memcg()), self.maybe(self.comm()), self.maybe(self.pid()), 0,
            order.random() < 0.9,
        )  # fmt: skip

    def header(self) -> Header:
        order = self.order
        mask = order.choice((0xCC0, 0x100CCA) if self.is_calm else (None, 0, 0x1, 0x4, 0x2, 0xA, 0x8, 0xCC0, 0x100CCA))
        return Header(self.maybe(self.comm()), mask, self.maybe("GFP"), order.choice((0, 0, 0, 1) if self.is_calm else (None, -1, 0, 0, 1, 3, 70)), self.maybe("0"), self.maybe(-17), order.random() < 0.9)  # fmt: skip

    def killed(self, message: str | None = None) -> KilledLine:
        message = self.order.choice(MESSAGES) if message is None else message
        size = self.maybe(self.order.choice((10, 100, 1000)) * self.page_kb)
        return KilledLine(
            message, self.victim(), self.maybe(self.comm()), size, self.maybe(self.size()), self.maybe(1), self.maybe(2), self.maybe(0),
            self.maybe(3), self.maybe(-5), self.order.random() < 0.9,
        )  # fmt: skip

    def line_record(self) -> object:
        order = self.order
        common = (self.killed, self.killed, self.killed, self.reaped, self.reaped, self.header)
        if order.random() < 0.8:
            return order.choice(common)()
        if not self.losses and order.random() < 0.5:
            return self.killed()
        return order.choice(
            (
                AlreadyExitingVictim("Out of memory", self.pid(), self.comm()), SharedMmKill(self.pid(), self.comm()), RateLimitedReports(3), DroppedRecords(2, order.choice(("printk", "journald", "rsyslog"))),
                Event(order.choice(("panic", "no-victim", "sysrq", "soft-lockup")), self.maybe(self.pid()), "text " + self.comm()),
                UserSpaceKill("earlyoom", self.maybe(self.pid()), self.maybe("x"), "killed"), Boot(self.maybe("6.1.0"), order.choice(("", "c" * 32))),
                ForgedLine(order.choice(("kill", "head"))), UnreadableLine(order.choice(("kill", "head", "summary"))), OrphanRows(4), TableHead(("pid",), True), self.summary(),
                self.table(), self.stats(), RamPages(3), ReportParts((self.table(), self.summary(), self.table())),
            )
        )  # fmt: skip

    def reaped(self) -> Reaped:
        return Reaped(self.order.choice(("reaped", "reaped", "unable", "giving-up")), self.pid(), self.maybe(self.comm()), self.order.choice((None, 0, 0, 40)), 0, 0, self.order.random() < 0.9)  # fmt: skip

    def chosen(self) -> ChosenVictim:
        return ChosenVictim(self.order.choice(MESSAGES[2:]), self.pid(), self.comm())


def _without_number(found: LocatedRecord) -> LocatedRecord:
    """With a stamp that is no number. It is a new object, as of another line: one and the same would equal itself."""
    return LocatedRecord(msgspec.structs.replace(found.location, uptime_s=float("nan")), found.record)


def tables_of_both(chunks: list[tuple[list[LocatedRecord], int]]) -> str:
    """What the tables of the two assemblers differ in, and what they count; empty where they are the same.

    A chunk is its records and how many lines begin in it.
    """
    reference, rows, columns = Assembler(), LogRows(), ColumnAssembler()
    try:
        reference.begin_file()
        columns.begin_file()
        base, records = 0, 0
        for found, lines in chunks:
            for item in found:
                for output in reference.feed(item, base + 1):
                    rows.add(output, "log\udcff")
                    records += 1
            columns.feed(encode_records(found, lines), base + 1, reference.missing.sequence_gaps)
            base += lines
        for output in reference.close():
            rows.add(output, "log\udcff")
            records += 1
        columns.end_file()
        expected, given = rows.take(), tables_of_columns(columns.take(), "log\udcff", Turns())
        if columns.missing != reference.missing:
            return f"{columns.missing} != {reference.missing}"
        if (columns.counts.records, columns.boots) != (records, reference.boots):
            return f"{columns.counts}, {columns.boots} boots, not {records}, {reference.boots}"
    finally:
        columns.close()
    return "; ".join(filter(None, (_difference(name, table, given[name]) for name, table in expected.items())))


def _difference(name: str, expected: pa.Table, given: pa.Table) -> str:
    given.validate(full=True)
    if not expected.schema.equals(given.schema, check_metadata=True):
        return f"{name}: schema"
    if expected.num_rows != given.num_rows:
        return f"{name}: {given.num_rows} rows, not {expected.num_rows}"
    for column in expected.schema.names:
        if expected[column].equals(given[column]) and not pa.types.is_floating(
            expected[column].type
        ):  # 0.0 equals -0.0
            continue
        for row, (one, other) in enumerate(zip(expected[column].to_pylist(), given[column].to_pylist(), strict=True)):
            if repr(one) != repr(other):
                return f"{name}.{column}, row {row}: {other!r}, not {one!r}"
    return ""
