"""Reads the serial console of a guest that no longer answers. It is evidence, never the data channel."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from ..spec.outcome import Outcome

_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")
# init is tini, which ends as dockerd does: it exits. Killed by a signal itself, its status has that in the low byte.
_INIT_EXITED = re.compile(r"Attempted to kill init! exitcode=0x[0-9a-f]{6}00\b")
# A kernel with JUMP_LABEL patches running code through int3 (arch/x86/kernel/alternative.c, 6.1 to 7.3). QEMU's multi-threaded
# software emulation may run the int3 after the kernel has left the handler; seen on Debian's 7.2 and 7.3 while they booted.
_INT3 = re.compile(r"Oops: int3: 0000")
_PATCHED_CODE = " after int3 (under tcg probably the emulator: it met an instruction that the kernel was patching)"
# kernel/rcu/tree_stall.h: a kthread of RCU sleeps on a CPU whose timer never rings; the count is of the timer softirqs of that CPU. Seen in
# 1 of 100 boots of 6.12 under QEMU 10.0's software emulation, and in none of 100 under 7.2's: CPU 1 from its start on; the guest then crawls.
_NO_TIMER = re.compile(r"rcu:\s+Possible timer handling issue on cpu=(\d+) timer-softirq=(\d+)")
_TROUBLE = re.compile(
    r"watchdog: BUG: soft lockup|blocked for more than \d+ seconds|rcu: INFO: .* stall|oomtrial-init: failed: .*"
)


def read_console(path: Path) -> str:
    """Text of a guest's serial console so far; empty if there is none."""
    return path.read_text(errors="replace") if path.is_file() else ""


def find_panic(console: str) -> str | None:
    """The reason of a panic, if there was one; with the likely cause where the emulator is to blame."""
    match = _PANIC.search(console)
    if match is None:
        return None
    return f"{match[1].strip()}{_PATCHED_CODE if _INT3.search(console, 0, match.start()) else ''}"


def find_silent_timer(console: str) -> int | None:
    """The CPU that had no timer interrupt at all from one report of a stall to the next, 21 s or more later; None if there is none.
    A CPU that is merely slow has had some."""
    reports = _NO_TIMER.findall(console)
    return next((int(one[0]) for one, after in itertools.pairwise(reports) if one == after), None)


def find_end(console: str) -> tuple[Outcome, str] | None:
    """Outcome and reason, where the console tells that the guest has ended: PANICKED; or LOST when its engine, which
    is its init, came to an end, and no kernel is to blame."""
    panic = find_panic(console)
    if panic is None:
        return None
    if _INIT_EXITED.match(panic):
        return Outcome.LOST, f"the guest's Docker Engine ended: {panic}"
    return Outcome.PANICKED, f"kernel panic: {panic}"


def find_trouble(console: str) -> list[str]:
    """Lines of lockups, stalls and failed start-ups, in order."""
    return [line.strip() for line in console.splitlines() if _TROUBLE.search(line)]
