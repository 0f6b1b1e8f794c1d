"""The parser beside public ones, on the same logs in the same run: `python benchmarks/parsers.py [OPTIONS]`.

    pip install hotsos oom-messages-exporter; apt-get install logwatch
    python benchmarks/parsers.py --oomanalyser ~/OOMAnalyser/OOMAnalyser.py --other "NAME=COMMAND"

What is not installed is left out, and said so. `--python` names the interpreter that has the two packages, where it is
another. A COMMAND is given a log as its last argument, and prints the pid of each kill that it finds, one a line.

1. Kills found, and records that are no kill or one counted again, on the corpus of real reports (tests/data/corpus, with
   its hand-checked index) as it is, and on the captured logs (tests/data/captured, with the truth of the trace) as
   `dmesg -k` prints them, a form that each of the parsers knows.
2. Time for one log of the corpus's reports, each program from its start to its end. Programs take turns; the median of
   the ratios within one turn is given, of CPU time (of all its processes) and of time. Beside other load the first counts.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import lzma
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from parser import write_reports

from harness.logs.files import open_log
from harness.oomlog.kmsg import parse_kmsg

DATA = Path(__file__).parent.parent / "tests" / "data"
LOGWATCH = Path("/usr/share/logwatch")
LONGEST_S = 600  # for one log

EXPRESSION = """
import re, sys
for line in open(sys.argv[1], errors="surrogateescape"):
    if found := re.search(r"Killed process (\\d+)", line):
        print(found[1])
"""
# It reads var/log/kern.log below the root of a machine's report.
HOTSOS = """
import os, shutil, sys, tempfile
from hotsos.core.config import HotSOSConfig
with tempfile.TemporaryDirectory() as root:
    os.makedirs(f"{root}/var/log")
    shutil.copy(sys.argv[1], f"{root}/var/log/kern.log")
    HotSOSConfig.set(data_root=root, plugin_tmp_dir=root, global_tmp_dir=root)
    from hotsos.core.plugins.kernel.kernlog import CallTraceManager
    for trace in CallTraceManager().oom_killer:
        print(trace.pid)
"""
# A service that follows a log from its end; each line sets a gauge, of which Prometheus sees the last value.
EXPORTER = """
import logging, sys
from oom_messages_exporter import Exporter
logging.disable(logging.CRITICAL)
class Gauge:
    def labels(self, *labels): return self
    def set(self, pid): print(pid)
    def set_to_current_time(self): pass
class Log:
    lines = list(open(sys.argv[1], errors="surrogateescape"))
    def tail(self):
        given, self.lines = self.lines, []
        return given
