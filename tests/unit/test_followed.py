"""Output of a container that is followed: all of it is kept, and only what a caller asks for is held in memory."""

import errno
import threading
import time

import pytest

from harness.containers.running import FollowedContainer, OutputEndedError
from harness.errors import HostError
from harness.experiment.workload import BufferedContainer


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


def failing(error):
    def fail(_):
        raise error

    return fail


# what a stream that is closed under its reader fails with, too
@pytest.mark.parametrize("error", [ValueError("no number"), AttributeError("no field"), KeyError("x")])
@pytest.mark.parametrize("where", ["sink", "is_awaited"])
def test_an_error_of_our_own_is_no_end_of_the_container(error, where):
    options = {"sink": lambda _: None} | {where: failing(error)}
    followed = FollowedContainer(Talking(b"K one\n"), **options)
    followed.follow()
    with pytest.raises(type(error)):
        followed.wait_for(lambda _: True, 5, "word")
    with pytest.raises(type(error)):
        followed.check_kept()


def test_a_line_that_cannot_be_written_is_reported_with_the_way_out():
    followed = FollowedContainer(Talking(b"K one\n"), failing(OSError(errno.ENOSPC, "No space left on device")))
    followed.follow()
    with pytest.raises(HostError, match="cannot keep evidence: No space left on device; make room"):
        followed.next_line(time.monotonic() + 5)


def test_what_was_heard_before_a_failure_and_cannot_be_written_is_reported_too():
    """It looked like an engine that does not answer."""
    full = failing(OSError(errno.ENOSPC, "No space left on device"))

    def prepare():
        with BufferedContainer(Talking(b"K one\n"), full) as heard:
            heard.follow()
            heard.wait_for(lambda line: line == b"two", 5, "two")

    with pytest.raises(HostError, match="cannot keep evidence: No space left on device; make room"):
        prepare()


def test_a_stream_that_breaks_is_the_end():
    class Breaking(Talking):
        def logs(self, **_):
            yield b"K one\n"
            raise AttributeError("closed under its reader")

    followed = FollowedContainer(Breaking(), lambda _: None)
    followed.follow()
    assert followed.next_line(time.monotonic() + 5) == b"K one"
    with pytest.raises(OutputEndedError):
        followed.next_line(time.monotonic() + 5)
    followed.check_kept()


class Answer:
    """A stream of the engine, its response at once, whose other side is gone before it is closed."""

    def __init__(self, wait=lambda: None):
        self._response, self._wait = self, wait

    def __iter__(self):
        yield b"K one\n"
        self._wait()

    def close(self):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


class Asked(Talking):
    """A container of an engine with this answer, and how often the socket was closed."""

    def __init__(self, answer, wait=lambda: None):
        self._answer, self._wait = answer, wait
        self.closed = 0
        self.client = self.api = self

    def logs(self, **_):
        self._wait()
        return self._answer

    def _get_raw_response_socket(self, response):
        assert response is self._answer
        return self

    def close(self):
        self.closed += 1


def test_a_socket_whose_other_side_was_quicker_is_closed():
    over = threading.Event()
    container = Asked(Answer(over.wait))
    followed = FollowedContainer(container, lambda _: None)
    followed.follow()
    followed.next_line(time.monotonic() + 5)
    threading.Timer(0.2, over.set).start()
    followed.close()
    followed._thread.join(5)
    assert container.closed


def test_an_answer_that_comes_after_the_end_is_closed_too():
    over = threading.Event()
    container = Asked(Answer(), over.wait)
    followed = FollowedContainer(container, lambda _: None)
    followed.follow()
    followed.close()
    assert not container.closed
    over.set()
    followed._thread.join(5)
    assert container.closed


def test_the_connection_of_an_output_that_has_ended_is_left_to_the_client():
    container = Asked(Answer())
    followed = FollowedContainer(container, lambda _: None)
    followed.follow()
    followed._thread.join(5)
    followed.close()
    assert not container.closed
