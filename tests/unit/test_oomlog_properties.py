"""What holds for any log: nothing raises, damage makes up no kill, and how a log is read does not matter.

What nobody can notice is left out by construction: digits lost within a number (a pid of 123 reads as 12), and half a
line put together with half of another. So bytes are dropped only between text, and where lines of a log are dropped
that a mailer has wrapped, only pids are held against the original.
"""

import io
import json
import re
import time
from functools import cache
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import Phase, example
from hypothesis import strategies as st
from msgspec.structs import astuple
from oomtext import Task, killed, reaped, report, stamped
from propertytests import holds_for
from rich.console import Console

from harness.logs.files import open_log
from harness.oomlog.chunks import split_chunks
from harness.oomlog.prefix import peel
from harness.oomlog.reading import Collected, Reader, collect
from harness.oomlog.scan import Chunk, read_chunk
from harness.oomlog.tasks import TaskTable
from harness.report.logjson import encode
from harness.report.logtable import LogTable
from harness.tables.log import LOG_EVENTS, LOG_KILLS, LOG_RELEASES, LOG_REPORTS, LOG_ZONES
from harness.tables.logtasks import task_rows, tasks_table
from harness.tables.logtotals import totals_of
from harness.tables.logvalues import event_row, kill_row, missing_row, release_row, report_row, zone_rows

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
UNSHRUNK = (Phase.generate,)  # for what is known to fail
LARGEST_BYTES = 64 << 10  # of a log that is damaged again and again
SLOWEST_S = 2.0  # CPU time for a log of less than 64 kB


def parse(data):
    return collect(io.BytesIO(data))


def text_of(lines):
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def read_whole(path):
    with open_log(str(path)) as log:
        return log.stream.read()


@cache
def logs():
    """Logs of the corpus, by name; the largest is left out, as it is read thousands of times here."""
    paths = sorted(path for path in CORPUS.iterdir() if path.name.partition(".txt")[1])
    contents = {path.name: read_whole(path) for path in paths}
    return {name: data for name, data in contents.items() if len(data) <= LARGEST_BYTES}


def write_everything(found):
    """Whatever was found can be written in every form."""
    for table, outputs, row in (
        (LOG_REPORTS, found.reports, report_row),
        (LOG_KILLS, found.kills, kill_row),
        (LOG_RELEASES, found.releases, release_row),
        (LOG_EVENTS, found.others, event_row),
    ):
        rows = [row(output, "-") for output in outputs]
        table.arrow_table(rows)
        for fields in rows:
            json.loads(encode(fields))
    for one in found.reports:
        zones = zone_rows(one)
        LOG_ZONES.arrow_table(zones)
        for fields in (one.stats, *zones, *task_rows(one)):
            json.loads(encode(fields))
    tasks_table(found.reports)
    terminal = LogTable(Console(file=io.StringIO(), width=120))
    for output in (*found.reports, *found.kills):
        terminal.add(output, "-")
    decisions = len({kill.decision for kill in found.kills})
    terminal.finish(totals_of(found.missing, len(found.kills), decisions, len(found.reports)), found.missing)
    encode(missing_row(found.missing))


def check_any(data):
    """Reading ends, soon, and without an exception; what it gives can be written."""
    began = time.process_time()
    found = parse(data)
    assert time.process_time() - began < SLOWEST_S
    write_everything(found)


# Any input at all

