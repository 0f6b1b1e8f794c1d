"""The figures of one arm, in groups: each is counted from the rounds and kills that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np
import pandas as pd

from ..spec.boots import DEFAULT_ICC, MIN_BOOTS
from ..spec.outcome import ROUND_OUTCOMES, Outcome
from .columns import equals, flags, integers, known, round_keys
from .killclass import KillClass
from .mechanism import COLUMNS as MECHANISM_COLUMNS
from .mechanism import MechanismCount, count_mechanisms
from .rates import rate_of
from .tally import BootCount, may_be_redundant

OUTCOMES = tuple(str(outcome) for outcome in ROUND_OUTCOMES)
_DECISION = ("trial_id", "round", "decider_pid", "decision_time_us")  # columns that tell one from another


class RoundCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How rounds began and ended; fields as in `Arm`."""

    rounds: int
    rounds_not_run: int
    rounds_given_up: int
    boots: int
    completed_rounds: int
    failed_rounds: int
    starved_rounds: int
    maybe_starved_rounds: int
    outcomes: dict[str, int]
    unexpected_outcomes: int
    warm_up_rounds: int
    warm_up_failed: int


class KillCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Kills by class, decision and mechanism; fields as in `Arm`."""

    kills: int
    redundant_kills: int
    surplus_kills: int
    premature_kills: int
    fruitless_kills: int
    necessary_kills: int
    collateral_kills: int
    unknown_kills: int
    maybe_redundant_kills: int
    redundant_per_round: float | None
    surplus_per_round: float | None
    kill_to_release_us_median: int | None
    kills_without_release: int
    redundant_mechanisms: dict[str, MechanismCount]
    decisions_traced: bool
    overlaps_estimated: int
    overlaps_not_told: int
    rounds_with_overlap_estimated: int
    decisions: int
    redundant_decisions: int


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of completed rounds with their intervals; fields as in `Arm`."""

    rounds_with_redundant: int
    rounds_with_surplus: int
    rounds_with_unknown: int
    rate: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str
    rate_at_most: float | None
    ci_high_at_most: float | None
    effective_rounds: float


class EvidenceCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How far the evidence can be trusted; fields as in `Arm`."""

    witness_disagreements: int
    witnesses_unchecked: int
    lost_records: int
    foreign_kills: int
    trouble_lines: int


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Means, medians and standard deviations over completed rounds; fields as in `Arm`."""

    duration_ms_per_round: float | None
    system_ms_per_round: float | None
    memory_full_ms_per_round: float | None
    oom_events_per_round: float | None
    oom_without_kill_per_round: float | None
    stall_ms_per_round: float | None
    stall_system_ms_per_round: float | None
    duration_ms_sd: float | None
    stall_ms_sd: float | None
    system_ms_sd: float | None
    waited_ms_per_round: float | None
    longest_wait_us_median: int | None
    longest_wait_us_most: int | None
    waits_jain_median: float | None


def count_rounds(
    rounds: pd.DataFrame,
    warm_up: Sequence[str],
    boots: Sequence[BootCount],
    missing: Mapping[str, int],
    given_up: Mapping[str, int],
    expected: Collection[str],
) -> RoundCounts:
    """Counts rounds; `warm_up`: outcomes of warm-up rounds; `missing`: planned and never begun, by block; `given_up`: those of runs that went to their end."""
    outcomes = Counter(rounds["outcome"].tolist())
    return RoundCounts(
        rounds=len(rounds),
        rounds_not_run=sum(missing.values()),
        rounds_given_up=sum(given_up.values()),
        boots=len(set(rounds["boot_id"].fillna(rounds["trial_id"]).tolist())),
        completed_rounds=outcomes[Outcome.COMPLETED],
        failed_rounds=sum(boot.failed for boot in boots),
        starved_rounds=sum(boot.starved for boot in boots),
        maybe_starved_rounds=sum(boot.waits_lost for boot in boots),
        outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        unexpected_outcomes=sum(count for outcome, count in outcomes.items() if outcome not in expected),
        warm_up_rounds=len(warm_up),
        warm_up_failed=sum(outcome != Outcome.COMPLETED for outcome in warm_up),
    )


