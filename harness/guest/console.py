"""Reads the serial console of a guest that no longer answers. It is evidence, never the data channel."""

from __future__ import annotations

import re
from pathlib import Path

_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")
# init is tini, which ends as dockerd does: it exits. Killed by a signal itself, its status has that in the low byte.
_INIT_EXITED = re.compile(r"Attempted to kill init! exitcode=0x[0-9a-f]{6}00\b")
_TROUBLE = re.compile(
    r"watchdog: BUG: soft lockup|blocked for more than \d+ seconds|rcu: INFO: .* stall|oomtrial-init: failed: .*"
)


def read_console(path: Path) -> str:
    """Text of a guest's serial console so far; empty if there is none."""
    return path.read_text(errors="replace") if path.is_file() else ""


def find_panic(console: str) -> str | None:
    """The reason of a panic, if there was one."""
    match = _PANIC.search(console)
    return match[1].strip() if match else None


def find_end(console: str) -> tuple[str, str] | None:
    """Outcome and reason if the console shows that the guest has ended: ``panicked``; or ``lost`` when its engine, which
    is its init, ended, and the kernel is not to blame."""
    panic = find_panic(console)
    if panic is None:
        return None
    if _INIT_EXITED.match(panic):
        return "lost", f"the guest's Docker Engine ended: {panic}"
    return "panicked", f"kernel panic: {panic}"


def find_trouble(console: str) -> list[str]:
    """Lines of lockups, stalls and failed start-ups, in order."""
    return [line.strip() for line in console.splitlines() if _TROUBLE.search(line)]
