"""What stands before the kernel's own text in a line: stamps, hosts, tags, levels, quotes; peeled off layer by layer.

Nothing here knows of OOM. A layer that is not recognised ends the peeling, so the text is never cut into.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .fields import decode, message_of, take_fields
from .kmsg import unescape
from .late_pattern import late_pattern
from .logline import LogLine
from .wall_clock import calendar_seconds, iso_seconds, yearless_seconds

_KERNEL_TAGS = {"kernel", "klogd", "vmunix", "KERNEL"}
# BusyBox's klogd asks openlog() for LOG_KERN, which is 0. musl takes that as it is; glibc and uClibc take it for no facility, and log
# as user. Like the tag, that proves nothing of who wrote the line.
_KERNEL_FACILITIES = {None, "kern", "user"}
# socklog prints facility and level where others print a tag.
_KERNEL_FACILITY_TAG = late_pattern(r"kern\.(?:emerg|alert|crit|err(?:or)?|warn(?:ing)?|notice|info|debug)")
_KERNEL_WORDS = {"oom_reaper", "oom-kill", "Mem-Info"}  # text of the kernel that looks like a tag
_TAG = r"(?:(?P<facility>[a-z]+\d?)\.[a-z]+ )?(?P<tag>[^\s:\[]+)(?:\[\d+\])?:(?:[ \t]|$)"
_HOST = r"(?P<host>(?!\[\d+\.\d+\])[^\s{}\"=]*[^\s:{}\"=])"

_SGR = late_pattern(r"(?:\x1b\[[\d;:]*[mK])+")
_RESET = "\x1b[0m"
_QUOTE_MARK = r"(?:[>|]|&gt;)"  # the entity: source text of a page
_QUOTE = late_pattern(rf"{_QUOTE_MARK}(?:(?:{_QUOTE_MARK}| )*{_QUOTE_MARK})? ?")
# Mailers and pastes put a tab in place of the blanks before a number, or of the one behind a bracket.
_PRINTK = late_pattern(r"\[[ \t]*(\d{1,12}\.\d{1,9})(?:[@,/]\d+)?(?: *<[ \d.]+>)?\](?: ?\[[ \t]*([TC]\d+)\])?[ \t]?")
# journalctl; a line without a host only where a pid tells that it is a tag, as a task may be called "kernel: x"
_MONOTONIC_HOST = late_pattern(rf"(?:{_HOST} (?P<tag>kernel)|(?:\S*[^\s:] )?(?P<other>[^\s:\[]+)\[\d+\]):(?: |$)")
_CALLER = late_pattern(r"\[[ \t]*([TC]\d+)\][ \t]?")
_FIRST_CALLER = late_pattern(
    r"\[(?=[ \t]|.{6})[ \t]*([TC]\d+)\] "
)  # dmesg -t since util-linux 2.40; padded as printk does
_DELTA = r"(?: *<[ \d.]+>)?"  # dmesg -d
_CTIME = late_pattern(rf"\[\S+ +(\S+) +(\d{{1,2}}) (\d\d):(\d\d):(\d\d)(?:[.,]\d+)? (\d{{4}}){_DELTA}\][ \t]?")
_CTIME_DAY_FIRST = late_pattern(
    rf"\[\S+ +(\d{{1,2}})\.? +(\S+) (\d\d):(\d\d):(\d\d)(?:[.,]\d+)? (\d{{4}}){_DELTA}\][ \t]?"
)
# %b of any locale, some of which begin with the number of the month
_MONTH = r"(?:[^\W\d_]{2,10}\.?|\d{1,2}[月월])"
_RELTIME = late_pattern(rf"\[(?:({_MONTH}) ?(\d\d) (\d\d):(\d\d)|  *\+ *\d+\.\d+|< *\d+\.\d+>)\][ \t]?")
_SYSLOG = late_pattern(rf"({_MONTH}) +(\d{{1,2}})[日일]? (\d\d):(\d\d):(\d\d)(?:\.\d+)? (?:{_HOST} )?{_TAG}")
# What rsyslog writes of the kernel, by far the most common.
_KERNEL_SYSLOG = late_pattern(
    r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S*[^\s:]) kernel: "
    r"(?:\[[ \t]*(\d{1,12}\.\d{1,9})\](?: ?\[[ \t]*([TC]\d+)\])?[ \t]?)?"
)
# Texts that no prefix begins like: where one begins a line, the line has none.
_KERNEL_TEXT = late_pattern(
    r"Memory cgroup |Killed process |Out of memory: |Out of memory \(|oom-kill:constraint=|oom_reaper: |Tasks in |CPU: \d|"
    r"Task in "
)
_SHORT_FULL = late_pattern(r"[^\W\d_]+\.? (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) \S+ ")
_FACILITY = late_pattern(
    r"(kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|res\d*|local\d) *:"
    r"(?:emerg|alert|crit|err|warn|notice|info|debug) *: ?"
)
# netconsole's extended form may have the kernel's release before it
_KMSG = late_pattern(r"(?:\d+\.\d+\.\d+[^\s,;]*,)?(\d{1,9}),(\d{1,18}),(\d{1,18}),[^,;]*(?:,([^;]*))?;")
_ISO = late_pattern(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)[ \t]+")
_CRI = late_pattern(r"std(?:out|err) ([FP]) ")
_HOST_TAG = late_pattern(rf"{_HOST} {_TAG}")
_NO_HOST_TAG = late_pattern(r"(?:kernel|(?P<other>[^\s:\[]+)\[\d+\]):(?: (?! *invoked oom-killer)|$)")
_UNIX = late_pattern(r"(\d{9,11}\.\d+) ")
_RFC5424 = late_pattern(
    r'1 (\S+) (\S+) (\S+) \S+ \S+ (?:-|(?:\[[^\]"]*(?:"(?:[^"\\]|\\.)*"[^\]"]*)*\])+)(?: |$)(?:\ufeff|\xef\xbb\xbf)?'
)
_PRI = late_pattern(r"<(\d{1,3})>")
_PRI_BEFORE_STAMP = late_pattern(r"<(\d{1,3})> ?(?=\[[ \t]*\d+\.\d)")
_DROPPED = late_pattern(r"\*\* (\d{1,9}) printk messages? dropped \*\*\s*")
_GREP = late_pattern(r"(?:[^\s:\[<>{]+:)?(?:\d+[:-])?(?=[A-Z\[<{\d])")
_BARE_TAG = late_pattern(r"kernel: ?")
_EVENT = "data: "  # of a stream of server-sent events: journalctl -o json-sse

_NO_BREAK = "\xa0"  # mailers and editors put it in place of one of two blanks
_LONGEST_PREFIX = 40  # of those that such a blank was seen in
_JUNK = frozenset("\0\ufeff\x1e")
_MORE_PREFIX = frozenset("*{>|\x1b")  # what may begin another prefix behind a kernel's stamp
_MORE_OR_STAMP = _MORE_PREFIX | {"[", "<"}
_LAYERS = 8  # deeper than any real log; a bound for hostile ones


def peel(raw: str, after_grep: bool = False) -> LogLine:
    """The line without its prefixes; what they said is in the fields. `after_grep`: grep's own prefix is off already."""
    if raw[:1] in _JUNK:
        # zeros that a crash left before the first line of the next boot; a byte order mark; the mark of a JSON record
        raw = raw.lstrip("\0\ufeff\x1e")
    line = LogLine(raw)
    text = raw.rstrip("\r\n") if raw[-1:] in ("\r", "\n") else raw
    if stamped := _PRINTK.match(text):  # most lines of most logs: worth a short way
        short = text[stamped.end() :]
        if short[:1] not in _MORE_PREFIX and "]: " not in short and " kernel: " not in short:
            line.text, line.uptime_s, line.caller, line.is_bare = short, float(stamped[1]), stamped[2] or "", False
            return line
    elif plain := _KERNEL_SYSLOG.match(text):
        uptime = plain[7]
        line.wall_s, line.wall_is_yearless = yearless_seconds(*plain.groups()[:5]), True
        line.host, line.is_bare = plain[6], False
        if uptime is not None or text[plain.end() : plain.end() + 1] not in _MORE_OR_STAMP:
            line.text = text[plain.end() :]
            line.uptime_s = None if uptime is None else float(uptime)
            line.caller = plain[8] or ""
            return line
        text = text[plain.end() :]
    elif _KERNEL_TEXT.match(text):
        line.text = text
        return line
    for _ in range(_LAYERS):
        rest = _peel_layer(text, line)
        if rest is None:
            break
        text = rest
    if line.is_bare:
        text = text.lstrip(" \t")
        grep = None if after_grep else _GREP.match(text)
        if grep and grep.end():
            inner = peel(text[grep.end() :], after_grep=True)
            if not inner.is_bare:
                return inner
        if _NO_BREAK in raw[:_LONGEST_PREFIX]:
            inner = peel(raw[:_LONGEST_PREFIX].replace(_NO_BREAK, " ") + raw[_LONGEST_PREFIX:])
            if not inner.is_bare:
                return inner
    line.text = text
    return line


