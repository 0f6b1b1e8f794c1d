"""The parser against what a user would do instead, each as a ratio in one run: `python benchmarks/parser.py`.

1. 500 MB of concatenated reports, everything to Parquet, task tables included, against a plain loop
   `for line in file: pattern.search(line)` for "Killed process".
2. 1 GB of ordinary syslog with 1 % OOM lines, against `grep -c oom`; and 100 MB, where the start counts.

Reports come from tests/data/corpus, each file as often as any other; `--with-storm` adds the 2 MB file of 20 reports with 800 tasks each.
Commands take turns; the fastest of each is compared, as noise only adds. Memory is the peak of all processes together. With
`--logs DIR` the logs are kept there, and those that are there are used again: a run takes a minute then.
"""

from __future__ import annotations

import argparse
import lzma
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq

CORPUS = Path(__file__).parent.parent / "tests" / "data" / "corpus"
STORM = "03-"
LOOP = """
import re, sys
pattern, found = re.compile("Killed process"), 0
for line in open(sys.argv[1], errors="surrogateescape"):
    if pattern.search(line):
        found += 1
"""
PROGRAMS = (
    "systemd[1]: Started Session {} of user root.",
    "sshd[{}]: Accepted publickey for backup from 192.0.2.7 port 40022 ssh2: ED25519 SHA256:{}",
    "CRON[{}]: (root) CMD (test -x /usr/sbin/anacron || {{ cd / && run-parts --report /etc/cron.daily; }})",
    "kernel: [{}.000123] eth0: Link is Up - 1Gbps/Full - flow control off",
    'dockerd[{}]: time="2026-11-23T08:00:00Z" level=info msg="ignoring event" container={} module=libcontainerd',
    "postfix/smtpd[{}]: connect from unknown[192.0.2.9]",
)


def reports(with_storm: bool) -> list[bytes]:
    """The files of the corpus."""
    files = []
    for path in sorted(CORPUS.iterdir()):
        if ".txt" not in path.name or (path.name.startswith(STORM) and not with_storm):
            continue
        data = path.read_bytes()
        files.append(lzma.decompress(data) if path.suffix == ".xz" else data)
    return files


def write_reports(path: Path, size: int, with_storm: bool) -> None:
    """Reports in a seeded order, each followed by any other."""
    pieces, order = reports(with_storm), random.Random(1)
    with path.open("wb") as out:
        while size > 0:
            piece = order.choice(pieces)
            piece += (
                b"" if piece.endswith(b"\n") else b"\n"
            )  # else its last line would be glued to the next file's first
            out.write(piece)
            size -= len(piece)


def write_syslog(path: Path, size: int) -> None:
    """Ordinary syslog; one line in a hundred is the kernel's of OOM: reports with their kills, and kills alone."""
    order = random.Random(1)
    report = [line for line in reports(False)[0].decode("utf-8", "replace").splitlines() if line]
    lone = (
        "Memory cgroup out of memory: Killed process {} (java) total-vm:10485760kB, anon-rss:8388608kB, file-rss:0kB, "
        "shmem-rss:0kB, UID:0 pgtables:20480kB oom_score_adj:0"
    )
    with path.open("w") as out:
        second = 0
        while size > 0:
            kernel = [*report, *(lone.format(order.randrange(2, 30000)) for _ in range(3))]
            for number in range(100 * len(kernel)):
                second += number % 20 == 0
                stamp = f"Nov {1 + second // 86400 % 30:2d} {second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d} node7 "
                if number < 99 * len(kernel):
                    text = order.choice(PROGRAMS).format(order.randrange(99999), order.randrange(10**9))
                else:
                    text = f"kernel: {kernel[number - 99 * len(kernel)]}"
                out.write(f"{stamp}{text}\n")
                size -= len(stamp) + len(text) + 1


def run(command: list[str]) -> float:
    """Seconds of a command."""
    begin = time.perf_counter()
    process = _start(command)
    _end(process, command)
    return time.perf_counter() - begin


def peak_of(command: list[str]) -> int:
    """Peak memory of a command and its children together, in bytes. To look takes time of its own."""
    peak, process = 0, _start(command)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            total = 0
            for member in [process, *_children(process)]:
                try:
                    total += member.memory_full_info().pss
                except psutil.Error:
                    continue
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        _end(process, command)
    finally:
        done.set()
        watcher.join()
    return peak


def _start(command: list[str]) -> psutil.Popen:
    # modules are compiled once, as those of an installed package are
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # grep stops at the first match where nobody listens
    return psutil.Popen(command, stdout=subprocess.PIPE, env=env)


def _end(process: psutil.Popen, command: list[str]) -> None:
    process.communicate()
    if process.returncode not in (0, 1):  # grep says 1 where nothing matches
        raise SystemExit(f"{command[0]} failed")


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def compare(name: str, log: Path, command: list[str], reference: list[str], repeats: int) -> None:
    """Prints one row: both in MB/s, the ratio, memory."""
    size = log.stat().st_size / 1e6
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(repeats):
        times["theirs"].append(run(reference))
        times["ours"].append(run(command))
    memory = peak_of(command)
    best, other = min(times["ours"]), min(times["theirs"])
    print(
        f"| {name} | {size:.0f} | {size / best:.0f} | {size / other:.0f} | {best / other:.1f} | {memory / 1e6:.0f} |",
        flush=True,
    )


def main() -> None:
    """Runs both comparisons."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--megabytes", type=int, default=500, help="of reports; of syslog it is twice as much")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--with-storm", action="store_true")
    arguments.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs here, and use those that are here")
    options = arguments.parse_args()
    oomtrial = [sys.executable, "-m", "harness", "parse"]
    with tempfile.TemporaryDirectory() as directory:
        logs, out = options.logs or Path(directory), Path(directory) / "out"
        to_parquet = ["--format", "parquet", "--out", str(out)]
        size = options.megabytes * 10**6
        kind = "reports-with-storm" if options.with_storm else "reports"
        log = _log(logs, kind, size, lambda path: write_reports(path, size, options.with_storm))
        print(
            "| log | MB | oomtrial parse, MB/s | compared, MB/s | times as long | peak memory, MB |\n|---|---|---|---|---|---|"
        )
        loop = [sys.executable, "-c", LOOP, str(log)]
        compare("reports, against a loop over lines", log, [*oomtrial, str(log), *to_parquet], loop, options.repeats)
        _show_rows(out)
        for syslog_size in (size * 2, size // 5):
            log = _log(logs, "syslog", syslog_size, lambda path, size=syslog_size: write_syslog(path, size))
            grep = ["grep", "-c", "oom", str(log)]
            compare("syslog, against `grep -c oom`", log, [*oomtrial, str(log), *to_parquet], grep, options.repeats)
            _show_rows(out)


def _log(directory: Path, kind: str, size: int, write: Callable[[Path], None]) -> Path:
    """The log of this kind and size, made where it is not there."""
    path = directory / f"{kind}-{size // 10**6}"
    if not path.exists():
        part = path.with_suffix(".part")
        write(part)
        part.rename(path)
    return path


def _show_rows(out: Path) -> None:
    count: Callable[[str], int] = lambda table: pq.read_metadata(out / f"{table}.parquet").num_rows  # noqa: E731
    print(
        f"  ({count('reports')} reports, {count('kills')} kills, {count('tasks')} task rows)",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    main()
