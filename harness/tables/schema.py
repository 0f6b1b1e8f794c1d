"""Every column of every table: name, type, unit, meaning, and when it is null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..oomlog.tasks import COLUMNS as TASK_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 2  # 2: runs, trials, tasks, memory_events and trace_events beside the other four

_ARROW = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "list": pa.list_(pa.int64()),
}


def printable(text: str) -> str:
    """Text that fits in any file: a byte that is no UTF-8 (a surrogate, here) shows as ``\\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _arrow(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (UnicodeEncodeError, OverflowError):
        return pa.array(list(map(_fit, values)), kind)


_LARGEST = (1 << 63) - 1


def _fit(value: object) -> object:
    """The value as a table can have it: printable, and of 64 bits."""
    if isinstance(value, int):
        return value if -_LARGEST <= value <= _LARGEST else max(-_LARGEST - 1, min(value, _LARGEST))
    return printable(value) if isinstance(value, str) and not value.isascii() else value


@dataclass(frozen=True)
class Column:
    """One column. `null` says when it is absent; empty when it never is."""

    name: str
    type: str  # string, int, float, bool, or list of int
    unit: str
    meaning: str
    null: str = ""

    @property
    def arrow_type(self) -> pa.DataType:
        """Its type in Arrow and Parquet."""
        return _ARROW[self.type]


@cache
def pandas_type(name: str) -> Any:
    """The nullable type in a frame of a column of this type; a list has none."""
    import pandas as pd  # half a second that only a frame is worth

    kinds = {"string": pd.StringDtype, "int": pd.Int64Dtype, "float": pd.Float64Dtype, "bool": pd.BooleanDtype}
    return kinds[name]()


def _array(column: Column, values: list[object]) -> pd.api.extensions.ExtensionArray | pd.Series:
    import pandas as pd

    if column.type == "list":
        return pd.Series(values, dtype="object")
    array: pd.api.extensions.ExtensionArray = pd.array(values, dtype=pandas_type(column.type))
    return array


def nulls(column: Column, count: int) -> pd.api.extensions.ExtensionArray | pd.Series:
    """A column that nothing is known of."""
    import pandas as pd

    if column.type == "list":
        return pd.Series([None] * count, dtype="object")
    array: pd.api.extensions.ExtensionArray = pandas_type(column.type).__from_arrow__(
        pa.nulls(count, column.arrow_type)
    )
    return array


@dataclass(frozen=True)
class Table:
    """One table; a row is what `row` says."""

    name: str
    row: str
    columns: tuple[Column, ...]

    def frame(self, rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
        """Rows as a DataFrame with this table's columns, in order, with nullable types."""
        import pandas as pd

        given = set[str]().union(*rows)
        columns = {
            c.name: _array(c, [_fit(row.get(c.name)) for row in rows]) if c.name in given else nulls(c, len(rows))
            for c in self.columns
        }
        index = pd.RangeIndex(len(rows))  # given, so that no column is aligned by its own
        return pd.DataFrame(columns, index=index, copy=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def row_of(self, values: Sequence[object]) -> dict[str, object]:
        """A row by name, of values in the order of the columns."""
        return dict(zip(self.names, values, strict=True))

    def arrow_table(self, rows: Sequence[Mapping[str, object]]) -> pa.Table:
        """Rows as an Arrow table with this table's columns, in order. Each row must have them all."""
        return self.arrow_of_values(list(map(itemgetter(*self.names), rows)))

    def arrow_of_values(self, rows: Sequence[tuple[object, ...]]) -> pa.Table:
        """The same of rows that are values in the order of the columns."""
        schema = self._schema
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        return pa.table(
            [_arrow(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
        )

    @cached_property
    def _schema(self) -> pa.Schema:
        return self.arrow_schema()

    def arrow_schema(self) -> pa.Schema:
        """Schema of the Parquet file: unit and meaning are metadata of each column."""
        fields = [pa.field(c.name, c.arrow_type, metadata={"unit": c.unit, "meaning": c.meaning}) for c in self.columns]
        return pa.schema(fields, metadata={"oomtrial.table": self.name, "oomtrial.format": str(FORMAT_VERSION)})


_WHERE = (
    Column("arm", "string", "", "name of the arm"),
    Column("scenario", "string", "", "name of the scenario"),
    Column("trial_id", "string", "", "name of the trial: the life of one container"),
    Column(
        "boot",
        "int",
        "",
        "planned boot within the arm, from 1; a trial that follows one that ended early has its own boot_id",
    ),
    Column("round", "int", "", "number of the round within its block, from 1"),
)

ROUNDS = Table(
    "rounds",
    "one round",
    (
        *_WHERE,
        Column(
            "boot_id", "string", "", "ID of the kernel's boot; one boot is one cluster, whatever its number in the plan"
        ),
        Column(
            "warm_up",
            "bool",
            "",
            "a warm-up round (one of the first of its boot, in a trial that continued): recorded, but in no figure of the summary",
            "the run is older than warm-up rounds: every round counts",
        ),
        Column("outcome", "string", "", "completed, hung, panicked, lost or harness_error"),
        Column("hogs", "int", "", "processes of the workload", "the round never began"),
        Column("kmsg_kills", "int", "", '"Killed process" records of the kernel'),
        Column("oom_kill", "int", "", "growth of memory.events oom_kill", "no snapshot after the round"),
        Column("trace_marks", "int", "", "distinct victims of oom:mark_victim"),
        Column(
            "supervisor_kills",
            "int",
            "",
            "hogs dead by SIGKILL that the supervisor did not kill",
            "the round has no end",
        ),
        Column("cleanup_kills", "int", "", "hogs that the supervisor killed after the round", "the round has no end"),
        Column(
            "silent_marks", "int", "", "victims marked without a kill: they were dying already (task_will_free_mem)"
        ),
        Column(
            "witness_disagreement",
            "string",
            "",
            "which witness departs from the expected relation, and how",
            "they agree, or cannot be compared",
        ),
        Column("witnesses_checked", "bool", "", "all four witnesses were available for comparison"),
        Column("reports", "int", "", "printed reports (rate-limited to 10 in 5 s)"),
        Column("suppressed_reports", "int", "", "reports that the kernel suppressed, by its own count"),
        Column("oom_entries", "int", "", "entries of out_of_memory() in the trace"),
        Column(
            "memory_events_oom",
            "int",
            "",
            "growth of memory.events oom: charges that failed",
            "no snapshot after the round",
        ),
        Column("lost_kmsg_records", "int", "", "gaps in the sequence numbers; at the start of the log at least one"),
        Column("lost_trace_events", "int", "", "events that did not fit in the trace buffer"),
        Column("missed_probes", "int", "", "kprobe hits that were not recorded"),
        Column("forged_kills", "int", "", "lines of user space that look like a kill"),
        Column("trouble_lines", "int", "", "soft lockup and hung task lines"),
        Column("supervisor_invoked", "bool", "", "the supervisor itself triggered an OOM"),
        Column(
            "baseline_clean", "bool", "", "the memcg's usage came back to its baseline afterwards", "not asked any more"
        ),
        Column(
            "duration_us",
            "int",
            "us",
            "time from the supervisor's start of the round to its end",
            "the round has no end",
        ),
        Column("memory_full_us", "int", "us", "growth of the memcg's PSI memory full", "no snapshot after the round"),
        Column("system_us", "int", "us", "growth of the memcg's system CPU time", "no snapshot after the round"),
        Column(
            "stall_us",
            "int",
            "us",
            "total time from decisions to the next page that a survivor got",
            "the round has no end, or the trace lacks the decision of a kill",
        ),
        Column(
            "stall_system_us",
            "int",
            "us",
            "CPU time in the kernel of survivors that waited 1 ms or longer for a page",
            "the round has no end",
        ),
        Column(
            "waited_us",
            "int",
            "us",
            "time in which at least one survivor waited 1 ms or longer for a page",
            "the round has no end",
        ),
        Column(
            "longest_wait_us",
            "int",
            "us",
            "longest wait of a survivor for one page; 0: no wait of 1 ms or longer. Waits without an end are not included",
            "the round has no end",
        ),
        Column(
            "waits_jain",
            "float",
            "",
            "Jain's index over the waiting times of survivors: 1 if all waited equally long, 1/n if one of n waited",
            "no survivor waited, or the round has no end",
        ),
        Column(
            "foreign_kills",
            "int",
            "",
            "kills of other processes on the machine during the round, not counted elsewhere; 0 in a guest",
        ),
        Column("stalls_lost", "int", "", "waits of hogs that were not recorded", "the round has no end"),
        Column(
            "longest_lost_us",
            "int",
            "us",
            "the longest of them",
            "none was lost, or the run is older than this column: then `longest_wait_us` is that of the recorded waits",
        ),
        Column("failed_hogs", "int", "", "hogs that could not do their work", "the round has no end"),
    ),
)

KILLS = Table(
    "kills",
    'one process killed: one "Killed process" record',
    (
        *_WHERE,
        Column("order", "int", "", "position in the kernel's own order of kills in the round, from 1"),
        Column("pid", "int", "", "PID of the victim, in the initial PID namespace"),
        Column("comm", "string", "", "name of the victim"),
        Column("hog", "int", "", "number of the hog", "the victim is none of the workload's hogs"),
        Column("demand_bytes", "int", "bytes", "declared demand of the victim", "the victim is no hog"),
        Column("kmsg_sequence", "int", "", "sequence number of the kill's record in the kernel log"),
        Column("kmsg_time_us", "int", "us", "time of that record, on the kernel log's clock"),
        Column(
            "report", "int", "", "index of its report within the round", "the report was suppressed by the rate limit"
        ),
        Column("oom_memcg", "string", "", "memcg whose limit was hit", "no report, or global OOM"),
        Column("task_memcg", "string", "", "memcg of the victim", "no report"),
        Column(
            "domain", "string", "", "address of the OOM domain's memcg, 0x0 for global OOM", "no trace of the decision"
        ),
        Column("margin_kb", "int", "kB", "room under the limit when the report was printed", "no report"),
        Column("total_vm_kb", "int", "kB", "virtual memory of the victim"),
        Column("anon_rss_kb", "int", "kB", "anonymous memory of the victim"),
        Column("file_rss_kb", "int", "kB", "file-backed memory of the victim"),
        Column("shmem_rss_kb", "int", "kB", "shared memory of the victim"),
        Column("oom_score_adj", "int", "", "oom_score_adj of the victim"),
        Column("decider_pid", "int", "", "PID of the task that ran the OOM killer", "no trace of the kill"),
        Column(
            "decision_time_us",
            "int",
            "us",
            "time at which out_of_memory() was entered, on the trace's clock",
            "no trace of the decision",
        ),
        Column("mark_time_us", "int", "us", "time of oom:mark_victim, on the trace's clock", "no trace of the kill"),
        Column(
            "decision_to_choice_us",
            "int",
            "us",
            "time from the decision to the choice of the victim: the end of the scan of the domain's tasks",
            "no trace of the decision or of the scan (--probes kills, an older run), or a global OOM",
        ),
        Column(
            "choice_to_mark_us",
            "int",
            "us",
            "time from the choice to the mark, in which the report is printed",
            "decision_to_choice_us is null",
        ),
        Column(
            "mark_to_return_us",
            "int",
            "us",
            "time from the mark to the return of out_of_memory()",
            "no trace of the return",
        ),
        Column(
            "release_time_us",
            "int",
            "us",
            "time at which its memory was free: return of exit_mmap(), or the end of a reaping that ended before exit_mmap() began, on the"
            " trace's clock",
            "not released by the end of the round, or released by another process that had the mm pinned and is no hog of kind readmem, or the event"
            " is lost",
        ),
        Column(
            "released_by", "string", "", "what freed the memory: exit_mmap or oom_reaper", "release_time_us is null"
        ),
        Column(
            "reaped_time_us",
            "int",
            "us",
            "time of oom:finish_task_reaping, on the trace's clock; from then on the kernel does not wait for this victim",
            "the oom_reaper did not reap it",
        ),
        Column(
            "exit_time_us",
            "int",
            "us",
            "time of sched:sched_process_exit of its last thread, on the trace's clock: after its exit_mmap() up to 6.12, before it on 7.x",
            "it had not exited by the end of the round, or the event is lost",
        ),
        Column(
            "stall_us",
            "int",
            "us",
            "time from the decision to the next page that a survivor got; 0: less than 1 ms",
            "no decision in the trace, or no survivor wanted a page",
        ),
        Column(
            "overlapping", "bool", "", "decided before an earlier victim of the domain was released", "evidence missing"
        ),
        Column(
            "surplus",
            "bool",
            "",
            "the processes that were alive already fitted under the limit when it was decided",
            "no declared demand",
        ),
        Column("kill_class", "string", "", "redundant, fruitless, premature, necessary, collateral or unknown"),
        Column(
            "mechanism",
            "string",
            "",
            "why it overlaps: stalled-decider (the earlier victims were released by the time of the choice), hidden-victim (one"
            " was not, and the scan passed over it), given-up-victim (the same, but the oom_reaper had already reaped it), or unknown",
            "the kill does not overlap, or it is unknown whether it does",
        ),
        Column(
            "overlap_estimated",
            "bool",
            "",
            "estimate of `overlapping` from the kernel log alone (docs/oom-log.md)",
            "the log does not show it",
        ),
        Column("overlap_evidence", "string", "", "evidence for the estimate"),
    ),
)

REPORTS = Table(
    "reports",
    "one printed OOM report",
    (
        *_WHERE,
        Column("report", "int", "", "index of the report within the round"),
        Column("kmsg_sequence", "int", "", "sequence number of its header in the kernel log"),
        Column("kmsg_time_us", "int", "us", "time of its header, on the kernel log's clock"),
        Column("comm", "string", "", "name of the task that triggered it"),
        Column("gfp_mask", "int", "", "gfp mask of the failed charge"),
        Column("order", "int", "", "order of the failed charge"),
        Column("usage_kb", "int", "kB", "memory charged to the OOM domain", "the line is missing"),
        Column("limit_kb", "int", "kB", "limit of the OOM domain", "the line is missing"),
        Column("failcnt", "int", "", "failed charges so far", "the line is missing"),
        Column("margin_kb", "int", "kB", "limit minus usage", "the line is missing"),
        Column("constraint", "string", "", "CONSTRAINT_MEMCG, CONSTRAINT_NONE, ...", "the summary line is missing"),
        Column("oom_memcg", "string", "", "memcg whose limit was hit", "the summary line is missing, or global OOM"),
        Column("victim_pid", "int", "", "PID of the process that was chosen", "the summary line is missing"),
        Column("complete", "bool", "", "every part of the report is there and whole"),
    ),
)

RELEASES = Table(
    "releases",
    "one mm freed: the return of exit_mmap() for a hog, or an oom_reaper line about a victim",
    (
        *_WHERE,
        Column("pid", "int", "", "PID of the process"),
        Column("kind", "string", "", "source: exit_mmap (trace's clock) or oom_reaper (kernel log's clock)"),
        Column("time_us", "int", "us", "time of the release"),
        Column("anon_rss_kb", "int", "kB", "anonymous memory left after reaping", "kind is exit_mmap"),
    ),
)

RUNS = Table(
    "runs",
    "the run",
    (
        Column("run_id", "string", "", "name of the run"),
        Column("state", "string", "", "running (also after SIGKILL), interrupted or complete"),
        Column("oomtrial", "string", "", "version of oomtrial that measured it"),
        Column("seed", "int", "", "seed of the order in which the arms took turns"),
        Column("rounds", "int", "", "requested rounds per arm and scenario"),
        Column("boots", "int", "", "requested boots per arm and scenario"),
        Column("vcpus", "int", "", "virtual CPUs per guest"),
        Column("memory_mib", "int", "MiB", "memory per guest"),
        Column("accel", "string", "", "acceleration: kvm, tcg, or native where no guest ran"),
        Column("host_cores", "int", "", "cores that the run could use"),
        Column("host_cpu", "string", "", "model of the processor"),
        Column("qemu", "string", "", "version of QEMU"),
        Column("append", "string", "", "text appended to the guests' kernel command line"),
    ),
)

TRIALS = Table(
    "trials",
    "one trial: the life of one container",
    (
        *(column for column in _WHERE if column.name != "round"),
        Column(
            "block", "int", "", "number of its block in the plan; a block whose trial ended early has several trials"
        ),
        Column("boot_id", "string", "", "ID of the kernel's boot", "the collector never got ready"),
        Column("token", "string", "", "token in the markers of kernel log and trace"),
        Column("first_round", "int", "", "number of its first round"),
        Column(
            "rounds",
            "int",
            "",
            "planned rounds, from the first one on; those before the one in which its guest was stopped",
        ),
        Column("rounds_begun", "int", "", "planned rounds that began"),
        Column(
            "warm_up",
            "int",
            "",
            "warm-up rounds at its start, which are not counted",
            "the run is older than warm-up rounds",
        ),
        Column("outcome", "string", "", "completed, hung, panicked, lost, harness_error or refused"),
        Column("reason", "string", "", "reason of the outcome, if known"),
        Column("started", "string", "", "how the guest started: cold, restored from a snapshot, or host (no guest)"),
        Column("guest_start_s", "float", "s", "time until the engine answered"),
        Column("containers_start_s", "float", "s", "time until the supervisor began, or waited for its job"),
        Column("rounds_s", "float", "s", "time of all its rounds, with calibration and clean-up"),
        Column(
            "host_steal_share",
            "float",
            "",
            "share of the host's CPU time, 0 to 1, that the hypervisor gave to other machines while the host had work for it"
            " (steal)",
            "the run is older than this column, or the guest did not start",
        ),
        Column(
            "host_others_share",
            "float",
            "",
            "share of the host's CPU time, 0 to 1, that processes outside the run used, and the kernel itself",
            "as above",
        ),
    ),
)

TASKS = Table(
    "tasks",
    "one row of the task table of a report; a page is 4 kB in the guests",
    (
        *_WHERE,
        Column("report", "int", "", "index of the report within the round"),
        Column("pid", "int", "", "PID of the task"),
        Column("comm", "string", "", "name of the task"),
        *(
            Column(
                name,
                "int",
                name.rpartition("_")[2] if name.endswith(("_pages", "_bytes")) else "",
                f"the kernel's column {kernel}",
                "this kernel has no such column",
            )
            for kernel, name in TASK_COLUMNS.items()
        ),
    ),
)

MEMORY_EVENTS = Table(
    "memory_events",
    "one counter of the memcg in one round: memory.events, memory.current, memory.swap.current, memory.pressure, cpu.stat"
    " (memory.stat is in the raw evidence)",
    (
        *_WHERE,
        Column("file", "string", "", "file of the memcg; on cgroup v1 the name of the v2 file that counts the same"),
        Column("key", "string", "", "key within the file; for pressure some or full", "the file holds a single number"),
        Column("before", "int", "", "value when the round began; pressure in us of stall", "not read"),
        Column("after", "int", "", "value after the round ended", "not read, as the round had no end"),
    ),
)

TRACE_EVENTS = Table(
    "trace_events",
    "one event of the private trace between the markers of a round",
    (
        *_WHERE,
        Column("time_us", "int", "us", "time of the event, on the trace's clock (mono)"),
        Column("cpu", "int", "", "CPU of the event"),
        Column("comm", "string", "", "name of the running thread"),
        Column("pid", "int", "", "ID of the running thread, in the initial PID namespace"),
        Column("tgid", "int", "", "ID of its process", "unknown to the kernel"),
        Column("event", "string", "", "name of the event: oom_entry, mark_victim, mm_release, sched_process_exit, ..."),
        Column(
            "subject_pid",
            "int",
            "",
            "field pid= of the event; for mark_victim the victim",
            "the event has no such field",
        ),
        Column("fields", "string", "", "all fields of the event, as printed"),
    ),
)

_FROM_LOG = (
    "pid", "comm", "kmsg_sequence", "kmsg_time_us", "oom_memcg", "task_memcg", "margin_kb", "total_vm_kb", "anon_rss_kb",
    "file_rss_kb", "shmem_rss_kb", "oom_score_adj",
)  # fmt: skip
FOREIGN_KILLS = Table(
    "foreign_kills",
    "one process killed during a round on `host` that was not part of the trial; recorded, but not counted",
    (*_WHERE, *(column for column in KILLS.columns if column.name in _FROM_LOG)),
)

FACTS = (ROUNDS, KILLS, REPORTS, RELEASES)  # what the analysis reads
TABLES = (RUNS, TRIALS, *FACTS, FOREIGN_KILLS, TASKS, MEMORY_EVENTS, TRACE_EVENTS)
