"""What a worker found in a block, as bytes for another process: pickle takes four times as long."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import msgspec

from .found import Found


class Sequences(NamedTuple):
    """Numbers of the /dev/kmsg records of a block."""

    first: int
    last: int
    gaps: int


# records, lines of the block, where it ends in the log, numbers of records
ReadBlock = tuple[list[Found], int, int, Sequences | None]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ReadBlock)
_PICKLED = b"\x80"  # how a pickle begins; MessagePack has an empty map there, and four values here


def pack(block: ReadBlock) -> bytes:
    """The block as bytes."""
    try:
        return _encoder.encode(block)
    except (UnicodeEncodeError, OverflowError):  # bytes that are no UTF-8, numbers of more than 64 bits
        return pickle.dumps(block, pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes) -> ReadBlock:
    """The block that `pack` was given."""
    if data.startswith(_PICKLED):
        block: ReadBlock = pickle.loads(data)
    else:
        block = _decoder.decode(data)
    return block
