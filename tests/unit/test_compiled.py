"""The compiled reader finds what the reader in Python finds: on real logs, on damaged ones, and on whatever else there is."""

import io
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import strategies as st
from propertytests import holds_for

from harness.oomlog import compiled, scan
from harness.oomlog.assemble import Assembler
from harness.oomlog.chunks import split_chunks
from harness.oomlog.compiled import CompiledChunk
from harness.oomlog.packing import decode_records, pack_records, unpack
from harness.oomlog.reading import Reader
from harness.oomlog.scan import Chunk, read_and_count, read_compiled
from harness.oomlog.triggers import find_triggers
from tests.unit.test_oomlog_properties import WORDS, read_whole, text_of

DATA = Path(__file__).parent.parent / "data"
LOGS = sorted(
    path
    for name in ("corpus", "field", "captured")
    for path in (DATA / name).rglob("*")
    if path.is_file() and path.suffix not in (".tsv", ".md", ".py", ".parquet")
)
LARGEST_BYTES = 64 << 10  # of a log that is damaged again and again

pytestmark = pytest.mark.skipif(not compiled.exists(), reason="the compiled reader is not built")


def check(data):
    """Both readers give the same, record by record, and the same kills and reports in the end."""
    for chunk in split_chunks(io.BytesIO(data)):
        expected, lines = read_and_count(chunk)
        records = read_compiled(chunk)
        if records is None:
            continue  # the chunk is for Python
        found = decode_records(records)
        assert list(map(repr, found)) == list(map(repr, expected))
        assert records.lines == lines
        assert outputs(found) == outputs(expected)


def outputs(found):
    assembler = Assembler()
    assembler.begin_file()
    given = [output for item in found for output in assembler.feed(item, 1)]
    return repr([*given, *assembler.close(), assembler.missing])


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_logs_of_people_and_of_guests_are_read_alike(path):
    check(read_whole(path))


def test_most_lines_of_the_corpus_are_read_by_the_compiled_reader(monkeypatch):
    handed, import_state = [], scan._Reader.import_state
    monkeypatch.setattr(
        scan._Reader, "import_state", lambda reader, chunk: (handed.append(chunk), import_state(reader, chunk))
    )
    hits = 0
    for path in sorted((DATA / "corpus").glob("*.txt")):
        data = read_whole(path)
        assert read_compiled(Chunk(data, len(data), 0, 0)) is not None, path.name
        hits += len(find_triggers(data, len(data)))
    assert len(handed) < hits / 10


def small_logs():
    return [data for path in LOGS if 0 < len(data := read_whole(path)) <= LARGEST_BYTES]


SMALL = small_logs()


@holds_for(
    st.integers(0, len(SMALL) - 1),
    st.integers(0, 2**32),
    st.sampled_from(["bytes", "lines", "words", "joined"]),
    examples=120,
)
def test_damaged_logs_are_read_alike(index, seed, how):
    random, data = Random(seed), SMALL[index]
    lines = data.split(b"\n")
    for _ in range(random.randint(1, 12)):
        lines = lines or [b""]
        at = random.randrange(len(lines))
        match how:
            case "bytes":
                raw = bytearray(lines[at])
                if raw:
                    place = random.randrange(len(raw))
                    raw[place : place + random.choice((0, 1, 1, 3))] = random.choice(
                        (b"", b" ", b"\t", b"\r", b"[", b"]", b"(", b")", b",", b":", b"=", b"-", b"0", b"99999999999999999999", b"\xff", b"\x00", b"kB")
                    )  # fmt: skip
                lines[at] = bytes(raw)
            case "lines":
                other = random.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
                if random.random() < 0.3:
                    del lines[at]
            case "words":
                word = random.choice(WORDS).encode("utf-8", "surrogateescape")
                place = random.randint(0, len(lines[at]))
                lines[at] = lines[at][:place] + word + lines[at][place:]
            case "joined":
                place = random.randint(0, len(lines[at]))
                lines[at : at + 1] = [lines[at][:place], lines[at][place:]]
    check(b"\n".join(lines))


def handed_over(data, monkeypatch):
    """How many lines the compiled reader leaves to Python, which read alike."""
    check(data)
    handed, import_state = [], scan._Reader.import_state
    with monkeypatch.context() as patch:
        patch.setattr(
            scan._Reader, "import_state", lambda reader, chunk: (handed.append(chunk), import_state(reader, chunk))
        )
        assert read_compiled(Chunk(data, len(data), 0, 0)) is not None
    return len(handed)


