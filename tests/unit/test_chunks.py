"""A log is read to its end, however little a read gives."""

import base64
import gc
import io
import os
import subprocess
from random import Random

import pytest
from oomtext import killed, stamped

import harness
from harness.oomlog import reading
from harness.oomlog.chunks import Span, split_chunks, split_file
from harness.oomlog.compiled import find_last
from harness.oomlog.packing import unpack
from harness.oomlog.reading import Reader, chunk_of, read_span
from harness.oomlog.scan import Chunk, _Reader, read_and_count, read_compiled

KILLS = 5000


def test_a_pipe_without_a_buffer(tmp_path):
    """A read of a pipe gives what is in it: 64 KiB at most."""
    (tmp_path / "log").write_text("\n".join(stamped([killed(pid) for pid in range(1, KILLS + 1)])) + "\n")
    assert (tmp_path / "log").stat().st_size > 4 * 65536
    with subprocess.Popen(["cat", tmp_path / "log"], stdout=subprocess.PIPE, bufsize=0) as cat:
        found = harness.parse_log(cat.stdout)
    assert list(found.kills["pid"]) == list(range(1, KILLS + 1))


def test_a_stream_that_does_not_wait_is_no_end():
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.write(writer, b"a line\n")
    with io.FileIO(reader) as stream, pytest.raises(BlockingIOError):
        list(split_chunks(stream))
    os.close(writer)


def test_the_end_is_the_end():
    (chunk,) = split_chunks(io.BytesIO(b"a line\n"))
    assert chunk.data == b"a line\n"


HEADER = "cc1 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"


@pytest.mark.parametrize("chunk_bytes", [9000, 70_000, 200_000, 1 << 20])
@pytest.mark.parametrize("seed", range(6))
def test_a_file_is_cut_as_a_stream_is(tmp_path, chunk_bytes, seed):
    """Only the end of each chunk is read to find where it ends."""
    random = Random(seed)
    lines = []
    for n in range(random.choice((0, 1, 300, 6000))):
        lines.append(
            f"[{n:5d}.000000] " + random.choice(("usb 1-1: new device " * random.randint(1, 9), killed(n + 1)))
        )
        if random.random() < (0.5, 0.01, 0.0005)[seed % 3]:
            lines.append(f"[{n:5d}.000000] {HEADER}")
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + random.choice(("", "\n")))
    with path.open("rb") as stream:
        expected = [Span(chunk.offset, len(chunk.data), chunk.end) for chunk in split_chunks(stream, chunk_bytes)]
    pieces = list(split_file(path, chunk_bytes))
    assert [piece.span for piece in pieces] == expected


def test_a_chunk_that_had_to_be_read_to_be_cut_is_not_read_again(tmp_path, monkeypatch):
    """A log with few headers would be read twice, the second time by a worker."""
    path = tmp_path / "log"
    path.write_text("[    1.000000] usb 1-1: new device\n" * 20_000)
    pieces = list(split_file(path, 300_000))
    assert [piece.data is None for piece in pieces] == [False, False, True]  # the end of a file needs no cut
    monkeypatch.setattr(reading, "read_at", None)
    for piece in pieces[:-1]:
        chunk = chunk_of(path, piece)
        assert (len(chunk.data), chunk.end, chunk.offset) == (piece.span.length, piece.span.end, piece.span.offset)
        assert path.read_bytes().startswith(chunk.data)


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("before", [0, 1, (1 << 16) - 5, 1 << 16, (1 << 17) + 3])
@pytest.mark.parametrize("behind", [0, 1, 6, (1 << 16) - 5, (1 << 16) - 1, 1 << 16, 3 << 16])
def test_the_last_place_of_a_word_is_found_wherever_it_is(kind, before, behind):
    """The compiled search goes from the end, 64 KiB at a time."""
    word = b"oom-killer"
    for found in (b"", word, word + b" " + word):
        data = kind(b"x" * before + found + b"y" * behind)
        for end in (len(data), len(data) - 1, before + len(word), before + len(word) - 1, 3, 0):
            assert find_last(data, word, end) == data.rfind(word, 0, max(end, 0)), (found, end)


def test_a_file_that_became_shorter_is_read_to_its_end(tmp_path):
    path = tmp_path / "log"
    path.write_text(stamped([killed(7)])[0] + "\n")
    found, lines, end, _, _ = unpack(read_span(path, Span(0, 1 << 20, 1 << 20)))
    assert ([one.record.pid for one in found], lines, end) == ([7], 1, path.stat().st_size)


@pytest.mark.parametrize("line", ["usb 1-1: new device", killed(7)], ids=["sparse", "dense"])
def test_a_large_file_is_read_by_workers_as_it_is_by_one(tmp_path, line, monkeypatch):
    """Of five chunks and more."""
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 1)
    monkeypatch.setattr(reading, "split_chunks", lambda stream: split_chunks(stream, 70_000))
    monkeypatch.setattr(reading, "split_file", lambda path: split_file(path, 70_000))
    path = tmp_path / "log"
    with path.open("w") as out:
        for n in range(10_000):
            out.write(f"[{n:7d}.000000] {killed(n) if n % 700 == 699 else line}\n")
    assert len(list(split_file(path, 70_000))) >= 5
    results = []
    for workers in (1, 2):
        reader = Reader(workers)
        with path.open("rb") as stream:
            outputs = list(reader.read(stream, path, path.stat().st_size))
        results.append((repr(outputs), reader.lines, reader.bytes, repr(reader.missing)))
    assert results[0] == results[1]


def test_a_chunk_that_was_read_is_let_go_without_a_search_for_cycles():
    """`oomtrial parse` switches that search off: a cycle would keep every chunk of a log of many GB."""
    text = "".join(
        f"[{n:5d}.000000] Killed process {n} (x) total-vm:1kB, anon-rss:1kB\n" for n in range(1, 50)
    ).encode()
    mail = b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(text)
    gc.collect()
    gc.disable()
    try:
        for data in (text, mail, b"nothing of interest\n" * 10):
            chunk = Chunk(data, len(data), 0, 0)
            read_compiled(chunk)
            read_and_count(chunk)
        assert not [each for each in gc.get_objects() if isinstance(each, _Reader)]
    finally:
        gc.enable()
