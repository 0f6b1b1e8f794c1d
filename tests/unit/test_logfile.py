"""Logs that are archives: what stands before a damage is read, and the damage is told, whatever the format."""

import gzip
import io
import itertools
import lzma
import random
import resource
from functools import cache

import pytest
import zstandard

from harness.errors import EvidenceError
from harness.logs.files import open_log

# Half of it is more than a block of zstd (128 KiB), of which there is all or nothing.
TEXT = b"".join(b"%d: %x\n" % (number, random.Random(number).getrandbits(256)) for number in range(10_000))

PACKERS = [gzip.compress, lzma.compress, zstandard.compress]
NAMES = ["gz", "xz", "zst"]


@cache
def packed_text(pack):
    return pack(TEXT)


def read(path, into):
    with open_log(str(path)) as log:
        while block := log.stream.read(1000):
            into.append(block)


@pytest.mark.parametrize("pack", PACKERS, ids=NAMES)
@pytest.mark.parametrize("part", [0.5, 0.9, 1 - 1e-9])  # the last one: a byte is missing
def test_an_archive_that_was_cut_off(tmp_path, pack, part):
    packed = packed_text(pack)
    (tmp_path / "log").write_bytes(packed[: int(len(packed) * part)])
    blocks = []
    with pytest.raises(EvidenceError, match=r"log is a damaged archive: .*; the part before the damage was read"):
        read(tmp_path / "log", blocks)
    found = b"".join(blocks)
    assert TEXT.startswith(found)
    assert len(found) > len(TEXT) * part / 2


@pytest.mark.parametrize("pack", PACKERS, ids=NAMES)
def test_an_archive_of_more_than_one_part(tmp_path, pack):
    """What `cat` and log rotation make; whole, and with the last part cut off."""
    packed = pack(TEXT[:5000]) + pack(TEXT[5000:])
    (tmp_path / "log").write_bytes(packed)
    blocks = []
    read(tmp_path / "log", blocks)
    assert b"".join(blocks) == TEXT
    (tmp_path / "log").write_bytes(packed[:-100])
    blocks = []
    with pytest.raises(EvidenceError, match="is a damaged archive"):
        read(tmp_path / "log", blocks)
    assert TEXT.startswith(b"".join(blocks))


def test_every_place_where_a_zst_can_be_cut(tmp_path):
    """Within its header, within a block, between blocks, within the checksum."""
    packer = zstandard.ZstdCompressor(write_checksum=True)
    packed = packer.compress(TEXT[:1000])
    packed += b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + packer.compress(TEXT[1000:1200])  # a skippable frame between
    whole = {len(packer.compress(TEXT[:1000])), len(packed)}
    whole.add(min(whole) + 12)
    for end in itertools.chain(range(8, 60), range(min(whole) - 20, len(packed) + 1)):
        (tmp_path / "log").write_bytes(packed[:end])
        blocks = []
        if end in whole:
            read(tmp_path / "log", blocks)
        else:
            with pytest.raises(EvidenceError, match="is a damaged archive"):
                read(tmp_path / "log", blocks)
        assert TEXT.startswith(b"".join(blocks))


def test_a_zst_of_nothing_but_zeros_is_read_in_bounded_memory(tmp_path):
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(level=3).stream_writer(packed, closefd=False) as writer:
        for _ in range(200):
            writer.write(bytes(1 << 20))
    (tmp_path / "log").write_bytes(packed.getvalue())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_log(str(tmp_path / "log")) as log:
        size = 0
        while block := log.stream.read(1 << 20):
            size += len(block)
    assert size == 200 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120 << 10  # kB
