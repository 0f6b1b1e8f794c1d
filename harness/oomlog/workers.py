"""Workers that read the chunks of a log side by side: threads, or processes."""

from __future__ import annotations

import ctypes
import gc
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_AHEAD = 2  # chunks a worker has waiting
_SWITCH_S = 0.0005
_PR_SET_PDEATHSIG = 1  # prctl(2)


def in_threads(
    read: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Generator[_Result, None, None]:
    """What `read` gives for each task, in their order, by threads."""
    with ThreadPoolExecutor(workers, thread_name_prefix="chunks") as pool:
        yield from _in_order(pool, read, tasks, workers)


def in_processes(
    read: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Generator[_Result, None, None]:
    """The same by processes; what it gives is sent from one to another."""
    # most logs are read by threads
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # spawn: a fork of a process with threads may hang
    context = multiprocessing.get_context("spawn")
    # The pool's thread takes what a worker sends out of a pipe, 64 kB at a time, and before each it waits so long for
    # the thread that puts records together; the worker waits with it.
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        try:
            yield from _in_order(pool, read, tasks, workers)
        finally:
            sys.setswitchinterval(interval_s)


def _in_order(
    pool: Executor, read: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Generator[_Result, None, None]:
    """What `read` gives, in the order of the tasks; a few are read ahead, and those are cancelled when nobody takes the rest."""
    waiting: deque[Future[_Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(read, task))
            if len(waiting) > workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _begin_worker() -> None:
    gc.disable()  # records hold no cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends the pool
    if sys.platform == "linux":
        # A pool waits for ever when its parent was killed: the other workers hold the pipe open.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