# What forms are made of: put together at random they reach deeper than random bytes.
WORDS = [
    "Memory cgroup out of memory: ", "Out of memory: ", "Killed process ", "Kill process ", "12", "7", " (", "hog", ")", " total-vm:", "9",
    "kB", ", anon-rss:", ", file-rss:", ", shmem-rss:", ", UID:0", " pgtables:", " oom_score_adj:", ", UID 48,", "-17", " invoked ",
    "oom-killer: ", "gfp_mask=0xcc0", "(GFP_KERNEL)", ", order=", ", oom_score_adj=", "oom_reaper: ", "reaped process ", "unable to reap pid:",
    ", now anon-rss:", "oom-kill:", "constraint=CONSTRAINT_MEMCG", ",nodemask=(null)", ",cpuset=/", ",mems_allowed=0", ",oom_memcg=/m",
    ",global_oom", ",task_memcg=/m", ",task=hog", ",pid=12", ",uid=0", "Tasks in ", "/m", " are going to be killed due to memory.oom.group set",
    "CPU: 1 PID: 12 Comm: ", " Not tainted ", "6.1.0 #1", " cpuset=", " mems_allowed=", "Task in ", " killed as a result of limit of ",
    "Memory limit reached of cgroup ", "memory", ": usage ", "kB, limit ", "kB, failcnt ", "Memory cgroup stats for ", ":", "anon 4096", "cache:0KB rss:4KB",
    "Tasks state (memory values in pages):", "[ pid ]", " uid  tgid total_vm ", " rss nr_ptes swapents oom_score_adj name", "[   12]",
    "     0    12      500      250        4        0             0 ", "Node 0 ", "DMA", " free:", " min:", " low:", " high:", "lowmem_reserve[]:", " 0",
    "Free swap  = ", "Total swap = ", " pages RAM", "oom_kill_process: ", " callbacks suppressed", "** ", " printk messages dropped ** ",
    "Missed 3 kernel messages", "Kernel panic - not syncing: Out of memory", "OOM killer disabled.", "Linux version 6.1.0 ", "-- Boot ", "a" * 32, " --",
    "[    1.000000] ", "[    2.000000][   T12] ", "Nov 14 22:13:20 node1 kernel: ", "Nov 14 22:13:20 node1 app[1]: ", "2023-11-14T22:13:20+00:00 node1 kernel: ",
    "[Tue Nov 14 22:13:20 2023] ", "<4>", "3,1,1000,-,caller=T12;", "kern  :warn  : ", "> ", "\x1b[32m", "\x1b[0m", "#012", "\\x0a", "\ufffd", "\t", " ", "\r",
    '{"MESSAGE": "', '", "_TRANSPORT": "kernel"}', '{"log":"', '"}', "1700000000.123456 node1 kernel: ", "2023-11-14T22:13:20Z stdout F ", "...", "\n",
]  # fmt: skip

word_logs = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), max_size=25).map("\n".join)
lines_of_text = st.lists(st.one_of(st.text(max_size=80), st.sampled_from(WORDS)), max_size=30).map("\n".join)
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**12), 10**12),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(WORDS),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "MESSAGE", "log"]), inner, max_size=4)
    ),
    max_leaves=6,
)
json_keys = st.sampled_from(
    ["MESSAGE", "log", "message", "msg", "textPayload", "jsonPayload", "time", "@timestamp", "_TRANSPORT",
     "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "_BOOT_ID", "_HOSTNAME", "__REALTIME_TIMESTAMP", "_SOURCE_MONOTONIC_TIMESTAMP"]
)  # fmt: skip
json_lines = st.lists(
    st.tuples(st.dictionaries(json_keys, json_values, max_size=6), st.integers(0, 3)).map(
        lambda pair: json.dumps({**pair[0], "x": "Killed process "})[: -pair[1] or None]
    ),
    max_size=8,
).map("\n".join)


@holds_for(st.binary(max_size=3000), examples=150)
def test_any_bytes_are_a_log(data):
    check_any(data)


@holds_for(lines_of_text, examples=120)
def test_any_lines_are_a_log(text):
    check_any(text.encode())


@holds_for(word_logs, examples=400)
def test_any_words_of_a_report_are_a_log(text):
    check_any(text.encode())


@holds_for(json_lines, examples=200)
def test_any_json_lines_are_a_log(text):
    check_any(text.encode())


# Prefixes that nobody knows: a kill or a head behind one is read, or found to be of user space, or counted as not read.

PREFIX_PIECES = [
    "[", "]", "<", ">", "(", ")", "{", "}", '"', "'", ":", ": ", " ", "  ", "-", "|", "\t", "=", ",", ";", "kernel", "kern", "err", "host1", "Guest", "#", "*", "`", "&gt;",
    "2024-03-06", "00:53:34", "Mar", "6", "[  100.000000] ", "app[12]: ", "msg=", "\x1b[32m", "\x1b[0m", "<4>", "<b>", "pid:", "EVENTS", "т", "月",
]  # fmt: skip
prefixes = st.one_of(
    st.lists(st.sampled_from(PREFIX_PIECES), max_size=10).map("".join),
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40),
)


