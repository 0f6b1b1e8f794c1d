"""What stands before the kernel's own text in a line: stamps, hosts, tags, levels, quotes; peeled off layer by layer.

Nothing here knows of OOM. A layer that is not recognised ends the peeling, so the text is never cut into.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from harness.oomlog.kmsg import unescape
from harness.oomlog.wall import LAST_SECOND, calendar_seconds, iso_seconds, seconds_of_year

UPTIME, WALL, YEARLESS = "uptime", "wall", "yearless"


class LogLine(msgspec.Struct, gc=False):
    """A line of a log without its prefixes."""

    text: str
    uptime_s: float | None = None  # the kernel's own stamp
    wall_s: float | None = None  # since 1970, or since 1 January when wall_is_yearless
    wall_is_yearless: bool = False
    caller: str = ""  # "T123" or "C1" with CONFIG_PRINTK_CALLER (5.1 and later)
    host: str = ""
    is_kernel: bool = True  # False where a facility or tag says that user space wrote it
    boot_id: str = ""  # journald's _BOOT_ID
    sequence: int | None = None  # of /dev/kmsg
    dropped: int = 0  # records that printk says it dropped before this one
    is_bare: bool = True  # no prefix at all: perhaps the rest of the line before
    is_coloured: bool = False  # dmesg --color
    is_partial: bool = False  # a container runtime cut the line here (CRI tag P)

    @property
    def time_s(self) -> float | None:
        return self.wall_s if self.uptime_s is None else self.uptime_s

    @property
    def clock(self) -> str:
        """Which clock `time_s` is of: uptime, wall, yearless, or nothing."""
        if self.uptime_s is not None:
            return UPTIME
        if self.wall_s is None:
            return ""
        return YEARLESS if self.wall_is_yearless else WALL


_KERNEL_TAGS = {"kernel", "klogd", "vmunix", "KERNEL"}
_KERNEL_WORDS = {"oom_reaper", "oom-kill", "Mem-Info"}  # text of the kernel that looks like a tag
_TAG = r"(?:(?P<facility>[a-z]+\d?)\.[a-z]+ )?(?P<tag>[^\s:\[]+)(?:\[\d+\])?:(?:[ \t]|$)"
_HOST = r"(?P<host>\S*[^\s:])"

_SGR = re.compile(r"(?:\x1b\[[\d;]*m)+")
_QUOTE_MARK = r"(?:[>|]|&gt;)"  # the entity: source text of a page
_QUOTE = re.compile(rf"{_QUOTE_MARK}(?:(?:{_QUOTE_MARK}| )*{_QUOTE_MARK})? ?")
# Mailers and pastes put a tab in place of the blanks before a number, or of the one behind a bracket.
_PRINTK = re.compile(r"\[[ \t]*(\d{1,12}\.\d{1,9})(?:[@,/]\d+)?(?: *<[ \d.]+>)?\](?:\[[ \t]*([TC]\d+)\])?[ \t]?")
_MONOTONIC_HOST = re.compile(rf"{_HOST} (?:(?P<tag>kernel)|(?P<other>[^\s:\[]+)\[\d+\]):(?: |$)")
_CALLER = re.compile(r"\[[ \t]*([TC]\d+)\][ \t]?")
_CTIME = re.compile(r"\[\S+ +(\S+) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:[.,]\d+)? (\d{4})\][ \t]?")
_CTIME_DAY_FIRST = re.compile(r"\[\S+ +(\d{1,2})\.? +(\S+) (\d\d):(\d\d):(\d\d)(?:[.,]\d+)? (\d{4})\][ \t]?")
_RELTIME = re.compile(r"\[(?:([A-Z][a-z]{2})(\d\d) (\d\d):(\d\d)|  *\+ *\d+\.\d+)\][ \t]?")
_SYSLOG = re.compile(rf"([A-Z][a-z]{{2}}) +(\d{{1,2}}) (\d\d):(\d\d):(\d\d)(?:\.\d+)? (?:{_HOST} )?{_TAG}")
# What rsyslog writes of the kernel, by far the most common.
_KERNEL_SYSLOG = re.compile(
    r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S*[^\s:]) kernel: "
    r"(?:\[[ \t]*(\d{1,12}\.\d{1,9})\](?:\[[ \t]*([TC]\d+)\])?[ \t]?)?"
)
# Texts that no prefix begins like: where one begins a line, the line has none.
_KERNEL_TEXT = re.compile(
    r"Memory cgroup |Killed process |Out of memory: |Out of memory \(|oom-kill:constraint=|oom_reaper: |Tasks in |CPU: \d|"
    r"Task in "
)
_SHORT_FULL = re.compile(rf"[A-Z][a-z]{{2}} (\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) \S+ {_HOST} {_TAG}")
_FACILITY = re.compile(
    r"(kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|res\d*|local\d) *:"
    r"(?:emerg|alert|crit|err|warn|notice|info|debug) *: ?"
)
_KMSG = re.compile(r"(\d{1,9}),(\d{1,18}),(\d{1,18}),[^,;]*(?:,([^;]*))?;")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)[ \t]+")
_CRI = re.compile(r"std(?:out|err) ([FP]) ")
_HOST_TAG = re.compile(rf"{_HOST} {_TAG}")
_UNIX = re.compile(rf"(\d{{9,11}}\.\d+) {_HOST} {_TAG}")
_RFC5424 = re.compile(
    r'1 (\S+) (\S+) (\S+) \S+ \S+ (?:-|(?:\[[^\]"]*(?:"(?:[^"\\]|\\.)*"[^\]"]*)*\])+)(?: |$)(?:\ufeff|\xef\xbb\xbf)?'
)
_PRI = re.compile(r"<(\d{1,3})>")
_PRI_BEFORE_STAMP = re.compile(r"<(\d{1,3})>(?=\[[ \t]*\d+\.\d)")
_DROPPED = re.compile(r"\*\* (\d{1,9}) printk messages? dropped \*\*\s*")
_GREP = re.compile(r"(?:[^\s:\[<>{]+:)?(?:\d+[:-])?(?=[A-Z\[<{\d])")
_BARE_TAG = re.compile(r"kernel: ?")

_NO_BREAK = "\xa0"  # mailers and editors put it in place of one of two blanks
_LONGEST_PREFIX = 40  # of those that such a blank was seen in
_JUNK = frozenset("\0\ufeff")
_MORE_PREFIX = frozenset("*{>|\x1b")  # what may begin another prefix behind a kernel's stamp
_MORE_OR_STAMP = _MORE_PREFIX | {"[", "<"}
_DIGITS = 18  # of a number that fits 64 bits
_LAYERS = 8  # deeper than any real log; a bound for hostile ones


def peel(raw: str, after_grep: bool = False) -> LogLine:
    """The line without its prefixes; what they said is in the fields. `after_grep`: grep's own prefix is off already."""
    if raw[:1] in _JUNK:
        raw = raw.lstrip(
            "\0\ufeff"
        )  # zeros that a crash left before the first line of the next boot; a byte order mark
    line = LogLine(raw)
    text = raw.rstrip("\r\n") if raw[-1:] in ("\r", "\n") else raw
    if stamped := _PRINTK.match(text):  # most lines of most logs: worth a short way
        short = text[stamped.end() :]
        if short[:1] not in _MORE_PREFIX and "]: " not in short and " kernel: " not in short:
            line.text, line.uptime_s, line.caller, line.is_bare = short, float(stamped[1]), stamped[2] or "", False
            return line
    elif plain := _KERNEL_SYSLOG.match(text):
        uptime = plain[7]
        line.wall_s, line.wall_is_yearless = seconds_of_year(*plain.groups()[:5]), True
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
    match = _SGR.match(text) if line.is_bare else None  # elsewhere it is the text's own
    if not match:
        return None
    line.is_bare, line.is_coloured = False, True
    return text[match.end() :].removesuffix("\x1b[0m")


