"""The columns of `Run.arms`: `python -m harness.report.armdocs` prints their table, which docs/notebooks.md holds."""

from __future__ import annotations

from ..tables.schema import Column, Table
from .logdocs import table_lines

_NO_ROUND = "no completed round"
_NO_WAIT = "no survivor waited, or no round has the figure"
_NO_FIGURE = "no round has the figure"

ARMS = Table(
    "arms",
    "one arm of one scenario",
    (
        Column("run_id", "string", "", "the run"),
        Column("arm", "category", "", "name of the arm"),
        Column("scenario", "category", "", "name of the scenario"),
        Column("vcpus", "int", "", "virtual CPUs per guest; cores on host"),
        Column("accel", "string", "", "tcg, kvm or native"),
        Column("host_cores", "int", "", "cores that the harness may use"),
        Column("rounds", "int", "rounds", "begun rounds"),
        Column("rounds_not_run", "int", "rounds", "planned but never begun"),
        Column("rounds_given_up", "int", "rounds", "of rounds_not_run: given up after all attempts, in a run that ended"),
        Column("trials_ended_early", "int", "trials", "trials that ended before their last round"),
        Column("boots", "int", "boots", "kernel boots, the clusters of the statistics"),
        Column("kills", "int", "processes", "killed"),
        Column("redundant_kills", "int", "processes", "killed, surplus and before an earlier victim's memory was free"),
        Column("surplus_kills", "int", "processes", "killed although the processes that were alive already fitted under the limit"),
        Column("premature_kills", "int", "processes", "killed before an earlier victim's memory was free, not surplus"),
        Column("fruitless_kills", "int", "processes", "killed, surplus but not before an earlier victim's memory was free"),
        Column("necessary_kills", "int", "processes", "killed, neither surplus nor before an earlier victim's memory was free"),
        Column("collateral_kills", "int", "processes", "killed that are none of the workload's hogs"),
        Column("unknown_kills", "int", "processes", "killed, whose class the evidence does not show"),
        Column("maybe_redundant_kills", "int", "processes", "of unknown_kills: those that may be redundant; the others were needed"),
        Column("completed_rounds", "int", "rounds", "rounds that completed"),
        Column("rounds_with_redundant", "int", "rounds", "completed, with a redundant kill"),
        Column("rounds_with_surplus", "int", "rounds", "completed, with a surplus kill"),
        Column("rounds_with_unknown", "int", "rounds", "completed, with a kill that may be redundant, and no redundant one"),
        Column("failed_rounds", "int", "rounds", "begun and not completed, and those given up"),
        Column("starved_rounds", "int", "rounds", "completed, in which a survivor waited longer than starved_after_s for one page"),
        Column("maybe_starved_rounds", "int", "rounds", "completed and longer than that, and not all waits were kept"),
        Column("starved_after_s", "float", "s", "half of the scenario's deadline", "the deadline is not known"),
        Column("rate", "float", "share", "rounds_with_redundant of completed_rounds", _NO_ROUND),
        Column("ci_low", "float", "share", "lower end of the 95 % interval of rate", _NO_ROUND),
        Column("ci_high", "float", "share", "upper end of that interval", _NO_ROUND),
        Column("ci_method", "string", "", "how the interval was made"),
        Column("rate_at_most", "float", "share", "if every kill that may be redundant were", _NO_ROUND),
        Column("ci_high_at_most", "float", "share", "upper end of the interval of that", _NO_ROUND),
        Column("effective_rounds", "float", "rounds", "completed rounds, deflated for the correlation of rounds within a boot"),
        Column("redundant_per_round", "float", "processes", "mean over rounds begun", "no round"),
        Column("surplus_per_round", "float", "processes", "mean over rounds begun", "no round"),
        Column("witness_disagreements", "int", "rounds", "rounds in which two witnesses count differently"),
        Column("witnesses_unchecked", "int", "rounds", "completed rounds in which a witness is missing"),
        Column("lost_records", "int", "records", "lost records of kernel log, trace and probes"),
        Column("kill_to_release_us_median", "float", "us", "time from the mark of a kill to the release of its memory", "no trace"),
        Column("kills_without_release", "int", "processes", "killed, without a release of their memory in the trace"),
        Column("duration_ms_per_round", "float", "ms", "mean over completed rounds, as all costs", _NO_FIGURE),
        Column("system_ms_per_round", "float", "ms", "CPU time of the container's tasks in the kernel", _NO_FIGURE),
        Column("memory_full_ms_per_round", "float", "ms", "memory PSI full: all of them stalled", _NO_FIGURE),
        Column("oom_events_per_round", "float", "charges", "charges that failed and entered the OOM killer", _NO_FIGURE),
        Column("oom_without_kill_per_round", "float", "charges", "of oom_events_per_round, those beyond the kills", _NO_FIGURE),
        Column("stall_ms_per_round", "float", "ms", "time from decisions to the next page that a survivor got", _NO_FIGURE),
        Column("stall_system_ms_per_round", "float", "ms", "CPU time in the kernel of survivors that waited for a page", _NO_FIGURE),
        Column("duration_ms_sd", "float", "ms", "standard deviation of duration from round to round", "fewer than two rounds"),
        Column("stall_ms_sd", "float", "ms", "standard deviation of stall from round to round", "fewer than two rounds"),
        Column("system_ms_sd", "float", "ms", "standard deviation of system from round to round", "fewer than two rounds"),
        Column("waited_ms_per_round", "float", "ms", "time in which at least one survivor waited 1 ms or longer for a page", _NO_FIGURE),
        Column("longest_wait_us_median", "float", "us", "longest wait of a survivor for one page, median over completed rounds in which one waited 1 ms or longer", _NO_WAIT),
        Column("longest_wait_us_most", "float", "us", "the longest of these waits", _NO_WAIT),
        Column("waits_jain_median", "float", "", "Jain's index over the waiting times of survivors, median over the same rounds: 1 if all waited equally long, 1/n if one of n waited", _NO_WAIT),
        Column("rounds_per_minute", "float", "rounds", "of its trials, without starts of guests and containers", "no trial is recorded"),
        Column("boot_s", "float", "s", "start of guest and containers, mean over its trials", "not recorded"),
        Column("warm_up_rounds", "int", "rounds", "warm-up rounds at the start of each boot, in no other figure"),
        Column("warm_up_failed", "int", "rounds", "warm-up rounds that did not complete"),
        Column("foreign_kills", "int", "processes", "other processes on the machine, killed during its rounds (host)"),
        Column("redundant_mechanisms", "object", "", "by mechanism of the redundant kills: their number, and the delay from decision to choice"),
        Column("decisions_traced", "bool", "", "the trace has the decision of some kill"),
        Column("overlaps_estimated", "int", "processes", "killed before an earlier victim's memory was free, estimated from the kernel log"),
        Column("overlaps_not_told", "int", "processes", "killed, for which the kernel log shows no estimate"),
        Column("rounds_with_overlap_estimated", "int", "rounds", "completed, with such a kill"),
        Column("trouble_lines", "int", "lines", "soft lockups and hung tasks in the kernel log"),
        Column("decisions", "int", "decisions", "kills of one decision (memory.oom.group) count once"),
        Column("redundant_decisions", "int", "decisions", "decisions of the redundant kills"),
        Column("unexpected_outcomes", "int", "rounds", "rounds with an outcome that the scenario does not expect of a stock kernel"),
        Column("has_oracle", "bool", "", "the scenario declares its demand: redundant kills can be classified"),
        Column("completed", "int", "rounds", "rounds with this outcome, as the next four"),
        Column("hung", "int", "rounds", "no progress within the deadline"),
        Column("panicked", "int", "rounds", "the kernel panicked"),
        Column("lost", "int", "rounds", "the guest died"),
        Column("harness_error", "int", "rounds", "the harness failed"),
    ),
)  # fmt: skip


def reference() -> str:
    """The table, as Markdown."""
    return "\n".join(table_lines(ARMS)).lstrip() + "\n"


if __name__ == "__main__":
    print(reference(), end="")