def _peel_layer(text: str, line: LogLine) -> str | None:
    """The text without its outermost prefix, or None when there is none."""
    first = text[:1]
    if first in (" ", "\t") and line.is_bare:
        return text.lstrip(" \t") or None
    handler = _BY_FIRST.get(first)
    if handler is None:
        handler = _peel_digit if "0" <= first <= "9" else _peel_word if first.isalpha() else None
    return handler(text, line) if handler else None


def _peel_quote(text: str, line: LogLine) -> str | None:
    if not line.is_bare and not (line.is_coloured and line.time_s is None):
        return None
    match = _QUOTE.match(text)
    return text[match.end() :] if match else None


def _peel_colour(text: str, line: LogLine) -> str | None:
    # dmesg colours the stamp or what stands behind the facility, journalctl the whole text; elsewhere it is the text's own
    is_ours = line.is_bare or line.time_s is None or text.endswith(_RESET)
    match = _SGR.match(text) if is_ours and not line.is_coloured else None
    if not match:
        return None
    line.is_coloured = True
    return _SGR.sub("", text)


def _peel_bracket(text: str, line: LogLine) -> str | None:
    if line.uptime_s is not None:
        return None  # a name in brackets
    match = _PRINTK.match(text)
    if match:
        line.uptime_s, line.is_bare = float(match[1]), False
        line.caller = match[2] or line.caller
        rest = text[match.end() :]
        if tagged := _MONOTONIC_HOST.match(rest):
            line.host, line.is_kernel = tagged["host"] or "", line.is_kernel and tagged["tag"] is not None
            line.tag = tagged["other"] or ""
            return rest[tagged.end() :]
        return rest
    match = None if line.caller else (_FIRST_CALLER if line.is_bare else _CALLER).match(text)
    if match:
        line.caller, line.is_bare = match[1], False
        return text[match.end() :]
    if match := _CTIME.match(text):
        line.wall_s = calendar_seconds(int(match[6]), match[1], *match.groups()[1:5])
    elif match := _CTIME_DAY_FIRST.match(text):
        line.wall_s = calendar_seconds(int(match[6]), match[2], match[1], *match.groups()[2:5])
    elif match := _RELTIME.match(text):
        if match[1]:
            line.wall_s = yearless_seconds(match[1], match[2], match[3], match[4], "00")
            line.wall_is_yearless = True
    else:
        return None
    line.is_bare = False
    return text[match.end() :]


