"""What was measured on one arm of one scenario."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec
import pandas as pd

from ..spec.outcome import Outcome
from .armcounts import costs_of_rounds, count_evidence, count_kills, count_rounds, shares_of_boots
from .mechanism import MechanismCount
from .tally import STARVED, BootCount, block_names, by_boot, count_boots, counted, is_warm_up

# Columns of the two tables that are counted here: copies of an arm's rows with all columns would take longer than the counts.
ROUND_COLUMNS = (
    "trial_id", "boot", "block", "round", "boot_id", "warm_up", "outcome", "oom_entries", "lost_kmsg_records", "lost_trace_events",
    "missed_probes", "witness_disagreement", "witnesses_checked", "foreign_kills", "trouble_lines", "longest_wait_us", "stalls_lost",
    "longest_lost_us", "duration_us", "stall_us", "stall_system_us", "system_us", "memory_full_us", "waited_us", "waits_jain", "memory_events_oom", "kmsg_kills",
)  # fmt: skip
KILL_COLUMNS = (
    "trial_id", "round", "kill_class", "surplus", "mechanism", "overlap_estimated", "decider_pid", "decision_time_us",
    "decision_to_choice_us", "mark_time_us", "release_time_us",
)  # fmt: skip


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on one arm. Counts are of processes and rounds; `rate` is over completed rounds."""

    arm: str = msgspec.field(name="kernel")  # its name; JSON has called it kernel from the first version on
    scenario: str
    vcpus: int
    accel: str
    host_cores: int
    rounds: int  # begun
    rounds_not_run: int  # planned, never begun: guests died or hung too often, or the run was interrupted
    rounds_given_up: int  # of those: after all attempts, in a run that went to its end
    trials_ended_early: (
        int  # guests or containers that died or hung before their last round; each is named in the notes
    )
    boots: int
    kills: int
    redundant_kills: int
    surplus_kills: int
    premature_kills: int
    fruitless_kills: int
    necessary_kills: int
    collateral_kills: int
    unknown_kills: int
    maybe_redundant_kills: int  # of the unknown ones; the others were needed by the declared demand
    completed_rounds: int
    rounds_with_redundant: int  # among the completed ones
    rounds_with_surplus: int
    rounds_with_unknown: int  # with a kill of unknown class that may be redundant, and no redundant one
    failed_rounds: int  # begun and not completed, and rounds_given_up
    starved_rounds: int  # completed, in which a survivor waited longer than starved_after_s for one page
    maybe_starved_rounds: int  # completed, longer than starved_after_s, and not all waits were kept
    starved_after_s: float | None  # the share STARVED of the scenario's deadline; None where that is not known
    rate: float | None  # rounds_with_redundant / completed_rounds
    ci_low: float | None
    ci_high: float | None
    ci_method: str
    rate_at_most: float | None  # if every kill that may be redundant were; equal to rate where there is none
    ci_high_at_most: float | None  # upper bound of the interval of that
    effective_rounds: float  # what the completed rounds are worth, as rounds of one boot are alike
    redundant_per_round: float | None
    surplus_per_round: float | None
    outcomes: dict[str, int]
    witness_disagreements: int
    witnesses_unchecked: int  # completed rounds in which a witness was missing
    lost_records: int  # kernel log, trace and probe losses
    kill_to_release_us_median: int | None
    kills_without_release: int  # the trace has no release for the victim
    # costs, means over completed rounds; None where no round has the figure
    duration_ms_per_round: float | None
    system_ms_per_round: float | None  # CPU time that the container's tasks spent in the kernel
    memory_full_ms_per_round: float | None  # memory PSI: time in which all of them stalled
    oom_events_per_round: float | None  # memory.events oom: charges that failed and entered the OOM killer's path
    oom_without_kill_per_round: float | None  # of those, beyond the kills
    stall_ms_per_round: float | None  # from decisions to the next page that a survivor got
    stall_system_ms_per_round: float | None  # CPU time in the kernel of survivors while they waited for a page
    # standard deviations from round to round, of the costs that are tested
    duration_ms_sd: float | None
    stall_ms_sd: float | None
    system_ms_sd: float | None
    waited_ms_per_round: float | None  # in which some survivor waited 1 ms or longer for a page
    # over the completed rounds in which one did; None where none did, or where older runs do not say
    longest_wait_us_median: int | None  # of the longest wait of a survivor for one page
    longest_wait_us_most: int | None
    waits_jain_median: float | None  # of Jain's index over the waiting times of the survivors
    rounds_per_minute: (
        float | None
    )  # of its trials, with calibration and clean-up; starts of containers and guests apart
    boot_s: float | None  # start of guest and containers, mean over its trials
    warm_up_rounds: int  # run and recorded before the rounds of each boot; in no other figure
    warm_up_failed: int  # of them, not completed
    foreign_kills: int  # of others in the span of its rounds, on the arm host; they count for nothing
    redundant_mechanisms: dict[str, MechanismCount]  # of the redundant kills
    decisions_traced: bool  # the trace has the decision of some kill; without any, a second kill of a round is unknown
    overlaps_estimated: int  # kills that by the kernel log alone came before an earlier victim was released
    overlaps_not_told: int  # of which the log does not say
    rounds_with_overlap_estimated: int  # among the completed ones
    trouble_lines: int  # soft lockups and hung tasks in the kernel log
    decisions: int  # kills of one decision (memory.oom.group) count once
    redundant_decisions: int
    unexpected_outcomes: int  # rounds that ended otherwise than the scenario says of a stock kernel
    has_oracle: bool  # the scenario declares its demand: surplus and redundant kills can be told
    by_boot: list[BootCount]

    @property
    def kernel(self) -> str:
        """The arm's name, as earlier versions call it."""
        return self.arm