@holds_for(prefixes, examples=600)
def test_a_kill_behind_any_prefix_is_never_lost(prefix):
    found = parse(f"{prefix}{killed(12)}\n".encode())
    assert len(found.kills) + found.missing.forged_kills + found.missing.unread_kills >= 1
    assert all(kill.killed.pid == 12 for kill in found.kills)
    assert totals_of(found.missing, len(found.kills), 1, 0).kills.at_most + found.missing.forged_kills >= 1


@holds_for(prefixes, examples=600)
def test_a_head_behind_any_prefix_is_never_lost_and_no_prefix_is_a_name(prefix):
    found = parse(f"{prefix}java invoked oom-killer: gfp_mask=0xcc0, order=0, oom_score_adj=0\n".encode())
    missing = found.missing
    assert len(found.reports) + missing.unread_heads + missing.forged_heads >= 1
    names = [one.header.comm for one in found.reports]
    assert all(name is None or len(name.encode()) <= 15 or "[" in prefix for name in names)


# Damage

NUMBERS = ("total_vm_kb", "anon_rss_kb", "file_rss_kb", "shmem_rss_kb", "uid", "pgtables_kb", "oom_score_adj")
OPEN_ENDED = ("uid", "oom_score_adj")  # nothing behind them says that they are whole
FOREIGN = [
    "", "...", "-- cut here --", "On Tue, 14 Nov 2023 somebody wrote:", "[  100.000000] eth0: link up", "[  100.000000][    T9] audit: backlog limit exceeded",
    "Nov 14 22:13:20 node1 kernel: usb 1-1: new device", 'Nov 14 22:13:20 node1 nginx[7]: "GET / HTTP/1.1" 200', "\x00" * 40, "<html><body>&gt;</body>",
    '{"MESSAGE": "hello", "_TRANSPORT": "journal"}', "3,999999,1,-;random: crng init done", "memory", "total 0",
]  # fmt: skip
# User space that says what the kernel would say: never a kill, wherever it stands.
FORGED = [
    "Nov 14 22:13:20 node1 app[4242]: " + killed(424242),
    "Nov 14 22:13:20 node1 app: [  100.000000] Out of memory: Killed process 424242 (x) total-vm:1kB, anon-rss:1kB, file-rss:1kB",
    json.dumps({"_TRANSPORT": "syslog", "MESSAGE": killed(424242)}),
    f"12,999999,1,-;{killed(424242)}",
    f"<13>[  100.000000] {killed(424242)}",
    f"Nov 14 22:13:20 node1 app:\t[\t100.000000]\t{killed(424242)}",
]


def cut_end(draw, data):
    return data[: draw(st.integers(0, len(data)))]


def cut_begin(draw, data):
    return data[draw(st.integers(0, len(data))) :]


def _ranges(draw, count, longest):
    return [
        (begin, begin + draw(st.integers(1, longest))) for begin in draw(st.lists(st.integers(0, count), max_size=8))
    ]


def drop_lines(draw, data):
    lines = data.split(b"\n")
    gone = _ranges(draw, len(lines), 30)
    return b"\n".join(line for n, line in enumerate(lines) if not any(begin <= n < end for begin, end in gone))


def _is_digit(data, position):
    return data[position : position + 1].isdigit()


