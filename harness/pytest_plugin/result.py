"""What a trial gives to a test: DataFrames, counts that explain themselves when an assertion fails, and a test of the rate."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..analysis.arm import Arm
from ..analysis.bounds import Bounds, bounds_of, rounds_that_decide
from ..analysis.killclass import KillClass
from ..analysis.tally import by_boot, counted
from ..collectors.rounds import TrialEvidence, read_evidence
from ..errors import EvidenceError, UsageError
from ..report.timeline import round_timeline
from ..report.timelinetext import timeline_text
from ..runs.frames import Run, load_run
from ..spec.machine import machine_words
from ..tables.store import load_tables

_WIDTH = 100
_DECIDING_CLASSES = ("redundant", "surplus")


class NotEnoughRoundsError(Exception):
    """Neither shown nor refuted: so many rounds leave it open. No AssertionError, as nothing was found wrong."""

    def __init__(self, what: str, rounds: int, rounds_needed: int | None) -> None:
        super().__init__(what)
        self.rounds = rounds  # that were completed
        self.rounds_needed = rounds_needed  # in all, at the share that was seen; None where no number would do


class Count(int):
    """A number of kills or rounds; a failed comparison with it says what they were, and where the evidence lies."""

    what: str
    result: TrialResult
    kill_class: str  # whose rounds are shown; empty for all

    def __new__(cls, number: int, what: str, result: TrialResult, kill_class: str = "") -> Count:
        count = super().__new__(cls, number)
        count.what, count.result, count.kill_class = what, result, kill_class
        return count

    def __repr__(self) -> str:
        return f"<{int(self)} {self.what}>"

    __str__ = int.__repr__

    @property
    def rounds(self) -> list[tuple[str, int]]:
        """The rounds that it is made of: trial and number."""
        kills = self.result.kills
        if self.kill_class == "surplus":
            kills = kills[kills["surplus"].fillna(False).astype(bool)]
        elif self.kill_class:
            kills = kills[kills["kill_class"] == self.kill_class]
        rows = kills[["trial_id", "round"]].drop_duplicates().itertuples(index=False)
        return [(str(trial_id), int(number)) for trial_id, number in rows]

    def explanation(self) -> list[str]:
        """In a few lines."""
        result, rounds = self.result, self.rounds
        lines = [f"{self.what} on {result.kernel}, {result.scenario}: {int(self)}", result.in_words()]
        if rounds and self:
            named = ", ".join(f"{trial_id}/{number}" for trial_id, number in rounds[:5])
            lines.append(
                f"in {len(rounds)} round{'s' * (len(rounds) != 1)}: {named}{', ...' if len(rounds) > 5 else ''}"
            )
            lines.append(f"evidence: {result.path / 'trials' / rounds[0][0]}")
            lines.append(result.report_command(rounds[0]))
        else:
            lines.append(f"evidence: {result.path}")
        return lines

    def timeline(self) -> str:
        """The first of its rounds, as text; empty where it has none."""
        return self.result.timeline(*self.rounds[0]) if self.rounds else ""


@dataclass(frozen=True)
class TrialResult:
    """Rounds of one scenario on one kernel."""

    run: Run
    arm: Arm

    @property
    def path(self) -> Path:
        """The run's directory, with the evidence of every round."""
        return self.run.path

    @property
    def kernel(self) -> str:
        """Name of the arm."""
        return self.arm.arm

    @property
    def scenario(self) -> str:
        """Name of the scenario."""
        return self.arm.scenario

    @property
    def rounds(self) -> pd.DataFrame:
        """One row a round that counts; columns as in docs/tables.md. `run.rounds` has the warm-up rounds too."""
        return counted(self.run.rounds, self.run.kills)[0]

    @property
    def kills(self) -> pd.DataFrame:
        """One row a process killed, in the rounds that count, as reports and releases."""
        return counted(self.run.rounds, self.run.kills)[1]

    @property
    def reports(self) -> pd.DataFrame:
        """One row a printed report."""
        return counted(self.run.rounds, self.run.reports)[1]

    @property
    def releases(self) -> pd.DataFrame:
        """One row an mm gone."""
        return counted(self.run.rounds, self.run.releases)[1]

    @property
    def redundant_kills(self) -> Count:
        """Kills that were decided before an earlier victim's memory was back, and that waiting would have spared.

        Raises UsageError where the scenario declares no demand, EvidenceError where the class of a kill is unknown: zero
        would not be zero.
        """
        self._require_classes()
        return Count(self.arm.redundant_kills, "redundant kills", self, KillClass.REDUNDANT)

    @property
    def redundant_rounds(self) -> Count:
        """Completed rounds with a redundant kill."""
        self._require_classes()
        return Count(self.arm.rounds_with_redundant, "rounds with a redundant kill", self, KillClass.REDUNDANT)

    @property
    def surplus_kills(self) -> Count:
        """Kills when what was alive already fitted under the limit, whether or not they came too early."""
        self._require_classes()
        return Count(self.arm.surplus_kills, "surplus kills", self, "surplus")

    @property
    def unknown_kills(self) -> Count:
        """Kills whose evidence was lost."""
        return Count(self.arm.unknown_kills, "kills of unknown class", self, KillClass.UNKNOWN)

    @property
    def collateral_kills(self) -> Count:
        """Victims that were none of the workload's hogs."""
        return Count(self.arm.collateral_kills, "collateral kills", self, KillClass.COLLATERAL)

    @property
    def failed_rounds(self) -> Count:
        """Rounds that hung, panicked, got lost, or were never run."""
        return Count(self.arm.failed_rounds, "rounds that did not complete", self)

    @property
    def completed_rounds(self) -> int:
        """Rounds that ended as the supervisor planned: the denominator of every share."""
        return self.arm.completed_rounds

    @property
    def outcomes(self) -> dict[str, int]:
        """Rounds by outcome."""
        return {name: count for name, count in self.arm.outcomes.items() if count}

    def assert_rate_below(self, limit: float, confidence: float = 0.95) -> Bounds:
        """Shows that the share of completed rounds with a redundant kill lies below a limit, by a one-sided exact bound
        that allows for the correlation of rounds within a boot. A round with a kill of unknown class counts as redundant here.

        Raises AssertionError when the share is shown to lie above the limit, or rounds ended otherwise than the scenario
        says; NotEnoughRoundsError when neither is shown.
        """
        __tracebackhide__ = True
        if not 0 < limit < 1 or not 0.5 < confidence < 1:
            raise UsageError(f"a limit of {limit} with confidence {confidence} cannot be tested", "write both below 1")
        self._require_oracle()
        if self.arm.unexpected_outcomes or self.arm.rounds_not_run:
            raise AssertionError(
                f"not every round completed: {self.in_words()}\n"
                "a share of the others says nothing of a kernel that hangs or dies\n" + self._evidence()
            )
        boots = by_boot(self.arm.by_boot)
        completed = [boot.completed for boot in boots]
        most = bounds_of([boot.redundant + boot.unknown for boot in boots], completed, confidence)
        least = bounds_of([boot.redundant for boot in boots], completed, confidence)
        if most.rounds and most.high < limit:
            return most
        shown = f"{_percent(most.share)} of {most.rounds} rounds with a redundant kill"
        if self.arm.rounds_with_unknown:
            shown += f" or one of unknown class ({self.arm.rounds_with_unknown})"
        if least.rounds and least.low > limit:
            message = (
                f"the share is not below {_percent(limit)}: {shown}, at least {_percent(least.low)} with confidence {confidence:g}\n"
                f"{self.in_words()}\n{self._evidence()}"
            )
            rounds = self.redundant_rounds if not self.arm.unknown_kills else None
            raise AssertionError(message + (f"\n\n{rounds.timeline()}" if rounds else ""))
        needed = rounds_that_decide(least if least.share > limit else most, limit, confidence)
        more = (
            f"no number of rounds in {self.arm.boots} boot{'s' * (self.arm.boots != 1)} would decide it at this share"
        )
        if not most.is_clustered:
            more += "; more boots may"
        if least.share < limit <= most.share:
            needed, more = None, "no number of rounds would decide it as long as the class of so many kills is unknown"
        if needed is not None:
            more = f"at this share {needed} would decide it: {max(1, needed - most.rounds)} more (--rounds {needed})"
        raise NotEnoughRoundsError(
            f"not enough rounds to say whether the share is below {_percent(limit)}: {shown},"
            f" {_percent(least.low)} to {_percent(most.high)} with confidence {confidence:g} each\n{more}\n{self._evidence()}",
            most.rounds,
            needed,
        )

    def in_words(self) -> str:
        """Rounds, boots, and the share, in one line."""
        arm = self.arm
        outcomes = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.outcomes.items())
        left = f", {arm.rounds_not_run} not run" if arm.rounds_not_run else ""
        words = f"{arm.rounds} round{'s' * (arm.rounds != 1)} in {arm.boots} boot{'s' * (arm.boots != 1)} ({outcomes}{left})"
        if arm.rate is not None and arm.ci_low is not None and arm.ci_high is not None and arm.has_oracle:
            words += (
                f"; redundant in {_percent(arm.rate)}, 95 % interval {100 * arm.ci_low:.1f} to {_percent(arm.ci_high)}"
            )
        return f"{words}; {machine_words(arm.vcpus, arm.host_cores, arm.accel)}"

    def timeline(self, trial_id: str, number: int) -> str:
        """A round as text."""
        timeline = round_timeline(self._tables, trial_id, number, self._raw(trial_id))
        return str(timeline_text(timeline, _WIDTH)).rstrip()

    def report_command(self, at: tuple[str, int]) -> str:
        """The command that draws a round."""
        return f"oomtrial report {shlex.quote(str(self.path))} --round {shlex.quote(f'{at[0]}/{at[1]}')}"

    def _evidence(self) -> str:
        return f"evidence: {self.path}"

    def _raw(self, trial_id: str) -> TrialEvidence | None:
        try:
            return read_evidence(self.path / "trials" / trial_id)
        except EvidenceError:
            return None  # the tables have the victims; the timeline says what it lacks

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return load_tables(self.path / "tables")

    def _require_oracle(self) -> None:
        if not self.arm.has_oracle:
            raise UsageError(
                f"scenario {self.scenario} declares no demand, so no kill of it can be called redundant",
                "look at result.kills, or at result.outcomes",
            )

    def _require_classes(self) -> None:
        self._require_oracle()
        if self.arm.unknown_kills:
            raise EvidenceError(
                f"{self.arm.unknown_kills} of {self.arm.kills} kills on {self.kernel} are of unknown class (evidence was"
                f" lost, or that kernel has no trace): {self.path}",
                "allow for them with assert_rate_below, or look at result.kills",
            )

    def __repr__(self) -> str:
        return f"<trial of {self.scenario} on {self.kernel}: {self.in_words()}>"


def open_result(path: Path) -> TrialResult:
    """A run of one arm and one scenario.

    Raises EvidenceError when it is missing or damaged.
    """
    run = load_run(path)
    (arm,) = run.summary.arms
    return TrialResult(run, arm)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
