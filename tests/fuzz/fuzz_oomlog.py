r"""Coverage-guided fuzzing of the log parser with Atheris (libFuzzer). Not a test: pytest does not collect it.

Needs `pip install atheris==3.0.0` (Python 3.11 to 3.13) beside oomtrial. Run it from anywhere:

    python tests/fuzz/fuzz_oomlog.py -max_total_time=3600 CORPUS_DIR

CORPUS_DIR is made when it is not there, and seeded from tests/data/corpus and tests/data/field with chunks of less than 4 kB; libFuzzer adds
to it what reaches new code. Words of the forms go to the fuzzer as a dictionary. Any option of libFuzzer is taken; a
finding is written to a file crash-*, which runs again when it is given instead of CORPUS_DIR:

    python tests/fuzz/fuzz_oomlog.py crash-0123
    python tests/fuzz/fuzz_oomlog.py -minimize_crash=1 -max_total_time=60 crash-0123

An input is a log. It fails when anything raises, when it takes more than 2 s of CPU time (inputs are shorter than
64 kB), when the kills depend on whether tables are read in bulk, or when a row cannot be written as JSON or Arrow.
"""

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["harness"]):
    from harness.logs.files import open_log
    from harness.oomlog.assemble import Assembler
    from harness.oomlog.kmsg import parse_kmsg
    from harness.oomlog.prefix import peel
    from harness.oomlog.reading import collect, collect_kmsg
    from harness.oomlog.records import Kill, OtherEvent, Release, Report
    from harness.oomlog.scan import Chunk, read_chunk
    from harness.oomlog.triggers import TRIGGERS
    from harness.report.logjson import encode
    from harness.tables.log import LOG_EVENTS, LOG_KILLS, LOG_RELEASES, LOG_REPORTS, LOG_ZONES
    from harness.tables.logtasks import task_rows, tasks_table
    from harness.tables.logvalues import event_row, kill_row, release_row, report_row, zone_rows

LARGEST_BYTES = 64 << 10
SLOWEST_S = 2.0
CHUNK_BYTES = 4000
DATA = Path(__file__).parent.parent / "data"

# What stands around the words of the forms: prefixes, joints, and the ends of lines.
AROUND = (
    "[  100.000000] ", "[  100.000000][ T1234] ", "[Tue Nov 14 22:13:20 2023] ", "Nov 14 22:13:20 node1 kernel: ",
    "2023-11-14T22:13:20.123456+01:00 node1 kernel: ", "1700000000.123456 node1 kernel: ", "<4>", "<4>1 - h kernel - - - ",
    "3,42,1234,-,caller=T77;", "kern  :warn  : ", "> ", "\x1b[32m", "\x1b[0m", "#012", "\\x0a", "\\xff", "{\"MESSAGE\":\"", "\"}",
    "{\"log\":\"", "\\n", "\\u001b", "\"_TRANSPORT\":\"kernel\",", "\"__REALTIME_TIMESTAMP\":\"1700000000000000\",",
    "2023-11-14T22:13:20.123456789Z stdout P ", "** 3 printk messages dropped ** ", "Memory cgroup out of memory: ",
    "Killed process 12 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB", ", UID 48,", " score 1 or sacrifice child",
    ",cpuset=", ",mems_allowed=", ",oom_memcg=/", ",global_oom", ",task_memcg=/", ",task=", ",pid=12,uid=0", ", order=", ", oom_score_adj=",
    "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name", "Killed process", " invoked oom-killer:", "\r\n", "\ufffd",
    "Content-Transfer-Encoding: base64\n\n", "=\n", "=3D", "<br>", "MESSAGE=", "MESSAGE\n", "\"MESSAGE\" : \"", "_TRANSPORT=kernel\n", "{\"events\":[{\"message\":\"",
    "[2025-06-04 17:51:20] ", "10.0.0.11: kern: err: [2025-04-22T10:00:00.000000000Z]: ", "<6>[1.2s][pid:1,cpu1,sh]", "июл 24 01:20:00 h kernel: ", "\x1b[m\x1b[K",
    "- ", "`", "&lt;4&gt;", "[COLOR=red]", "</p>", "systemd-oomd[1]: Killed /a.scope due to memory pressure for /", "sysrq: Manual OOM execution", "0*64kB (UME) ",
    "[\t100.000000]\t", "[\t100.000000][\tT1234] ", "kernel:\t", "x invoked oom-killer:\ngfp_mask=0xcc0, order=0, oom_score_adj=0",
)  # fmt: skip


