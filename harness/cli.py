"""The command line: arguments to an experiment, results to the terminal.

Commands import what they need when they run: pandas, scipy and docker take seconds, a wrong option should not.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console

from harness import __version__
from harness.cli_compare import compare as compare_command
from harness.cli_compare import plan as plan_command
from harness.cli_kernels import OWN_CONFIG
from harness.cli_kernels import kernels as kernel_commands
from harness.cli_report import report as report_command
from harness.cli_watch import watch as watch_command
from harness.errors import CHECK_FAILED, INTERRUPTED, EvidenceError, OomtrialError
from harness.proc import kill_children
from harness.progress import Reporter
from harness.spec.machine import ACCELERATIONS

if TYPE_CHECKING:
    from harness.experiment import Experiment

_PLAIN_WIDTH = 120  # where standard output is no terminal


def _terminate(_signal_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="oomtrial")
def cli() -> None:
    """Counts the OOM kills that waiting for the earlier victim would have spared, on stock and patched kernels.

    Exit codes: 0 done; 2 usage; 3 this machine lacks something; 4 a download, patch or build failed; 5 a guest failed;
    6 evidence is missing or damaged; 7 a check failed; 130 interrupted (what was measured is kept).
    """


@cli.command()
@click.option(
    "--kernel",
    "kernels",
    multiple=True,
    metavar="SPEC",
    help="debian:VERSION, source:VERSION, tree:PATH[@REF] or image:PATH, see `kernels --help`; repeat it for more arms,"
    " the same one for stock against stock. host: the running kernel, on this machine's Docker Engine.",
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help='Name, or path of a .toml file; repeat it, or "all".  [default: one-big-many-small]',
)
@click.option("--rounds", type=click.IntRange(1, 1_000_000), default=40, show_default=True, help="Rounds an arm.")
@click.option(
    "--boots",
    type=click.IntRange(1, 10_000),
    help="Boots an arm (containers, on host); rounds are spread over them.  [default: 2, on host 1; with --until-decided"
    " one for 8 rounds, but 8 at least]",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="Look after every turn of the arms, and end when each is better or worse than stock; --rounds is then the most.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order in which the arms take turns.")
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the run.  [default: results/runs/RUN_ID]")
@click.option(
    "--vcpus",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Of a guest; more than cores widens the window.",
)
@click.option(
    "--memory",
    "memory_mib",
    type=click.IntRange(256, 1 << 20),
    default=2048,
    show_default=True,
    help="Of a guest, in MiB.",
)
@click.option(
    "--accel",
    type=click.Choice(ACCELERATIONS),
    default="auto",
    show_default=True,
    help="auto: KVM if a guest boots with it.",
)
@click.option(
    "--probes",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="none: counts only, no kill is classified.",
)
@click.option(
    "--snapshots/--no-snapshots",
    default=True,
    show_default=True,
    help="Guests go on from snapshots of earlier boots of theirs.",
)
@click.option("--append", default="", metavar="TEXT", help="To the guest's kernel command line.")
@click.option(
    "--may-harm-host",
    is_flag=True,
    help="On host, run scenarios too that can hurt the machine: without limits, unkillable, or over a quarter of its memory.",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Run the blocks on the workers of a Dask scheduler: tcp://HOST:PORT, or local:N for N on this machine.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a run that was cut off, as its record says; no option but --cluster goes with it.",
)
@OWN_CONFIG
@click.pass_context
def run(
    context: click.Context,
    kernels: tuple[str, ...],
    scenarios: tuple[str, ...],
    rounds: int,
    boots: int | None,
    until_decided: bool,
    seed: int,
    out: Path | None,
    vcpus: int,
    memory_mib: int,
    accel: str,
    probes: str,
    snapshots: bool,
    append: str,
    may_harm_host: bool,
    cluster: str | None,
    resume: Path | None,
    own_config: tuple[Path, ...],
) -> None:
    """Measure kernels against each other, and print the summary.

    --kernel host measures the running kernel in containers of the local Docker Engine: a benchmark of this machine, whose
    figures are kept in a history. It makes nothing but its own containers, and leaves none behind.
    """
    from harness.cluster import run_experiment
    from harness.experiment import Experiment, Request, resume_run
    from harness.spec.arm import name_arms

    if resume is not None:
        if given := _given(context, lambda name: name not in ("resume", "cluster")):
            raise click.UsageError(f"{', '.join(given)} cannot be given beside --resume: the run's own record says it")
        with Reporter() as report:
            experiment = resume_run(resume, report, elsewhere=cluster is not None)
            has_run = run_experiment(experiment, cluster)
        _print_run(resume)
        if has_run:
            _remember(experiment)
        return
    if not kernels:
        raise click.MissingParameter(ctx=context, param=context.command.params[0])
    if "host" in kernels:
        _refuse_guest_options(context)
    with Reporter() as report:
        request = Request(
            name_arms(kernels, probes),
            scenarios or ("one-big-many-small",),
            rounds,
            boots or (max(8, rounds // 8) if until_decided else 1 if "host" in kernels else 2),
            seed,
            out,
            vcpus,
            memory_mib,
            accel,
            snapshots,
            append,
            own_config,
            may_harm_host,
            until_decided,
        )
        experiment = Experiment(request, report)
        run_experiment(experiment, cluster)
    _print_run(experiment.directory)
    _remember(experiment)


def _remember(experiment: Experiment) -> None:
    """Of the arm host, figures go to this machine's history."""
    if "host" in experiment.request.kernels:
        from harness.history import remember

        for line in remember(experiment.directory):
            click.echo(line)