KILL_LINES = (
    "Out of memory: Killed process 4711 (java) total-vm:10485760kB, anon-rss:8388608kB, file-rss:0kB, shmem-rss:12kB, "
    "UID:1000 pgtables:20480kB oom_score_adj:-7",
    "Memory cgroup out of memory: Killed process 9 (a) total-vm:1kB, anon-rss:2kB, file-rss:3kB, shmem-rss:4kB",
    "Killed process 12, UID 501, (ruby) total-vm:123kB, anon-rss:99kB, file-rss:7kB",
)
STAMPS = ("[ 1234.567890] ", "Nov 23 08:00:01 node7 kernel: ", "Nov 23 08:00:01 node7 kernel: [  9.000001] ", "")


AFTER_A_CUT = {"same": "\n{stamp}usb 1-1: new device\n", "rest": "\n0kB, file-rss:5kB\n", "nothing": ""}
CUTS = list(product(STAMPS, KILL_LINES, AFTER_A_CUT))


def check_cut_kill(stamp, kill, after, ends):
    for end in ends:
        check(f"{stamp}{kill[:end]}{AFTER_A_CUT[after].format(stamp=stamp)}".encode())


@pytest.mark.parametrize("number", range(len(CUTS)))
def test_a_cut_kill_is_read_alike(number):
    """Cut anywhere, with one stamp or another; tests/properties cuts it anywhere with each."""
    stamp, kill, after = CUTS[number]
    check_cut_kill(stamp, kill, after, range(1 + number // len(AFTER_A_CUT) % 4, len(kill) + 1, 4))


@pytest.mark.parametrize("stamp", STAMPS[:3], ids=("printk", "syslog", "both"))
def test_a_kill_that_is_cut_within_its_sizes_needs_no_python(stamp, monkeypatch):
    kill = KILL_LINES[0]
    cuts = range(kill.index("total-vm:") + len("total-vm:"), kill.index(" oom_score_adj") + 1)
    lines = [kill[:end] for end in cuts if kill[end - 1] not in ", "]
    assert handed_over("".join(f"{stamp}{line}\n" for line in lines).encode(), monkeypatch) == 0


@pytest.mark.parametrize("stamp", STAMPS[:3], ids=("printk", "syslog", "both"))
def test_events_and_names_of_containers_need_no_python(stamp, monkeypatch):
    lines = (
        "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled",
        "Kernel panic - not syncing: System is deadlocked on memory",
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
        "Kernel panic - not syncing: corrupted stack end detected inside scheduler",
        "OOM killer disabled.",
        "OOM killer enabled.",
        "kdump MEMCG_OOM: OOM killer successfully killed a task",
        "runc:[2:INIT] invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-998",
        "CPU: 1 PID: 77 Comm: runc:[2:INIT] Not tainted 6.1.0-13-amd64 #1",
    )
    assert handed_over("".join(f"{stamp}{line}\n" for line in lines).encode(), monkeypatch) == 0


def test_what_a_mailer_wrapped_within_words_needs_no_python(monkeypatch):
    """Its table has lines of others between rows of three pieces, and blanks at the joints; its summary has no stamp."""
    assert handed_over(read_whole(DATA / "corpus" / "38-6.18plus-memcgv2-mailwrapped.txt"), monkeypatch) == 0


WRAPPED_TABLE = """\
[   56.419649] [  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[   56.419651] [   1121]     0  1121      734      366        0      366         0    45056        0             0 stress
[   56.419653] [   1122]     0  1122   179935   130854   130720      134         0  1097728        0          -100 kworker/0:1
[   56.419654] [   1123]     0  1123   179935   130854   130720      134         0  1097728        0             0 my [name] x
"""
WRAPPED_SUMMARY = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a-b/c.d,task_memcg=/a,task=stress,pid=1122,uid=0"
BETWEEN = (
    "",
    "[   56.419652] mm/memcontrol.c:1158: enter",
    "[   56.419652] ",
    "[   56.419652][  T12] [ 12] x",
    "Mem-Info:",
    "rest of it",
    " ",
)


@holds_for(
    st.integers(20, 110),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 14), st.sampled_from(BETWEEN)), max_size=3),
    examples=200,
)
def test_wrapped_tables_and_summaries_are_read_alike(width, at_blanks, with_rows, between):
    lines = []
    for line in (*(WRAPPED_TABLE.splitlines()[: 4 if with_rows else 3]), "[   56.419655] ", WRAPPED_SUMMARY):
        while len(line) > width:
            cut = line.rfind(" ", 8, width) + 1 if at_blanks else 0
            lines.append(line[: cut or width])
            line = line[cut or width :]
        lines.append(line)
    for place, other in between:
        lines.insert(place, other)
    header = "[   56.419600] stress invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
    check("\n".join((header, *lines, f"[   56.419660] {KILL_LINES[0]}", "")).encode())