def check(data: bytes) -> None:
    """The oracle: raises when the parser does not keep its word about this log."""
    if len(data) >= LARGEST_BYTES:
        return
    began = time.process_time()
    found = collect(io.BytesIO(data))
    took = time.process_time() - began
    assert took <= SLOWEST_S, f"{len(data)} bytes took {took:.1f} s"
    assert _kills(data, in_bulk=True) == _kills(data, in_bulk=False), "reading in bulk finds other kills"
    _write(found.reports, found.kills, found.releases, found.others)
    text = data.decode("utf-8", "surrogateescape")
    collect_kmsg(parse_kmsg(text.split("\n")))
    peel(text)


def _kills(data: bytes, in_bulk: bool) -> list[object]:
    assembler = Assembler()
    assembler.begin_file()
    chunk = Chunk(data, len(data), 0, 0)
    found = [output for item in read_chunk(chunk, in_bulk) for output in assembler.feed(item)]
    return [_identity(output) for output in (*found, *assembler.close()) if isinstance(output, Kill)]


def _identity(kill: Kill) -> object:
    """What a kill is, as text: a stamp may be no number, which equals nothing."""
    return repr((kill.killed, kill.location, kill.decision, kill.chosen_pid, kill.group))


def _write(reports: list[Report], kills: list[Kill], releases: list[Release], others: list[OtherEvent]) -> None:
    for table, outputs, row in (
        (LOG_REPORTS, reports, report_row),
        (LOG_KILLS, kills, kill_row),
        (LOG_RELEASES, releases, release_row),
        (LOG_EVENTS, others, event_row),
    ):
        rows = [{**row(output), "file": "-"} for output in outputs]
        table.arrow_table(rows)
        for fields in rows:
            encode(fields)
    for report in reports:
        zones = zone_rows(report)
        LOG_ZONES.arrow_table(zones)
        for fields in (report.stats, *zones, *task_rows(report)):
            encode(fields)
    tasks_table(reports)


def chunks() -> Iterator[bytes]:
    """The corpus in pieces of whole lines, each in the clothes that its log wears."""
    for path in (*sorted((DATA / "corpus").glob("*.txt*")), *sorted((DATA / "field").glob("*.log"))):
        with open_log(str(path)) as log:
            lines = log.stream.read().splitlines(keepends=True)
        piece = b""
        for line in lines[:4000]:
            if len(piece) + len(line) >= CHUNK_BYTES and piece:
                yield piece
                piece = b""
            piece += line[:CHUNK_BYTES]
        yield piece


def seed(directory: Path) -> None:
    """Fills an empty directory with chunks of the corpus."""
    directory.mkdir(parents=True, exist_ok=True)
    if next(directory.iterdir(), None) is None:
        for number, chunk in enumerate(chunks()):
            (directory / f"seed-{number:04d}").write_bytes(chunk)


def _dictionary(stream: io.TextIOBase) -> None:
    words = [word for word, _ in TRIGGERS] + [text.encode() for text in AROUND]
    for word in words:
        stream.write('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n')
    stream.flush()


def main() -> None:
    """Seeds the corpus, adds what libFuzzer should know, and fuzzes."""
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    for name in sys.argv[1:]:
        if name not in options and not Path(name).is_file():
            seed(Path(name))
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
        _dictionary(dictionary)
        defaults = {"-max_len": "8192", "-timeout": "60", "-dict": dictionary.name}
        missing = [f"{key}={value}" for key, value in defaults.items() if not any(o.startswith(key) for o in options)]
        atheris.Setup([*sys.argv, *missing], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
