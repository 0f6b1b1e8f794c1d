"""A log is the same in every style of dmesg and journalctl, and behind any prefix that its own lines explain."""

import base64
import html
import json
import lzma
import quopri
from functools import cache
from pathlib import Path

import pytest
from readlog import parse

from harness.oomlog.kmsg import parse_kmsg_record

STYLES = Path(__file__).parent.parent / "data" / "styles"
TEXTS = {
    f"{path.name.partition('.')[0]} {name}": text
    for path in sorted(STYLES.glob("*.json.xz"))
    for name, text in json.loads(lzma.decompress(path.read_bytes())).items()
}
FORGED_PID = 4242  # in the journal a program says so


@cache
def records():
    return [parse_kmsg_record(line) for line in (STYLES / "kmsg.txt").read_text().splitlines()]


@cache
def lines():
    """The kernel's lines without prefixes, as many as dmesg prints."""
    return [line for record in records() if record.is_kernel for line in record.text.split("\n")]


def brief(log):
    """What must not depend on the style."""
    kills = [kill for kill in log.found.kills if kill.killed.pid != FORGED_PID]
    return (
        [(kill.killed, kill.domain, kill.task_memcg, kill.report and kill.report.index) for kill in kills],
        [
            (
                report.domain,
                report.header,
                report.pid,
                report.kernel,
                report.zone_margin_kb,
                report.tasks and report.tasks.values.tolist(),
                report.tasks and report.tasks.comms(),
                [zone for zone, _ in report.zones],
                report.free_blocks,
                report.page_counts,
            )
            for report in log.found.reports
        ],
        [(release.reaped, release.kill) for release in log.found.releases],
    )


@cache
def expected():
    found = brief(parse("\n".join(lines()) + "\n"))
    assert [killed.pid for killed, *_ in found[0]] == [62, 60]
    assert len(found[1]) == 2
    assert all(report[-1] for report in found[1])
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_the_tools_that_people_have(name):
    log = parse(TEXTS[name])
    assert brief(log) == expected()
    tells_user_space = "journalctl" in name and not name.endswith("cat")
    assert log.missing.forged_kills == tells_user_space
    assert log.missing.unread_kills == 0


def level(n):
    return ("warning", "err", "info", "notice")[n % 4]


def by_line(wrap):
    return lambda: "\n".join(wrap(n, line) for n, line in enumerate(lines())) + "\n"


def stamped_lines():
    return [f"[  100.{n:06d}] {line}" for n, line in enumerate(lines())]


def kmsg_objects(**fields):
    return [{**fields, "message": line} for line in lines()]


