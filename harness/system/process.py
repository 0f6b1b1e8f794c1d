"""Child processes, which end with this process.

`run` and `output_of` have deadlines; a process from `start` runs until its caller or `kill_children` ends it."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import HostError

_log = logging.getLogger(__name__)

_TERM_S = 3.0  # for children that tidy up
_END_S = 3.0  # for a command to end after SIGTERM, before it is killed
_ANSWER_S = 300.0  # for a short command, such as apt-cache: it took more than 60 on 2 cores that 12 processes wanted
_TIDY_S = 3.0  # for threads whose children were killed


class CommandError(HostError):
    """A command failed. `status`: its exit status; `said`: the lines of its standard error."""

    def __init__(self, argv: Sequence[str], status: int, stderr: str) -> None:
        self.status = status
        self.said = [line.strip() for line in stderr.splitlines() if line.strip()]
        super().__init__(f"{' '.join(argv)} failed: {self.said[-1] if self.said else f'exit status {status}'}")


# Commands whose Debian package has another name.
_PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mke2fs": "e2fsprogs",
    "setpriv": "util-linux",
    "musl-gcc": "musl-tools",
    "ld": "binutils",
    "xz": "xz-utils",
    "apt-cache": "apt",
    "apt-config": "apt",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}


# On Debian only root has these in PATH, and mke2fs is there.
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of child processes: that of this process, with the directories of system commands at the end of PATH."""
    variables = {**os.environ, **(changes or {})}
    path = variables.get("PATH", os.defpath).split(os.pathsep)
    variables["PATH"] = os.pathsep.join(
        [*path, *(directory for directory in _SYSTEM_DIRECTORIES if directory not in path)]
    )
    return variables


def find_command(name: str) -> str | None:
    """Path of a command, looked up in PATH and in the directories of system commands; None if it is not installed."""
    return shutil.which(name, path=environment()["PATH"])


def install_line(*names: str) -> str:
    """The line that installs commands (or packages) on Debian and Ubuntu."""
    packages = sorted({_PACKAGES.get(name, name) for name in names})
    return f"apt-get install --no-install-recommends {' '.join(packages)}"


def dies_with_parent(argv: Sequence[str]) -> list[str]:
    """The command, killed by the kernel when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG)."""
    return ["setpriv", "--pdeathsig", "KILL", *argv]


# The leader of a command's process group. At SIGTERM, which the kernel sends it when this process is gone, it ends the
# group: first by SIGHUP, at which make(1) and others take away what they have half written. (A shell's background jobs are
# ignore SIGINT.)
_LEADER = f"""trap 'trap "" HUP TERM
kill -s HUP -- -$$
{{ sleep {_END_S:.0f}; kill -s KILL -- -$$; }} &
wait $command
exit 129' TERM
"$@" &
command=$!
wait $command
"""


def group_dies_with_parent(argv: Sequence[str]) -> list[str]:
    """The command, whose process group, which it must lead, ends when the thread that started it ends."""
    return ["setpriv", "--pdeathsig", "TERM", "sh", "-c", _LEADER, "sh", *argv]


def has_initial_pids() -> bool:
    """Whether this process is in the initial pid namespace, so that its pids are those of the kernel log."""
    try:
        # include/linux/proc_ns.h, PROC_PID_INIT_INO
        return str(Path("/proc/self/ns/pid").readlink()) == "pid:[4026531836]"
    except OSError:
        return False


_own: set[subprocess.Popen[bytes]] = set()  # children; those that have ended are removed when the next one is started
_own_lock = threading.Lock()


def start(
    argv: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Starts a child process, which `kill_children` ends. `env`: changes to the environment; `options` are those of Popen.

    Raises HostError when the command is not installed.
    """
    command = str(argv[0])
    _log.debug("$ %s", shlex.join(map(str, argv)))
    if "/" not in command and find_command(command) is None:
        raise HostError(f"{command} is not installed", install_line(command))
    try:
        process: subprocess.Popen[bytes] = subprocess.Popen(argv, env=environment(env), **options)
    except FileNotFoundError as error:
        missing = str(error.filename)
        if missing != command:  # the directory to run it in
            raise
        raise HostError(f"{missing} is not installed", install_line(missing)) from error
    with _own_lock:
        _own.difference_update([other for other in _own if other.poll() is not None])
        _own.add(process)
    return process


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what `group_dies_with_parent` leads, and all of it."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S + 1)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills a child that was started in its own session, with all its children, and reaps it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(
    argv: Sequence[str],
    *,
    log: Path,
    deadline_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_tick: Callable[[], None] = lambda: None,
    keep: Sequence[int] = (),
) -> int:
    """Runs a command with its output appended to a log, and returns its exit status. It ends with this process, and so does
    what it starts. `keep`: descriptors that they inherit, of locks: what still runs still holds them.

    Raises HostError when the command is not installed or has not ended by the deadline.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(argv)}\n".encode())
        output.flush()
        if "/" not in argv[0] and find_command(argv[0]) is None:
            raise HostError(f"{argv[0]} is not installed", install_line(argv[0]))
        process = start(
            group_dies_with_parent(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
            pass_fds=keep,
        )
        try:
            started = time.monotonic()
            end = started + deadline_s
            while True:
                try:
                    status = process.wait(timeout=0.5)
                    _log.debug(
                        "%s: exit status %d after %.1f s; output in %s",
                        argv[0],
                        status,
                        time.monotonic() - started,
                        log,
                    )
                    return status
                except subprocess.TimeoutExpired:
                    on_tick()
                    if time.monotonic() > end:
                        raise HostError(f"{argv[0]} did not end within {deadline_s:.0f} s", f"see {log}") from None
        finally:
            _end_group(process)


def output_of(
    argv: Sequence[str], *, deadline_s: float = _ANSWER_S, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Standard output of a short command.

    Raises CommandError when it fails, HostError when it is missing or does not end by the deadline.
    """
    pipe = subprocess.PIPE
    with start(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, cwd=cwd, env=env) as process:
        try:
            output, errors = process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{argv[0]} did not end within {deadline_s:.0f} s") from error
        finally:
            process.kill()  # nothing, if it has ended
    if process.returncode:
        raise CommandError(list(map(str, argv)), process.returncode, errors.decode(errors="replace"))
    return output.decode(errors="replace")


@contextlib.contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool. Its threads are joined at the end, but only briefly after a signal: a thread may be waiting for the
    lock of another process, and an interrupted process must not wait for that."""
    pool = ThreadPoolExecutor(max_workers=number)
    try:
        yield pool
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        tidying = threading.Thread(target=pool.shutdown, daemon=True)
        tidying.start()
        tidying.join(_TIDY_S)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def kill_children() -> None:
    """Ends the children from `start` and every process below them: guests, compilers, downloads. They get SIGTERM and a
    moment to clean up first. Other children of this process are left alone: a test's servers, or jobs of a shell that became oomtrial."""
    with _own_lock:
        owned = [process for process in _own if process.poll() is None]
    if not owned:
        return
    import psutil  # most commands start no process that outlives them

    below: list[psutil.Process] = []
    for process in owned:
        with contextlib.suppress(psutil.Error):
            below += psutil.Process(process.pid).children(recursive=True)
    every: list[subprocess.Popen[bytes] | psutil.Process] = [*owned, *below]
    for child in every:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    # not by psutil: it would take the exit status from the code that started the child, and Popen says 0 then
    end = time.monotonic() + _TERM_S
    while any(process.poll() is None for process in owned) or any(process.is_running() for process in below):
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    for child in every:
        with contextlib.suppress(psutil.Error):
            child.kill()