def drop_bytes(draw, data):
    """From the midst of text to the midst of other text of the same line or another: no number is cut into."""
    begin = draw(st.integers(1, max(1, len(data) - 1)))
    end = min(len(data), begin + draw(st.one_of(st.integers(1, 60), st.integers(1, 3000))))
    while begin < len(data) and (_is_digit(data, begin - 1) or _is_digit(data, begin)):
        begin += 1
    while end < len(data) and (_is_digit(data, end - 1) or _is_digit(data, end)):
        end += 1
    return data[:begin] + data[max(begin, end) :]


def wrap(draw, data):
    """As a terminal does, within words, or as a mailer, at blanks; perhaps quoted."""
    width, at_blanks = draw(st.integers(40, 200)), draw(st.booleans())
    quote = draw(st.sampled_from([b"", b"> ", b"> > "]))
    wrapped = []
    for line in data.split(b"\n"):
        while len(line) > width:
            blank = line.rfind(b" ", 1, width) if at_blanks else -1
            wrapped.append(line[: blank if blank > 0 else width])
            line = line[blank + 1 if blank > 0 else width :]
        wrapped.append(line)
    return b"\n".join(quote + line for line in wrapped)


def indent(draw, data):
    margin = draw(st.sampled_from([b"", b" ", b"    ", b"\t", b"\t\t "]))
    return b"\n".join(margin + line.lstrip() for line in data.split(b"\n"))


def put_tabs(draw, data):
    """Before a stamp's number, behind its bracket, or both, as mailers and pastes do."""
    before, behind = draw(st.sampled_from([(rb"\t", b" "), (b" ", rb"\t"), (rb"\t", rb"\t")]))
    return _UPTIME.sub(rb"[%b\1]%b" % (before, behind), data)


_UPTIME = re.compile(rb"\[ *(\d+\.\d+)\] ")


def insert(draw, data):
    lines = data.split(b"\n")
    for line in draw(st.lists(st.sampled_from(FOREIGN), min_size=1, max_size=12)):
        lines.insert(draw(st.integers(0, len(lines))), line.encode())
    return b"\n".join(lines)


def duplicate(draw, data):
    lines = data.split(b"\n")
    for begin, end in _ranges(draw, len(lines), 60)[:3]:
        lines[end:end] = lines[begin:end]
    return b"\n".join(lines)


def replace_bytes(draw, data):
    by = draw(st.sampled_from([b"\xff", b"\xef\xbf\xbd"]))
    for place in draw(st.lists(st.integers(0, max(0, len(data) - 1)), min_size=1, max_size=40)):
        data = data[:place] + by + data[place + 1 :]
    return data


def with_cr(draw, data):
    del draw
    return data.replace(b"\n", b"\r\n")


def splice(draw, data):
    """rsyslog writes a newline within a record as #012."""
    lines = data.split(b"\n")
    joined = set(draw(st.lists(st.integers(0, len(lines)), max_size=30)))
    return b"".join(line + (b"#012" if n in joined else b"\n") for n, line in enumerate(lines))


_STAMP = re.compile(rb"^(.*?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?| *)", re.MULTILINE)


def glue_drops(draw, data):
    """printk puts its word about dropped records in front of the next."""
    lines = data.split(b"\n")
    for n in draw(st.lists(st.integers(0, len(lines) - 1), min_size=1, max_size=10, unique=True)):
        lines[n] = _STAMP.sub(rb"\g<1>** 3 printk messages dropped ** ", lines[n], count=1)
    return b"\n".join(lines)


DAMAGES = (
    cut_end, cut_begin, drop_lines, drop_bytes, wrap, indent, put_tabs, insert, duplicate, replace_bytes, with_cr, splice, glue_drops,
)  # fmt: skip
# After these, numbers of a kill may be another's, and nobody could tell.
MIXING = {drop_bytes}
MIXING_IF_WRAPPED = {drop_lines, duplicate, insert, splice, cut_begin, replace_bytes}


@st.composite
def damaged_logs(draw, most=3):
    """A log of the corpus, what was done to it, and what it is now."""
    name = draw(st.sampled_from(sorted(logs())))
    data = logs()[name]
    damages = draw(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=most))
    for damage in damages:
        data = damage(draw, data)
    return name, damages, data


