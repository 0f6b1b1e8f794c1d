"""What the serial console tells about a guest that no longer answers. It is evidence, never the data channel."""

from __future__ import annotations

import re
from pathlib import Path

_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")
_TROUBLE = re.compile(
    r"watchdog: BUG: soft lockup|blocked for more than \d+ seconds|rcu: INFO: .* stall|oomtrial-init: failed: .*"
)


def read_console(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def find_panic(console: str) -> str | None:
    """The reason of a panic, if there was one."""
    match = _PANIC.search(console)
    return match[1].strip() if match else None


def find_trouble(console: str) -> list[str]:
    """Lines of lockups, stalls and failed start-ups, in order."""
    return [line.strip() for line in console.splitlines() if _TROUBLE.search(line)]