def _peel_angle(text: str, line: LogLine) -> str | None:
    """A level: at the line's beginning, or before a stamp; behind the stamp stands the text, whatever it looks like."""
    if line.uptime_s is not None:
        return None
    match = (_PRI if line.is_bare else _PRI_BEFORE_STAMP).match(text)
    if not match:
        return None
    line.is_bare = False
    line.is_kernel = line.is_kernel and int(match[1]) >> 3 == 0
    rest = text[match.end() :]
    if rest.startswith("1 ") and (header := _RFC5424.match(rest)):
        line.wall_s = iso_seconds(header[1])
        line.host = header[2]
        line.is_kernel = line.is_kernel and (header[3] in _KERNEL_TAGS or header[3] == "-")
        rest = rest[header.end() :]
    return rest


def _peel_star(text: str, line: LogLine) -> str | None:
    match = _DROPPED.match(text)
    if not match:
        return None
    line.dropped += int(match[1])
    return text[match.end() :]


def _peel_digit(text: str, line: LogLine) -> str | None:
    if match := _KMSG.match(text):
        if line.uptime_s is not None:
            return None
        line.is_bare = False
        line.is_kernel = line.is_kernel and int(match[1]) >> 3 == 0
        line.sequence, line.uptime_s = int(match[2]), int(match[3]) / 1e6
        if match[4] and match[4].startswith("caller="):
            line.caller = match[4].removeprefix("caller=")
        return unescape(text[match.end() :])
    if line.uptime_s is not None:
        return None
    if match := _ISO.match(text):
        line.wall_s, line.is_bare = iso_seconds(match[1]), False
        rest = text[match.end() :]
        if cri := _CRI.match(rest):
            line.is_partial = cri[1] == "P"
            # What a container printed has stamps of its own, if any; this one is the runtime's.
            return rest[cri.end() :]
        tagged = _peel_tag(rest, line)
        return rest if tagged is None else tagged
    if (match := _UNIX.match(text)) and (tagged := _peel_tag(text[match.end() :], line)) is not None:
        line.wall_s = float(match[1])
        return tagged
    return _peel_syslog(text, line)


