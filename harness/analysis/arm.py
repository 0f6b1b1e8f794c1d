"""What was measured on one arm of one scenario."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import pandas as pd

from ..spec.boots import DEFAULT_ICC, MIN_BOOTS
from .killclass import KillClass
from .mechanism import MechanismCount, count_mechanisms
from .rates import rate_of
from .tally import BootCount, by_boot, count_boots, counted, is_warm_up, may_be_redundant

OUTCOMES = ("completed", "hung", "panicked", "lost", "harness_error")


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


def summarize_arm(
    kernel: str,
    scenario: str,
    machine: dict[str, object],
    planned: Mapping[str, int],
    rounds: pd.DataFrame,
    kills: pd.DataFrame,
    *,
    ended: Collection[str],
    trials_ended_early: int = 0,
    rounds_per_minute: float | None = None,
    boot_s: float | None = None,
    expected: Collection[str] = ("completed",),
    has_oracle: bool = True,
) -> Arm:
    """Counts one arm's rounds and kills of one scenario. `planned`: rounds of each block of the plan (its boot, or the
    column `block` of pooled runs); `ended`: blocks whose run went to its end; `expected`: the outcomes that the scenario
    says of a stock kernel."""
    warm_up = rounds[is_warm_up(rounds)]
    rounds, kills = counted(rounds, kills)
    completed = rounds[rounds["outcome"] == "completed"]
    classes = kills["kill_class"].value_counts()
    surplus = kills[kills["surplus"].fillna(False)]
    redundant = kills[kills["kill_class"] == KillClass.REDUNDANT]
    begun = (rounds["block"] if "block" in rounds else rounds["boot"].astype("string")).value_counts()
    missing = {block: max(0, count - int(begun.get(block, 0))) for block, count in planned.items()}
    given_up = {block: count for block, count in missing.items() if block in ended}
    counts = count_boots(rounds, kills, given_up)
    clusters = by_boot(counts)
    done = [boot.completed for boot in clusters]
    rate = rate_of([boot.redundant for boot in clusters], done)
    at_most = rate_of([boot.redundant + boot.unknown for boot in clusters], done)
    estimated = kills["overlap_estimated"].fillna(False).astype(bool)
    latency = (kills["release_time_us"] - kills["mark_time_us"]).dropna()
    outcomes = rounds["outcome"].value_counts()
    boots = int(rounds["boot_id"].fillna(rounds["trial_id"]).nunique())
    lost = rounds[["lost_kmsg_records", "lost_trace_events", "missed_probes"]].sum().sum()
    return Arm(
        kernel=kernel,
        scenario=scenario,
        vcpus=int(str(machine["vcpus"])),
        accel=str(machine["accel"]),
        host_cores=int(str(machine["host_cores"])),
        rounds=len(rounds),
        rounds_not_run=sum(missing.values()),
        rounds_given_up=sum(given_up.values()),
        trials_ended_early=trials_ended_early,
        boots=boots,
        kills=len(kills),
        redundant_kills=len(redundant),
        surplus_kills=len(surplus),
        premature_kills=int(classes.get(KillClass.PREMATURE, 0)),
        fruitless_kills=int(classes.get(KillClass.FRUITLESS, 0)),
        necessary_kills=int(classes.get(KillClass.NECESSARY, 0)),
        collateral_kills=int(classes.get(KillClass.COLLATERAL, 0)),
        unknown_kills=int(classes.get(KillClass.UNKNOWN, 0)),
        maybe_redundant_kills=int(may_be_redundant(kills).sum()),
        completed_rounds=len(completed),
        rounds_with_redundant=rate.hits,
        rounds_with_surplus=sum(boot.surplus for boot in clusters),
        rounds_with_unknown=sum(boot.unknown for boot in clusters),
        failed_rounds=sum(boot.failed for boot in clusters),
        rate=rate.share,
        ci_low=rate.low,
        ci_high=rate.high,
        ci_method="Korn-Graubard, the boot is the cluster"
        if rate.is_clustered
        else f"Clopper-Pearson; fewer than {MIN_BOOTS} boots: an ICC of {DEFAULT_ICC} within a boot is assumed",
        rate_at_most=at_most.share,
        ci_high_at_most=at_most.high,
        effective_rounds=rate.effective_rounds,
        redundant_per_round=len(redundant) / len(rounds) if len(rounds) else None,
        surplus_per_round=len(surplus) / len(rounds) if len(rounds) else None,
        outcomes={outcome: int(outcomes.get(outcome, 0)) for outcome in OUTCOMES},
        witness_disagreements=int(rounds["witness_disagreement"].notna().sum()),
        witnesses_unchecked=int((~completed["witnesses_checked"].fillna(False)).sum()),
        lost_records=int(lost),
        kill_to_release_us_median=int(latency.median()) if len(latency) else None,
        kills_without_release=int(kills["release_time_us"].isna().sum()),
        duration_ms_per_round=_mean(completed["duration_us"], 1000),
        system_ms_per_round=_mean(completed["system_us"], 1000),
        memory_full_ms_per_round=_mean(completed["memory_full_us"], 1000),
        oom_events_per_round=_mean(completed["memory_events_oom"], 1),
        oom_without_kill_per_round=_mean((completed["memory_events_oom"] - completed["kmsg_kills"]).clip(lower=0), 1),
        stall_ms_per_round=_mean(completed["stall_us"], 1000),
        stall_system_ms_per_round=_mean(completed["stall_system_us"], 1000),
        duration_ms_sd=_sd(completed["duration_us"], 1000),
        stall_ms_sd=_sd(completed["stall_us"], 1000),
        system_ms_sd=_sd(completed["system_us"], 1000),
        waited_ms_per_round=_mean(completed["waited_us"], 1000),
        rounds_per_minute=rounds_per_minute,
        boot_s=boot_s,
        warm_up_rounds=len(warm_up),
        warm_up_failed=int((warm_up["outcome"] != "completed").sum()),
        foreign_kills=int(rounds["foreign_kills"].fillna(0).sum()),
        redundant_mechanisms=count_mechanisms(redundant),
        decisions_traced=bool(kills["decision_time_us"].notna().any()),
        overlaps_estimated=int(estimated.sum()),
        overlaps_not_told=int(kills["overlap_estimated"].isna().sum()),
        rounds_with_overlap_estimated=_rounds_with(kills[estimated], completed),
        trouble_lines=int(rounds["trouble_lines"].sum()),
        decisions=_decisions(kills),
        redundant_decisions=_decisions(redundant),
        unexpected_outcomes=int((~rounds["outcome"].isin(list(expected))).sum()),
        has_oracle=has_oracle,
        by_boot=counts,
    )


def _decisions(kills: pd.DataFrame) -> int:
    """Kills of unknown decision count one each."""
    known = kills[kills["decision_time_us"].notna()]
    columns = ["trial_id", "round", "decider_pid", "decision_time_us"]
    return len(known[columns].drop_duplicates()) + len(kills) - len(known)


def _rounds_with(kills: pd.DataFrame, rounds: pd.DataFrame) -> int:
    """How many of the rounds have one of the kills."""
    keys = ["trial_id", "round"]
    return int(pd.MultiIndex.from_frame(rounds[keys]).isin(pd.MultiIndex.from_frame(kills[keys])).sum())


def _mean(values: pd.Series, divisor: float) -> float | None:
    known = values.dropna()
    return float(known.mean()) / divisor if len(known) else None


def _sd(values: pd.Series, divisor: float) -> float | None:
    known = values.dropna()
    return float(known.std()) / divisor if len(known) > 1 else None
