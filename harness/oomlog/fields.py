"""Records with named fields, as journald and programs that ship logs write them: the message, and what the others say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from .late_pattern import late_pattern
from .logline import LogLine
from .wall_clock import LAST_SECOND, iso_seconds

# Where programs put the text, best first. Keys are looked for in capitals and small letters.
_MESSAGE_KEYS = ("message", "log", "msg", "@message", "textpayload", "line", "text", "full_message", "_raw", "raw", "content", "body")  # fmt: skip
_TIME_KEYS = (
    "time", "@timestamp", "timestamp", "ts", "date", "eventtime", "lasttimestamp", "firsttimestamp", "ingestiontime", "@ingestiontime",
)  # fmt: skip
_HOST_KEYS = ("_HOSTNAME", "hostname", "host")
_KERNEL_TAGS = {"kernel", "klogd", "vmunix", "KERNEL"}
_DIGITS = 18  # of a number that fits 64 bits
_DEEPEST = 24
_MOST = 100_000  # strings of one document


def decode(text: str) -> Any:
    """A JSON value; None when it is none."""
    try:
        return msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def message_of(found: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The text of a record, and the fields beside it; in records of other programs it may lie deeper."""
    queue: list[tuple[dict[str, Any], int]] = [(found, 0)]
    while queue:
        fields, depth = queue.pop(0)
        by_name = {key.lower(): value for key, value in fields.items() if isinstance(key, str)}
        for key in _MESSAGE_KEYS:
            if (text := as_text(by_name.get(key))) is not None:
                return text, {**found, **fields}
        if depth < _DEEPEST and len(queue) < _DEEPEST:
            queue.extend((value, depth + 1) for value in fields.values() if isinstance(value, dict))
    return None


