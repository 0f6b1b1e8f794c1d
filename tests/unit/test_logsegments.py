"""A log that is put together by several workers says what it says to one."""

import lzma
import random
from pathlib import Path

import pyarrow as pa
import pytest

from harness.errors import HostError
from harness.logsegments import LogState, read_segments
from harness.oomlog.assemble import Assembler
from harness.oomlog.reading import Reader
from harness.tables.log import LOG_TABLES
from harness.tables.logrows import LogCounts, LogRows

CORPUS = Path(__file__).parent.parent / "data" / "corpus"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """12 MB of reports in any order: six blocks of the reader, two segments of a worker."""
    pieces = [path.read_bytes() for path in sorted(CORPUS.glob("*.txt"))]
    pieces.append(lzma.decompress(next(CORPUS.glob("*.xz")).read_bytes()))
    order, path = random.Random(3), tmp_path_factory.mktemp("log") / "log"
    with path.open("wb") as out:
        while out.tell() < 12 << 20:
            out.write(order.choice(pieces))
    return path


def in_one(path):
    reader, rows, counts = Reader(), LogRows(), LogCounts()
    with path.open("rb") as stream:
        for output in reader.read(stream):
            rows.add(output, "log")
            counts.take(output)
    return rows.take(), reader, counts


def test_segments_say_the_same(log):
    expected, reader, expected_counts = in_one(log)
    *parts, state = read_segments(log, "log", Assembler(), LogCounts(), workers=2)
    assert isinstance(state, LogState)
    assert (state.lines, state.bytes, state.counts) == (reader.lines, reader.bytes, expected_counts)
    assert (state.assembler.missing, state.assembler.boots) == (reader.missing, reader.assembler.boots)
    assert len(parts) > 2
    for table in LOG_TABLES:
        found = pa.concat_tables([part[table.name] for part in parts])
        assert found.num_rows > 0 or table.name == "events"
        assert found.equals(expected[table.name]), table.name


def test_a_file_that_goes_away_is_an_error_of_the_reader(log, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(log.read_bytes())
    parts = read_segments(copy, "log", Assembler(), LogCounts(), workers=1)
    next(parts)
    copy.unlink()
    with pytest.raises((OSError, HostError)):
        list(parts)
