"""A log is read to its end, however little a read gives."""

import io
import os
import subprocess

import pytest
from oomtext import killed, stamped

import harness
from harness.oomlog.blocks import split_blocks

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
        list(split_blocks(stream))
    os.close(writer)


def test_the_end_is_the_end():
    (block,) = split_blocks(io.BytesIO(b"a line\n"))
    assert block.data == b"a line\n"
