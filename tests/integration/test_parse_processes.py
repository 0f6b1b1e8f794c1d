"""`oomtrial parse` as a process: its reader goes away, it is interrupted or killed while it reads."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from oomtext import killed, stamped


def encoded(lines):
    return ("\n".join(lines) + "\n").encode()


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    """`oomtrial parse FILE --format json | head -1`"""
    (tmp_path / "log").write_bytes(encoded(stamped([killed(pid) for pid in range(1, 3001)])))
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "parse", tmp_path / "log", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")


def interrupted(style, out):
    """Starts on a log that never ends, on one core, so that it is read as it comes; interrupts when files are begun."""

    def on_one_core():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and so would what we start

    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "parse", "-", "--format", style, "--out", str(out)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=on_one_core,
    )  # fmt: skip
    try:
        kills = encoded(stamped([killed(pid) for pid in range(1, 6001)], step=0.5))
        while not (out.is_dir() and any(out.iterdir())):
            assert process.poll() is None
            process.stdin.write(kills)
            process.stdin.flush()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        return process.wait(60), process.stderr.read().decode()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("style", ["csv", "parquet"])
def test_an_interruption_leaves_nothing_half_written(tmp_path, style):
    code, said = interrupted(style, tmp_path / "out")
    assert (code, "Traceback" in said) == (130, False)
    assert not list((tmp_path / "out").iterdir())


def test_an_interruption_leaves_no_half_of_a_document(tmp_path):
    code, said = interrupted("json", tmp_path / "out")
    assert (code, "Traceback" in said) == (130, False)
    assert not list((tmp_path / "out").iterdir())


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    if len(os.sched_getaffinity(0)) == 1:
        return  # no workers
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "parse", "-", "--format", "json", "--out", str(tmp_path / "out")],
        stdin=subprocess.PIPE,
    )
    # a log with many records is read by processes, any other by threads; so is one that compiled code puts together
    kill = b"[    1.5] Memory cgroup out of memory: Killed process 12 (x) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, "
    lines = (kill + b"UID:0 pgtables:8kB oom_score_adj:0\n") * 30_000
    parent, workers = psutil.Process(process.pid), []
    while not workers:
        process.stdin.write(lines)
        workers = [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
    time.sleep(1)  # for what a worker does first
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(workers, timeout=10)[1]
