"""The compiled assembler gives the tables that assemble.py and tables/logvalues.py give: of real logs, of damaged ones, of any records."""

import io
from itertools import product
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from oomtext import killed, reaped, report, stamped
from propertytests import holds_for
from randomrecords import Source, tables_of_both
from rich.console import Console

from harness.logs.parse import ParseRequest, parse_files
from harness.oomlog import column_reader, columns
from harness.oomlog.assemble import Assembler
from harness.oomlog.chunks import split_chunks, split_file
from harness.oomlog.column_reader import ColumnReader
from harness.oomlog.columns import ColumnAssembler, encode_records
from harness.oomlog.domain import LARGEST_STAT, LimitReached, StatsHead, Usage, VictimMemcg
from harness.oomlog.events import Event
from harness.oomlog.header import Header
from harness.oomlog.kill import AlreadyExitingVictim, ChosenVictim, GroupKill, KilledLine, SharedMmKill
from harness.oomlog.located import LocatedRecord, Location, ReportParts
from harness.oomlog.meminfo import FreeBlocks, PageCounts, Zone
from harness.oomlog.packing import PackedRecords, decode_records
from harness.oomlog.reading import Reader
from harness.oomlog.release import Reaped
from harness.oomlog.scan import read_and_count, read_compiled
from harness.oomlog.turned import Turns
from harness.tables.log import LOG_TABLES
from harness.tables.logcolumns import tables_of_columns
from harness.tables.logrows import LogRows
from tests.unit.test_compiled import LOGS, SMALL
from tests.unit.test_oomlog_properties import WORDS, read_whole, text_of

pytestmark = pytest.mark.skipif(not columns.exists(), reason="the compiled assembler is not built")


def check(data, chunk_bytes=2 << 20):
    """Both assemblers give the same for a log, with either reader."""
    compiled, plain = [], []
    for chunk in split_chunks(io.BytesIO(data), chunk_bytes):
        expected = read_and_count(chunk)
        records = read_compiled(chunk)
        compiled.append(expected if records is None else (decode_records(records), records.lines))
        plain.append(expected)
    assert tables_of_both(plain) == ""
    if [encode_records(*each) for each in compiled] != [
        encode_records(*each) for each in plain
    ]:  # else the tables are the same
        assert tables_of_both(compiled) == ""


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_logs_of_people_and_of_guests_become_the_same_tables(path):
    check(read_whole(path))


@holds_for(st.integers(0, len(SMALL) - 1), st.integers(0, 2**32), examples=100)
def test_damaged_logs_become_the_same_tables(index, seed):
    order, lines = Random(seed), SMALL[index].split(b"\n")
    for _ in range(order.randint(1, 30)):
        at, other = order.randrange(len(lines)), order.randrange(len(lines))
        match order.randrange(5):
            case 0:
                lines[at], lines[other] = lines[other], lines[at]
            case 1:
                lines.insert(at, lines[other])
            case 2 if len(lines) > 1:
                del lines[at]
            case 3:
                lines[at] = lines[at][: order.randint(0, len(lines[at]))]
            case _:
                raw = bytearray(lines[at])
                if raw:
                    raw[order.randrange(len(raw))] = order.choice(b"0189 ,:=\xff\xc3[")
                lines[at] = bytes(raw)
    check(b"\n".join(lines))


@holds_for(st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), max_size=25), examples=60)
def test_any_words_become_the_same_tables(lines):
    check(text_of(lines))


def check_records(seeds):
    for seed in seeds:
        source = Source(seed)
        assert tables_of_both([(source.records(40), 300), (source.records(60), 300)]) == "", seed


def test_any_records_become_the_same_tables():
    """tests/properties has more of them."""
    check_records(range(50))


def check_long_log(seed):
    """Longer than what is remembered: kills, reports, callers, lines."""
    source = Source(seed)
    source.callers = tuple(f"T{n}" for n in range(1500)) if seed % 2 else source.callers
    assert tables_of_both([(source.records(2500), 3000)]) == ""


@pytest.mark.parametrize("seed", [0, 1])
def test_long_logs_become_the_same_tables(seed):
    check_long_log(seed)


# On both sides of 0.25 s after the kill before them, with what the oom_reaper says before and after.
WITHOUT_REPORT = list(
    product(
        [0.1, 0.249, 0.251, 0.4, 5.0, 11.0],
        [(), (reaped(12),), (reaped(12, anon=900),), ("oom_reaper: unable to reap pid:12 (hog)",), (killed(14, "x"),)],
        ["hog", "other"],
        [(), ("** 3 printk messages dropped **",)],
        [20000, 1 << 20, (1 << 20) + 1],
    )
)