def texts_of(found: Any, fields: dict[str, Any] | None = None, depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """All strings of a document, each with the fields of the object that it stands in, in order."""
    if isinstance(found, str):
        yield found, fields or {}
    elif depth > _DEEPEST:
        return
    elif isinstance(found, dict):
        by_name = {key.lower(): value for key, value in found.items() if isinstance(key, str)}
        if message := next((text for key in _MESSAGE_KEYS if (text := as_text(by_name.get(key))) is not None), None):
            yield message, found  # whatever else the record holds is about it, or a copy
            return
        for value in found.values():
            yield from texts_of(value, found, depth + 1)
    elif isinstance(found, list):
        # Loki has pairs of a time and a line
        beside = {"ts": found[0]} if len(found) == 2 and isinstance(found[0], str) else fields
        for value in found:
            yield from texts_of(value, beside, depth + 1)


def as_text(value: object) -> str | None:
    """journald gives a message that is no UTF-8 as a list of bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(type(byte) is int and 0 <= byte < 256 for byte in value):
        return bytes(value).decode("utf-8", "surrogateescape")
    return None


def _number(fields: dict[str, Any], key: str) -> int | None:
    value = fields.get(key)
    text = str(value) if isinstance(value, (str, int)) else ""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def take_fields(fields: dict[str, Any], line: LogLine) -> None:
    """What the fields beside a message say of it: who wrote it, where and when."""
    if isinstance(tag := fields.get("SYSLOG_IDENTIFIER"), str):
        line.tag = tag
    if "_TRANSPORT" in fields:
        line.is_kernel = fields["_TRANSPORT"] == "kernel" and _number(fields, "SYSLOG_FACILITY") in (None, 0)
    elif "SYSLOG_IDENTIFIER" in fields:
        line.is_kernel = str(fields["SYSLOG_IDENTIFIER"]) in _KERNEL_TAGS
    elif fields.get("fac", "kern") not in ("kern", 0):  # dmesg --json --decode
        line.is_kernel = False
    if (uptime_us := _number(fields, "_SOURCE_MONOTONIC_TIMESTAMP")) is not None:
        line.uptime_s = uptime_us / 1e6
    elif "pri" in fields and isinstance(uptime := fields.get("time"), float) and 0 <= uptime < LAST_SECOND:
        line.uptime_s = uptime  # dmesg --json
    if (wall_us := _number(fields, "__REALTIME_TIMESTAMP")) is not None and wall_us < LAST_SECOND * 1e6:
        line.wall_s = wall_us / 1e6
    elif line.wall_s is None:
        line.wall_s = _time_of(fields)
    line.host = next((value for key in _HOST_KEYS if isinstance(value := fields.get(key), str)), line.host)
    if isinstance(value := fields.get("_BOOT_ID"), str):
        line.boot_id = value


def _time_of(fields: dict[str, Any]) -> float | None:
    by_name = {key.lower(): value for key, value in fields.items() if isinstance(key, str)}
    for key in _TIME_KEYS:
        value = by_name.get(key)
        if isinstance(value, str) and not value.isdecimal():
            if (seconds := iso_seconds(value)) is not None:
                return seconds
        elif (number := _number(by_name, key)) is not None and number > 10**9:
            while number > LAST_SECOND // 10:  # milliseconds, microseconds or nanoseconds
                number = number / 1000  # type: ignore[assignment]
            return float(number)
    return None


# Records of several lines: journalctl -o verbose and export, JSON that is spread over lines.

_FIELD = late_pattern(r"\s*([A-Z_][A-Z0-9_]{0,63})=(.*)", re.DOTALL)
# Possessive where two could share a run of spaces: matching takes time that grows with the line, not with its square.
_MEMBER = late_pattern(r'\s*+,?+\s*+\{?+\s*+"((?:[^"\\]|\\.){1,80})"\s*+:\s*+', re.DOTALL)  # up to its value
_ELEMENT = late_pattern(r'\s*+,?+\s*+\[?+\s*+"((?:[^"\\]|\\.)*)"\s*+[}\]]*+\s*+,?+\s*+$', re.DOTALL)
_SGR = late_pattern(r"\x1b\[[\d;:]*[mK]")
_FAR_LINES = 80  # of one record
_VERBOSE = late_pattern(
    r"[^\W\d_]+\.? (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) \S+ \[s=[^\]]*?(?:b=([0-9a-f]{32}))?[;\]]"
)


def member_text(raw: str) -> str | None:
    """The value of such a line, if it is text."""
    text = _SGR.sub("", raw) if "\x1b" in raw else raw
    bare = text.lstrip()
    if bare.startswith("MESSAGE="):
        return bare.removeprefix("MESSAGE=")
    if not bare.startswith(('"', ",")):
        return None
    if match := _MEMBER.match(text):
        value = _without_end(text[match.end() :])
    elif match := _ELEMENT.match(text):
        value = f'"{match[1]}"'
    else:
        return None
    found = decode(value) if value.startswith('"') else None
    return found if isinstance(found, str) else None


def _without_end(value: str) -> str:
    """A member's value without what ends its line: a comma, the brackets of what it stands in, and a comma behind these."""
    before_comma = value.rstrip().removesuffix(",")
    return before_comma.rstrip().rstrip("}]").rstrip().removesuffix(",").rstrip()


def fields_around(lines_before: Iterator[str], raw: str, lines_after: Iterator[str]) -> dict[str, Any]:
    """The fields of the record that a line stands in. `lines_before` go back from it."""
    return (
        _journal_fields(lines_before, raw, lines_after)
        if _SGR.sub("", raw).lstrip().startswith("MESSAGE")
        else _json_fields(lines_before, raw, lines_after)
    )


def _journal_fields(lines_before: Iterator[str], raw: str, lines_after: Iterator[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    is_verbose = _SGR.sub("", raw).startswith(" ")
    for lines in (lines_before, lines_after):
        for number, line in enumerate(lines):
            text = _SGR.sub("", line) if "\x1b" in line else line
            if is_verbose and (match := _VERBOSE.match(text)):
                if lines is lines_before:
                    fields.setdefault("time", match[1])
                    if match[2]:
                        fields.setdefault("_BOOT_ID", match[2])
                break
            if number >= _FAR_LINES or not text.strip():
                break
            if match := _FIELD.match(text):
                fields.setdefault(match[1], match[2].rstrip())
    return fields


def _json_fields(lines_before: Iterator[str], raw: str, lines_after: Iterator[str]) -> dict[str, Any]:
    indent = len(raw) - len(raw.lstrip())
    fields: dict[str, Any] = {}
    for lines in (lines_before, lines_after):
        for number, line in enumerate(lines):
            text = _SGR.sub("", line) if "\x1b" in line else line
            at = len(text) - len(text.lstrip())
            if number >= _FAR_LINES or at < indent or not text.strip():
                break
            if (
                at == indent
                and (match := _MEMBER.match(text))
                and (value := decode(_without_end(text[match.end() :]))) is not None
            ):
                fields.setdefault(match[1], value)
    return fields