@cache
def truth(name):
    """pid -> names and numbers of its kills in the undamaged log."""
    known = {}
    for kill in parse(logs()[name]).kills:
        fields = known.setdefault(kill.killed.pid, {key: set() for key in NUMBERS})
        for key in NUMBERS:
            fields[key].add(getattr(kill.killed, key))
    return known


def numbers_can_be_told(name, damages):
    is_wrapped = "wrapped" in name or wrap in damages
    return not MIXING & set(damages) and not (is_wrapped and MIXING_IF_WRAPPED & set(damages))


@holds_for(damaged_logs(), examples=700)
def test_damage_makes_up_no_kill(damaged):
    name, damages, data = damaged
    known = truth(name)
    for kill in parse(data).kills:
        assert kill.killed.pid in known
        if numbers_can_be_told(name, damages):
            for key in NUMBERS:
                if key in OPEN_ENDED and {cut_end, wrap} & set(damages):
                    continue
                value = getattr(kill.killed, key)
                assert value is None or value in known[kill.killed.pid][key], key


@holds_for(damaged_logs(), st.data(), examples=150)
def test_what_user_space_says_is_no_kill(damaged, draw):
    """Lines with a tag or facility of user space, wherever they stand."""
    name, _, data = damaged
    lines = data.split(b"\n")
    for line in draw.draw(st.lists(st.sampled_from(FORGED), min_size=1, max_size=5)):
        lines.insert(draw.draw(st.integers(0, len(lines))), line.encode())
    assert {kill.killed.pid for kill in parse(b"\n".join(lines)).kills} <= set(truth(name))


# How it is read does not matter


def plain(value):
    """What `read_chunk` finds, comparable: a task table holds an array."""
    if isinstance(value, TaskTable):
        return value.columns, value.values.tolist(), value.names, list(value.lines), value.foreign
    value = astuple(value) if isinstance(value, msgspec.Struct) else value
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


@holds_for(damaged_logs(), examples=300)
def test_reading_in_bulk_and_line_by_line_agree(damaged):
    data = damaged[2]
    chunk = Chunk(data, len(data), 0, 1)
    assert list(map(plain, read_chunk(chunk))) == list(map(plain, read_chunk(chunk, in_bulk=False)))


def kills_of(data, chunk_bytes):
    reader = Reader()
    reader.assembler.begin_file()
    found = []
    first_line = 1
    for chunk in split_chunks(io.BytesIO(data), chunk_bytes):
        for item in read_chunk(chunk):
            found += reader.assembler.feed(item, first_line)
        first_line += chunk.data.count(b"\n", 0, chunk.end)
    return [(kill.killed, kill.location.line) for kill in Collected([*found, *reader.assembler.close()], reader).kills]


@holds_for(st.lists(damaged_logs(most=2), min_size=2, max_size=5), st.integers(1, 40_000), examples=60)
def test_chunks_of_any_size_hold_the_same_kills(damaged, chunk_bytes):
    data = b"\n".join(part for _, _, part in damaged)
    assert kills_of(data, chunk_bytes) == kills_of(data, len(data) + 1)


SINGLE_LOGS = ["16-", "24-", "26-", "29-", "32-"]  # of one kernel, lines not wrapped


@cache
def bare_lines(prefix):
    """Lines of a log without their own prefixes."""
    data = next(data for name, data in logs().items() if name.startswith(prefix))
    return [peel(line).text for line in data.decode().splitlines() if line.strip()]


def brief(kill):
    report = kill.report
    if report is None:
        return kill.killed, kill.domain
    rows = report.tasks and report.tasks.values.tolist()
    return kill.killed, kill.domain, report.margin_kb, report.header, report.stats, report.chosen_pid, rows


MOST_AT_ONCE = 12  # lines; a table ends where too many lines of others follow