def _peel_bracket(text: str, line: LogLine) -> str | None:
    if line.uptime_s is not None:
        return None  # a name in brackets
    match = _PRINTK.match(text)
    if match:
        line.uptime_s, line.is_bare = float(match[1]), False
        line.caller = match[2] or line.caller
        rest = text[match.end() :]
        if tagged := _MONOTONIC_HOST.match(rest):
            line.host, line.is_kernel = tagged["host"], line.is_kernel and tagged["tag"] is not None
            return rest[tagged.end() :]
        return _SGR.sub("", rest, count=2) if line.is_coloured else rest
    if line.wall_s is not None:
        match = None if line.caller else _CALLER.match(text)
        if match:
            line.caller = match[1]
            return text[match.end() :]
    if match := _CTIME.match(text):
        line.wall_s = calendar_seconds(int(match[6]), match[1], *match.groups()[1:5])
    elif match := _CTIME_DAY_FIRST.match(text):
        line.wall_s = calendar_seconds(int(match[6]), match[2], match[1], *match.groups()[2:5])
    elif match := _RELTIME.match(text):
        if match[1]:
            line.wall_s = seconds_of_year(match[1], match[2], match[3], match[4], "00")
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
    if line.wall_s is not None or line.uptime_s is not None:
        return None
    if match := _ISO.match(text):
        line.wall_s, line.is_bare = iso_seconds(match[1]), False
        rest = text[match.end() :]
        if cri := _CRI.match(rest):
            line.is_partial = cri[1] == "P"
            # What a container printed has stamps of its own, if any; this one is the runtime's.
            return rest[cri.end() :]
        if tagged := _HOST_TAG.match(rest):
            return _take_tag(rest, tagged, line)
        return rest
    if match := _UNIX.match(text):
        line.wall_s = float(match[1])
        return _take_tag(text, match, line)
    return None


