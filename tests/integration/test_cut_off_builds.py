"""A build ends with its harness, whatever ends that, and nothing of it gets into the kernel of another spec."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from filelock import FileLock, Timeout

from harness.errors import BuildError, HostError
from harness.kernels import products
from harness.kernels.overlay import lay_over, restore
from harness.kernels.patches import load_patches
from harness.system.process import run
from tests.conftest import command
from tests.kerneltree import FIX, make_tree

# A make below make, as kbuild has them, and a compiler that takes its time.
SLOW = """
bzImage: slow
slow:
	@$(MAKE) slower
slower:
	@touch $(CURDIR)/half.o && sleep 60 && true
"""


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def processes_in(directory):
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(directory) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def building(tmp_path):
    """A harness whose make is under way, and the tree that it builds in."""
    tree = make_tree(tmp_path / "linux")
    (tree / "Makefile").write_text((tree / "Makefile").read_text() + SLOW)
    process = subprocess.Popen(
        ["env", f"OOMTRIAL_CACHE={tmp_path}/cache", *command("kernels", "build", f"tree:{tree}")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
    )
    assert wait_until(lambda: list(tmp_path.glob("cache/trees/tree-*/half.o")), 30)
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    yield process, copy
    process.kill()
    process.communicate()
    for left in processes_in(copy):
        left.kill()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGUSR1])
def test_a_build_ends_with_its_harness(building, number):
    process, copy = building
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == (130 if number in (signal.SIGHUP, signal.SIGTERM) else -number), said
    assert wait_until(lambda: not processes_in(copy)), processes_in(copy)
    with FileLock(f"{copy}.lock").acquire(timeout=10):
        pass


def test_a_make_that_lives_on_keeps_the_lock(building):
    process, copy = building
    for leader in processes_in(copy):
        with contextlib.suppress(psutil.NoSuchProcess):  # of a step of make that has ended since
            if leader.name() == "sh" and leader.ppid() == process.pid:
                leader.kill()
    process.kill()
    process.wait()
    assert processes_in(copy)
    with pytest.raises(Timeout):
        FileLock(f"{copy}.lock").acquire(timeout=0.2)
    for left in processes_in(copy):
        left.kill()
    assert wait_until(lambda: not processes_in(copy))
    with FileLock(f"{copy}.lock").acquire(timeout=10):
        pass


def test_a_hangup_that_is_to_be_ignored_is_ignored(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGHUP); from harness.cli import main; main()"
    done = subprocess.run(
        ["nohup", sys.executable, "-c", f"import sys; sys.argv = ['oomtrial', '--version']; {code}"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_a_command_ends_with_all_that_it_started_at_its_deadline(tmp_path):
    started = time.monotonic()
    with pytest.raises(HostError, match="did not end within 1 s"):
        run(["sh", "-c", "sleep 60 & sleep 61"], log=tmp_path / "log", deadline_s=1, cwd=tmp_path)
    assert time.monotonic() - started < 10
    assert wait_until(lambda: not processes_in(tmp_path))


def test_a_status_is_told_as_it_was(tmp_path):
    assert run(["sh", "-c", "exit 7"], log=tmp_path / "log", deadline_s=5) == 7
    assert run(["true"], log=tmp_path / "log", deadline_s=5) == 0


def test_objects_of_a_make_that_was_cut_off_are_told_by_what_they_are(tmp_path):
    (tmp_path / "mm").mkdir()
    for name in ("whole.o", "again.o", "mm/deep.o"):
        (tmp_path / name).write_text("whole")
    (tmp_path / "conf").write_text("program")
    (tmp_path / ".conf.cmd").write_text("")
    products.begin_products(tmp_path)
    products.note_products(tmp_path)
    products.begin_products(tmp_path)
    (tmp_path / "mm/deep.o").write_text("of another patch")
    times = (tmp_path / "whole.o").stat()
    (tmp_path / "again.o").write_text("half!")
    (tmp_path / "conf").write_text("half")
    (tmp_path / "new.o").write_text("")
    for name in ("mm/deep.o", "again.o", "new.o", "conf"):  # whatever the clock said
        products.os.utime(tmp_path / name, ns=(times.st_atime_ns, times.st_mtime_ns))
    for name in ("source.c", "source.bin"):
        (tmp_path / name).write_text("")
    products.remove_doubtful(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} >= {"whole.o", "source.c", "source.bin"}
    assert not any((tmp_path / name).exists() for name in ("mm/deep.o", "again.o", "new.o", "conf"))
    products.remove_doubtful(tmp_path)
    assert (tmp_path / "whole.o").exists()


def test_nothing_is_built_upon_once_the_clock_was_set_back(tmp_path):
    (tmp_path / "one.o").write_text("")
    later = time.time_ns() + 3600 * 10**9
    products.os.utime(tmp_path / "one.o", ns=(later, later))
    products.begin_products(tmp_path)
    products.note_products(tmp_path)
    products.remove_doubtful(tmp_path)
    assert not (tmp_path / "one.o").exists()


def test_a_patched_file_that_changed_meanwhile_is_no_kernel_to_keep(tmp_path):
    tree = make_tree(tmp_path / "linux")
    (tmp_path / "fix.patch").write_text(FIX)
    laid = lay_over(tree, load_patches(str(tmp_path / "fix.patch"), "6.1"), "linux")
    laid.require_unchanged(tree)
    restore(tree)
    with pytest.raises(BuildError, match=r"oom_kill\.c changed during the build"):
        laid.require_unchanged(tree)
