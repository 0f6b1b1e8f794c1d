"""Output of a container that is followed: all of it is kept, and held in memory only as far as somebody asks for it."""

import time

from harness.containers.running import FollowedContainer


class Talking:
    """A container that has said this much, in chunks that end anywhere."""

    name = "talking"

    def __init__(self, *chunks):
        self._chunks = chunks

    def logs(self, **_):
        return iter(self._chunks)


def test_lines_that_nobody_asks_for_are_kept_and_not_held():
    kept = []
    followed = FollowedContainer(Talking(b"K one\nC wor", b"d\nK two\n"), kept.append, lambda line: line[:1] == b"C")
    followed.follow()
    assert followed.next_line(time.monotonic() + 5) == b"C word"
    followed._thread.join(5)
    assert kept == [b"K one", b"C word", b"K two"]
    assert followed._lines.qsize() == 1  # that it has ended
