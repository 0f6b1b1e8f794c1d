"""The summary of a run: one line an arm, and each arm against the baseline."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pandas as pd

from harness.analysis.rates import CONFIDENCE, MIN_BOOTS_FOR_CLUSTERS, difference_interval, exact_interval, exact_test

OUTCOMES = ("completed", "hung", "panicked", "lost", "harness_error")
_SIGNIFICANT = 1 - CONFIDENCE


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on one arm. Counts are of processes and rounds; `rate` is over completed rounds."""

    kernel: str
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
    completed_rounds: int
    rounds_with_redundant: int  # among the completed ones
    rate: float | None  # rounds_with_redundant / completed_rounds
    ci_low: float | None
    ci_high: float | None
    ci_method: str
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
    trouble_lines: int  # soft lockups and hung tasks in the kernel log
    decisions: int  # kills of one decision (memory.oom.group) count once
    redundant_decisions: int
    unexpected_outcomes: int  # rounds that ended otherwise than the scenario says of a stock kernel
    has_oracle: bool  # the scenario declares its demand: surplus and redundant kills can be told


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One arm against the baseline."""

    kernel: str
    scenario: str
    baseline: str
    difference: float | None  # of the rates
    difference_low: float | None
    difference_high: float | None
    p_value: float | None  # Fisher's exact test, two-sided
    verdict: str  # better, worse, no difference shown, or not enough rounds
    because: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `oomtrial summary --format json` prints."""

    run_id: str
    state: str  # complete, running or interrupted
    arms: list[Arm]
    comparisons: list[Comparison]
    disagreements: list[str]  # each witness disagreement, with its round
    notes: list[str]


def summarize_arm(
    kernel: str,
    scenario: str,
    machine: dict[str, object],
    planned: int,
    rounds: pd.DataFrame,
    kills: pd.DataFrame,
    *,
    complete: bool,
    trials_ended_early: int = 0,
    expected: Collection[str] = ("completed",),
    has_oracle: bool = True,
) -> Arm:
    """Counts one arm's rounds and kills of one scenario. `complete`: the run went to its end; `expected`: the outcomes
    that the scenario says of a stock kernel."""
    completed = rounds[rounds["outcome"] == "completed"]
    classes = kills["kill_class"].value_counts()
    surplus = kills[kills["surplus"].fillna(False)]
    redundant = kills[kills["kill_class"] == "redundant"]
    hit = redundant.merge(completed, on=["trial_id", "round"])[["trial_id", "round"]].drop_duplicates()
    interval = exact_interval(len(hit), len(completed))
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
        rounds_not_run=max(0, planned - len(rounds)),
        rounds_given_up=max(0, planned - len(rounds)) if complete else 0,
        trials_ended_early=trials_ended_early,
        boots=boots,
        kills=len(kills),
        redundant_kills=len(redundant),
        surplus_kills=len(surplus),
        premature_kills=int(classes.get("premature", 0)),
        fruitless_kills=int(classes.get("fruitless", 0)),
        necessary_kills=int(classes.get("necessary", 0)),
        collateral_kills=int(classes.get("collateral", 0)),
        unknown_kills=int(classes.get("unknown", 0)),
        completed_rounds=len(completed),
        rounds_with_redundant=len(hit),
        rate=len(hit) / len(completed) if len(completed) else None,
        ci_low=interval[0] if interval else None,
        ci_high=interval[1] if interval else None,
        ci_method="Clopper-Pearson"
        + (
            f"; fewer than {MIN_BOOTS_FOR_CLUSTERS} boots: correlation within a boot is ignored"
            if boots < MIN_BOOTS_FOR_CLUSTERS
            else ""
        ),
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
        trouble_lines=int(rounds["trouble_lines"].sum()),
        decisions=_decisions(kills),
        redundant_decisions=_decisions(redundant),
        unexpected_outcomes=int((~rounds["outcome"].isin(list(expected))).sum()),
        has_oracle=has_oracle,
    )


def _decisions(kills: pd.DataFrame) -> int:
    """Kills of unknown decision count one each."""
    known = kills[kills["decision_time_us"].notna()]
    columns = ["trial_id", "round", "decider_pid", "decision_time_us"]
    return len(known[columns].drop_duplicates()) + len(kills) - len(known)


def _mean(values: pd.Series, divisor: float) -> float | None:
    known = values.dropna()
    return float(known.mean()) / divisor if len(known) else None


def compare(arm: Arm, base: Arm) -> Comparison:
    """An arm against the baseline, in words.

    Better is said only if redundant kills fall, surplus kills do not rise, and no more rounds fail to complete.
    """

    def result(verdict: str, because: str) -> Comparison:
        return Comparison(
            kernel=arm.kernel,
            scenario=arm.scenario,
            baseline=base.kernel,
            difference=None if arm.rate is None or base.rate is None else arm.rate - base.rate,
            difference_low=interval[0] if interval else None,
            difference_high=interval[1] if interval else None,
            p_value=p_value,
            verdict=verdict,
            because=because,
        )

    counts = (arm.rounds_with_redundant, arm.completed_rounds, base.rounds_with_redundant, base.completed_rounds)
    interval = difference_interval(*counts)
    p_value = exact_test(*counts) if interval else None
    failed, base_failed = _failed(arm), _failed(base)
    attempted, base_attempted = arm.completed_rounds + failed, base.completed_rounds + base_failed
    p_failed = exact_test(failed, attempted, base_failed, base_attempted)
    if p_failed < _SIGNIFICANT and failed * base_attempted > base_failed * attempted:
        return result("worse", f"{failed} rounds did not complete, against {base_failed}")
    if p_value is None or arm.rate is None or base.rate is None:
        return result("not enough rounds", "an arm has no completed round")
    if arm.unknown_kills + base.unknown_kills:
        unknown = f" ({arm.unknown_kills + base.unknown_kills} kills of unknown class are left out)"
    else:
        unknown = ""
    if p_value >= _SIGNIFICANT:
        return result("no difference shown", f"p = {p_value:.2g}{unknown}")
    if arm.rate > base.rate:
        return result("worse", f"redundant kills in more rounds, p = {p_value:.2g}{unknown}")
    if (arm.surplus_per_round or 0) > (base.surplus_per_round or 0):
        return result("no difference shown", f"fewer redundant kills, but no fewer surplus kills{unknown}")
    if failed > base_failed:
        return result(
            "no difference shown",
            f"fewer redundant kills, but {failed} rounds did not complete, against {base_failed}{unknown}",
        )
    return result(
        "better",
        f"redundant kills in fewer rounds, p = {p_value:.2g}; surplus kills do not rise, as many rounds complete{unknown}",
    )


def _failed(arm: Arm) -> int:
    """Rounds that did not complete; what an interrupted run never came to is no failure of the kernel."""
    return arm.rounds - arm.completed_rounds + arm.rounds_given_up
