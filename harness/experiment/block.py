"""A block of the plan is run: its rounds in one trial, or in a few if trials end early."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..collectors.files import CONSOLE_FILE, HOST_STARTED, EvidenceWriter, TrialRecord, seal, write_trial
from ..errors import GuestError
from ..progress import Reporter
from ..spec.plan import Block
from ..spec.scenario import Scenario
from .guests import TrialGuests
from .host import HostArm
from .request import Request
from .resume import INTERRUPTED, BlockState
from .trial import REFUSED, TrialOutcome, run_trial
from .workload import TrialJob

# A trial that ends early (a hung round, a guest that died) is followed by another one for the rounds that are left,
# in a fresh guest; so often, and no more.
_EXTRA_TRIALS = 3


@dataclass
class RunState:
    """How far a run has come, and what came to light on the way."""

    states: dict[int, BlockState] = field(default_factory=dict)  # by index of the block; of those begun before
    refused: dict[tuple[str, str], str] = field(default_factory=dict)  # (arm, scenario) -> why it does not do here what it declares  # fmt: skip
    concurrent_guests: int = 0  # the most other guests that ran beside one of ours when it started


class BlockRunner:
    """Runs blocks into a run's directory."""

    def __init__(
        self,
        request: Request,
        scenarios: dict[str, Scenario],
        directory: Path,
        progress: Reporter,
        guests: TrialGuests,
        standing: RunState,
        host: HostArm | None = None,
    ) -> None:
        """`directory`: of the run. `standing`: what is learnt is written there. `host`: where the trials run, instead of
        in guests."""
        self.request, self.scenarios, self.directory, self.progress = request, scenarios, directory, progress
        self.guests, self.standing, self._host = guests, standing, host

    def run(self, block: Block, show: Callable[[int, str], None] = lambda *_: None) -> str | None:
        """Runs the rounds of a block that are left. `show` is told how many are done, and of what.

        Returns what went wrong at last, if anything.
        """
        name = f"{block.arm}, {block.scenario}" if len(self.scenarios) > 1 else block.arm
        if why := self.standing.refused.get((block.arm, block.scenario)):
            return f"{name}, boot {block.boot}: not run, as the scenario was refused: {why}"
        state = self.standing.states.get(block.index, BlockState())
        first, early, record = state.next_round, state.ended_early, state.last
        for attempt in itertools.count(state.next_attempt):
            if first > block.rounds or early > _EXTRA_TRIALS:
                break
            detail, done = f"{name}, boot {block.boot}", first - 1
            show(done, detail)
            record = TrialRecord(
                trial_id=f"{block.index:03d}-{attempt}",
                block=block.index,
                arm=block.arm,
                scenario=block.scenario,
                boot=block.boot,
                first_round=first,
                rounds=block.rounds - first + 1,
                token=secrets.token_hex(6),
                state="running",
            )

            def on_round(number: int, done: int = done, detail: str = detail) -> None:
                show(done + number, detail)

            record = self._run_trial(record, on_round)
            first += record.rounds_begun
            if first > block.rounds:
                break
            early += 1
            self.progress.say(
                f"trial {record.trial_id} ({name}) ended early: {record.outcome}, {record.reason or 'no reason given'}"
            )
            if record.outcome == REFUSED:
                self.standing.refused[block.arm, block.scenario] = record.reason
                break
            if self._host and not record.rounds_begun:
                break  # the same engine would say the same
        if first <= block.rounds and record is not None:
            return f"{name}, boot {block.boot}: {block.rounds - first + 1} of {block.rounds} rounds were not run ({record.outcome}: {record.reason})"
        return None

    def _run_trial(self, record: TrialRecord, on_round: Callable[[int], None]) -> TrialRecord:
        directory = self.directory / "trials" / record.trial_id
        arm = next(arm for arm in self.request.arms if arm.name == record.arm)
        images = self.guests.prepared.images
        session = self._host.session() if self._host else None
        job = TrialJob(
            images=session.own_images(images) if session else images,
            scenario=self.scenarios[record.scenario],
            token=record.token,
            first_round=record.first_round,
            rounds=record.rounds,
            probes=arm.probes,
            calibrate=record.boot == 1 and record.first_round == 1,
            session=session.id if session else "",
            owner=self._host.owner if self._host else 0,
            waits=session is None,
        )
        guest_start_s, end, is_restored, concurrent_guests, state = 0.0, TrialOutcome("lost"), False, 0, INTERRUPTED
        with EvidenceWriter(directory) as evidence:
            write_trial(directory, record)
            try:
                machine = (
                    self._host.machine(session)
                    if self._host and session
                    else self.guests.of_trial(arm, job, record, directory / CONSOLE_FILE)
                )
                with machine as (guest, guest_start_s, save):
                    is_restored, concurrent_guests = guest.is_restored, guest.concurrent_guests
                    self.standing.concurrent_guests = max(self.standing.concurrent_guests, concurrent_guests)
                    run_trial(guest.docker, job, evidence, on_round, save, end)
                    if end.outcome == "gone":
                        end.outcome, said = guest.ending()
                        end.reason = said or end.reason
                state = "ended"
            except GuestError as error:
                end.outcome, end.reason, state = "lost", error.what, "ended"
            except BaseException as error:
                end.outcome, end.reason = "lost", str(error) or "interrupted"
                if isinstance(error, KeyboardInterrupt) and end.round_s > job.scenario.round_deadline_s:
                    # who ends a run because nothing happens any more has seen a hang
                    end.outcome, state = "hung", "ended"
                    end.reason = f"interrupted when its round had taken {end.round_s:.0f} s"
                raise
            finally:
                record = msgspec.structs.replace(
                    record,
                    outcome=end.outcome,
                    reason=end.reason,
                    rounds_begun=end.rounds_begun,
                    state=state,
                    started=HOST_STARTED if session else "restored" if is_restored else "cold",
                    concurrent_guests=concurrent_guests,
                    guest_start_s=round(guest_start_s, 3),
                    containers_start_s=round(end.containers_start_s, 3),
                    rounds_s=round(end.rounds_s, 3),
                )
                write_trial(directory, record)
        seal(directory)
        return record