exporter = Exporter(log=sys.argv[1], interval=0)
exporter.tailer, exporter.last_killed_pid, exporter.last_killed_time = Log(), Gauge(), Gauge()
exporter.run_metrics_loop(test_runs=1)
"""
# A page in which one report is pasted; here each report of a log, from its header to the next.
ANALYSER = """
import importlib.util, io, re, sys
from contextlib import redirect_stdout
spec = importlib.util.spec_from_file_location("OOMAnalyser", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
text = open(sys.argv[2], errors="surrogateescape").read()
for report in re.split(r"(?m)^(?=.*invoked oom-killer:)", text)[1:]:
    try:
        with redirect_stdout(io.StringIO()):
            analyser = module.OOMAnalyser(module.OOMEntity(report))
            is_read = analyser.analyse()
    except Exception:
        continue
    pid = analyser.oom_result.details.get("killed_proc_pid")
    if is_read and str(pid).isdecimal():
        print(pid)
"""


class Log(NamedTuple):
    """A log, and the pids of its kills."""

    path: Path
    pids: list[int]


@dataclass
class Program:
    """What finds kills."""

    name: str
    version: str
    command: list[str]
    is_logwatch: bool = False  # which counts kills by name, and gives no pids
    is_csv: bool = False  # it prints a table with a column of pids

    def find(self, log: Path) -> tuple[list[int], int]:
        """Pids of kills, and the number of them; none where the program fails."""
        try:
            done = self._run(log)
        except subprocess.TimeoutExpired:
            print(f"{self.name}: {log.name}: not done after {LONGEST_S} s", file=sys.stderr)
            return [], 0
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            print(f"{self.name}: {log.name}: failed: {last}", file=sys.stderr)
            return [], 0
        if self.is_logwatch:
            times = [line.rsplit(None, 2)[1] for line in done.splitlines() if line.endswith(" Time(s)")]
            return [], sum(int(count) for count in times if count.isdecimal())
        lines = [row["pid"] for row in csv.DictReader(done.splitlines())] if self.is_csv else done.split()
        pids = [int(line) for line in lines if line.isdecimal()]
        return pids, len(pids)

    def _run(self, log: Path) -> str:
        command = self.command if self.is_logwatch else [*self.command, str(log)]
        # modules are compiled once, as those of an installed package are
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with log.open("rb") as stream:
            done = subprocess.run(
                command,
                stdin=stream,
                capture_output=True,
                timeout=LONGEST_S,
                check=True,
                env={**env, "PERL5LIB": str(LOGWATCH / "lib")},
            )
        return done.stdout.decode("utf-8", "replace")


def programs(options: argparse.Namespace) -> Iterator[Program]:
    """The programs to compare, oomtrial first."""
    parse = [sys.executable, "-m", "harness", "parse", "--format", "csv"]
    yield Program("oomtrial, kills as CSV", importlib.metadata.version("oomtrial"), parse, is_csv=True)
    yield Program("a regular expression, `Killed process (\\d+)`", "", [sys.executable, "-c", EXPRESSION])
    for package, script in (("hotsos", HOTSOS), ("oom-messages-exporter", EXPORTER)):
        version = _version(options.python, package)
        if version:
            yield Program(package, version, [options.python, "-c", script])
        else:
            print(f"{package} is not installed: left out", file=sys.stderr)
    service = options.logwatch / "scripts" / "services" / "kernel"
    if service.exists() and shutil.which("perl"):
        command = ["perl", f"-I{options.logwatch / 'lib'}", str(service)]
        yield Program("logwatch, its kernel service", options.logwatch_version, command, is_logwatch=True)
    else:
        print("logwatch is not installed: left out", file=sys.stderr)
    if options.oomanalyser:
        version = next((line for line in options.oomanalyser.open() if line.startswith("VERSION")), "").partition('"')[
            2
        ]
        command = [sys.executable, "-c", ANALYSER, str(options.oomanalyser)]
        yield Program("OOMAnalyser, one report at a time", version.rstrip('"\n'), command)
    for other in options.other:
        name, _, command = other.partition("=")
        yield Program(name, "", shlex.split(command))


def _version(python: str, package: str) -> str:
    program = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", program], capture_output=True, text=True).stdout.strip()


def corpus(directory: Path) -> Iterator[Log]:
    """Real reports, as they were found."""
    index = csv.DictReader((DATA / "corpus" / "INDEX.tsv").read_text().splitlines(), delimiter="\t")
    for row in index:
        source = next(path for path in (DATA / "corpus").iterdir() if path.name.startswith(row["file"]))
        path = directory / row["file"]
        with open_log(str(source)) as log:
            path.write_bytes(log.stream.read())
        victims = row["victims_in_order"]
        yield Log(path, [] if victims == "-" else list(dict.fromkeys(map(int, victims.split()))))


def captured(directory: Path) -> Iterator[Log]:
    """Records of /dev/kmsg as `dmesg -k` prints them: the kernel's own, each line with its stamp."""
    for source in sorted((DATA / "captured").glob("*.kmsg.xz")):
        name = source.name.removesuffix(".kmsg.xz")
        truth = json.loads(source.with_name(f"{name}.truth.json").read_text())
        raw = lzma.decompress(source.read_bytes()).decode("utf-8", "surrogateescape")
        path = directory / f"{name}.dmesg"
        with path.open("w", errors="surrogateescape") as out:
            for record in parse_kmsg(raw.split("\n")):
                if record.is_kernel:
                    stamp = f"[{record.time_us / 1e6:12.6f}] "
                    out.writelines(f"{stamp}{line}\n" for line in record.text.split("\n"))
        # a thread that is printed under its own pid is no kill, but no reader of a log can tell
        yield Log(path, [kill["pid"] for kill in truth["kills"]] + truth["repeat_pids"])


def count(program: Program, logs: list[Log]) -> tuple[int, int]:
    """Kills found of all that there are, and records that are no kill, or one counted again."""
    kills = beside = 0
    for log in logs:
        pids, number = program.find(log.path)
        right = (Counter(pids) & Counter(log.pids)).total() if pids else min(number, len(log.pids))
        kills += right
        beside += number - right
    return kills, beside


def found_rows(compared: list[Program], logs: dict[str, list[Log]]) -> Iterator[str]:
    """The table of kills."""
    totals = {name: sum(len(log.pids) for log in some) for name, some in logs.items()}
    titles = [f"{name}: found of {total} | false or double" for name, total in totals.items()]
    yield f"| parser | version | {' | '.join(titles)} |"
    yield "|---|---|" + "---|---|" * len(logs)
    for program in compared:
        cells = []
        for name, some in logs.items():
            kills, beside = count(program, some)
            cells.append(f"{kills} ({100 * kills / totals[name]:.0f} %) | {beside}")
        yield f"| {program.name} | {program.version} | {' | '.join(cells)} |"


def time_rows(compared: list[Program], log: Path, parquet: Program, repeats: int) -> Iterator[str]:
    """The table of times: each against `oomtrial parse` with everything to Parquet, in the same turn."""
    timed = [parquet, *compared]
    turns = []
    for turn in range(repeats):
        took = {}
        for program in timed[turn % len(timed) :] + timed[: turn % len(timed)]:
            began, cpu_began = time.perf_counter(), _children_s()
            program.find(log)
            took[program.name] = _children_s() - cpu_began, time.perf_counter() - began
        turns.append(took)
    size = log.stat().st_size / 1e6
    yield (
        f"| parser | MB per second of CPU, {size:.0f} MB of reports | times the CPU time of oomtrial to Parquet "
        "| lowest and highest | times as long |"
    )
    yield "|---|---|---|---|---|"
    for program in timed:
        speed = size / statistics.median(took[program.name][0] for took in turns)
        cpu, clock = ([took[program.name][kind] / took[parquet.name][kind] for took in turns] for kind in (0, 1))
        yield (
            f"| {program.name} | {speed:.1f} | {statistics.median(cpu):.2f} | {min(cpu):.2f} to {max(cpu):.2f} "
            f"| {statistics.median(clock):.2f} |"
        )


def _children_s() -> float:
    """CPU time of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the packages")
    parser.add_argument("--logwatch", type=Path, default=LOGWATCH, help="where logwatch is installed")
    parser.add_argument("--logwatch-version", default="", help="to be printed")
    parser.add_argument("--oomanalyser", type=Path, help="the path of OOMAnalyser.py")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=COMMAND", help="prints a pid a line")
    parser.add_argument("--megabytes", type=int, default=50, help="of reports, to be timed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["kills", "time"], help="one of the two tables")
    options = parser.parse_args()
    compared = list(programs(options))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if options.only != "time":
            logs = {"corpus": list(corpus(directory)), "captured": list(captured(directory))}
            for row in found_rows(compared, logs):
                print(row, flush=True)
        if options.only != "kills":
            log, out = directory / "log", directory / "out"
            write_reports(log, options.megabytes * 10**6, with_storm=False)
            parse = [sys.executable, "-m", "harness", "parse", "--format", "parquet", "--out", str(out)]
            parquet = Program("oomtrial, everything to Parquet", "", parse)
            print("\n".join(["", *time_rows(compared, log, parquet, options.repeats)]))


if __name__ == "__main__":
    main()
