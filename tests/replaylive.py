"""Plays a recorded run to the live view, block by block: `python tests/replaylive.py RUN [SECONDS] [--until-decided]`.

RUN may be a set of tables (results/comparison-8-boots/6.1-4-vcpus). It is for looking at the view on a terminal.
"""

import sys
import time
from pathlib import Path

from harness.progress import Reporter
from harness.report.armnames import short_names
from harness.report.liveview import LiveView, Pace
from harness.runs.interim import InterimAnalysis
from harness.runs.record import read_run
from harness.tables.store import load_tables


def replay(run, until_decided=False, clock=time.monotonic):
    """The view, and a generator that adds a block to it at each step and gives the rounds that are done."""
    record, tables = read_run(run), load_tables(run / "tables")
    pace = Pace(sum(block.rounds for block in record.blocks), clock)
    view = LiveView(short_names(record.arms), pace, until_decided=until_decided)

    def blocks():
        interim, done = InterimAnalysis(run), 0
        for number, block in enumerate(record.blocks, start=1):
            pace.begin_block(done)
            yield done
            rounds, kills = (
                table[
                    (table["arm"] == block.arm) & (table["scenario"] == block.scenario) & (table["boot"] == block.boot)
                ]
                for table in (tables["rounds"], tables["kills"])
            )
            done += block.rounds
            interim.add(block.arm, block.scenario, rounds, kills)
            if until_decided and (number == len(record.blocks) or record.blocks[number].boot != block.boot):
                interim.is_decided()
            pace.end_block(done)
            view.update(interim.progress(), interim.summary.comparisons if interim.summary else (), interim.latest)
        yield done

    return view, blocks()


def main(arguments):
    run, wait_s = Path(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 1.0
    view, blocks = replay(run, "--until-decided" in arguments)
    total = sum(block.rounds for block in read_run(run).blocks)
    with Reporter() as progress, progress.board(view), progress.task("rounds", total=total) as task:
        for done in blocks:
            task.update(done=done, detail="replayed")
            time.sleep(wait_s)


if __name__ == "__main__":
    main(sys.argv[1:])
