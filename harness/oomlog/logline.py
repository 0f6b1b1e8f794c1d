"""A line of a log, and what its prefixes say of it."""

from __future__ import annotations

import msgspec

UPTIME, WALL, YEARLESS = "uptime", "wall", "yearless"


class LogLine(msgspec.Struct, gc=False):
    """A line of a log without its prefixes."""

    text: str
    uptime_s: float | None = None  # the kernel's own stamp
    wall_s: float | None = None  # since 1970, or since 1 January when wall_is_yearless
    wall_is_yearless: bool = False
    caller: str = ""  # "T123" or "C1" with CONFIG_PRINTK_CALLER (5.1 and later)
    host: str = ""
    tag: str = ""  # of syslog or journald: the program
    is_kernel: bool = True  # False where a facility or tag says that user space wrote it
    boot_id: str = ""  # journald's _BOOT_ID
    sequence: int | None = None  # of /dev/kmsg
    dropped: int = 0  # records that printk says it dropped before this one
    is_bare: bool = True  # no prefix at all: perhaps the rest of the line before
    is_coloured: bool = False  # dmesg --color
    is_member: bool = False  # one of several lines of a record: what else it says stands on the others
    is_partial: bool = False  # a container runtime cut the line here (CRI tag P)

    @property
    def time_s(self) -> float | None:
        """Seconds on the clock that `clock` names: uptime if the line has it, otherwise wall time; None without a stamp."""
        return self.wall_s if self.uptime_s is None else self.uptime_s

    @property
    def clock(self) -> str:
        """Which clock `time_s` is of: uptime, wall, yearless, or nothing."""
        if self.uptime_s is not None:
            return UPTIME
        if self.wall_s is None:
            return ""
        return YEARLESS if self.wall_is_yearless else WALL
