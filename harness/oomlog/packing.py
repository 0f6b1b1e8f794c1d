"""What a worker found in a chunk, as bytes for another process: pickle takes four times as long."""

from __future__ import annotations

import pickle
from functools import cache
from typing import NamedTuple

import msgspec

from .located import LocatedRecord


class Sequences(NamedTuple):
    """Numbers of the /dev/kmsg records of a chunk."""

    first: int
    last: int
    gaps: int


class PackedRecords(NamedTuple):
    """Records of a chunk, as MessagePack one after the other."""

    body: bytes
    number: int
    lines: int  # that begin in the chunk


# records, lines of the chunk, where it ends in the log, numbers of records, whether the newest line is its first (turned.py)
ReadChunk = tuple[list[LocatedRecord], int, int, Sequences | None, bool]

_encoder = msgspec.msgpack.Encoder()
_PICKLED = b"\x80"  # how a pickle begins; MessagePack has an empty map there, and five values here


# A decoder takes milliseconds to make, and the compiled assembler needs none.


@cache
def _chunk_decoder() -> msgspec.msgpack.Decoder[ReadChunk]:
    return msgspec.msgpack.Decoder(ReadChunk)


@cache
def _records_decoder() -> msgspec.msgpack.Decoder[list[LocatedRecord]]:
    return msgspec.msgpack.Decoder(list[LocatedRecord])


def pack(chunk: ReadChunk) -> bytes:
    """The chunk as bytes."""
    try:
        return _encoder.encode(chunk)
    except (UnicodeEncodeError, OverflowError):  # bytes that are no UTF-8, numbers of more than 64 bits
        return pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL)


def pack_records(records: PackedRecords, end: int, sequences: Sequences | None) -> bytes:
    """The same of a chunk whose records are MessagePack already."""
    return b"".join(
        (b"\x95", _array_head(records), records.body, *map(_encoder.encode, (records.lines, end, sequences, False)))
    )


def decode_records(records: PackedRecords) -> list[LocatedRecord]:
    """The records themselves."""
    return _records_decoder().decode(_array_head(records) + records.body)


def _array_head(records: PackedRecords) -> bytes:
    return b"\xdd" + records.number.to_bytes(4, "big")


def unpack(data: bytes) -> ReadChunk:
    """The chunk that `pack` was given."""
    if data.startswith(_PICKLED):
        chunk: ReadChunk = pickle.loads(data)
    else:
        chunk = _chunk_decoder().decode(data)
    return chunk
