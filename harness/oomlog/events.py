"""Other lines about OOM: panics, a disabled OOM killer, a new boot, a pinned mm, lockups."""

from __future__ import annotations

import re

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record


class Event(Record, frozen=True):
    """A line that is no kill and no release, but that a reader of kills wants to see."""

    kind: str
    pid: int | None
    text: str


_KINDS = (
    (
        "panic",
        late_pattern(
            r"Kernel panic - not syncing: (?:Out of memory|out of memory|System is deadlocked on memory).*", re.DOTALL
        ),
    ),
    ("init-killed", late_pattern(r"Kernel panic - not syncing: Attempted to kill init!.*", re.DOTALL)),
    ("no-victim", late_pattern(r"(?:Memory cgroup out|Out) of memory and no killable processes\.\.\..*")),
    ("sysrq", late_pattern(r"(?:sysrq: |SysRq : )(?:SysRq : )?Manual OOM execution.*")),
    ("sysrq-ignored", late_pattern(r"(?:sysrq: )?OOM request ignored.*")),
    ("mm-pinned", late_pattern(r"oom killer (\d+) \(.*\) has mm pinned by \d+ \(.*\)", re.DOTALL)),
    ("page-fault-oom", late_pattern(r"Huh VM_FAULT_OOM leaked out to the #PF handler\. Retrying PF")),
    ("oom-disabled", late_pattern(r"OOM killer disabled\.")),
    ("oom-enabled", late_pattern(r"OOM killer enabled\.")),
    ("purged", late_pattern(r"Purging GPU memory, \d+ (?:bytes freed|pages freed).*")),
    ("soft-lockup", late_pattern(r"watchdog: BUG: soft lockup.*|BUG: soft lockup.*", re.DOTALL)),
    ("hung-task", late_pattern(r"INFO: task .* blocked for more than \d+ seconds.*", re.DOTALL)),
)
TROUBLE = ("soft-lockup", "hung-task")


@line_format(
    "end",
    "Kernel panic - not syncing: Out of memory ...",
    "2.6.11 to 6.18",
    "panic_on_oom, no killable processes, or deadlocked on memory",
)
@line_format(
    "end",
    "Kernel panic - not syncing: Attempted to kill init! ...",
    "2.6.11 to 6.18",
    "init was the victim, or died of a fault",
)
@line_format("end", "Out of memory and no killable processes...", "4.18 to 6.18", "a panic to 4.17")
@line_format("end", "sysrq: Manual OOM execution / OOM request ignored. No task eligible", "2.6.11 to 6.18", "SysRq-F")
@line_format("end", "oom killer PID (COMM) has mm pinned by PID (COMM)", "4.8 to 6.18")
@line_format("end", "Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF", "6.1 to 6.18; 4.15 and 5.4 stable")
@line_format("end", "OOM killer enabled. / OOM killer disabled.", "4.12 to 6.18")
@line_format(
    "end", "Purging GPU memory, N pages freed, ...", "4.0 to 6.18", "i915 returned memory: no process was killed"
)
@line_format("end", "watchdog: BUG: soft lockup / INFO: task ... blocked for more than N seconds", "2.6.30 to 6.18")
def parse_event(text: str) -> Event | None:
    """One of the other lines."""
    text = text.strip()
    for kind, pattern in _KINDS:
        if match := pattern.fullmatch(text):
            return Event(kind, int(match[1]) if pattern.groups else None, text)
    return None


class Boot(Record, frozen=True):
    """The kernel starts."""

    release: str | None
    boot_id: str


_BOOT = late_pattern(r"Linux version (\S+).*", re.DOTALL)
_JOURNAL_BOOT = late_pattern(r"-- Boot ([0-9a-f]{32}) --|-- Reboot --")


@line_format("boot", "Linux version RELEASE ...", "2.6.11 to 6.18")
@line_format("boot", "-- Boot ID -- / -- Reboot --", "journalctl")
def parse_boot(text: str) -> Boot | None:
    """A new boot (start_kernel(), or journalctl's mark)."""
    text = text.strip()
    if match := _BOOT.fullmatch(text):
        return Boot(match[1], "")
    match = _JOURNAL_BOOT.fullmatch(text)
    return Boot(None, match[1] or "") if match else None