_OF_GUESTS = ("vcpus", "memory_mib", "accel", "snapshots", "append", "own_config")


def _refuse_guest_options(context: click.Context) -> None:
    options = _given(context, lambda name: name in _OF_GUESTS)
    if options:
        raise click.UsageError(f"{options[0]} is of guests, and --kernel host boots none")


def _given(context: click.Context, which: Callable[[str], bool]) -> list[str]:
    """Options that stand on the command line."""
    return [
        option.opts[0]
        for option in context.command.params
        if which(str(option.name)) and context.get_parameter_source(str(option.name)) == ParameterSource.COMMANDLINE
    ]


cli.add_command(kernel_commands)
cli.add_command(report_command)
cli.add_command(compare_command)
cli.add_command(plan_command)
cli.add_command(watch_command)


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def scenarios(names: tuple[str, ...], style: str) -> None:
    """List the scenarios, or show some of them: ours by name, your own by the path of their file."""
    from harness.report.scenariotable import print_scenario, print_scenarios, scenario_row
    from harness.spec.scenario import load_scenario, scenario_names

    found = [load_scenario(name) for name in names or scenario_names()]
    if style == "json":
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode([scenario_row(one) for one in found])) + b"\n")
        return
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    if names:
        for scenario in found:
            print_scenario(console, scenario)
    else:
        print_scenarios(console, found)


