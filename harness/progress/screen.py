"""The live lines of a terminal. Separate, as rich takes 50 ms to import and most commands show none."""

from __future__ import annotations

from collections.abc import Iterable

import rich.progress
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

# Rich draws ten times a second by default. While rounds are measured, every drawing takes time from them.
_REFRESH_PER_S = 2


class _TimeLeft(TimeRemainingColumn):
    """Nothing where nobody knows how much there is to do."""

    def render(self, task: rich.progress.Task) -> Text:
        return super().render(task) if task.total else Text("")


class Screen(Progress):
    """The live lines, with what was put above them."""

    board: RenderableType | None = None

    def __init__(self, console: Console) -> None:
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            _TimeLeft(compact=True),
            TextColumn("[dim]{task.fields[detail]}"),
            console=console,
            transient=True,
            refresh_per_second=_REFRESH_PER_S,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """The board above rich's progress bars (rich.progress.Progress.get_renderables)."""
        if self.board is not None:
            yield self.board
        yield from super().get_renderables()
