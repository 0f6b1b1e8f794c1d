"""Records of /dev/kmsg: ``level,sequence,time_us,flags[,caller=...];text`` (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .late_pattern import late_pattern

_RECORD = late_pattern(r"(\d+),(\d+),(\d+),([^,;]*)(?:,([^;]*))?;(.*)", re.DOTALL)
_ESCAPE = late_pattern(rb"\\x([0-9a-f]{2})")

KERN = 0  # facility of the kernel's own records; anything else was written by user space


@dataclass(frozen=True)
class KmsgRecord:
    """One record as the kernel numbered it."""

    priority: int  # 0 emerg .. 7 debug
    facility: int  # 0 kern; a line of another facility is no kernel report, whatever it says
    sequence: int
    time_us: int
    caller: str  # "T123" or "C1" with CONFIG_PRINTK_CALLER, else ""
    text: str
    raw: str  # as it was read

    @property
    def is_kernel(self) -> bool:
        """Whether the kernel wrote the record; records of other facilities come from user space."""
        return self.facility == KERN


def unescape(text: str) -> str:
    r"""The kernel writes unprintable bytes and backslashes as ``\xNN`` (kernel/printk/printk.c, append_char).

    Bytes that are no UTF-8 become surrogates, as everywhere here.
    """
    if "\\x" not in text:
        return text
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def parse_kmsg_record(line: str) -> KmsgRecord | None:
    """One record without its continuation fields, or None when the line is none."""
    match = _RECORD.fullmatch(line)
    if not match:
        return None
    level, extra = int(match[1]), match[5] or ""
    caller = extra.removeprefix("caller=") if extra.startswith("caller=") else ""
    return KmsgRecord(level & 7, level >> 3, int(match[2]), int(match[3]), caller, unescape(match[6]), line)


def parse_kmsg(lines: Iterable[str]) -> Iterator[KmsgRecord]:
    """Records in order; continuation fields (lines that begin with a blank) are passed over."""
    for line in lines:
        if line[:1] != " " and (record := parse_kmsg_record(line)):
            yield record


def lost_records(records: Iterable[KmsgRecord]) -> int:
    """How many sequence numbers are missing between the first record and the last."""
    lost, expected = 0, None
    for record in records:
        if expected is not None and record.sequence > expected:
            lost += record.sequence - expected
        expected = record.sequence + 1
    return lost
