"""Logs within other documents: mail in quoted-printable or base64, JSON documents of many lines in one, pages in HTML.

They are extracted as plain lines, each with the place that it came from.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from .fields import decode, member_text, message_of, take_fields, texts_of
from .late_pattern import late_pattern
from .logline import LogLine
from .prefix import peel
from .unknown_prefixes import SPEAKS, clean, split_joined_lines

# A line of mail has at most 76 characters (RFC 2045); encoders break a longer one where little of that is left.
_SOFT_SHORTEST, _SOFT_LONGEST = 70, 76
_ESCAPED = late_pattern(rb"=([0-9A-F]{2})")
_NOT_ESCAPED = late_pattern(rb"=(?![0-9A-F]{2}|\r?$)")
_BASE64 = late_pattern(rb"^Content-Transfer-Encoding:[ \t]*base64[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_BASE64_LINE = late_pattern(rb"[A-Za-z0-9+/]{1,76}={0,2}\r?")
_GREP_COLOUR = b"\x1b[m\x1b[K"  # grep --color: it colours parts of words
_COLOURS = late_pattern(rb"\x1b\[[\d;:]*[mK]")
_BREAK = late_pattern(rb"<br ?/?>", re.IGNORECASE)
_FOLDED = late_pattern(rb"""( *(?:- )?[A-Za-z]{1,32}: )(["'])""")  # a text of YAML in quotes
_MOST_FOLDED = 40  # lines
_WORDS = late_pattern(SPEAKS.pattern + rb"|ut of memory|oom_reaper: ")


class ExtractedLog(NamedTuple):
    """The plain lines of a chunk."""

    data: bytes
    end: int  # lines that begin here or later belong to the next chunk
    lines: list[int]  # of each line: how many lines of the chunk stand before the one that it came from
    offsets: list[int]  # and where that begins


class _Line(NamedTuple):
    text: bytes
    number: int
    offset: int


def is_encoded(raw: bytes) -> bool:
    """Whether a line is one of mail as it is sent, or has a page's line breaks."""
    if b"=3D" in raw or b"<br" in raw:
        return True
    text = raw.rstrip(b"\r")
    return text.endswith(b"=") and _SOFT_SHORTEST <= len(text) <= _SOFT_LONGEST


def is_document(raw: bytes) -> bool:
    """Whether a line of JSON holds several lines of a log."""
    text = raw.decode("utf-8", "surrogateescape")
    return len(_texts(text)) > 0


def extract(data: bytes, end: int) -> ExtractedLog:
    """The lines of a chunk, out of the documents that hold them."""
    lines = _lines(data)
    for step in (_without_grep_colours, _without_soft_breaks, _decoded, _broken, _unfolded, _documents, _parted):
        lines = step(lines)
    return _join_lines(lines, end, data.endswith(b"\n"))


def unwrap(extracted: ExtractedLog, trailers: list[re.Pattern[str]], has_markup: bool) -> ExtractedLog:
    """The same without what stands behind the texts, and without markup."""
    lines = (
        _Line(_unwrap_line(text, trailers, has_markup), number, offset)
        for text, number, offset in zip(extracted.data.split(b"\n"), extracted.lines, extracted.offsets, strict=False)
    )
    end = (
        extracted.offsets[extracted.data.count(b"\n", 0, extracted.end)]
        if extracted.end < len(extracted.data)
        else 1 << 62
    )
    return _join_lines(lines, end, extracted.data.endswith(b"\n"))


def _unwrap_line(line: bytes, trailers: list[re.Pattern[str]], has_markup: bool) -> bytes:
    text = line.decode("utf-8", "surrogateescape")
    for trailer in trailers:
        if match := trailer.search(text):
            text = text[: match.start()]
            break
    if has_markup and peel(text).is_bare:  # behind a stamp stands the text, whatever it looks like
        text = clean(text)
    return text.encode("utf-8", "surrogateescape")


def _join_lines(lines: Iterator[_Line], end: int, is_ended: bool) -> ExtractedLog:
    out = bytearray()
    numbers: list[int] = []
    offsets: list[int] = []
    cut: int | None = None
    for line in lines:
        if cut is None and line.offset >= end:
            cut = len(out)
        numbers.append(line.number)
        offsets.append(line.offset)
        out += line.text + b"\n"
    if not is_ended:
        del out[-1:]
    return ExtractedLog(bytes(out), len(out) if cut is None else cut, numbers, offsets)


def _lines(data: bytes) -> Iterator[_Line]:
    offset = 0
    lines = data.split(b"\n")
    if data.endswith(b"\n"):
        lines.pop()
    for number, text in enumerate(lines):
        yield _Line(text, number, offset)
        offset += len(text) + 1


def _without_soft_breaks(lines: Iterator[_Line]) -> Iterator[_Line]:
    waiting: _Line | None = None
    for line in lines:
        is_joined = False
        if waiting is not None:
            if peel(line.text.decode("utf-8", "surrogateescape")).is_bare:
                line = _Line(waiting.text + line.text, waiting.number, waiting.offset)
                is_joined = True
            else:
                yield waiting  # what ended with a = was no broken line
        waiting = None
        text = line.text.removesuffix(b"\r")
        last = len(text) - (text.rfind(b"\n") + 1)
        if text.endswith(b"=") and last >= _SOFT_SHORTEST:
            waiting = _Line(text[:-1], line.number, line.offset)
            continue
        # An object of JSON on one long line was not encoded: "=3D" in it is a name.
        is_plain = text.startswith(b'{"') and not is_joined and len(text) > _SOFT_LONGEST
        yield line if is_plain else _unescaped(line)
    if waiting is not None:
        yield waiting


def _without_grep_colours(lines: Iterator[_Line]) -> Iterator[_Line]:
    for line in lines:
        yield line._replace(text=_COLOURS.sub(b"", line.text)) if _GREP_COLOUR in line.text else line


def _unescaped(line: _Line) -> _Line:
    if b"=" not in line.text or _NOT_ESCAPED.search(line.text) or b"=3D" not in line.text:
        return line
    return line._replace(text=_ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), line.text).replace(b"\n", b" "))