def count_kills(kills: pd.DataFrame, rounds: pd.DataFrame) -> KillCounts:
    """Counts the kills of rounds."""
    classes = Counter(kills["kill_class"].tolist())
    is_redundant = equals(kills["kill_class"], KillClass.REDUNDANT)
    redundant = kills[[*_DECISION, *MECHANISM_COLUMNS]][is_redundant]  # all columns would take as long as the rest
    surplus = int(flags(kills["surplus"]).sum())
    estimated = flags(kills["overlap_estimated"])
    latency = known(kills["release_time_us"] - kills["mark_time_us"])
    completed = equals(rounds["outcome"], Outcome.COMPLETED)
    rounds_estimated = {key for key, is_estimated in zip(round_keys(kills), estimated, strict=True) if is_estimated}
    return KillCounts(
        kills=len(kills),
        redundant_kills=len(redundant),
        surplus_kills=surplus,
        premature_kills=classes[KillClass.PREMATURE],
        fruitless_kills=classes[KillClass.FRUITLESS],
        necessary_kills=classes[KillClass.NECESSARY],
        collateral_kills=classes[KillClass.COLLATERAL],
        unknown_kills=classes[KillClass.UNKNOWN],
        maybe_redundant_kills=int(flags(may_be_redundant(kills)).sum()),
        redundant_per_round=len(redundant) / len(rounds) if len(rounds) else None,
        surplus_per_round=surplus / len(rounds) if len(rounds) else None,
        kill_to_release_us_median=int(np.median(latency)) if len(latency) else None,
        kills_without_release=int(kills["release_time_us"].isna().sum()),
        redundant_mechanisms=count_mechanisms(redundant),
        decisions_traced=bool(kills["decision_time_us"].notna().any()),
        overlaps_estimated=int(estimated.sum()),
        overlaps_not_told=int(kills["overlap_estimated"].isna().sum()),
        rounds_with_overlap_estimated=sum(
            key in rounds_estimated
            for key, is_completed in zip(round_keys(rounds), completed, strict=True)
            if is_completed
        ),
        decisions=_decisions(kills),
        redundant_decisions=_decisions(redundant),
    )


def shares_of_boots(boots: Sequence[BootCount]) -> Shares:
    """The shares over the boots of an arm, each given once."""
    completed = [boot.completed for boot in boots]
    rate = rate_of([boot.redundant for boot in boots], completed)
    at_most = rate_of([boot.redundant + boot.unknown for boot in boots], completed)
    return Shares(
        rounds_with_redundant=rate.hits,
        rounds_with_surplus=sum(boot.surplus for boot in boots),
        rounds_with_unknown=sum(boot.unknown for boot in boots),
        rate=rate.share,
        ci_low=rate.low,
        ci_high=rate.high,
        ci_method="Korn-Graubard, the boot is the cluster"
        if rate.is_clustered
        else f"Clopper-Pearson; fewer than {MIN_BOOTS} boots: an ICC of {DEFAULT_ICC} within a boot is assumed",
        rate_at_most=at_most.share,
        ci_high_at_most=at_most.high,
        effective_rounds=rate.effective_rounds,
    )


def count_evidence(rounds: pd.DataFrame) -> EvidenceCounts:
    """Counts what the evidence of rounds lacks."""
    completed = equals(rounds["outcome"], Outcome.COMPLETED)
    lost = sum(
        int(integers(rounds[name]).sum()) for name in ("lost_kmsg_records", "lost_trace_events", "missed_probes")
    )
    return EvidenceCounts(
        witness_disagreements=int(rounds["witness_disagreement"].notna().sum()),
        witnesses_unchecked=int((completed & ~flags(rounds["witnesses_checked"])).sum()),
        lost_records=lost,
        foreign_kills=int(integers(rounds["foreign_kills"]).sum()),
        trouble_lines=int(integers(rounds["trouble_lines"]).sum()),
    )


def costs_of_rounds(rounds: pd.DataFrame) -> Costs:
    """The costs of the rounds that completed."""
    completed = rounds[_COSTS][equals(rounds["outcome"], Outcome.COMPLETED)]
    longest = known(completed["longest_wait_us"])
    longest = longest[longest > 0]  # 0: no survivor waited
    jain = known(completed["waits_jain"])
    return Costs(
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
        longest_wait_us_median=int(np.median(longest)) if len(longest) else None,
        longest_wait_us_most=int(np.max(longest)) if len(longest) else None,
        waits_jain_median=float(np.median(jain)) if len(jain) else None,
    )


_COSTS = [
    "duration_us", "system_us", "memory_full_us", "memory_events_oom", "kmsg_kills", "stall_us", "stall_system_us", "waited_us",
    "longest_wait_us", "waits_jain",
]  # fmt: skip


def _decisions(kills: pd.DataFrame) -> int:
    """Kills of unknown decision count one each."""
    is_known = flags(kills["decision_time_us"].notna())
    rows = zip(*(kills[column][is_known].tolist() for column in _DECISION), strict=True)
    return len(set(rows)) + len(kills) - int(is_known.sum())


def _mean(values: pd.Series, divisor: float) -> float | None:
    figures = known(values)
    return float(figures.mean()) / divisor if len(figures) else None


def _sd(values: pd.Series, divisor: float) -> float | None:
    figures = known(values)
    return float(figures.std(ddof=1)) / divisor if len(figures) > 1 else None
