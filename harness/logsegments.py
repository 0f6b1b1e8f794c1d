"""A large log to tables on all cores: workers read segments side by side, and put them together one after the other.

Reading lines needs nothing of what stands before, so segments are read in parallel. Putting records together does:
which kills wait for a release, which boot it is. That state goes from worker to worker, with the segments in their
order; it is small, and the result is the same as in one process. What comes back are Arrow tables, not records.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import pickle
import signal
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from harness.errors import HostError
from harness.oomlog.assemble import Assembler
from harness.oomlog.blocks import split_blocks
from harness.oomlog.reading import ReadBlock, count_gaps, read_of_file
from harness.tables.logrows import LogCounts, LogRows

LEAST_BYTES = 64 << 20  # below this, starting a process costs more than it saves
_SEGMENT_BLOCKS = 3
_PR_SET_PDEATHSIG = 1  # prctl(2)


class _Place(NamedTuple):
    """A block of the file."""

    offset: int
    length: int
    end: int


@dataclass
class LogState:
    """Everything that the next segment needs to know of those before it."""

    assembler: Assembler = field(default_factory=Assembler)
    counts: LogCounts = field(default_factory=LogCounts)
    lines: int = 0
    bytes: int = 0
    last_sequence: int | None = None


@dataclass
class _Worker:
    pipe: Connection
    process: multiprocessing.process.BaseProcess


def read_segments(
    path: Path, name: str, assembler: Assembler, counts: LogCounts, workers: int
) -> Iterator[dict[str, pa.Table] | LogState]:
    """The tables of a plain file, segment by segment, and at last the state after it.

    Raises HostError when a worker dies, OSError when the file cannot be read.
    """
    assembler.begin_file()
    state = pickle.dumps(LogState(assembler, counts))
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pool = [_start(context, path, name) for _ in range(workers)]
    waiting: deque[_Worker] = deque()  # in the order of their segments
    try:
        for turn, segment in enumerate(_segments(path)):
            tables = None
            if len(waiting) == workers:
                tables, state = _assemble(waiting.popleft(), state)
            worker = pool[turn % workers]
            worker.pipe.send(segment)
            waiting.append(worker)
            if tables is not None:
                yield tables  # the worker reads while they are written
        while waiting:
            tables, state = _assemble(waiting.popleft(), state)
            yield tables
        pool[0].pipe.send(None)  # no more segments: the rest
        tables, state = _assemble(pool[0], state)
        yield tables
        yield pickle.loads(state)
    except EOFError:
        raise HostError(
            "a worker that read the log has died", "look for an OOM kill in `dmesg`, or ask for one core: taskset -c 0"
        ) from None
    finally:
        for worker in pool:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def _segments(path: Path) -> Iterator[list[_Place]]:
    segment: list[_Place] = []
    with path.open("rb") as stream:
        for block in split_blocks(stream):
            segment.append(_Place(block.offset, len(block.data), block.end))
            if len(segment) == _SEGMENT_BLOCKS:
                yield segment
                segment = []
    if segment:
        yield segment


def _assemble(worker: _Worker, state: bytes) -> tuple[dict[str, pa.Table], bytes]:
    worker.pipe.send_bytes(state)
    new_state = worker.pipe.recv_bytes()
    if not new_state:
        raise worker.pipe.recv()
    tables = {}
    for name in worker.pipe.recv():
        tables[name] = pa.ipc.open_stream(worker.pipe.recv_bytes()).read_all()
    return tables, new_state


def _start(context: multiprocessing.context.SpawnContext, path: Path, name: str) -> _Worker:
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, path, name), daemon=True)
    process.start()
    there.close()
    return _Worker(here, process)


def _work(pipe: Connection, path: Path, name: str) -> None:
    """A worker: reads each segment as it comes, then waits for the state that it needs to put it together."""
    gc.disable()  # records hold no cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends us
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    while True:
        segment = pipe.recv()
        try:
            blocks = [] if segment is None else [read_of_file(path, *place) for place in segment]
            state = pickle.loads(pipe.recv_bytes())
            rows = LogRows()
            _feed(state, blocks, rows, name, is_last=segment is None)
        except Exception as error:
            pipe.send_bytes(b"")
            pipe.send(error)
            return
        pipe.send_bytes(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
        tables = rows.take()
        pipe.send(list(tables))
        for table in tables.values():
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            pipe.send_bytes(memoryview(sink.getvalue()))


def _feed(state: LogState, blocks: list[ReadBlock], rows: LogRows, name: str, is_last: bool) -> None:
    for found, lines, end, sequences in blocks:
        state.last_sequence = count_gaps(state.assembler.missing, sequences, state.last_sequence)
        for item in found:
            for output in state.assembler.feed(item, state.lines + 1):
                state.counts.take(output)
                rows.add(output, name)
        state.lines += lines
        state.bytes = end
    if is_last:
        for output in state.assembler.close():
            state.counts.take(output)
            rows.add(output, name)
