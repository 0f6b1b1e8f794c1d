"""A line whose prefix nobody knows: the kernel's words in it are found by themselves, and tell what the prefix looks like.

Where a line begins with what no kernel form begins with, but holds the beginning of one that cannot be anything else, what
stands before it is the prefix. Its pattern (the same marks, other words and numbers between them) is then that of the other
lines of the log too: those of a report whose first words are a process name, or are no words at all.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from .late_pattern import late_pattern
from .logline import LogLine
from .prefix import peel
from .wall_clock import calendar_seconds, iso_seconds, yearless_seconds

# Words of a kill, of a report's head and of a summary: a line that holds them is read, or counted as not read.
SPEAKS = late_pattern(
    rb"(?P<kill>[Kk]ill(?:ed)? process:? \d)|(?P<head>invoked oom-killer)|(?P<summary>oom-kill:constraint=)"
)
# What begins a text of the kernel and stands nowhere else.
_BEGINNING = late_pattern(
    r"(?:Memory cgroup out of memory|Out of [mM]emory(?: \(oom_kill_allocating_task\))?|No available memory (?:\(MPOL_BIND\)|in cpuset)): "
    r"(?:[Kk]ill(?:ed)? process \d|OOM victim \d)"
    r"|Killed process \d+(?: \(|, UID )|oom-kill:constraint=|oom_reaper: (?:reaped process|unable to reap|giving up)"
    r"|Tasks in /\S* are going to be killed due to|Task in .{1,4096} killed as a result of limit of|Memory limit reached of cgroup /"
    r"|Memory cgroup stats for /|(?:memory|memory\+swap|kmem|swap): usage \d+kB, limit|\[ *pid *\] +uid +tgid "
    r"|(?:Node \d+ )?(?:DMA|DMA32|Normal|HighMem|Movable) free:\d+kB|lowmem_reserve\[\]: |Mem-Info:|active_anon:\d+ inactive_anon:"
    r"|CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: |Pid: \d+, comm: |Out of memory and no killable processes|Kernel panic - not syncing: "
    r"|Linux version \d+\.\d|(?:Free|Total) swap += \d+kB|\d+ pages (?:of )?RAM$|\*\* \d+ printk messages dropped \*\*"
    r"|oom_kill_process: \d+ callbacks suppressed"
)
_INVOKED = " invoked oom-killer"
_LONGEST_COMM = 15  # bytes: TASK_COMM_LEN without its end
_LONGEST_PREFIX = 400
_LONGEST_TAIL = 300  # with the form's last words
_FIRST_DATE = 10**9  # seconds: no kernel has run for 30 years
_SEARCHED = 4096  # characters of a line

_SGR = late_pattern(r"\x1b\[[\d;:]*[mK]|\x1b\(B")
# BBCode, HTML, Jira and Slack put marks around lines of a log; what they quote has none of these.
_MARKUP = late_pattern(
    r"\[/?(?:COLOR|COLOUR|B|I|U|S|CODE|QUOTE|SIZE|FONT|PRE|SPOILER|HIGHLIGHT|URL|LIST|\*)(?:=[^\]]{0,60})?\]"
    r"|</?(?:b|i|u|p|em|tt|li|ul|ol|td|tr|br|div|pre|code|span|font|strong|mark|blockquote|table|tbody|a)(?: [^<>]{0,200})?/?>"
    r"|\{(?:code|noformat|quote|color)(?::[^}]{0,60})?\}|\*\*(?! \d+ printk)|```\w*|`",
    re.IGNORECASE,
)
_ENTITY = late_pattern(r"&(?:#\d{1,6}|#x[0-9a-fA-F]{1,5}|[a-z]{2,6});")
_ODD_BLANKS = str.maketrans(
    {"\xa0": " ", "\u200b": None, "\u200e": None, "\u200f": None, "\ufeff": None, "\u2009": " "}
)
# What a wrapper leaves behind the text.
_TRAILER = late_pattern(r"""(?:[\s"'`}\])|,;\\]|\\[nrt]|</?\w+>)+$""")
_IN_QUOTES = late_pattern(r"""(?:msg|message|log|text|line|value|body|event|data|output|annotation|description)["'\\]*\s*(?:=>|=|:)\s*\\?["']$""", re.IGNORECASE)  # fmt: skip

# A kernel's stamp that is glued to the end of a text, or stands in one again and again.
_INNER_STAMP = late_pattern(r"(?:(?<=[^\s\]>:|(])|(?<=\[\.\.\.\]))\[ {0,6}\d{1,8}\.\d{6}\] ")
_REPEATED = (
    late_pattern(r"(?<![^\s])[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d \S{1,255} kernel: "),
    late_pattern(r"(?<![\]:>] )(?<![^\s])\[ {0,6}\d{1,8}\.\d{6}\] "),
)
_OF_KILL = (*"0123456789(", "UID ")  # how the beginnings of a choice and of a kill end
_IN_COLUMN = late_pattern(r"""["'\d\w][,;\t] ?["']$""")  # of CSV


def clean(raw: str) -> str:
    """The line without colours, markup and entities."""
    text = raw.translate(_ODD_BLANKS)
    if "\x1b" in text:
        text = _SGR.sub("", text)
    if "&" in text and _ENTITY.search(text):
        text = html.unescape(text)
    return _MARKUP.sub("", text) if text[:_SEARCHED] else text


# The last words of forms.
_END = late_pattern(
    r"(?:oom_score_adj:-?\d+|shmem-rss:\d+kB(?!, UID)|file-rss:\d+kB(?!, shmem)|sacrifice child|,uid=\d+|failcnt \d+"
    r"|order=-?\d+(?:, oom_\w*adj=-?\d+)*)(?![\w.,])"
)


def trailer_text(text: str) -> str:
    """What stands behind the last words of a form; nothing where there are none."""
    ends = [match.end() for match in _END.finditer(text, max(0, len(text) - _LONGEST_TAIL))]
    return text[ends[-1] :] if ends else ""


def appended_line(text: str) -> str:
    """The line that is glued to the end of another: it begins with a stamp, behind the first one's last words."""
    match = _END.search(text, 0, _SEARCHED)
    rest = text[match.end() :] if match else ""
    return rest if rest and SPEAKS.search(rest.encode("utf-8", "surrogateescape")) and not peel(rest).is_bare else ""


def split_joined_lines(text: str) -> list[str]:
    """The lines of a log that were made one: by carriage returns alone, by a page that folds its lines, by a lost line end.

    One part where it is one line, or where nothing tells that the kernel wrote it.
    """
    text = text.rstrip("\r")
    if not SPEAKS.search(text.encode("utf-8", "surrogateescape")) or not (line := peel(text)).is_kernel:
        return [text]
    if "\r" in text:
        return [part for piece in text.split("\r") if piece.strip() for part in split_joined_lines(piece)]
    points = {match.start() for match in _INNER_STAMP.finditer(text)}
    for repeated in _REPEATED:
        starts = [match.start() for match in repeated.finditer(text)]
        points.update(starts if len(starts) > 1 else ())
    prefix = ""
    if not points:
        points = {
            match.start() for match in _BEGINNING.finditer(text, 0, 4 * _SEARCHED) if match.group().endswith(_OF_KILL)
        }
        prefix = text[: len(text) - len(line.text)] if text.endswith(line.text) else ""
        points = points if len(points) > 1 else set()
    ends = sorted(points - {0})
    parts = [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [part if not number or not peel(part).is_bare else prefix + part for number, part in enumerate(parts)]


def without_trailer(text: str) -> str:
    """The text without what closes what was opened before it: quotes, brackets, other columns."""
    if trailer := trailer_text(text):
        return text[: -len(trailer)]
    match = _TRAILER.search(text[-80:])
    return text[: len(text) - len(match[0])] if match else text


def trailer_pattern(text: str) -> re.Pattern[str] | None:
    """What stands behind the texts of a log, as an expression; None for blanks, which do no harm."""
    trailer = trailer_text(text).rstrip()
    # an escaped line end is a mark: taken for a word it would be any word, such as the name at the end of a task's row
    parts = re.split(r"(\\[nrt])", trailer)
    pattern = "".join(re.escape(part) if number % 2 else _pattern_of(part) for number, part in enumerate(parts))
    return re.compile(pattern + r"\s*$") if trailer else None


def find_beginning(text: str) -> int | None:
    """Where a kernel's text begins in a line, or None. Within a quoted name it does not."""
    match = _BEGINNING.search(text, 0, _SEARCHED)
    if match is None or match.start() > _LONGEST_PREFIX:
        return None
    before = text[: match.start()]
    if before.endswith(("(", "/", "=")):
        return None
    if before.endswith(('"', "'")) and not (_IN_QUOTES.search(before) or _IN_COLUMN.search(before)):
        return None
    return match.start()


# The names that the kernel itself is called by before a text.
_KERNEL_NAMES = {"kernel", "klogd", "vmunix", "kern", "kmsg", "dmesg", "guest"}
_UPTIME = late_pattern(r"\[[ \t]*(?:C?\d{1,3}-)?(\d{1,10}\.\d{3,9})(?![\d.]*[.:])")
_BARE_UPTIME = late_pattern(r"(?:^|[\s|<])(\d{1,8}\.\d{6})(?=[\s:|>\]])")
_ISO = late_pattern(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?")
_SLASHED = late_pattern(r"(\d{4})/(\d\d)/(\d\d)[ T](\d\d):(\d\d):(\d\d)")
_YEAR_LAST = late_pattern(r"([^\W\d_]{3,5})\.? +(\d{1,2}),? (\d\d):(\d\d):(\d\d)(?:\.\d+)?(?: [A-Z]{3,4})? (\d{4})")
_YEAR_SECOND = late_pattern(r"([^\W\d_]{3,5})\.? (\d{1,2}), (\d{4}),? (?:@ )?(\d\d):(\d\d):(\d\d)")  # Kibana
_NO_YEAR = late_pattern(r"([^\W\d_]{3,5}\.?|\d{1,2}[月월]) +(\d{1,2})[日일]? (\d\d):(\d\d):(\d\d)")
_CALLER = late_pattern(r"\[[ \t]*([TC]\d+)\]")
# /dev/kmsg and netconsole: level and facility, sequence, microseconds
_KMSG = late_pattern(r"(?:^|[\s|\"'`])(\d{1,9}),\d{1,18},(\d{1,18}),[^,;\s]*(?:,caller=([TC]\d+)[^;]*)?;$")
_LEVEL = late_pattern(r"(?:<|^)(\d{1,3})>")


def line_of(prefix: str, text: str) -> LogLine:
    """A line by its prefix: what can be told of its stamps, and whether user space wrote it."""
    line = LogLine(text, is_bare=not prefix.strip())
    if record := _KMSG.search(prefix):
        line.uptime_s, line.caller = int(record[2]) / 1e6, record[3] or ""
        return line
    uptimes = _UPTIME.findall(prefix) or _BARE_UPTIME.findall(prefix)
    if uptimes and float(uptimes[-1]) < _FIRST_DATE:
        line.uptime_s = float(uptimes[-1])
    elif uptimes:
        line.wall_s = float(uptimes[-1])
    if line.wall_s is not None:
        pass
    elif match := _ISO.search(prefix):
        line.wall_s = iso_seconds(match[0].replace(" +", "+"))
    elif match := _SLASHED.search(prefix):
        line.wall_s = iso_seconds("{}-{}-{}T{}:{}:{}".format(*match.groups()))
    elif match := _YEAR_LAST.search(prefix):
        line.wall_s = calendar_seconds(int(match[6]), match[1], *match.groups()[1:5])
    elif match := _YEAR_SECOND.search(prefix):
        line.wall_s = calendar_seconds(int(match[3]), match[1], match[2], *match.groups()[3:])
    elif match := _NO_YEAR.search(prefix):
        line.wall_s, line.wall_is_yearless = yearless_seconds(*match.groups()), True
    if match := _CALLER.search(prefix):
        line.caller = match[1]
    return line


def is_from_kernel(prefix: str, raw: str) -> bool | None:
    """Whether such a prefix can be one of the kernel's lines; None where it is torn, so that nobody can tell."""
    if _OTHERS_TRANSPORT.search(raw):
        return False
    if "MESSAGE" in prefix and "MESSAGE=" not in prefix and not _KERNELS_TRANSPORT.search(raw):
        return None  # journald's JSON, damaged: who wrote it is not to be told
    if any(tag.lower() not in _KERNEL_NAMES for tag in _PID_TAG.findall(prefix)):
        return False
    if record := _KMSG.search(prefix):
        return int(record[1]) >> 3 == 0
    if any(int(level) >> 3 for level in _LEVEL.findall(prefix)) or _OTHERS_FACILITY.search(prefix):
        return False
    if (match := _PLAIN_TAG.search(prefix)) and match[1].lower() not in _KERNEL_NAMES | _LEVEL_NAMES:
        return None
    return None if prefix.rstrip()[-1:] in (";", ",", "=") or not _is_closed(prefix) else True


_PID_TAG = late_pattern(r"([A-Za-z0-9_][\w./@-]*)\[\d+\]:")
_PLAIN_TAG = late_pattern(r"\d:\d\d\S* +(?:\S+ +)?([a-z][\w-]*):\s*(?:$|\[)")
_OTHERS_FACILITY = late_pattern(
    r"\b(?:user(?! *\.\w+ kernel:)|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local\d) *[.:] *(?:emerg|alert|crit|err|warn|notice|info|debug)"
)
_OTHERS_TRANSPORT = late_pattern(r"""_TRANSPORT\\?["']? *[:=] *\\?["']?(?!kernel)[a-z]""")
_KERNELS_TRANSPORT = late_pattern(r"""_TRANSPORT\\?["']? *[:=] *\\?["']?kernel""")
_LEVEL_NAMES = {"emerg", "alert", "crit", "err", "error", "warn", "warning", "notice", "info", "debug"}


def _is_closed(prefix: str) -> bool:
    """Whether no bracket is closed that was not opened: else the line's beginning is gone."""
    for begin, end in ("[]", "()", "{}"):
        depth = 0
        for mark in prefix:
            depth += (mark == begin) - (mark == end)
            if depth < 0:
                return False
    return True


_TOKEN = late_pattern(r"([\w.,+@/\\-]+)|(\s+)|(.)", re.DOTALL)


def _pattern_of(text: str) -> str:
    """The same marks, with any words and numbers between."""
    return "".join(
        (r"\d+" if word.isdecimal() else r"[\w.,+@/\\-]+") if word else r"\s+" if blanks else re.escape(mark)
        for word, blanks, mark in _TOKEN.findall(text)
    )


class PrefixPattern:
    """What the prefixes of a log look like: the same marks, with any words between."""

    def __init__(self, prefix: str) -> None:
        self.pattern = _pattern_of(prefix)
        self._match = re.compile(self.pattern).match

    @classmethod
    def from_prefix(cls, prefix: str) -> PrefixPattern | None:
        """None where any line would have it: words without marks tell nothing."""
        tokens = _TOKEN.findall(prefix)
        has_marks = any(mark for _, _, mark in tokens) or (bool(tokens) and tokens[0][0].isdecimal())
        if len(prefix) > _LONGEST_PREFIX or not has_marks:
            return None
        return cls(prefix)

    def match_end(self, raw: str) -> int:
        """Where the prefix of a line ends; 0 where the line does not match."""
        match = self._match(raw)
        return match.end() if match else 0


def longest(patterns: Iterable[PrefixPattern], raw: str) -> int:
    """Where the longest of such prefixes ends."""
    return max((pattern.match_end(raw) for pattern in patterns), default=0)


_STAMP_LIKE = late_pattern(r"\d\d:\d\d:\d\d|\[ *\d+\.\d{3}|\d\.\d{6}")


def is_comm(comm: str | None) -> bool:
    """Whether a task may be called so: the kernel keeps 15 bytes."""
    if comm is None:
        return True
    return len(comm.encode("utf-8", "surrogateescape")) <= _LONGEST_COMM and not _STAMP_LIKE.search(comm)


def has_prefix_in_comm(comm: str | None, line: LogLine) -> bool:
    """Whether what stands before the words is no name, but a name with a part of a prefix before it."""
    return comm is not None and (line.uptime_s is None or _STAMP_LIKE.search(comm) is not None)


_BEFORE_COMM = late_pattern(r"\] ?|> ?|: +|\| ?|\t|  +|\"|\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)? +")
_NO_COMM = late_pattern(r"[:\"'|>}\])]|[^ ]*[\"}]|\d+[:.)] |kern(?:el)?:|.*\t")


def is_plausible_comm(comm: str | None, line: LogLine) -> bool:
    """The same of a line, which may have a short prefix that nobody knows: a number, a quote."""
    return is_comm(comm) and not (line.is_bare and comm is not None and _NO_COMM.match(comm))


def split_head(text: str) -> tuple[str, str] | None:
    """Prefix and text of a report's head behind a prefix that no other line explains; None when it is none.

    The name before the words may hold blanks and colons: it is the longest that a task can have, behind the last mark.
    """
    place = text.rfind(_INVOKED, 0, _SEARCHED)
    if place < 0:
        return None
    ends = [match.end() for match in _BEFORE_COMM.finditer(text, 0, place)]
    closed = [end for end in ends if text[end - 1 : end] in "]>" or text[end - 2 : end] in ("] ", "> ")]
    first = closed[-1] if closed else 0
    for end in (first, *(end for end in ends if end > first)):
        comm = text[end:place]
        if comm and comm == comm.strip() and is_comm(comm) and not _NO_COMM.match(comm):
            return text[:end], text[end:]
    return text[:place], text[place + len(" invoked ") :]
