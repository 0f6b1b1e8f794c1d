"""The compiled assembler: what assemble.py makes of records, as columns of tables. native/assembler.c by ctypes.

It takes records as MessagePack, and gives the rows of tables/log.py as the buffers of Arrow arrays, so that no object is made for
a record or a row. What it gives is what Assembler and LogRows give.
"""

from __future__ import annotations

import ctypes
from collections.abc import Container, Iterable
from typing import Any, NamedTuple

import msgspec

from .compiled import native_library
from .located import LocatedRecord
from .packing import PackedRecords
from .records import KnownLosses

KILLS = "kills"
TABLES = ("reports", KILLS, "releases", "tasks", "events", "zones", "memory_stats")  # in the order of assembler.h
_LOSSES = (
    "suppressed_reports", "dropped_records", "dropped_by_syslog", "sequence_gaps", "kills_without_report", "partial_kills", "partial_reports",
    "unended_reports", "damaged_rows", "duplicate_lines", "forged_kills", "unread_kills", "unread_heads", "forged_heads", "releases_without_kill",
)  # fmt: skip
_SHOWN_LINES = 100
_NO_MEMORY = 1
_ROWS, _TASK_ROWS = 1 << 14, 1 << 16  # that are taken at once


class _Losses(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _LOSSES),
        ("n_unread_lines", ctypes.c_int64),
        ("unread_lines", ctypes.c_int64 * _SHOWN_LINES),
    )


class _State(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_int64),
        ("task_rows", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("kills", ctypes.c_int64),
        ("reports", ctypes.c_int64),
        ("highest_decision", ctypes.c_int64),
        ("boots", ctypes.c_int64),
        ("missing", _Losses),
    )


class _Bytes(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t))

    def copy(self) -> bytes:
        return ctypes.string_at(self.start, self.size) if self.size else b""


class _Column(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("rows", ctypes.c_size_t),
        ("nulls", ctypes.c_size_t),
        ("valid", _Bytes),
        ("data", _Bytes),
        ("ends", _Bytes),
    )


class ColumnBuffers(NamedTuple):
    """A column as Arrow has it."""

    rows: int
    nulls: int
    valid: bytes  # empty where nothing is null
    data: bytes
    ends: bytes  # of texts and lists


class Counts(NamedTuple):
    """How much there was of what."""

    records: int
    kills: int
    reports: int
    decisions: int  # the highest; -1: none


class ColumnAssembler:
    """Feed it the records of a log, in order; take the rows that are settled. Close it."""

    def __init__(self) -> None:
        """Raises MemoryError."""
        self._calls = _calls()
        self._pointer = self._calls.oomtrial_open_assembler()
        if not self._pointer:
            raise MemoryError
        self._state = self._pointer.contents

    def close(self) -> None:
        """It gives back its memory."""
        self._calls.oomtrial_close_assembler(self._pointer)

    def begin_file(self) -> None:
        """What follows is another log: of another machine, or another boot, for all that is known."""
        self._check(self._calls.oomtrial_begin_log(self._pointer))

    def feed(self, records: PackedRecords, line_base: int, sequence_gaps: int) -> None:
        """Takes records. `line_base` is added to the numbers of their lines; `sequence_gaps` is what the log lacks so far.

        Raises MemoryError.
        """
        self._check(
            self._calls.oomtrial_feed(
                self._pointer, records.body, len(records.body), records.number, line_base, sequence_gaps
            )
        )

    def end_file(self) -> None:
        """Settles what still waited for more of the log."""
        self._check(self._calls.oomtrial_end_log(self._pointer))

    def _check(self, failure: int) -> None:
        if failure:
            raise MemoryError if failure == _NO_MEMORY else ValueError("records that cannot be read")

    @property
    def counts(self) -> Counts:
        """How much there was of what so far."""
        state = self._state
        return Counts(state.outputs, state.kills, state.reports, state.highest_decision)

    @property
    def boots(self) -> int:
        """How many boots there were so far."""
        return self._state.boots  # type: ignore[no-any-return]

    @property
    def is_large(self) -> bool:
        """Whether the rows should be taken now."""
        return self._state.rows >= _ROWS or self._state.task_rows >= _TASK_ROWS  # type: ignore[no-any-return]

    @property
    def missing(self) -> KnownLosses:
        """What the logs read so far are known to lack."""
        found = self._state.missing
        lines = found.unread_lines[: found.n_unread_lines]
        return KnownLosses(**{name: getattr(found, name) for name in _LOSSES}, unread_lines=list(lines))

    def take(self, tables: Container[str] = TABLES) -> dict[str, list[ColumnBuffers]]:
        """The rows so far, by table; without the columns about owners and files. Rows of other tables are dropped."""
        found = {name: list(self._columns(number)) for number, name in enumerate(TABLES) if name in tables}
        self._calls.oomtrial_clear_rows(self._pointer)
        return found

    def _columns(self, table: int) -> Iterable[ColumnBuffers]:
        number = 0
        while column := self._calls.oomtrial_column(self._pointer, table, number):
            found = column.contents
            valid = found.valid.copy() if found.nulls else b""
            yield ColumnBuffers(found.rows, found.nulls, valid, found.data.copy(), found.ends.copy())
            number += 1


def exists() -> bool:
    """Whether logs are put together by compiled code."""
    return native_library() is not None


def _calls() -> ctypes.CDLL:
    calls = native_library()
    assert calls is not None
    state, i64 = ctypes.POINTER(_State), ctypes.c_int64
    calls.oomtrial_open_assembler.restype = state
    calls.oomtrial_begin_log.argtypes = calls.oomtrial_end_log.argtypes = (state,)
    calls.oomtrial_feed.argtypes = (state, ctypes.c_char_p, i64, i64, i64, i64)
    calls.oomtrial_column.argtypes = (state, ctypes.c_int, ctypes.c_int)
    calls.oomtrial_column.restype = ctypes.POINTER(_Column)
    calls.oomtrial_clear_rows.argtypes = calls.oomtrial_close_assembler.argtypes = (state,)
    calls.oomtrial_clear_rows.restype = calls.oomtrial_close_assembler.restype = None
    return calls


_encoder = msgspec.msgpack.Encoder()
_LARGEST = (1 << 63) - 1


def encode_records(found: list[LocatedRecord], lines: int) -> PackedRecords:
    """Records of the reader in Python, as those of the compiled one."""
    try:
        return PackedRecords(b"".join(map(_encoder.encode, found)), len(found), lines)
    except (UnicodeEncodeError, OverflowError):  # bytes that are no UTF-8, numbers of more than 64 bits
        plain = msgspec.to_builtins(found, builtin_types=(bytes,))
        return PackedRecords(b"".join(_encoder.encode(_as_bytes(one)) for one in plain), len(found), lines)


def _as_bytes(value: Any) -> Any:
    """The value with its texts as bytes of the log, and numbers as large as Arrow has them."""
    match value:
        case str():
            return msgspec.Raw(_text_head(raw := value.encode("utf-8", "surrogateescape")) + raw)
        case list() | tuple():
            return [_as_bytes(one) for one in value]
        case dict():
            # a key cannot be raw: the map is written as it stands
            body = b"".join(_encoder.encode(_as_bytes(one)) for pair in value.items() for one in pair)
            return msgspec.Raw(b"\xdf" + len(value).to_bytes(4, "big") + body)
        case int() if not isinstance(value, bool):
            return max(-_LARGEST - 1, min(value, _LARGEST))
    return value


def _text_head(raw: bytes) -> bytes:
    return b"\xdb" + len(raw).to_bytes(4, "big")
