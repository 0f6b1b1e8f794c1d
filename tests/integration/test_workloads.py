"""Collector, watcher and supervisor alone, without a guest: what they wait for, what they count, what they refuse."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import psutil
import pytest

from harness.system.cc import build_binary
from harness.system.paths import data_dir
from tests.wheel import ROOT

SOURCE = ROOT / "tests" / "alone.c"


def compiled(directory, name, *options):
    directory.mkdir(exist_ok=True)
    source, binary = directory / "source.c", directory / name
    parts = sorted((data_dir("workloads") / name).glob("*.c")) or [data_dir("workloads") / f"{name}.c"]
    source.write_text("".join(f'#include "{part}"\n' for part in parts))
    argv = ["musl-gcc", "-static", "-O1", f'-DSOURCE="{source}"', *options, "-o", str(binary), str(SOURCE)]
    subprocess.run(argv, check=True)
    return binary


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("collector"), "collector")


@pytest.fixture(scope="module")
def watcher(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("watcher"), "watcher")


class Running:
    """One that runs, and what it says."""

    def __init__(self, argv, root, **environment):
        (root / "dev").mkdir()
        (root / "dev/kmsg").touch()
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "ROOT": str(root)} | environment
        )
        self._events, self._news = [], threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(ValueError):  # the test has closed it
            for line in self.process.stdout:
                if line.startswith(b"C "):
                    with self._news:
                        self._events.append(json.loads(line[2:]))
                        self._news.notify()

    def count(self, name):
        """How many events of a name there were."""
        with self._news:
            return sum(event["event"] == name for event in self._events)

    def event(self, name, seconds=20):
        """The first event of a name; waits for it."""
        end = time.monotonic() + seconds
        with self._news:
            while not (found := [event for event in self._events if event["event"] == name]):
                assert self._news.wait(end - time.monotonic()), f"no {name} in {seconds} s"
        return found[0]


@contextlib.contextmanager
def running(*arguments, **environment):
    one = Running(*arguments, **environment)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
        one.process.stdin.close()
        one.process.stdout.close()


def collector_argv(binary, root):
    return [binary, "--socket", str(root / "s"), "--name", "alone"]


def test_a_signal_right_before_the_collector_waits_is_heard(collector, tmp_path):
    with running(collector_argv(collector, tmp_path), tmp_path, RAISE=str(int(signal.SIGTERM))) as one:
        assert one.event("bye")


def test_a_line_says_that_the_guest_was_restored_and_the_end_of_input_says_nothing(collector, tmp_path):
    with running(collector_argv(collector, tmp_path), tmp_path) as one:
        one.event("ready")
        one.process.stdin.write(b"restored\n")
        one.process.stdin.flush()
        one.event("restored")
        one.process.stdin.close()
        time.sleep(0.5)
        spent = psutil.Process(one.process.pid).cpu_times()
        assert spent.user + spent.system < 0.2  # a descriptor at its end is always readable: it is not looked at again
        one.process.send_signal(signal.SIGTERM)
        assert one.event("bye")
        assert one.count("restored") == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--socket", "s", "--name", "a", "--probe", "all"),
        ("--socket", "s", "--name", "a", "--probes", "some"),
        ("--socket", "s", "--name", "a", "--owner", "12x"),
        ("--socket", "s", "--name", "a", "--trace-kb", "0"),
        ("--socket", "s", "--name", "a" * 33),
        ("--socket", "s", "--name", "a", "--owner"),
        ("--socket", "s"),
    ],
)
def test_the_collector_refuses_what_it_does_not_know(collector, tmp_path, options):
    shown = subprocess.run(
        [collector, *options], env={"ROOT": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, json.loads(shown.stdout.removeprefix("C "))["event"]) == (1, "error")
    assert shown.stderr.startswith("collector: ") or "usage: " in shown.stdout


def test_a_signal_right_before_the_watcher_waits_is_heard(watcher, tmp_path):
    argv = [watcher, "--token", "t", "--root", "none"]
    with running(argv, tmp_path, RAISE=str(int(signal.SIGTERM))) as one:
        assert one.process.wait(20) == 0


def test_a_flood_does_not_hold_the_collector(collector, tmp_path):
    """A kernel log that is written faster than it is read: rounds begin and end, and each has its marker."""
    with (
        running(collector_argv(collector, tmp_path), tmp_path, FLOOD="1") as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking,
    ):
        one.event("ready")
        asking.connect(str(tmp_path / "s"))
        asking.settimeout(15)
        for request in (b"begin 1", b"armed 1", b"end 1"):
            asking.send(request)
            assert asking.recv(100) == b"ok"
        assert one.event("end")["kmsg_complete"] is True
        one.process.send_signal(signal.SIGTERM)
        assert one.event("bye")


def test_a_flood_does_not_hold_the_watcher(watcher, tmp_path):
    with running([watcher, "--token", "t", "--root", "none"], tmp_path, FLOOD="1") as one:
        one.event("ready")
        one.process.send_signal(signal.SIGUSR2)
        assert one.event("mark") == {"event": "mark", "number": 1, "complete": True}
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(20) == 0


def test_losses_are_of_every_cpu_and_of_our_own_probes(tmp_path):
    """Another collector's probes have the same names, and other people's any."""
    binary = compiled(tmp_path, "collector", "-DLOSSES")
    tracefs = tmp_path / "oomtrial-tracefs"
    beyond = max(os.sched_getaffinity(0)) + 3  # no CPU that this process may run on; and one that is left out
    for cpu, lost in ((0, 5), (beyond, 70)):
        directory = tracefs / f"instances/oomtrial-ours/per_cpu/cpu{cpu}"
        directory.mkdir(parents=True)
        (directory / "stats").write_text(f"entries: 3\noverrun: {lost}\ncommit overrun: 0\ndropped events: 100\n")
    (tracefs / "kprobe_events").write_text(
        "p:theirs/watch do_exit\np:oomtrial_ours/oom_entry out_of_memory memcg=+16(%di):x64\n"
        "r64:oomtrial_ours/mm_release exit_mmap\nr64:oomtrial_other/mm_release exit_mmap\n"
    )
    (tracefs / "kprobe_profile").write_text(
        "".join(
            f"  {name:<44} {hits:15} {misses:15}\n"
            for name, hits, misses in (
                ("watch", 9, 10_000),
                ("oom_entry", 9, 1),
                ("mm_release", 9, 20),
                ("mm_release", 9, 3000),
            )
        )
    )
    shown = subprocess.run([binary], env={"ROOT": str(tmp_path)}, capture_output=True, text=True, check=True)
    losses = json.loads(shown.stdout.removeprefix("C "))
    assert losses == {"event": "trace_losses", "round": 7, "lost_events_total": 275, "missed_probes_total": 21}


def test_the_supervisor_runs_only_as_the_first_process_of_a_container(tmp_path):
    """It ends every process that it may: those of its container, or those of the user."""
    hog = build_binary(data_dir("workloads") / "hog")
    argv = [hog, "supervise", "--socket", str(tmp_path / "none"), "--token", "t", "--hog", "name=a,bytes=4096"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (shown.returncode, json.loads(shown.stdout)["what"]) == (
        64,
        "supervise is for the first process of a container",
    )