def _take_tag(text: str, match: re.Match[str], line: LogLine) -> str:
    """Host and tag of syslog and journald. The tag says whether the kernel speaks."""
    line.is_bare = False
    line.host = match["host"] or line.host
    if match["tag"] in _KERNEL_WORDS:
        return text[match.start("tag") :]
    facility = match["facility"]
    # busybox's klogd writes kern.LEVEL; user space may use any tag, but not that facility
    line.is_kernel = line.is_kernel and match["tag"] in _KERNEL_TAGS and facility in (None, "kern")
    return text[match.end() :]


def _peel_word(text: str, line: LogLine) -> str | None:
    if line.uptime_s is not None:
        return None
    if match := _FACILITY.match(text):
        line.is_bare = False
        line.is_kernel = line.is_kernel and match[1] == "kern"
        return text[match.end() :]
    if line.wall_s is None:
        if match := _SYSLOG.match(text):
            line.wall_s, line.wall_is_yearless = seconds_of_year(*match.groups()[:5]), True
            return _take_tag(text, match, line)
        if match := _SHORT_FULL.match(text):
            line.wall_s = iso_seconds(match[1])
            return _take_tag(text, match, line)
    if line.is_bare and (match := _BARE_TAG.match(text)):
        line.is_bare = False
        return text[match.end() :]
    return None


# Where a program that ships logs puts the text, best first.
_MESSAGE_KEYS = ("MESSAGE", "log", "message", "msg", "textPayload")


def _peel_json(text: str, line: LogLine) -> str | None:
    if not line.is_bare:
        return None
    try:
        found = msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if isinstance(found, dict) and isinstance(found.get("jsonPayload"), dict):
        found = found["jsonPayload"]
    message = (
        next((m for key in _MESSAGE_KEYS if (m := _as_text(found.get(key))) is not None), None)
        if isinstance(found, dict)
        else None
    )
    if message is None:
        return None
    line.is_bare = False
    _take_journal_fields(found, line)
    if line.wall_s is None and isinstance(stamp := found.get("time") or found.get("@timestamp"), str):
        line.wall_s = iso_seconds(stamp)
    return message.rstrip("\n")


def _as_text(value: object) -> str | None:
    """journald gives a message that is no UTF-8 as a list of bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
        return bytes(value).decode("utf-8", "surrogateescape")
    return None


def _number(fields: dict[str, Any], key: str) -> int | None:
    value = fields.get(key)
    text = str(value) if isinstance(value, (str, int)) else ""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def _take_journal_fields(fields: dict[str, Any], line: LogLine) -> None:
    if "_TRANSPORT" in fields:
        line.is_kernel = fields["_TRANSPORT"] == "kernel" and _number(fields, "SYSLOG_FACILITY") in (None, 0)
    elif "SYSLOG_IDENTIFIER" in fields:
        line.is_kernel = str(fields["SYSLOG_IDENTIFIER"]) in _KERNEL_TAGS
    if (uptime_us := _number(fields, "_SOURCE_MONOTONIC_TIMESTAMP")) is not None:
        line.uptime_s = uptime_us / 1e6
    if (wall_us := _number(fields, "__REALTIME_TIMESTAMP")) is not None and wall_us < LAST_SECOND * 1e6:
        line.wall_s = wall_us / 1e6
    for key, name in (("_HOSTNAME", "host"), ("_BOOT_ID", "boot_id")):
        if isinstance(value := fields.get(key), str):
            setattr(line, name, value)


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