@cli.command()
@click.option("--base", metavar="SPEC", help="The stock kernel.  [default: source:6.1, else source:6.12]")
@click.option("--only", "names", multiple=True, metavar="NAME", help="Only this control; repeat it for more.")
@click.option("--rounds", type=click.IntRange(1, 1_000_000), default=60, show_default=True, help="Rounds an arm.")
@click.option("--boots", type=click.IntRange(1, 10_000), default=2, show_default=True, help="Boots an arm.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order in which the arms take turns.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Directory of the runs; what is there is not measured again."
)
@click.option("--vcpus", type=click.IntRange(1, 64), default=4, show_default=True, help="Of a guest.")
@click.option("--accel", type=click.Choice(ACCELERATIONS), default="auto", show_default=True)
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def controls(
    base: str | None,
    names: tuple[str, ...],
    rounds: int,
    boots: int,
    seed: int,
    out: Path | None,
    vcpus: int,
    accel: str,
    style: str,
) -> None:
    """Prove the harness: does it tell known-bad kernels from stock, and stock from stock not? Exit code 7 if it fails."""
    from harness.controls import run_controls
    from harness.experiment import Request, new_run_id
    from harness.kernels.source import offered_versions
    from harness.report.controltable import print_controls
    from harness.rundir import read_run
    from harness.spec.arm import ArmSpec

    base = base or ("source:6.1" if "6.1" in offered_versions() else "source:6.12")
    out = out or Path("results") / "runs" / f"controls-{new_run_id()}"

    def request(arms: tuple[ArmSpec, ...], scenario: str, few: int | None, directory: Path) -> Request:
        number = rounds if few is None else min(few, rounds)
        return Request(
            arms, (scenario,), number, min(boots, number) if few is None else 1, seed, directory, vcpus, accel=accel
        )

    with Reporter() as report:
        results = run_controls(base, names, out, report, request)
    if style == "json":
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    else:
        record = read_run(next(path.parent for path in sorted(out.glob("*/run.json"))))
        machine = f"{base}, {record.vcpus} vCPUs on {record.host.cores} host cores, {record.accel}; evidence: {out}"
        print_controls(Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH), results, machine)
    if not all(result.passed for result in results):
        raise SystemExit(CHECK_FAILED)


@cli.command()
@click.option("--tree", required=True, type=click.Path(path_type=Path), metavar="PATH", help="A git tree; only read.")
@click.option("--good", required=True, metavar="REF")
@click.option("--bad", required=True, metavar="REF")
@click.option("--scenario", default="one-big-many-small", show_default=True, help="Name or .toml file.")
@click.option(
    "--rounds", type=click.IntRange(8, 100_000), default=60, show_default=True, help="An end; a step at most."
)
@click.option("--boots", type=click.IntRange(1, 1000), default=2, show_default=True, help="Boots an end.")
@click.option(
    "--what", type=click.Choice(["redundant", "hung"]), help="Of the rounds.  [default: where the ends differ]"
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--vcpus", type=click.IntRange(1, 64), default=4, show_default=True, help="Of a guest.")
@click.option("--accel", type=click.Choice(ACCELERATIONS), default="auto", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The same again goes on.")
def bisect(
    tree: Path,
    good: str,
    bad: str,
    scenario: str,
    rounds: int,
    boots: int,
    what: str | None,
    seed: int,
    vcpus: int,
    accel: str,
    out: Path,
) -> None:
    """Find the commit at which redundant kills, or hangs, came or went: git bisect, with a statistical verdict a step.

    Good and bad are measured first. A step takes rounds until one of the two is 99 times likelier, and is skipped when
    --rounds are not enough. Exit code 7 when the ends do not differ, or only skipped commits are left.
    """
    from harness import bisect as bisection

    plan = bisection.plan_bisection(tree, good, bad, scenario, rounds, boots, seed, vcpus, accel)
    with Reporter() as report:
        first_bad, verdicts = bisection.bisect(plan, out, what, report)
    bisection.describe(out, first_bad, verdicts, click.echo)
    if first_bad is None:
        raise SystemExit(CHECK_FAILED)


@cli.command("bisect-step", hidden=True)
@click.argument("out", type=click.Path(path_type=Path))
def bisect_step(out: Path) -> None:
    """One step of `oomtrial bisect`, for `git bisect run`."""
    from harness.bisect import STOP, step

    try:
        with Reporter() as report:
            status = step(out, report)
    except OomtrialError as error:
        click.echo(f"oomtrial: {error}", err=True)
        status = STOP
    except Exception:
        traceback.print_exc()
        status = STOP
    raise SystemExit(status)


@cli.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def summary(run_directory: Path, style: str) -> None:
    """Print the summary of a run."""
    if style == "table":
        _print_run(run_directory)
        return
    from harness.runtables import summarize

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(summarize(run_directory))) + b"\n")