def check_apart(logs, stamp, random):
    """The kills of logs whose lines come in any order between one another are those of each log alone."""
    queues = [list(lines) for lines in logs]
    mixed_lines = []
    while any(queues):
        for turn, queue in enumerate(queues):
            for _ in range(min(len(queue), random.randint(0, MOST_AT_ONCE))):
                mixed_lines.append(stamp(turn, len(mixed_lines)) + queue.pop(0))
    mixed = parse(text_of(mixed_lines))
    alone = [parse(text_of(stamp(turn, n) + line for n, line in enumerate(lines))) for turn, lines in enumerate(logs)]
    for found in alone:
        pids = {kill.killed.pid for kill in found.kills}
        assert [brief(kill) for kill in mixed.kills if kill.killed.pid in pids] == list(map(brief, found.kills))
    assert len(mixed.kills) == sum(len(found.kills) for found in alone)


@holds_for(st.permutations(SINGLE_LOGS), st.integers(0, 1 << 32).map(Random), examples=40, phases=UNSHRUNK)
def test_callers_keep_interleaved_reports_apart(names, random):
    callers = ("T12", "C3")
    check_apart(
        [bare_lines(name) for name in names[:2]], lambda turn, n: f"[  100.{n:06d}][{callers[turn]:>6}] ", random
    )


@holds_for(
    st.permutations(SINGLE_LOGS),
    st.sampled_from([("alpha", "beta"), ("node1", "node2")]),
    st.integers(0, 1 << 32).map(Random),
    examples=40,
    phases=UNSHRUNK,
)
def test_hosts_keep_interleaved_reports_apart(names, hosts, random):
    check_apart(
        [bare_lines(name) for name in names[:2]],
        lambda turn, n: f"Nov 14 22:13:20 {hosts[turn]} kernel: [  10{turn}.{n:06d}] ",
        random,
    )


# Names


def fits(comm):
    return len(comm.encode("utf-8", "surrogateescape")) <= 15


# The kernel cuts a name after 15 bytes, within a character if need be.
cut_names = st.binary(max_size=15).map(lambda raw: raw.replace(b"\0", b"?").decode("utf-8", "surrogateescape"))
text_names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=15)
pieces_of_names = st.sampled_from(
    [")", "(", ") (", "] ", "[1]", " 12 ", "\n", "\\", "\\x0a", "#012", "\x1b[31m", "\r", "\t", " ", "kB", ", UID 1,", ") total-vm:1kB",
     "oom-kill:", "oom_reaper: ", "illed process ", ",pid=1,uid=0", ",task=", " RAM", " free:", "omm: ", ": usage ", '"', "'", "\x9b", "ä", "name", "{", "<4>", "> ",
     " total_vm ", "kernel: ", "Out of memory: "]
)  # fmt: skip
names = st.one_of(text_names, cut_names, st.lists(pieces_of_names, max_size=5).map("".join)).filter(fits)


def story(comm):
    """A report and what follows it, all about a process of this name."""
    return [*report(12, tasks=[Task(12, comm)], comm=comm, invoker=comm), killed(12, comm), reaped(12, comm)]


def check_names(found, comm):
    assert [(kill.killed.pid, kill.killed.comm) for kill in found.kills] == [(12, comm)]
    assert found.kills[0].killed.is_complete
    assert found.kills[0].report is found.reports[0]
    assert [(release.reaped.pid, release.reaped.comm, release.kill) for release in found.releases] == [(12, comm, 0)]
    assert [(one.header.comm, one.chosen_pid, one.chosen_comm) for one in found.reports] == [(comm, 12, comm)]


def escaped(text):
    """As the kernel does in /dev/kmsg (append_char(), kernel/printk/printk.c)."""
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in raw)


@holds_for(names, examples=400)
def test_any_name_in_dev_kmsg(comm):
    check_names(
        parse(text_of(f"4,{n},{n * 50},-,caller=T12;{escaped(text)}" for n, text in enumerate(story(comm)))), comm
    )


def is_printable(text):
    """What journald takes for text (utf8_is_printable()); of other messages its JSON gives the bytes."""
    return not any(
        (char < " " and char not in "\t\n") or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in text
    )