@pytest.mark.parametrize("digits", [12, 13, 18, 19])
def test_long_numbers_are_read_alike(digits):
    """The sanitizers see a number of 19 digits, and a stamp of more, which are none of 64 bits."""
    number = "9" * digits
    for line in (*KILL_LINES, "Node 0 DMA: 7*4kB 1*8kB (U) = 8kB", "memory: usage 7kB, limit 9kB, failcnt 3"):
        stamped = f"{STAMPS[0]}{line}"
        for place, letter in enumerate(stamped):
            if letter.isdigit():
                check(f"{stamped[:place]}{number}{stamped[place + 1 :]}\n".encode())
    check(f"[{number}.{number}] {KILL_LINES[0]}\n".encode())


@pytest.mark.parametrize(
    "form",
    [
        "Node 0 DMA: 0*4kB 1*8kB (U) = 8kB",
        KILL_LINES[0],
        "a invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0",
    ],
)
@pytest.mark.parametrize("stamp", [STAMPS[1], "[Tue Nov 14 22:13:20 2023] "], ids=("syslog", "calendar"))
def test_a_tab_in_a_prefix_is_read_alike(stamp, form):
    header = f"{stamp}a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
    for place in range(len(stamp) + 1):
        check(f"{header}{stamp[:place]}\t{stamp[place:]}{form}\n".encode())
        check(f"{header}{stamp[:place]}\t{stamp[place + 1 :]}{form}\n".encode())


MARKS = (
    "<b>",
    "[B]",
    "`",
    "&amp;",
    "kill process: 3",
    "process:",
    "[",
    "*",
    "OOM killer enabled.",
    "Out of memory",
    '"',
    ")",
)


@holds_for(
    st.sampled_from(STAMPS),
    st.sampled_from(("Kernel panic", "Kernel panic - not syncing: ", "OOM killer ", "sysrq: OOM killer ", "x OOM killer ")),
    st.lists(st.sampled_from((*MARKS, "Attempted to ", "kill init!", "disabled", ".", " ", "a")), max_size=6),
    examples=150,
)  # fmt: skip
def test_lines_about_events_are_read_alike(stamp, begin, words):
    check(f"{stamp}{begin}{''.join(words)}\n{stamp}usb 1-1: new device\n".encode())


@holds_for(st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), max_size=25), examples=150)
def test_any_words_are_read_alike(lines):
    check(text_of(lines))


@holds_for(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map("".join), max_size=12), st.integers(0, 400), examples=150
)
def test_the_same_lines_hold_words(lines, end):
    data = text_of(lines)
    chunk = CompiledChunk(data, min(end, len(data)), 0, 0)
    try:
        marks = list(chunk)
    finally:
        chunk.close()
    assert [(one.start, one.end) for one in marks] == [
        (one.start, one.end) for one in find_triggers(data, min(end, len(data)))
    ]
    assert [one.parsers[:1] for one in marks] == [one.parsers[:1] for one in find_triggers(data, min(end, len(data)))]


def test_records_of_a_worker_are_those_of_the_chunk():
    data = read_whole(DATA / "corpus" / "25-5.15.158pve-memcgv2-dmesgT-de.txt")
    records = read_compiled(Chunk(data, len(data), 0, 0))
    found, lines, end, sequences, _ = unpack(pack_records(records, len(data), None))
    assert (found, lines, end, sequences) == (decode_records(records), records.lines, len(data), None)


def test_without_the_library_the_result_is_the_same():
    path = DATA / "corpus" / "32-6.10rc1-global-syslog.txt"
    program = (
        "import sys, json; from harness.oomlog import compiled; from harness.oomlog.reading import collect\n"
        f"found = collect(open({str(path)!r}, 'rb')); print(json.dumps([compiled.exists(), repr(found.kills), repr(found.reports)]))"
    )

    def run(**env):
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONPATH": str(DATA.parents[1]), **env})  # fmt: skip
        return json.loads(done.stdout)

    with_it, without = run(), run(OOMTRIAL_NO_COMPILED_READER="1")
    assert (with_it[0], without[0]) == (True, False)
    assert with_it[1:] == without[1:]


def test_nothing_has_no_line():
    chunk = Chunk(b"", 0, 0, 0)
    assert read_and_count(chunk) == ([], 0)
    assert read_compiled(chunk).lines == 0


def test_a_reader_counts_lines_and_bytes():
    data = read_whole(DATA / "corpus" / "26-6.1.1-global.txt")
    reader = Reader()
    list(reader.read(io.BytesIO(data)))
    assert (reader.lines, reader.bytes) == (data.count(b"\n") + (not data.endswith(b"\n")), len(data))