def _decoded(lines: Iterator[_Line]) -> Iterator[_Line]:
    """Bodies in base64, each line at the line of the body that it begins in."""
    is_next = is_body = False
    body: list[_Line] = []
    for line in lines:
        if is_body and _BASE64_LINE.fullmatch(line.text):
            body.append(line)
            continue
        if body:
            yield from _body_lines(body)
            body = []
            is_body = False
        if _BASE64.match(line.text):
            is_next = True
        elif is_next and not line.text.strip():
            is_next, is_body = False, True
        yield line
    if body:
        yield from _body_lines(body)


def _body_lines(body: list[_Line]) -> Iterator[_Line]:
    packed = [line.text.strip() for line in body]
    text = b"".join(packed)
    try:
        plain = base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        yield from body
        return
    begins, total = [], 0
    for piece in packed:
        begins.append(total * 3 // 4)
        total += len(piece)
    position = 0
    for part in plain.split(b"\n"):
        at = body[max(0, bisect.bisect_right(begins, position) - 1)]
        yield _Line(part.removesuffix(b"\r"), at.number, at.offset)
        position += len(part) + 1


def _broken(lines: Iterator[_Line]) -> Iterator[_Line]:
    for line in lines:
        if b"<br" in line.text.lower() and len(parts := _BREAK.split(line.text)) > 1:
            yield from (line._replace(text=part) for part in parts if part.strip())
        else:
            yield line


def _parted(lines: Iterator[_Line]) -> Iterator[_Line]:
    """Lines that were made one."""
    for line in lines:
        if not SPEAKS.search(line.text):
            yield line
            continue
        for part in split_joined_lines(line.text.decode("utf-8", "surrogateescape")):
            yield line._replace(text=part.encode("utf-8", "surrogateescape"))


def is_folded(raw: bytes) -> bool:
    """Whether a line begins a text of YAML that goes on behind it."""
    match = _FOLDED.match(raw)
    return match is not None and not _is_closed(raw, match[2], match.end())


def _is_closed(raw: bytes, quote: bytes, begin: int = 0) -> bool:
    text = raw.rstrip()
    if len(text) <= begin or not text.endswith(quote):
        return False
    marks = len(text) - len(text.rstrip(quote if quote == b"'" else b'"'))
    return marks % 2 == 1 and not (quote == b'"' and text.endswith(b'\\"'))


def _unfolded(lines: Iterator[_Line]) -> Iterator[_Line]:
    """Texts of YAML (kubectl get events -o yaml) that are folded, each on one line, or on those that it holds."""
    waiting: list[_Line] = []
    for line in lines:
        if waiting:
            waiting.append(line)
            if _is_closed(line.text, _quote_of(waiting[0])):
                yield from _yaml_text(waiting)
                waiting = []
            elif len(waiting) > _MOST_FOLDED or not line.text.startswith(b" "):
                yield from waiting
                waiting = []
        elif is_folded(line.text):
            waiting = [line]
        else:
            yield line
    yield from waiting


def _quote_of(line: _Line) -> bytes:
    match = _FOLDED.match(line.text)
    assert match is not None
    return match[2]


def _yaml_text(folded: list[_Line]) -> Iterator[_Line]:
    match = _FOLDED.match(folded[0].text)
    assert match is not None
    rest = b" ".join([folded[0].text[match.end() :].rstrip(), *(line.text.strip() for line in folded[1:])])
    value = rest.rstrip()[:-1].decode("utf-8", "surrogateescape")
    if match[2] == b'"':
        text = decode(f'"{value}"')
        value = text if isinstance(text, str) else value
    else:
        value = value.replace("''", "'")
    for part in value.split("\n"):
        if part.strip():
            yield folded[0]._replace(text=match[1] + part.encode("utf-8", "surrogateescape"))


def _documents(lines: Iterator[_Line]) -> Iterator[_Line]:
    for line in lines:
        texts = _texts(line.text.decode("utf-8", "surrogateescape")) if line.text.lstrip()[:1] in b'{["' else []
        if not texts:
            yield line
        for text in texts:
            yield line._replace(text=text.encode("utf-8", "surrogateescape"))


def _texts(raw: str) -> list[str]:
    """The lines of a log that a line of JSON holds, if there are several; each with a stamp, if the document has one."""
    bare = raw.strip().removesuffix(",")
    if bare[:1] == '"':
        value = member_text(raw)
        return _split(value, {}) if value is not None and _is_log(value) else []
    found = decode(bare)
    if isinstance(found, dict):
        got = message_of(found)
        if got is not None and (not _is_log(got[0]) or "_TRANSPORT" in found):
            return []
        if got is not None:
            return _split(got[0], got[1])
    elif not isinstance(found, list):
        return []
    texts = list(texts_of(found))
    if not any(_WORDS.search(text.encode("utf-8", "surrogateescape")) for text, _ in texts):
        return []
    return [line for text, fields in texts if not text.isdecimal() for line in _split(text, fields)]


def _is_log(text: str) -> bool:
    """Whether a text of several lines has a stamp on more than the first: one record of the kernel has none."""
    return any(not peel(line).is_bare for line in text.splitlines()[1:])


def _split(text: str, fields: dict[str, object]) -> list[str]:
    line = LogLine("")
    take_fields(dict(fields), line)
    stamp = ""
    if line.wall_s is not None:
        host = f"{line.host} " if line.host and " " not in line.host else ""
        tag = "kernel" if line.is_kernel else "user[0]"
        stamp = f"{datetime.fromtimestamp(line.wall_s, UTC).isoformat()} {host}{tag}: "
    elif not line.is_kernel:
        stamp = "user[0]: "
    return [stamp + piece if peel(piece).is_bare else piece for piece in re.split(r"\r?\n", text) if piece.strip()]