def _peel_tag(text: str, line: LogLine) -> str | None:
    """Host and tag, or journalctl's tag alone: that of the kernel, or one with a pid."""
    if match := _NO_HOST_TAG.match(text):
        line.is_bare, line.is_kernel = False, line.is_kernel and match["other"] is None
        line.tag = match["other"] or ""
        return text[match.end() :]
    match = _HOST_TAG.match(text)
    return _take_tag(text, match, line) if match else None


def _peel_syslog(text: str, line: LogLine) -> str | None:
    match = _SYSLOG.match(text) if line.wall_s is None else None
    if not match:
        return None
    line.wall_s, line.wall_is_yearless = yearless_seconds(*match.groups()[:5]), True
    return _take_tag(text, match, line)


def _take_tag(text: str, match: re.Match[str], line: LogLine) -> str:
    """Host and tag of syslog and journald. The tag says whether the kernel speaks."""
    line.is_bare = False
    line.host = match["host"] or line.host
    if match["tag"] in _KERNEL_WORDS:
        return text[match.start("tag") :]
    line.tag = match["tag"]
    line.is_kernel = line.is_kernel and (
        (match["tag"] in _KERNEL_TAGS and match["facility"] in _KERNEL_FACILITIES)
        or _KERNEL_FACILITY_TAG.fullmatch(match["tag"]) is not None
    )
    return text[match.end() :]


def _peel_word(text: str, line: LogLine) -> str | None:
    if line.uptime_s is not None:
        return None
    if line.is_bare and text.startswith(_EVENT):
        return text.removeprefix(_EVENT)
    if match := _FACILITY.match(text):
        line.is_bare = False
        line.is_kernel = line.is_kernel and match[1] == "kern"
        return text[match.end() :]
    if line.wall_s is None:
        if (rest := _peel_syslog(text, line)) is not None:
            return rest
        if (match := _SHORT_FULL.match(text)) and (tagged := _peel_tag(text[match.end() :], line)) is not None:
            line.wall_s = iso_seconds(match[1])
            return tagged
    if line.is_bare and (match := _BARE_TAG.match(text)):
        line.is_bare = False
        return text[match.end() :]
    return None


def _peel_json(text: str, line: LogLine) -> str | None:
    if not line.is_bare:
        return None
    found = decode(text)
    got = message_of(found) if isinstance(found, dict) else None
    if got is None:
        return None
    line.is_bare = False
    message, fields = got
    take_fields(fields, line)
    return message.rstrip("\n")


_BY_FIRST: dict[str, Callable[[str, LogLine], str | None]] = {
    "[": _peel_bracket,
    "<": _peel_angle,
    "*": _peel_star,
    "{": _peel_json,
    ">": _peel_quote,
    "|": _peel_quote,
    "&": _peel_quote,
    "\x1b": _peel_colour,
}