def _print_run(run_directory: Path) -> None:
    from harness.report.terminal import print_summary
    from harness.runtables import summarize

    print_summary(Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH), summarize(run_directory))


@cli.group()
def tables() -> None:
    """Tables of a run."""


@tables.command("rebuild")
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--accept-edited", is_flag=True, help="Take raw files too that changed since their trial ended.")
def tables_rebuild(run_directory: Path, accept_edited: bool) -> None:
    """Make a run's tables anew from its raw evidence. Exit code 6 when some of it was left out."""
    from harness.runtables import rebuild_tables

    problems = rebuild_tables(run_directory, accept_edited)
    for problem in problems:
        click.echo(f"left out: {problem}", err=True)
    click.echo(f"{run_directory / 'tables'}")
    if problems:
        raise SystemExit(EvidenceError.exit_code)


@tables.command("export")
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def tables_export(run_directory: Path, directory: Path) -> None:
    """Copy a run's tables and record, without raw evidence and without this machine's paths, to keep or to send.

    summary, compare, report and harness.load_run take the copy as they take the run.
    """
    from harness.exportset import export_set

    for text in export_set(run_directory, directory):
        click.echo(f"without its directories: {text}", err=True)
    click.echo(f"{directory}")


@cli.command()
@click.argument("files", metavar="[FILE ...|-]", nargs=-1)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "jsonl", "csv", "parquet"]),
    default="table",
    show_default=True,
    help="csv without --out gives the kills alone.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write files there.")
@click.option("--since", metavar="TIME", help="Seconds of uptime, or a date such as 2026-11-23T08:00:00Z.")
@click.option("--until", metavar="TIME", help="As --since.")
@click.option("--memcg", metavar="GLOB", help="Only kills whose OOM domain or victim lies in it; global is one too.")
def parse(
    files: tuple[str, ...], style: str, out: Path | None, since: str | None, until: str | None, memcg: str | None
) -> None:
    """Say what the OOM killer did, from any kernel log: dmesg, syslog, journalctl, /dev/kmsg; plain, .gz, .xz, .zst.

    Without FILE, or for -, standard input is read. A log without any OOM line is a result (exit code 0); one that
    cannot be read is an error (6), after the others were read.
    """
    from harness.parselog import ParseRequest, parse_files

    if not files and sys.stdin.isatty():
        raise click.UsageError("no FILE, and standard input is a terminal: name a log, or pipe one in")
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    request = ParseRequest(files or ("-",), style, out, since, until, memcg)
    if not parse_files(request, console, lambda line: click.echo(f"oomtrial: {line}", err=True)):
        raise SystemExit(EvidenceError.exit_code)


@cli.command()
@click.option("--clean", is_flag=True, help="Remove what a kill or a power cut left; nothing of a live process.")
def doctor(clean: bool) -> None:
    """Say what works on this machine, and how to get the rest. Exit code 3 when something needed is missing."""
    if clean:
        from harness.cleaning import clean as clean_up

        count = 0
        for removed in clean_up():
            count += 1
            click.echo(f"removed {removed.what}: {removed.why}")
        if not count:
            click.echo("nothing was left behind")
        return
    from harness.doctor import diagnose, print_findings

    findings = diagnose()
    print_findings(Console(), findings)
    if any(finding.is_fatal for finding in findings):
        raise SystemExit(3)


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
    # git names its own repository to hooks and to what `git bisect run` runs: every git of ours would take that one.
    for name in _GIT_REPOSITORY:
        os.environ.pop(name, None)
    try:
        signal.signal(signal.SIGTERM, _terminate)
        cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        click.echo(f"oomtrial: {error.format_message()}", err=True)
        code = 2
    except OomtrialError as error:
        click.echo(f"oomtrial: {error}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("oomtrial: interrupted; what was measured is kept", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        # the reader of our output has gone; nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        click.echo(f"oomtrial: {error.strerror or error}{where}", err=True)
        code = 3
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except Exception:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
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
