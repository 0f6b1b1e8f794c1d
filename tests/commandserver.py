"""Runs the command line many times without starting Python each time: a process that has imported what earlier commands
used, and forks for each command. The command has its own process, as in a shell: environment, directory, exit code, signals.

A test that is about the start of the program starts it (`tests.conftest.command`).
"""

import atexit
import gc
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
# What many commands use: imported by the first of them, it would be imported a second time here.
_COMMON = ("harness.cli", "harness.commands.run", "harness.experiment.driver", "harness.runs.summary", "scipy.optimize", "scipy.sparse.csgraph")  # fmt: skip
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class CommandServer:
    """The process that forks, from outside."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.commandserver"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def close(self):
        """Ends it."""
        self._process.communicate()

    def run(self, arguments, env=None, stdin=b"", timeout=600, open_files=None):
        """Runs `oomtrial ARGUMENTS`; returns the finished process with its bytes. `open_files`: how many it may have open, as
        its soft and its hard limit. Raises TimeoutExpired."""
        argv = ["oomtrial", *map(str, arguments)]
        with tempfile.TemporaryDirectory(prefix="oomtrial-command-") as name:
            place = Path(name)
            (place / "in").write_bytes(stdin)
            environment = {**os.environ, **(env or {})}
            asked = {
                "argv": argv, "env": environment, "cwd": str(Path.cwd()), "place": name, "timeout": timeout, "open_files": open_files
            }  # fmt: skip
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            code = json.loads(self._process.stdout.readline())
            output, errors = (place / "out").read_bytes(), (place / "err").read_bytes()
        if code is None:
            raise subprocess.TimeoutExpired(argv, timeout, output, errors)
        return subprocess.CompletedProcess(argv, code, output, errors)


def _serve():
    answers = os.fdopen(os.dup(1), "wb")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which ends this process
    _import(_COMMON)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        learnt, learn = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(learnt)
            answers.close()
            _become(asked, learn)
        os.close(learn)
        code = _end_of(pid, asked["timeout"])
        with os.fdopen(learnt) as names:
            _import(names.read().split())
        answers.write(json.dumps(code).encode() + b"\n")
        answers.flush()


def _end_of(pid, timeout):
    """The exit code as Popen has it, or None for a process that had to be killed."""
    with os.fdopen(os.pidfd_open(pid)) as descriptor:
        is_ended = bool(select.select([descriptor], [], [], timeout)[0])
    if not is_ended:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if is_ended else None


def _import(names):
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # no module of its own, as six.moves has some
            continue
    gc.freeze()  # else the first collection in a child copies all of it
    assert threading.active_count() == 1, "a fork would lose threads"


def _become(asked, learn) -> NoReturn:
    """Runs the command in this process, which is its own, to its end."""
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    for number, name, flags in ((0, "in", os.O_RDONLY), (1, "out", _WRITE), (2, "err", _WRITE)):
        descriptor = os.open(Path(asked["place"], name), flags)
        os.dup2(descriptor, number)
        os.close(descriptor)
    if asked["open_files"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, asked["open_files"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = asked["argv"]
    before = set(sys.modules)
    from harness.cli import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    os.write(learn, " ".join(sorted(set(sys.modules) - before)).encode())
    # As at the end of any program, but for taking down the modules: that would copy the memory that is shared.
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
