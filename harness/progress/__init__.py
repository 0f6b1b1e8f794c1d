"""Progress of long work: live lines on a terminal, plain lines elsewhere."""

from .reporter import Reporter, Task

__all__ = ["Reporter", "Task"]
