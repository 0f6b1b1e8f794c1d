"""The command line: its commands, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from .commands.bisect import bisect, bisect_step
from .commands.compare import compare, plan
from .commands.controls import controls
from .commands.demo import demo
from .commands.doctor import doctor
from .commands.history import history
from .commands.kernels import kernels
from .commands.matrix import matrix
from .commands.parse import parse
from .commands.report import report
from .commands.run import run
from .commands.scenarios import scenarios
from .commands.sections import SectionedGroup
from .commands.series import series
from .commands.summary import summary
from .commands.tables import tables
from .commands.trying import try_
from .commands.watch import watch
from .errors import INTERRUPTED, OomtrialError
from .progress import Reporter
from .progress.verbose import show_log
from .spec.project import read_project
from .system.process import kill_children
from .version import __version__

_log = logging.getLogger(__name__)


def _terminate(_signal_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_OUTPUTS = (1, 2)  # standard output, standard error


def _end_on_hangup() -> None:
    """Makes SIGHUP end the command as SIGTERM does. A terminal that is gone answers every write with EIO, which would end the
    command before its evidence is complete: its place is taken by /dev/null.
    """
    terminals = [descriptor for descriptor in _OUTPUTS if os.isatty(descriptor)]

    def end(number: int, frame: FrameType | None) -> None:
        for descriptor in terminals:
            if not os.isatty(descriptor):  # EIO (drivers/tty/tty_io.c, hung_up_tty_ioctl)
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        _terminate(number, frame)

    signal.signal(signal.SIGHUP, end)


_SECTIONS = {
    "Measure": ("demo", "try", "run", "matrix", "series", "bisect", "controls", "plan"),
    "Look at results": ("summary", "compare", "report", "tables", "history"),
    "Read OOM kills": ("parse", "watch"),
    "Prepare": ("doctor", "kernels", "scenarios"),
}


class _ReaderGoneError(Exception):
    """The reader of standard output has ended, as head(1) does."""


class _Commands(SectionedGroup):
    def invoke(self, ctx: click.Context) -> Any:
        """Raises _ReaderGoneError in place of BrokenPipeError, which click would turn into exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError from error


@click.group(cls=_Commands, sections=_SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="oomtrial")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress, only results and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Show the commands that are run, and where an error came from.")
@click.pass_context
def cli(context: click.Context, quiet: bool, verbose: bool) -> None:
    """Count OOM kills that were not needed, and compare kernels by them.

    The kernel kills a process when a memory cgroup reaches memory.max. oomtrial finds the kills that waiting for an
    earlier victim would have avoided, on stock and patched kernels.

    \b
    Exit codes:
      0    done
      2    wrong usage
      3    this machine lacks something
      4    a download, a patch or a build failed, or nobody offers the kernel
      5    a guest failed; what was measured is kept
      6    evidence is missing or damaged
      7    a check failed
      130  interrupted; what was measured is kept
    """
    Reporter.is_quiet = quiet
    if verbose:
        show_log(str(__package__))
    context.obj = project = read_project(Path.cwd())
    guest = {"vcpus": project.vcpus, "memory_mib": project.memory_mib}
    run_only = {"kernels": list(project.kernels), "scenarios": list(project.scenarios)}
    given: dict[str, object] = {name: value for name, value in guest.items() if value is not None}
    defaults = dict.fromkeys(cli.commands, given)
    context.default_map = defaults | {"run": given | {name: value for name, value in run_only.items() if value}}


for _command in (
    demo,
    try_,
    run,
    summary,
    tables,
    compare,
    plan,
    report,
    controls,
    bisect,
    bisect_step,
    series,
    matrix,
    scenarios,
    kernels,
    parse,
    watch,
    history,
    doctor,
):
    cli.add_command(_command)


_GIT_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)


def main() -> None:
    """Entry point: one line and an exit code for every expected error."""
    # git names its own repository to hooks and to what `git bisect run` runs: every git that oomtrial starts would use it.
    for name in _GIT_REPOSITORY:
        os.environ.pop(name, None)
    try:
        signal.signal(signal.SIGTERM, _terminate)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1) has it ignored
            _end_on_hangup()
        cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        click.echo(f"oomtrial: {error.format_message()}", err=True)
        code = 2
    except OomtrialError as error:
        _log.debug("where the error came from", exc_info=True)
        click.echo(f"oomtrial: {error}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("oomtrial: interrupted; what was measured is kept", err=True)
        code = INTERRUPTED
    except (_ReaderGoneError, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads what is left to print
        code = 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        click.echo(f"oomtrial: {error.strerror or error}{where}", err=True)
        code = 3
    except UnicodeEncodeError as error:
        # a name from the command line or the environment that no record could hold
        click.echo(f"oomtrial: cannot write this text, as it is not UTF-8: {error.object[:200]!r}", err=True)
        code = 2
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except Exception:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends already
        kill_children()
    if code == INTERRUPTED:
        _exit_now(code)
    sys.exit(code)


def _exit_now(code: int) -> NoReturn:
    """Ends the process with this exit code and no other.

    A KeyboardInterrupt that came within exec() of a text, as when a dataclass is imported, leaves a mark by which CPython
    ends itself with SIGINT at last, though the exception was caught (Python/pythonrun.c, run_eval_code_obj; 3.8 and later).
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
