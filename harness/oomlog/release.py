"""What the log says of a victim's memory after the kill."""

from __future__ import annotations

import re

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record


class Reaped(Record, frozen=True):
    """The oom_reaper's word about a victim. Absent for victims that exit before it starts (2 s from 5.18)."""

    kind: str  # reaped, unable (it will not try again), or giving-up (4.8)
    pid: int
    comm: str | None
    anon_rss_kb: int | None  # left after reaping
    file_rss_kb: int | None
    shmem_rss_kb: int | None
    is_complete: bool

    @property
    def is_whole(self) -> bool:
        """Whether the line has all sizes that its form prints."""
        return self.is_complete


_REAPED = late_pattern(
    r"oom_reaper: reaped process :?(\d{1,18}) \((.*)\),? (?:now )?anon-rss:(\d{1,18})kB, file-rss:(\d{1,18})kB, shmem-rss:(\d{1,18})(?:kB|lB)",
    re.DOTALL,
)
_CUT = late_pattern(r"oom_reaper: reaped process :?(\d{1,18}) \((?:(.*)\)(?:,? (?:now|anon-rss)?|$))?", re.DOTALL)
_UNABLE = late_pattern(r"oom_reaper: (unable to reap|giving up) pid:(\d{1,18}) \((.*)\)", re.DOTALL)


@line_format(
    "release",
    "oom_reaper: reaped process PID (COMM), now anon-rss:NkB, file-rss:NkB, shmem-rss:NkB",
    "4.6 to 6.18",
    "immediately up to 5.17, 2 s after the kill from 5.18 (e4a38402c36e) and in stable backports",
)
@line_format("release", "oom_reaper: unable to reap pid:PID (COMM)", "4.8 to 6.18")
@line_format("release", "oom_reaper: giving up pid:PID (COMM)", "4.8")
def parse_reaped(text: str) -> Reaped | None:
    """The oom_reaper's word (oom_reap_task(), mm/oom_kill.c)."""
    text = text.strip()
    match = _REAPED.fullmatch(text)
    if match:
        return Reaped("reaped", int(match[1]), match[2], int(match[3]), int(match[4]), int(match[5]), True)
    match = _UNABLE.fullmatch(text)
    if match:
        kind = "unable" if match[1].startswith("unable") else "giving-up"
        return Reaped(kind, int(match[2]), match[3], None, None, None, True)
    match = _CUT.match(text)
    return Reaped("reaped", int(match[1]), match[2], None, None, None, False) if match else None