def journal(text, number):
    message = text if is_printable(text) else list(text.encode("utf-8", "surrogateescape"))
    fields = {
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": "0",
        "SYSLOG_IDENTIFIER": "kernel",
        "_BOOT_ID": "a" * 32,
        "__REALTIME_TIMESTAMP": str(1700000000000000 + number * 50),
        "_SOURCE_MONOTONIC_TIMESTAMP": str(100000000 + number * 50),
        "MESSAGE": message,
    }
    return json.dumps(fields, ensure_ascii=False)


def in_journal(comm):
    return parse(text_of(journal(text, n) for n, text in enumerate(story(comm))))


@holds_for(names.filter(is_printable), examples=400)
@example("=3D")  # as quoted-printable mail writes "="
def test_any_printable_name_in_json_of_journald(comm):
    check_names(in_journal(comm), comm)


@holds_for(names.filter(lambda comm: not is_printable(comm)), examples=100, phases=UNSHRUNK)
def test_any_other_name_in_json_of_journald(comm):
    check_names(in_journal(comm), comm)


# A name may begin like the tag of `journalctl -o short-monotonic --no-hostname`: the log's other lines tell.
@holds_for(
    names.filter(lambda comm: "\n" not in comm)
    | st.sampled_from(["kernel: ab", "kernel: ", "kernel: [1]", "kernel: a: b"]),
    examples=400,
)
def test_any_name_on_one_line(comm):
    check_names(parse(text_of(stamped(story(comm)))), comm)


# Prefixes

texts = st.one_of(
    st.text(max_size=120),
    st.binary(max_size=120).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.lists(st.sampled_from(WORDS), max_size=10).map("".join),
)


@holds_for(texts, examples=600)
def test_peeling_only_takes_away(text):
    line = peel(text)
    assert len(line.text) <= len(text)
    is_rewritten = "{" in text or "\\x" in text or "\x1b" in text  # JSON, /dev/kmsg, colours
    assert is_rewritten or text.rstrip("\r\n").endswith(line.text) or text.endswith(line.text)


# What was found with these properties, and by fuzzing

KILL = "Killed process 12 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB"
HEADER = "a invoked oom-killer: gfp_mask=0x1, order=0, oom_score_adj=0"
HEAD = "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name"
TOO_LARGE = {
    "pid beyond 64 bits": f"Killed process {'9' * 19} (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB",
    "size of 30 digits": f"Killed process 12 (a) total-vm:{'1' * 30}kB, anon-rss:1kB, file-rss:1kB",
    "size of 5000 digits": f"Killed process 12 (a) total-vm:{'1' * 5000}kB, anon-rss:1kB, file-rss:1kB",
    "cell of a table": f"{HEADER}\n{HEAD}\n[   12]     0    12 {'9' * 23}        1       1        0             0 a\n{KILL}",
    "statistic": f"{HEADER}\nMemory cgroup stats for /a: cache:{'9' * 19}KB rss:0KB\n{KILL}",
    "mask": f"a invoked oom-killer: gfp_mask=0x{'f' * 17}, order=0, oom_score_adj=0\n{KILL}",
    "adjustment": f"a invoked oom-killer: gfp_mask=0x1, order=0, oom_score_adj={'9' * 5000}\n{KILL}",
    "drops": f"** {'9' * 5000} printk messages dropped ** {KILL}",
    "time of dev_kmsg": f"3,1,{'9' * 400},-;{KILL}",
    "number of a record": f"3,{'9' * 5000},1,-;{KILL}",
    "time of journald": json.dumps({"MESSAGE": KILL, "__REALTIME_TIMESTAMP": "9" * 400}),
    "date of journald": json.dumps({"MESSAGE": KILL, "__REALTIME_TIMESTAMP": "9" * 20}),
    "year 0": f"0001-01-01T00:00:00+23:59 h kernel: {KILL}",
    "month of 12 digits": f"[x {'9' * 12}\u6708 01 00:00:00 2023] {KILL}",
    "month of 5000 digits": f"[x {'9' * 5000}\u6708 01 00:00:00 2023] {KILL}",
}


