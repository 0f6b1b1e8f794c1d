"""What work is under way, and how far each piece is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from .screen import Screen

_PLAIN_INTERVAL_S = 30.0


class Task:
    """One piece of work that is under way. Safe to update from any thread."""

    def __init__(self, owner: Reporter, name: str, total: int | None) -> None:
        self._owner, self.name, self.total = owner, name, total
        self.done, self.detail = 0, ""
        self.started = self.last_line = time.monotonic()
        self.bar = None if owner.live is None else owner.live.add_task(name, total=total, detail="", count="")

    def count(self) -> str:
        """How far it is; of how much, where that is known."""
        if self.total and self.done <= self.total:
            return f"{self.done}/{self.total}"
        return str(self.done) if self.done else ""

    def update(self, done: int | None = None, detail: str | None = None, total: int | None = None) -> None:
        """`total`: where it is known, or estimated, only later."""
        self.total = total or self.total
        self.done = self.done if done is None else done
        self.detail = self.detail if detail is None else detail
        self._owner.updated(self)


class Reporter:
    """Shows what is being done and how far it is. Everything goes to standard error; results go to standard output."""

    is_quiet = False  # for every reporter of this process: nothing is shown

    def __init__(self, console: Console | None = None) -> None:
        if console is None:
            from rich.console import Console

            console = Console(stderr=True, highlight=False)
        self.console = console
        self.live: Screen | None = None
        self._lock = threading.Lock()
        self._start = time.monotonic()
        if console.is_terminal and sys.stderr.isatty() and not self.is_quiet:
            from .screen import Screen

            self.live = Screen(console)

    def __enter__(self) -> Reporter:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        if self.is_quiet:
            return
        with self._lock:
            self.console.print(f"[{time.monotonic() - self._start:6.1f} s] {text}", markup=False, soft_wrap=True)

    @contextmanager
    def board(self, shown: RenderableType) -> Iterator[None]:
        """Shows something above the live lines for a while; nothing where output is plain."""
        if self.live is not None:
            self.live.board = shown
        try:
            yield
        finally:
            if self.live is not None:
                self.live.board = None

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Task]:
        """A piece of work; a line that stays when it begins (plain output only) and when it ends."""
        task = Task(self, name, total)
        if self.live is None:
            self.say(f"{name} ...")
        try:
            yield task
        except BaseException:
            self._finish(task, "stopped")
            raise
        self._finish(task, "done")

    def updated(self, task: Task) -> None:
        """Shows the new state of a task: at once on a terminal, elsewhere in a line every 30 s at most."""
        if self.live is not None and task.bar is not None:
            self.live.update(task.bar, completed=task.done, total=task.total, detail=task.detail, count=task.count())
        elif time.monotonic() - task.last_line > _PLAIN_INTERVAL_S:
            task.last_line = time.monotonic()
            self.say(f"{task.name}: {task.count()} {task.detail}".rstrip())

    def _finish(self, task: Task, how: str) -> None:
        if self.live is not None and task.bar is not None:
            self.live.remove_task(task.bar)
        self.say(f"{task.name}: {how} in {time.monotonic() - task.started:.1f} s")
