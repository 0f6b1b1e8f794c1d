"""Runs a block of the plan: its rounds in one trial, or in several if trials end early."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..collectors.files import CONSOLE_FILE, EvidenceWriter, TrialRecord, TrialState, seal, write_trial
from ..errors import GuestError
from ..progress import Reporter
from ..spec.outcome import Outcome
from ..spec.plan import Block
from ..spec.scenario import Scenario
from ..system.cpushares import CpuClock, CpuShares
from ..system.signals import deferred
from .places import Trials
from .request import Request
from .resume import BlockState
from .trial import TrialOutcome, TrialProgress, run_trial

_log = logging.getLogger(__name__)

# A trial that ends early (a hung round, a guest that died) is followed by another one for the rounds that are left,
# in a fresh guest; at most this many times.
_EXTRA_TRIALS = 3
# A guest that was stopped is no result of the trial; the round is run again, so many times in a block.
_MOST_STOPS = 20


@dataclass
class RunState:
    """Progress of a run, and problems found so far."""

    states: dict[int, BlockState] = field(default_factory=dict)  # by index of the block; of those begun before
    refused: dict[tuple[str, str], str] = field(default_factory=dict)  # (arm, scenario) -> why it does not do here what it declares  # fmt: skip
    concurrent_guests: int = 0  # the most other guests that were running when one of the block's guests started


class BlockRunner:
    """Runs blocks into a run's directory."""

    def __init__(
        self,
        request: Request,
        scenarios: dict[str, Scenario],
        directory: Path,
        progress: Reporter,
        trials: Trials,
        run_state: RunState,
    ) -> None:
        """`directory`: of the run. `trials`: opens those of the place where the run is made. `run_state`: what is learnt is
        written there."""
        self.request, self.scenarios, self.directory, self.progress = request, scenarios, directory, progress
        self.trials, self.run_state = trials, run_state

    def run(self, block: Block, show: Callable[[int, str], None] = lambda *_: None) -> str | None:
        """Runs the remaining rounds of a block. `show` is called with how many are done, and of what.

        Returns what went wrong at last, if anything.
        """
        name = f"{block.arm}, {block.scenario}" if len(self.scenarios) > 1 else block.arm
        if why := self.run_state.refused.get((block.arm, block.scenario)):
            return f"{name}, boot {block.boot}: not run, because the scenario was refused: {why}"
        state = self.run_state.states.get(block.index, BlockState())
        first, early, record = state.next_round, state.ended_early, state.last
        counted, warm_up, stops = state.counted, self.request.warm_up, 0
        for attempt in itertools.count(state.next_attempt):
            if counted >= block.rounds or early > _EXTRA_TRIALS:
                break
            detail, done = f"{name}, boot {block.boot}", counted
            show(done, detail)
            record = TrialRecord(
                trial_id=f"{block.index:03d}-{attempt}",
                block=block.index,
                arm=block.arm,
                scenario=block.scenario,
                boot=block.boot,
                first_round=first,
                rounds=warm_up + block.rounds - counted,
                warm_up=warm_up,
                token=secrets.token_hex(6),
                state=TrialState.RUNNING,
            )

            def on_round(number: int, done: int = done, detail: str = detail) -> None:
                show(done + max(0, number - warm_up), detail)

            record = self._run_trial(record, on_round)
            first += record.rounds_begun
            counted += record.counted(record.rounds_begun)
            if counted >= block.rounds:
                break
            if record.state == TrialState.INTERRUPTED:
                stops += 1
                if stops > _MOST_STOPS:
                    break
                self.progress.say(f"trial {record.trial_id} ({name}): {record.reason}; the round is run again")
                continue
            early += 1
            self.progress.say(
                f"trial {record.trial_id} ({name}) ended early: {record.outcome}, {record.reason or 'no reason given'}"
            )
            if record.outcome == Outcome.REFUSED:
                self.run_state.refused[block.arm, block.scenario] = record.reason
                break
            if not self.trials.is_fresh and not record.rounds_begun:
                break  # the same engine would say the same
        if counted < block.rounds and record is not None:
            return f"{name}, boot {block.boot}: {block.rounds - counted} of {block.rounds} rounds were not run ({record.outcome}: {record.reason})"
        return None

    def _run_trial(self, record: TrialRecord, on_round: Callable[[int], None]) -> TrialRecord:
        directory = self.directory / "trials" / record.trial_id
        arm = next(arm for arm in self.request.arms if arm.name == record.arm)
        scenario = self.scenarios[record.scenario]
        outcome, progress = TrialOutcome(Outcome.LOST), TrialProgress()
        guest_start_s, started, concurrent_guests, state = 0.0, self.trials.started, 0, TrialState.INTERRUPTED
        cpu: CpuShares | None = None
        with EvidenceWriter(directory) as evidence:
            write_trial(directory, record)
            try:
                with self.trials.open(arm, record, scenario, directory / CONSOLE_FILE) as opened:
                    machine, guest_start_s, started = opened.machine, opened.start_s, opened.started
                    _log.debug(
                        "trial %s (%s, boot %d): %s start in %.1f s",
                        record.trial_id,
                        record.arm,
                        record.boot,
                        started,
                        guest_start_s,
                    )
                    concurrent_guests = machine.concurrent_guests
                    self.run_state.concurrent_guests = max(self.run_state.concurrent_guests, concurrent_guests)
                    clock = CpuClock()
                    try:
                        outcome = run_trial(
                            machine.docker, opened.job, evidence, on_round, opened.save, progress, machine.activity
                        )
                    finally:
                        cpu = clock.shares()
                    if outcome.outcome is Outcome.COMPLETED:
                        opened.keep_calibration()
                    if outcome.outcome == Outcome.GUEST_LOST:
                        ending, reason = machine.ending()
                        outcome = TrialOutcome(ending, reason or outcome.reason)
                state = TrialState.ENDED if outcome.kept_rounds is None else TrialState.INTERRUPTED
            except GuestError as error:
                outcome, state = TrialOutcome(Outcome.LOST, error.what), TrialState.ENDED
            except BaseException as error:
                outcome = TrialOutcome(Outcome.LOST, str(error) or "interrupted")
                if isinstance(error, KeyboardInterrupt) and progress.round_s > scenario.round_deadline_s:
                    # who ends a run because nothing happens any more has seen a hang
                    why = f"interrupted after {progress.round_s:.0f} s of its round"
                    outcome, state = TrialOutcome(Outcome.HUNG, why), TrialState.ENDED
                raise
            finally:
                with deferred():
                    kept = outcome.kept_rounds
                    record = msgspec.structs.replace(
                        record,
                        outcome=outcome.outcome,
                        reason=outcome.reason,
                        rounds=record.rounds if kept is None else kept,
                        rounds_begun=progress.rounds_begun if kept is None else kept,
                        state=state,
                        started=started,
                        concurrent_guests=concurrent_guests,
                        guest_start_s=round(guest_start_s, 3),
                        containers_start_s=round(progress.containers_start_s, 3),
                        rounds_s=round(progress.rounds_s, 3),
                        host_steal_share=cpu and cpu.steal,
                        host_others_share=cpu and cpu.others,
                    )
                    write_trial(directory, record)
        seal(directory)
        return record
