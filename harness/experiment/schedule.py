"""Runs the blocks of a plan: one after the other, optionally until the comparison is decided, or side by side."""

from __future__ import annotations

from concurrent.futures import Executor

from ..progress import Task
from ..report.liveview import LiveView
from ..runs.interim import InterimAnalysis
from ..runs.record import HostRecord
from ..spec.plan import Block
from ..system.paths import cache_dir
from .block import BlockRunner
from .remote import BlockJob, run_all
from .resume import BlockState


def run_in_turn(
    runner: BlockRunner,
    blocks: list[Block],
    task: Task,
    interim: InterimAnalysis | None,
    view: LiveView | None = None,
) -> tuple[list[Block], list[str]]:
    """Runs blocks one after the other; where the run is one that ends when it is decided, as many as it takes. `view` is
    brought up to date between blocks, when no guest is measured, by `interim`. Returns the blocks that it came to, and
    what went wrong."""
    problems, states = [], runner.run_state.states
    until_decided, pace = runner.request.until_decided, view.pace if view is not None else None
    for number, block in enumerate(blocks, start=1):
        before = task.done

        def show(rounds: int, detail: str, before: int = before) -> None:
            task.update(done=before + rounds, detail=detail)
            if pace is not None:
                pace.round_done(before + rounds)

        if pace is not None:
            pace.begin_block(before)
        if problem := runner.run(block, show):
            problems.append(problem)
        task.update(done=before + block.rounds)
        later = blocks[number] if number < len(blocks) else None
        # a turn of the arms ends where the next boot begins; of a resumed run, those before were looked at already
        is_turn = later is None or (later.boot != block.boot and later.index not in states)
        is_decided = until_decided and interim is not None and is_turn and interim.is_decided()
        if view is not None and interim is not None:
            view.pace.end_block(task.done)
            try:
                show_standing(view, interim)
            except Exception as error:  # the rounds are what counts
                runner.progress.say(f"live figures stop here: {str(error) or type(error).__name__}")
                view.update((), (), "")
                view = None
        if is_decided:
            runner.progress.say(
                f"decided after {number} of {len(blocks)} blocks, {block.boot} boot{'s' * (block.boot != 1)} per arm"
            )
            return blocks[:number], problems
    return blocks, problems


def show_standing(view: LiveView, interim: InterimAnalysis) -> None:
    """Brings the live view up to date with the trials that have ended."""
    interim.take()
    view.update(interim.progress(), interim.summary.comparisons if interim.summary else (), interim.latest)


def run_side_by_side(
    runner: BlockRunner, blocks: list[Block], task: Task, executor: Executor, machine: HostRecord
) -> list[str]:
    """Runs all blocks that are left on an executor; first boots first, as these tell whether a scenario is refused.
    `machine`: what each of the executor's is. Returns what went wrong."""
    texts = {scenario.name: scenario.text for scenario in runner.scenarios.values()}
    problems, run_state = [], runner.run_state
    for turn in ([b for b in blocks if b.boot == 1], [b for b in blocks if b.boot > 1]):
        jobs = []
        for block in turn:
            state = run_state.states.get(block.index, BlockState())
            if state.counted >= block.rounds or (block.arm, block.scenario) in run_state.refused:
                problem = runner.run(block)
                problems += [problem] if problem else []
                task.update(done=task.done + block.rounds)
            else:
                prepared = runner.trials.prepared
                jobs.append(BlockJob(runner.request, texts, prepared, block, state, machine, cache_dir()))
        for result in run_all(executor, jobs, runner.directory, runner.progress, task):
            problems += [result.problem] if result.problem else []
            if result.refused:
                run_state.refused[result.block.arm, result.block.scenario] = result.refused
            run_state.concurrent_guests = max(run_state.concurrent_guests, result.concurrent_guests)
    return problems