def check_kill_without_report(age_s, between, comm, begin, anon_kb):
    first = [*begin, *report(12), killed(12, anon=anon_kb), *between]
    then = 100.0 + (len(first) - 1) * 0.000050 + age_s
    lines = [*stamped(first), *stamped([killed(13, comm), *between, killed(15)], start=then)]
    check("\n".join(lines).encode())


@pytest.mark.parametrize("case", WITHOUT_REPORT[::7])  # each value, and most pairs of them; tests/properties has all
def test_kills_without_report_are_judged_alike(case):
    check_kill_without_report(*case)


WHERE = Location(1, 0, 5.0, None, False, "", "", "", None)
ZONE = Zone(0, "Normal", 400_000, 0, 0, 40, None, None)


def at(line, record, time_s=5.0):
    return LocatedRecord(Location(line, line * 80, time_s, None, False, "", "", "", None), record)


@pytest.mark.parametrize("order", [40, 41, 70, 10**17])
def test_an_order_that_no_kernel_has_costs_nothing(order):
    """2 to the power of 10^17 is more than there is memory for."""
    blocks = " ".join(f"1*{4 << n}kB (UME)" for n in range(11)) + " "
    parts = ReportParts((ZONE, FreeBlocks(0, "Normal", blocks, True)))
    header = Header("a", 0xCC0, None, order, None, 0, True)
    kill = KilledLine("Out of memory", 7, "a", 1, 1, 1, 1, 0, 1, 0, True)
    records = [at(1, kill), at(2, header, 6.0), at(3, parts, 6.0), at(4, kill, 7.0)]
    assert tables_of_both([(records, 4)]) == ""


def test_sums_that_fit_no_table_are_the_largest_number():
    stats = StatsHead("/m", {"cache": LARGEST_STAT, "rss": 10**18})
    records = [
        at(1, Header("a", 0xCC0, None, 0, None, 0, True)),
        at(2, ReportParts((Usage("memory", 1, 1, 1), stats, stats))),
    ]
    assert tables_of_both([(records, 4)]) == ""


def test_bytes_that_are_no_text_are_shown_as_the_reference_shows_them():
    names = (
        "\udcff",
        "a\udcc3",
        "\udced\udca0\udc80",
        "\udcf4\udc90\udc80\udc80",
        "\udcc3\udca9",
        "é",
        "\U0001f40d",
        "\udce2\udc82x",
    )
    records = [
        at(n, KilledLine("Out of memory", n, name, 1, 1, 1, 1, 0, 1, 0, True), 5.0 + n) for n, name in enumerate(names, start=1)
    ]  # fmt: skip
    assert tables_of_both([(records, 9)]) == ""


def test_a_stamp_that_is_no_number_makes_nothing_forgotten():
    """The lines that are remembered to tell copies by. Found by tests/fuzz/fuzz_compiled.py."""
    kill = at(1, KilledLine("Out of memory", 7, "a", 1, 1, 1, 1, 0, 1, 0, True))
    far_below = at(1500, Reaped("reaped", 8, "a", 0, 0, 0, True), float("nan"))
    assert tables_of_both([([kill, far_below, kill], 4)]) == ""


def test_a_row_that_was_given_does_not_change():
    """A kill is given 10 s later; what is printed then of its memory is too late, whenever the rows are taken."""
    kill = KilledLine("Out of memory", 7, "a", 1, 1, 1, 1, 0, 1, 0, True)
    records = [at(1, kill), at(2, Event("sysrq", None, "x"), 30.0), at(3, SharedMmKill(8, "b"), 30.0)]
    assembler, rows = Assembler(), LogRows()
    for record in records:
        for output in assembler.feed(record):
            rows.add(output, "-")
    assert rows.take()["kills"]["sharing_pids"].to_pylist() == [[]]
    assert tables_of_both([(records, 4)]) == ""


def test_damaged_records_are_refused_and_nothing_is_left():
    found = encode_records([at(1, KilledLine("Out of memory", 7, "a", 1, 1, 1, 1, 0, 1, 0, True))], 1)
    for end in range(len(found.body)):
        assembler = ColumnAssembler()
        try:
            with pytest.raises(ValueError, match="cannot be read"):
                assembler.feed(PackedRecords(found.body[:end], 1, 1), 1, 0)
            with pytest.raises(ValueError, match="cannot be read"):
                assembler.end_file()
            assert all(not given for given in assembler.take().values())
        finally:
            assembler.close()