@pytest.mark.parametrize("text", TOO_LARGE.values(), ids=TOO_LARGE)
def test_no_number_is_too_large(text):
    check_any(text.encode() + b"\n")


def test_json_that_is_nested_deeply():
    check_any(b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b', "MESSAGE": "' + KILL.encode() + b'"}\n')


def test_a_long_summary_is_read_soon():
    check_any(b"oom-kill:constraint=A,nodemask=(null),cpuset=" + b",mems_allowed=,oom_memcg=/,task_memcg=/,task=" * 125)


# A line that is cut within its last number, oom_score_adj, looks whole: nobody can tell.
@pytest.mark.parametrize("cut", ["UID:1", "UID:100"])
def test_a_cut_line_never_makes_up_an_open_ended_number(cut):
    line = killed(12).replace("UID:0", "UID:1000").replace("oom_score_adj:0", "oom_score_adj:-997")
    (kill,) = parse(line[: line.index(cut) + len(cut)].encode()).kills
    assert kill.killed.uid in (None, 1000)
    assert kill.killed.oom_score_adj in (None, -997)


@pytest.mark.parametrize("comm", ["<0>", "<14>x", "[9.9]", "[T1]", "[  0.1]"])
def test_a_name_that_looks_like_a_prefix(comm):
    """A process may not hide a report by its name."""
    check_names(parse(text_of(f"4,{n},{n * 50},-;{escaped(text)}" for n, text in enumerate(story(comm)))), comm)


@pytest.mark.parametrize("comm", ["", " ", "a "])
def test_a_row_with_a_blank_at_its_end(comm):
    found = parse(text_of(f"4,{n},{n * 50},-;{escaped(text)}" for n, text in enumerate(story(comm))))
    assert [one.tasks.comms() for one in found.reports] == [[comm]]


@pytest.mark.parametrize("comm", [" x", "x "])
def test_the_pid_of_a_task_whose_name_begins_or_ends_with_a_blank(comm):
    assert parse(text_of(stamped(story(comm)))).reports[0].pid == 12


def in_order_of(pairs):
    """Lines of several callers, each with a stamp of its own."""
    return text_of(f"[  100.{n:06d}][{caller:>6}] {line}" for n, (caller, line) in enumerate(pairs))


def test_statistics_of_another_caller_are_not_mixed_in():
    one, other = report(12, "/a"), report(13, "/b", anon_kb=90_000)
    head = one.index("Memory cgroup stats for /a:") + 1
    both = [("T2", line) for line in other[:head]] + [("T1", line) for line in [*one[: head + 1]]]
    both += [("T2", other[head]), *(("T1", line) for line in [*one[head + 1 :], killed(12)])]
    assert parse(in_order_of(both)).kills[0].report.stats["anon"] == 250 * 4096


def test_a_header_within_the_table_of_another_caller():
    tasks = [Task(pid) for pid in range(1000, 1200)]
    one, other = [*report(1000, "/a", tasks=tasks), killed(1000)], [*report(13, "/b"), killed(13)]
    both = [("T1", line) for line in one[:40]] + [("T2", line) for line in other] + [("T1", line) for line in one[40:]]
    found = {kill.killed.pid: kill for kill in parse(in_order_of(both)).kills}
    assert (found[1000].report.tasks.row_count, found[1000].report.in_flight_kb) == (200, 0)


def test_headers_of_two_callers_at_the_same_time_are_two():
    lines = [f"[  100.000000][    T{caller}] {line}" for caller in (1, 2) for line in [*report(caller), killed(caller)]]
    assert len(parse(text_of(lines)).reports) == 2


def test_a_row_behind_other_text_is_none_in_bulk_either():
    row = "[   12]     0    12      500      250        4        0             0 a"
    data = text_of([f"[  100.000000] {line}" for line in (HEADER, HEAD, f"x {row}")])
    chunk = Chunk(data, len(data), 0, 1)
    assert list(map(plain, read_chunk(chunk))) == list(map(plain, read_chunk(chunk, in_bulk=False)))
