"""What the log itself says is missing from it."""

from __future__ import annotations

from .late_pattern import late_pattern
from .line_formats import line_format
from .record import Record


class RateLimitedReports(Record, frozen=True):
    """Reports that the rate limit kept back. Kills are never kept back."""

    reports: int


_RATE_LIMITED = late_pattern(
    r"(?:oom_kill_process|dump_header|out_of_memory|mem_cgroup_\w+): (\d{1,18}) callbacks suppressed"
)
_PRINTK = late_pattern(r"printk: (\d{1,18}) messages suppressed\.?")


@line_format(
    "loss",
    "oom_kill_process: N callbacks suppressed",
    "3.4 to 6.18",
    "limit of 10 reports in 5 s; printed with the next report",
)
def parse_rate_limited(text: str) -> RateLimitedReports | None:
    """Reports kept back (___ratelimit(), lib/ratelimit.c)."""
    match = _RATE_LIMITED.fullmatch(text.strip())
    return RateLimitedReports(int(match[1])) if match else None


class DroppedRecords(Record, frozen=True):
    """Records that never reached the log; who dropped them."""

    records: int
    by: str


_DROPS = (
    ("printk", late_pattern(r"\*\* (\d{1,18}) printk messages? dropped \*\*")),
    ("printk", _PRINTK),
    ("journald", late_pattern(r".*[Mm]issed (\d{1,18}) kernel messages")),
    ("journald", late_pattern(r".*Suppressed (\d{1,18}) messages from .*kernel.*")),
    ("rsyslog", late_pattern(r".*imuxsock lost (\d{1,18}) messages from pid \d{1,18} due to rate-limiting")),
    ("rsyslog", late_pattern(r".*imklog.* (\d{1,18}) messages lost due to rate-limiting.*")),
)
# These reach the log through user space, so they are losses of somebody's, perhaps not of the kernel's.
KERNEL_DROPS = ("printk", "journald")


@line_format("loss", "** N printk messages dropped **", "3.18 to 6.18", "also glued in front of the next line")
@line_format(
    "loss", "printk: N messages suppressed.", "2.6.11 to 3.0", "reports and other messages, by printk_ratelimit()"
)
@line_format("loss", "systemd-journald[N]: Missed N kernel messages", "any")
@line_format(
    "loss",
    "rsyslogd: imuxsock lost N messages from pid N due to rate-limiting",
    "any",
    "messages of user space; counted separately",
)
def parse_dropped(text: str) -> DroppedRecords | None:
    """Records dropped, by whom."""
    text = text.strip()
    for by, pattern in _DROPS:
        if match := pattern.fullmatch(text):
            return DroppedRecords(int(match[1]), by)
    return None
