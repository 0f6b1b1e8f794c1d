r"""Both readers of a log against each other, the compiled one with the sanitizers of gcc. Not a test: pytest does not collect it.

    python tests/fuzz/fuzz_compiled.py --seconds 3600 [--seed N]

The compiled reader is built in a scratch directory with AddressSanitizer and UndefinedBehaviorSanitizer, and this program starts
itself again with their libraries. An input is a piece of a log of tests/data, damaged: bytes and words put in, lines swapped, doubled,
cut, wrapped, given another prefix. It fails when the sanitizers find something, when a record differs from that of the reader in
Python, when the tables of the compiled assembler differ from those of the assembler in Python, or when memory grows. A failing input
is kept as compiled-SEED-NUMBER.log in the current directory; give it as an argument to run it again.

Between the logs, records that no log has are put together (tests/randomrecords.py), and records that are damaged, which must be
refused. These have no file: their number is printed, and `--records NUMBER` runs them again.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from randomrecords import Source, tables_of_both  # noqa: E402

from harness.logs.files import open_log  # noqa: E402
from harness.oomlog import compiled  # noqa: E402
from harness.oomlog.columns import ColumnAssembler, encode_records  # noqa: E402
from harness.oomlog.native.build import build  # noqa: E402
from harness.oomlog.packing import PackedRecords, decode_records  # noqa: E402
from harness.oomlog.scan import Chunk, read_and_count, read_compiled  # noqa: E402
from harness.oomlog.triggers import TRIGGERS  # noqa: E402

SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
LARGEST_BYTES = 24 << 10
WARM_UP, MOST_GROWTH_KB = 2000, 200_000  # inputs; the sanitizer keeps freed memory for a while
ODD = (
    b"", b" ", b"  ", b"\t", b"\r", b"\n", b"\0", b"\xff", b"\xc3\xa9", b"[", b"]", b"(", b")", b",", b":", b"=", b"-", b"0", b"18446744073709551616",
    b"999999999999999999", b"kB", b"#012", b"\x1b[32m", b"[  100.000000] ", b"[  100.000000][ T1234] ", b"Nov 14 22:13:20 node1 kernel: ",
    b"[Tue Nov 14 22:13:20 2023] ", b"<4>", b"3,42,1234,-;", b"MESSAGE\n", b"\n[  101.000000] ", b" invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    b"Killed process 12 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB", b"[   12]     0    12      500      250        4        0             0 x",
)  # fmt: skip


def logs() -> list[bytes]:
    found = []
    for name in ("corpus", "field", "captured"):
        for path in sorted((DATA / name).rglob("*")):
            if path.is_file() and path.suffix not in (".tsv", ".md", ".py", ".parquet"):
                with open_log(str(path)) as log:
                    found.append(log.stream.read())
    return [data for data in found if data]


def damaged(data: bytes, order: random.Random) -> bytes:
    """A piece of a log, with some damage."""
    if len(data) > LARGEST_BYTES:
        begin = order.randrange(len(data) - LARGEST_BYTES)
        data = data[begin : begin + order.randrange(200, LARGEST_BYTES)]
    lines = data.split(b"\n")
    for _ in range(order.choice((1, 1, 2, 4, 9, 20))):
        at, other = order.randrange(len(lines)), order.randrange(len(lines))
        line = lines[at]
        place = order.randint(0, len(line))
        match order.randrange(9):
            case 0:
                lines[at] = line[:place] + order.choice(ODD) + line[place + order.choice((0, 1, 2, 8)) :]
            case 1:
                lines[at] = line[:place] + order.choice(TRIGGERS)[0] + line[place:]
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines.insert(other, line)
            case 4:
                lines[at] = line[:place]
            case 5:
                lines[at : at + 1] = [line[:place], line[place:]]
            case 6:
                begin = order.randrange(len(lines))
                prefix = order.choice(ODD)
                lines[begin : begin + 40] = [prefix + one for one in lines[begin : begin + 40]]
            case 7:
                raw = bytearray(line)
                for _ in range(order.choice((1, 3))):
                    if raw:
                        raw[order.randrange(len(raw))] = order.randrange(256)
                lines[at] = bytes(raw)
            case _:
                del lines[at : at + order.choice((1, 1, 5))]
                lines = lines or [b""]
    return b"\n".join(lines)[: 2 * LARGEST_BYTES]


def differs(data: bytes) -> str:
    """What the readers disagree on."""
    chunk = Chunk(data, len(data), 0, 0)
    records = read_compiled(chunk)
    expected, lines = read_and_count(chunk)
    if problem := tables_of_both([(expected, lines)]):
        return problem
    if records is None:
        return ""
    found = decode_records(records)
    if records.lines != lines:
        return f"{records.lines} lines, not {lines}"
    for one, other in zip(found, expected, strict=False):
        if repr(one) != repr(other):
            return f"{one}\n!= {other}"
    return "" if len(found) == len(expected) else f"{len(found)} records, not {len(expected)}"


def records_differ(number: int) -> str:
    """What the assemblers disagree on, of records that no log has; damaged ones must be refused or read."""
    source, order = Source(number), random.Random(number)
    chunks = [
        (source.records(order.choice((5, 40, 200))), order.choice((1, 300))) for _ in range(order.choice((1, 2, 3)))
    ]
    if problem := tables_of_both(chunks):
        return problem
    body = bytearray(encode_records(*chunks[0]).body)
    for _ in range(20):
        damaged = bytearray(body)
        for _ in range(order.choice((1, 1, 3))):
            damaged[order.randrange(len(damaged))] = order.randrange(256)
        assembler = ColumnAssembler()
        try:
            assembler.feed(
                PackedRecords(
                    bytes(damaged[: order.choice((len(body), order.randrange(len(body))))]), len(chunks[0][0]), 1
                ),
                1,
                0,
            )
            assembler.end_file()
            assembler.take()
        except ValueError:
            pass
        finally:
            assembler.close()
    return ""


def start_sanitized(arguments: list[str]) -> int:
    """Runs this program again with the sanitizers' libraries in it."""
    with tempfile.TemporaryDirectory() as directory:
        library = build(Path(directory), SANITIZERS)
        preload = [
            subprocess.run(
                ["gcc", f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True
            ).stdout.strip()
            for name in ("asan", "ubsan")
        ]
        env = {
            **os.environ,
            "LD_PRELOAD": " ".join(preload),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # the interpreter's own are none of ours: growth tells
            "PYTHONMALLOC": "malloc",  # so that a byte read behind a chunk is seen
            "OOMTRIAL_FUZZED_READER": str(library),
        }
        return subprocess.run([sys.executable, __file__, *arguments], env=env, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--records", type=int, help="put these records together, and end")
    parser.add_argument("input", nargs="?", type=Path)
    options = parser.parse_args()
    if "OOMTRIAL_FUZZED_READER" not in os.environ:
        return start_sanitized(sys.argv[1:])
    compiled.LIBRARY = Path(os.environ["OOMTRIAL_FUZZED_READER"])
    if not compiled.exists():
        raise SystemExit("the sanitized reader cannot be loaded")
    if options.input:
        print(differs(options.input.read_bytes()) or "the same")
        return 0
    if options.records is not None:
        print(records_differ(options.records) or "the same")
        return 0
    order, seeds = random.Random(options.seed), logs()
    deadline, count, taken, before_kb = time.monotonic() + options.seconds, 0, 0, 0
    current = Path(f"compiled-{options.seed}.log")
    while time.monotonic() < deadline:
        data = damaged(order.choice(seeds), order)
        current.write_bytes(data)  # where a sanitizer ends the process, it is there
        if problem := differs(data):
            kept = current.with_stem(f"compiled-{options.seed}-{count}")
            current.rename(kept)
            print(f"{kept}: {problem}", flush=True)
            return 1
        number = order.randrange(1 << 32)
        current.write_text(f"records {number}\n")
        if count % 4 == 0 and (problem := records_differ(number)):
            print(f"records {number}: {problem}", flush=True)
            return 1
        count += 1
        taken += read_compiled(Chunk(data, len(data), 0, 0)) is not None
        if count == WARM_UP:
            before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb if before_kb else 0
    current.unlink(missing_ok=True)
    print(
        f"seed {options.seed}: {count} inputs, {taken} of them by the compiled reader; no difference; memory grew by {grown_kb} kB",
        flush=True,
    )
    return int(grown_kb > MOST_GROWTH_KB)


if __name__ == "__main__":
    sys.exit(main())
