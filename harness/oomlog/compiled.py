"""The compiled reader: native/*.c by ctypes. It reads what it is sure of, and leaves every other line to scan.py.

It is there where it was built (`make setup`, or a wheel that carries it); without it the same records come from scan.py alone.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from . import domain, header, kill, meminfo, release, tasks
from .native.build import LIBRARY as _NAME
from .native.build import SOURCES, source_hash
from .triggers import ENCODED_DOCUMENT, PATTERNS, TRIGGERS, Parser, TriggerHit, parsers_of

LIBRARY = SOURCES / _NAME
NO_COMPILED = "OOMTRIAL_NO_COMPILED_READER"  # set: the reader of scan.py alone

# Numbers of the forms in native.h, by the first parser of a word.
_OTHER, _NOTHING, _ENCODED, _EVENT = 0, 12, 21, 22
_EVENT_WORDS = (b"Kernel panic", b"OOM killer ")
_FORMS: dict[Parser, int] = {
    kill.parse_killed: 1,
    header.parse_header: 2,
    domain.parse_summary: 3,
    release.parse_reaped: 4,
    kill.parse_group_kill: 5,
    header.parse_cpu_line: 6,
    header.parse_cpuset: 7,
    domain.parse_victim_memcg: 8,
    domain.parse_limit_reached: 9,
    domain.parse_usage: 10,
    domain.parse_stats_head: 11,
    tasks.parse_table_head: 13,
    meminfo.parse_zone: 14,
    meminfo.parse_lowmem_reserve: 15,
    meminfo.parse_free_blocks: 16,
    meminfo.parse_page_counts: 17,
    meminfo.parse_swap: 18,
    meminfo.parse_ram_pages: 19,
    domain.parse_protection: 20,
    ENCODED_DOCUMENT: _ENCODED,
}
# PATTERNS as words: what is found in a line more often than the pattern only costs time.
_PATTERN_WORDS: dict[bytes, tuple[tuple[bytes, bool], ...]] = {
    rb"[0-9] dirty:": ((b" dirty:", True),),
    rb"[0-9] shmem:": ((b" shmem:", True),),
    rb"-(?:E|e)ncoding: ?(?:base64|BASE64|Base64)": tuple(
        (b"ncoding:" + blank + name, False) for blank in (b"", b" ") for name in (b"base64", b"BASE64", b"Base64")
    ),
    rb"\x1b\[m\x1b\[K": ((b"\x1b[m\x1b[K", False),),
}
_MOST_WORDS = 6  # of a mark


class _Mark(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_int64),
        ("end", ctypes.c_int64),
        ("n_words", ctypes.c_uint8),
        ("words", ctypes.c_uint8 * _MOST_WORDS),
    )


class _State(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_int64),
        ("consumed_to", ctypes.c_int64),
        ("line_number", ctypes.c_int64),
        ("n_marks", ctypes.c_int64),
        ("header", ctypes.c_int64),
        ("header_line", ctypes.c_int64),
        ("first_table", ctypes.c_int64),
        ("lines", ctypes.c_int64),
        ("n_records", ctypes.c_int64),
        ("n_ended", ctypes.c_int64),
        ("out", ctypes.c_void_p),
        ("out_size", ctypes.c_int64),
        ("marks", ctypes.POINTER(_Mark)),
        ("is_encoded", ctypes.c_int64),
    )


class _Library(NamedTuple):
    calls: ctypes.CDLL
    words: ctypes.c_void_p


def exists() -> bool:
    """Whether the compiled reader is used."""
    return _library() is not None


def native_library() -> ctypes.CDLL | None:
    """The compiled library; None where it is not there."""
    library = _library()
    return None if library is None else library.calls


@cache
def _library() -> _Library | None:
    if os.environ.get(NO_COMPILED):
        return None
    try:
        calls = ctypes.CDLL(str(LIBRARY))
        calls.oomtrial_source.restype = ctypes.c_char_p
        if calls.oomtrial_source() != source_hash().encode():
            return None  # built of other sources
    except (OSError, AttributeError):
        return None
    i64, pointer, text = ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
    calls.oomtrial_new_words.restype = pointer
    calls.oomtrial_add_word.argtypes = (pointer, text, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_bool)
    calls.oomtrial_add_word.restype = ctypes.c_bool
    calls.oomtrial_open.argtypes = (pointer, text, i64, i64, i64, i64)
    calls.oomtrial_open.restype = ctypes.POINTER(_State)
    calls.oomtrial_read.argtypes = (ctypes.POINTER(_State),)
    calls.oomtrial_add_part.argtypes = (ctypes.POINTER(_State), text, i64, ctypes.c_bool)
    calls.oomtrial_end_parts.argtypes = (ctypes.POINTER(_State),)
    calls.oomtrial_set_header.argtypes = (
        ctypes.POINTER(_State), text, i64, text, i64, text, i64, text, i64, i64, i64, ctypes.c_bool, ctypes.c_bool,
    )  # fmt: skip
    calls.oomtrial_set_header.restype = None
    calls.oomtrial_close.argtypes = (ctypes.POINTER(_State),)
    calls.oomtrial_close.restype = None
    calls.oomtrial_keep_memory.argtypes = ()
    calls.oomtrial_keep_memory.restype = None
    calls.oomtrial_find_last.argtypes = (pointer, i64, text, i64)
    calls.oomtrial_find_last.restype = i64
    words = calls.oomtrial_new_words()
    if not words:
        return None
    for number, (word, parsers) in enumerate((*TRIGGERS, *PATTERNS)):
        form = _FORMS.get(parsers[0], _OTHER) if parsers else _NOTHING
        if word.startswith(b'"MESSAGE'):
            form = _OTHER  # of a message that is given as numbers
        elif word in _EVENT_WORDS:
            form = _EVENT
        for literal, after_digit in _PATTERN_WORDS.get(word, ((word, False),)):
            _kept.append(literal)
            if not calls.oomtrial_add_word(words, literal, len(literal), number, form, after_digit):
                return None
    return _Library(calls, words)


def keep_memory() -> None:
    """Lets the memory of a chunk be used for the next, in the whole process: for a program that only reads logs."""
    library = _library()
    if library is not None:
        library.calls.oomtrial_keep_memory()


def find_last(data: bytes | bytearray, word: bytes, end: int) -> int:
    """`data.rfind(word, 0, end)`, several times as fast for words that are not there."""
    library, end = _library(), min(end, len(data))
    if library is None or end < len(word):
        return data.rfind(word, 0, max(end, 0))
    if isinstance(data, bytearray):
        view = (ctypes.c_char * end).from_buffer(data)
        return library.calls.oomtrial_find_last(ctypes.addressof(view), end, word, len(word))  # type: ignore[no-any-return]
    return library.calls.oomtrial_find_last(data, end, word, len(word))  # type: ignore[no-any-return]


_kept: list[bytes] = []  # words live as long as the table of them


class CompiledChunk:
    """A chunk that is read line by line, by the compiled reader and by Python in turn. Close it."""

    def __init__(self, data: bytes, end: int, offset: int, line: int) -> None:
        """Raises MemoryError."""
        library = _library()
        assert library is not None
        self._calls, self._data = library.calls, data
        self._pointer = self._calls.oomtrial_open(library.words, data, len(data), end, offset, line)
        if not self._pointer:
            raise MemoryError
        self.state = self._pointer.contents

    def close(self) -> None:
        """Frees the memory of the chunk. Nothing else may be called afterwards."""
        self._calls.oomtrial_close(self._pointer)

    def read(self) -> bool:
        """Reads on. Whether it stopped at a line that Python must read, at `state.index`.

        Raises MemoryError.
        """
        ended = self._calls.oomtrial_read(self._pointer)
        if ended < 0:
            raise MemoryError
        return bool(ended)

    def records(self) -> bytes:
        """What was read, as MessagePack: records one after the other."""
        return ctypes.string_at(self.state.out, self.state.out_size) if self.state.out_size else b""

    def add_part(self, part: bytes, is_summary: bool) -> None:
        """Gives a part of a report that Python read, as MessagePack.

        Raises MemoryError.
        """
        if self._calls.oomtrial_add_part(self._pointer, part, len(part), is_summary) < 0:
            raise MemoryError

    def end_parts(self) -> None:
        """Tells that Python read a line that is no part of the report before it.

        Raises MemoryError.
        """
        if self._calls.oomtrial_end_parts(self._pointer) < 0:
            raise MemoryError

    def set_header(
        self, tail: bytes, prefix: bytes, caller: bytes, host: bytes, line: int, offset: int, has_origin: bool, is_bare: bool
    ) -> None:  # fmt: skip
        """Tells what Python has read of a header's prefix."""
        self._calls.oomtrial_set_header(
            self._pointer, tail, len(tail), prefix, len(prefix), caller, len(caller), host, len(host), line, offset,
            has_origin, is_bare,
        )  # fmt: skip

    def __len__(self) -> int:
        return self.state.n_marks  # type: ignore[no-any-return]

    def __getitem__(self, index: int) -> TriggerHit:
        mark = self.state.marks[index]
        words = mark.words[: mark.n_words] if mark.n_words <= _MOST_WORDS else None
        return TriggerHit(mark.start, mark.end, parsers_of(self._data, mark.start, mark.end, words and tuple(words)))

    def __iter__(self) -> Iterator[TriggerHit]:
        return (self[index] for index in range(len(self)))