def test_texts_that_are_not_there_are_nothing():
    """No reader leaves them out; with the sanitizers this shows what is done with a text that is nowhere."""
    parts = ReportParts(
        (
            ZONE,
            FreeBlocks(0, "Normal", None, True),
            PageCounts(None),
            StatsHead(None, {}),
            VictimMemcg(None, None),
            LimitReached(None),
        )
    )
    records = [
        at(1, Header(None, 0xCC0, None, 0, None, 0, True)), at(2, parts), at(3, GroupKill(None)), at(4, AlreadyExitingVictim(None, 1, None)), at(5, Reaped(None, 1, None, 0, 0, 0, True)),
        at(6, KilledLine(None, 7, None, 1, 1, 1, 1, 0, 1, 0, True)), at(7, Event(None, None, None)), at(8, ChosenVictim(None, 7, None)),
    ]  # fmt: skip
    assembler = ColumnAssembler()
    try:
        assembler.feed(encode_records(records, 8), 1, 0)
        assembler.end_file()
        tables = tables_of_columns(assembler.take(), "-", Turns())
    finally:
        assembler.close()
    assert tables["kills"]["pid"].to_pylist() == [7]
    assert tables["zones"]["free_blocks"].to_pylist() == [[]]


def test_any_bytes_are_refused_or_read():
    order = Random(1)
    source = Source(3)
    body = bytearray(encode_records(source.records(60), 60).body)
    for _ in range(2000):
        damaged = bytearray(body)
        for _ in range(order.choice((1, 1, 3))):
            damaged[order.randrange(len(damaged))] = order.randrange(256)
        assembler = ColumnAssembler()
        try:
            assembler.feed(PackedRecords(bytes(damaged), 60, 60), 1, 0)
            assembler.end_file()
        except ValueError:
            pass
        finally:
            assembler.close()


def tables_in(directory):
    return {table.name: pq.read_table(directory / f"{table.name}.parquet") for table in LOG_TABLES}


def parsed(monkeypatch, directory, files, is_compiled):
    said = []
    with monkeypatch.context() as patch:
        if not is_compiled:
            patch.setattr("harness.logs.parse.columns_exist", lambda: False)
        result = parse_files(
            ParseRequest(tuple(map(str, files)), "parquet", directory), lambda: Console(file=io.StringIO()), said.append
        )
    return result, said, tables_in(directory)


@pytest.mark.parametrize("workers", [1, 2])
def test_parse_writes_the_same_files(tmp_path, monkeypatch, workers):
    """Of several logs, one of them in another document, one without an OOM line; with either assembler."""
    monkeypatch.setattr("harness.logs.parse._cores", lambda: workers)
    nothing = tmp_path / "nothing.log"
    nothing.write_text("usb 1-1: new device\n" * 10)
    files = [*(path for path in LOGS if path.parent.name in ("corpus", "field")), nothing]
    expected, given = (parsed(monkeypatch, tmp_path / str(how), files, how) for how in (False, True))
    assert given[:2] == expected[:2]
    for name, table in expected[2].items():
        assert given[2][name].equals(table), name
        assert given[2][name].schema.equals(table.schema, check_metadata=True)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "prefix", [b"", b"Content-Transfer-Encoding: base64\n\n" + b"YQ==\n"], ids=["compiled", "mail"]
)
def test_a_log_of_many_chunks_becomes_the_same_tables(tmp_path, workers, prefix, monkeypatch):
    """Read by threads, or by processes where Python must read it."""
    monkeypatch.setattr(column_reader, "split_chunks", lambda stream: split_chunks(stream, 60_000))
    monkeypatch.setattr(column_reader, "split_file", lambda path: split_file(path, 60_000))
    monkeypatch.setattr(column_reader, "PARALLEL_BYTES", 1)
    data = prefix + b"".join(SMALL[:30])
    path = tmp_path / "log"
    path.write_bytes(data)
    found = []
    for plain_path in (None, path):
        reader = ColumnReader(workers)
        try:
            tables = [tables_of_columns(rows, "-", reader.turns) for rows in reader.read(io.BytesIO(data), plain_path)]
            found.append((reader.lines, reader.bytes, reader.missing, reader.counts, *joined(tables)))
        finally:
            reader.close()
    reader, rows = Reader(), LogRows()
    monkeypatch.setattr("harness.oomlog.reading.split_chunks", lambda stream: split_chunks(stream, 60_000))
    for output in reader.read(io.BytesIO(data)):
        rows.add(output, "-")
    expected = (reader.lines, reader.bytes, reader.missing, found[0][3], *joined([rows.take()]))
    assert found == [expected, expected]


def joined(tables):
    return [pa.concat_tables([one[table.name] for one in tables]).combine_chunks().to_pylist() for table in LOG_TABLES]


def test_tables_are_of_the_schema_where_there_is_no_row(tmp_path, monkeypatch):
    nothing = tmp_path / "nothing.log"
    nothing.write_text("usb 1-1: new device\n")
    tables = parsed(monkeypatch, tmp_path / "out", [nothing], True)[2]
    assert all(table.num_rows == 0 and isinstance(table, pa.Table) for table in tables.values())