WRAPPINGS = {
    # syslog in any locale
    "ru": by_line(lambda _, t: f"июл 24 01:20:00 host1 kernel: {t}"),
    "zh": by_line(lambda n, t: f"8月 24 01:20:00 host1 kernel: [  100.{n:06d}] {t}"),
    "ko": by_line(lambda _, t: f"10월 24 01:20:00 host1 kernel: {t}"),
    "fr": by_line(lambda _, t: f"févr. 24 01:20:00 host1 kernel: {t}"),
    "ar": by_line(lambda _, t: f"نوفمبر 24 01:20:00 host1 kernel: {t}"),
    "capitals": by_line(lambda _, t: f"JUL 24 01:20:00 host1 kernel: {t}"),
    "dmesg -H ru": by_line(lambda n, t: f"[  +0.{n:06d}] {t}" if n % 9 else f"[мар 6 00:53] {t}"),
    # vendors and consoles
    "talos": by_line(lambda n, t: f"10.0.0.11: kern: {level(n):>7}: [2025-04-22T10:00:00.{n:09d}Z]: {t}"),
    "openwrt": by_line(lambda n, t: f"Sat Nov 11 14:34:55 2023 kern.{level(n)} kernel: [ 1905.{n:06d}] {t}"),
    "xen": by_line(lambda n, t: f"[2025-06-04 17:51:20] [   21.{n:06d}] {t}"),
    "qnap": by_line(lambda n, t: f"2023-11-22 03:01:56 +01:00 <{n % 7}> [62902.{n:06d}] {t}"),
    "huawei": by_line(lambda n, t: f"<{n % 7}>[63651.{n:06d}s][pid:{2900 + n % 3},cpu{n % 4},{('sh', 'kswapd0')[n % 2]}]{t}"),
    "samsung": by_line(lambda n, t: f"[{n % 4}-8745.{n:06d}] {t}"),
    "mediatek": by_line(lambda n, t: f"<{n % 7}>[ 1234.{n:06d}]  ({n % 4})[{100 + n}:kworker/u8:2]{t}"),
    "vmware": by_line(lambda n, t: f"2023-12-04T10:49:30.{n:03d}Z In(05) vcpu-{n % 6} - Guest: <{n % 7}>[39261111.{n:06d}] {t}"),
    "vmware 6": by_line(lambda n, t: f"2023-12-04T10:49:30.{n:03d}Z| vcpu-{n % 6}| I005: Guest: <{n % 7}>[39261111.{n:06d}] {t}"),
    "cisco": by_line(lambda n, t: f"2024 Mar  6 00:53:34.123 sw1 %KERN-4-SYSTEM_MSG: [  100.{n:06d}] {t} - kernel"),
    "a forum": by_line(lambda n, t: f"... kernel: [ 123.{n:06d}] {t}"),
    "a year for a host": by_line(lambda n, t: f"Dec 27 09:19:05 2013 kernel: : [277622.{n:06d}] {t}"),
    "pstore": lambda: "Panic#2 Part1\n" + "\n".join(f"<{n % 7}>{line}" for n, line in enumerate(stamped_lines())) + "\n",
    "netconsole": by_line(lambda n, t: f"6.12.117-x,4,{n},{100000000 + n * 50},-,caller=T7;{t}"),
    "netconsole, extended, received": by_line(lambda n, t: f"192.0.2.7 - 4,{n},{100000000 + n * 50},-;{t}"),
    "klogd of BusyBox on glibc": by_line(lambda n, t: f"Mar  6 00:53:34 rpi user.{level(n)} kernel: [  100.{n:06d}] {t}"),
    "logread of uClibc": by_line(lambda n, t: f"Wed Mar  6 00:53:34 2024 user.{level(n)} kernel: [  100.{n:06d}] {t}"),
    "socklog": by_line(lambda n, t: f"2024-03-06T00:53:34.12345 host1 kern.{level(n)}: [  100.{n:06d}] {t}"),
    "netconsole received": by_line(lambda n, t: f"2024-03-06 00:53:34 192.0.2.7:6666 [  100.{n:06d}] {t}"),
    "minicom": by_line(lambda n, t: f"[2024-03-06 00:53:34.123] [  100.{n:06d}] {t}"),
    "time of day": by_line(lambda _, t: f"00:53:34 {t}"),
    "docker compose": by_line(lambda n, t: f"qemu_1  | [  100.{n:06d}] {t}"),
    "autotest": by_line(lambda n, t: f"11/14 22:13:20 INFO |   kernel| [  100.{n:06d}] {t}"),
    "logcat": by_line(lambda n, t: f"03-06 00:53:34.123  1234  1234 W kernel  : [  100.{n:06d}] {t}"),
    # shippers of logs
    "stackdriver": lambda: json.dumps([{"insertId": "x", "jsonPayload": o, "timestamp": "2024-03-06T00:53:34Z"} for o in kmsg_objects(_TRANSPORT="kernel")], indent=2),
    "cloudwatch": lambda: json.dumps({"events": [{"timestamp": 1709686414000 + n, "message": line} for n, line in enumerate(stamped_lines())]}),
    "cloudwatch indented": lambda: json.dumps({"events": [{"timestamp": 1709686414000 + n, "message": line} for n, line in enumerate(stamped_lines())]}, indent=4),
    "cloudwatch text": by_line(lambda n, t: f"EVENTS\t1709686414{n:03d}\t[  100.{n:06d}] {t}\t1709686414999"),
    "datadog": by_line(lambda n, t: json.dumps({"id": "x", "attributes": {"timestamp": "2024-03-06T00:53:34Z", "message": f"[  100.{n:06d}] {t}"}})),
    "loki": lambda: json.dumps({"data": {"result": [{"stream": {"job": "kernel"}, "values": [[str(1709686414000000000 + n), line] for n, line in enumerate(lines())]}]}}),
    "loki indented": lambda: json.dumps({"data": {"result": [{"stream": {"job": "kernel"}, "values": [[str(1709686414000000000 + n), line] for n, line in enumerate(lines())]}]}}, indent=2),
    "logcli": by_line(lambda _, t: f'2024-03-06T00:53:34Z {{job="kernel",host="n1"}} {t}'),
    "fluent-bit": by_line(lambda n, t: f'[0] kmsg: [[1709686414.{n:09d}, {{}}], {{"priority"=>4, "sequence"=>{n}, "msg"=>"{t}"}}]'),
    "logfmt": by_line(lambda _, t: f'time="2024-03-06T00:53:34Z" level=warning msg="{t}" source=kmsg'),
    "ec2": lambda: json.dumps({"InstanceId": "i-1", "Output": "\r\n".join(stamped_lines()), "Timestamp": "2024-03-06T00:53:34.000Z"}, indent=4),
    "ec2 on one line": lambda: json.dumps({"InstanceId": "i-1", "Output": "\r\n".join(stamped_lines())}),
    "splunk": by_line(lambda n, t: f'"Mar  6 00:53:34 host1 kernel: [  100.{n:06d}] {t}",2024-03-06'),
    "bytes of Python": by_line(lambda n, t: f"b'[  100.{n:06d}] {t}\\n'"),
    "yaml": by_line(lambda n, t: f"  message: '[  100.{n:06d}] {t}'"),
    # markup
    "bullets": by_line(lambda n, t: f"- [  100.{n:06d}] {t}"),
    "numbers": by_line(lambda n, t: f"{n + 1:5d}  [  100.{n:06d}] {t}"),
    "cat -n": by_line(lambda n, t: f"{n + 1}\t{t}"),
    "backticks": by_line(lambda n, t: f"> `[  100.{n:06d}] {t}`"),
    "entities": by_line(lambda n, t: html.escape(f"<4>[  100.{n:06d}] {t}")),
    "html": by_line(lambda n, t: f"<li><code>Nov 14 22:13:20 node1 kernel: [  100.{n:06d}] {t}</code></li>"),
    "html on one line": lambda: "<pre>" + "<br />".join(stamped_lines()) + "</pre>\n",
    "bbcode": by_line(lambda n, t: f'[COLOR="Red"][  100.{n:06d}] {t}[/COLOR]'),
    "jira": by_line(lambda n, t: f"{{color:red}}[  100.{n:06d}] {t}{{color}}"),
    "padded": by_line(lambda n, t: f"[  100.{n:06d}] {t}".ljust(240)),
    "padded, without stamps": by_line(lambda _, t: f"{t}   "),
    "grep --color": by_line(lambda n, t: f"[  100.{n:06d}] {t}".replace("oom", "\x1b[01;31m\x1b[Koom\x1b[m\x1b[K")),
    "journalctl in colour": by_line(lambda _, t: f"Mar 06 00:53:34 host1 kernel: \x1b[0;1;31m\x1b[0;1;39m\x1b[0;1;31m{t}\x1b[0m"),
    # mail
    "quoted-printable": lambda: "Subject: oom\nContent-Transfer-Encoding: quoted-printable\n\n" + quopri.encodestring("".join(f"> {line}\n" for line in stamped_lines()).encode()).decode(),
    "base64": lambda: "Subject: oom\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes("\n".join(stamped_lines()).encode()).decode() + "\n--\n",
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPINGS)
def test_any_wrapping(name):
    log = parse(WRAPPINGS[name]())
    assert brief(log) == expected()
    assert (log.missing.unread_kills, log.missing.unread_heads, log.missing.forged_kills) == (0, 0, 0)


def test_the_lines_are_those_of_the_file():
    text = "Content-Transfer-Encoding: base64\n\n" + base64.encodebytes("\n".join(stamped_lines()).encode()).decode()
    kill = parse(text).found.kills[-1]
    assert kill.location.line > 100
    assert text.encode()[kill.location.offset - 1 : kill.location.offset] == b"\n"
    compact = json.dumps({"events": [{"message": line} for line in stamped_lines()]})
    assert {kill.location.line for kill in parse("\n" + compact).found.kills} == {2}