class ArmRun(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of a run say of one arm of one scenario, apart from its rounds and kills."""

    arm: str  # its name
    scenario: str
    vcpus: int
    accel: str
    host_cores: int
    planned: Mapping[str, int]  # rounds of each block of the plan: its boot, or the column `block` of pooled runs
    ended: Collection[str]  # blocks whose run went to its end
    trials_ended_early: int = 0
    rounds_per_minute: float | None = None
    boot_s: float | None = None
    expected: Collection[str] = (Outcome.COMPLETED,)  # outcomes that the scenario expects of a stock kernel
    has_oracle: bool = True  # the scenario declares its demand
    deadline_s: float | None = None  # of a round


def summarize_arm(run: ArmRun, rounds: pd.DataFrame, kills: pd.DataFrame) -> Arm:
    """Counts one arm's rounds and kills of one scenario, warm-up rounds apart; of their tables, ROUND_COLUMNS and KILL_COLUMNS."""
    warm_up = rounds["outcome"][is_warm_up(rounds)].tolist()
    rounds, kills = counted(rounds, kills)
    begun = Counter(block_names(rounds))
    missing = {block: max(0, count - begun[block]) for block, count in run.planned.items()}
    given_up = {block: count for block, count in missing.items() if block in run.ended}
    counts = count_boots(rounds, kills, given_up, run.deadline_s)
    boots = by_boot(counts)
    parts: tuple[msgspec.Struct, ...] = (
        count_rounds(rounds, warm_up, boots, missing, given_up, run.expected),
        count_kills(kills, rounds),
        shares_of_boots(boots),
        count_evidence(rounds),
        costs_of_rounds(rounds),
    )
    figures = {name: value for part in parts for name, value in msgspec.structs.asdict(part).items()}
    return Arm(
        arm=run.arm,
        scenario=run.scenario,
        vcpus=run.vcpus,
        accel=run.accel,
        host_cores=run.host_cores,
        trials_ended_early=run.trials_ended_early,
        rounds_per_minute=run.rounds_per_minute,
        boot_s=run.boot_s,
        has_oracle=run.has_oracle,
        starved_after_s=None if run.deadline_s is None else STARVED * run.deadline_s,
        by_boot=counts,
        **figures,
    )
