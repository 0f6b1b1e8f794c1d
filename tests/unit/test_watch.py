"""`oomtrial watch`: columns that fit a terminal, whole names, and counters that Prometheus reads."""

import io
import lzma
import urllib.request
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from rich.cells import cell_len
from rich.console import Console

from harness.cli import cli
from harness.containers.names import Ended
from harness.errors import HostError, UsageError
from harness.logs.metrics import Metrics, parse_address
from harness.oomlog.reading import collect
from harness.oomlog.records import Kill
from harness.report.place import Place, place_of
from harness.report.watchtext import WatchText, usage_of

CAPTURED = sorted((Path(__file__).parents[1] / "data" / "captured").glob("*.kmsg.xz"))
NOON_S = 1_700_000_000.0
ID = "3f" * 32
K8S = "k8s_worker-with-a-name_checkout-service-7d4b9c6f5d-x2x7q_payments-production_8a6d9c1e-1111-2222-3333-444455556666_0"
POD = "8a6d9c1e-1111-2222-3333-444455556666"


def day(hours):
    return datetime.fromtimestamp(NOON_S + 3600 * hours).strftime("%Y-%m-%d")


@dataclass(frozen=True)
class Sighting:
    time_s: float
    kill: Kill
    place: Place
    container: str | None = ID
    name: str | None = K8S
    source: str | None = "report"


@pytest.fixture(scope="module")
def kills():
    return [kill for path in CAPTURED for kill in collect(io.BytesIO(lzma.decompress(path.read_bytes()))).kills[:20]]


def written(kills, width):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=width is not None, color_system=None)
    text = WatchText(console)
    for number, kill in enumerate(kills):
        name = ("web", K8S, "x" * 60)[number % 3]
        text.kill(Sighting(NOON_S + 3600 * number, kill, place_of(kill.domain, ID, name)))
    text.ended(Ended(ID, K8S, 137), NOON_S)
    text.note("no container names: the engine does not answer, and this is a sentence that is longer than a line of it")
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_lines_fit_and_columns_stay(kills, width):
    lines = written(kills, width)
    assert max(map(cell_len, lines)) <= width
    at = lines[0].index("overlap")
    rows = [line for line in lines if ":" in line[:22] and line[:1].isdigit() and "ended" not in line]
    assert len(rows) == len(kills)
    assert {row[at : at + 7].strip() for row in rows} <= {"yes", "no", "unknown"}


@pytest.mark.parametrize("width", [80, 120])
def test_no_word_is_broken(kills, width):
    """But for one that is longer than a line."""
    why = {word for kill in kills for word in kill.overlap_evidence.split() if len(word) < width - 10}
    words = {word for line in written(kills, width) for word in line.split()}
    assert why <= words


def test_what_a_column_cuts_stands_whole_below_it_and_the_day_is_said(kills):
    text = "".join(" ".join(written(kills[:26], 80)).split())
    assert "payments-production/checkout-service-7d4b9c6f5d-x2x7q/worker-with-a-name" in text
    assert day(0) in text
    assert day(25) in text


def test_in_a_pipe_every_line_has_its_date(kills):
    lines = written(kills[:3], None)
    assert [line.split()[0] for line in lines[1:4]] == [day(hours) for hours in range(3)]


def test_usage_and_limit_are_of_the_report(kills):
    told = next(kill for kill in kills if kill.report is not None and kill.report.limit_kb)
    usage, limit = usage_of(told).split("/")
    assert float(limit) == pytest.approx(told.report.limit_kb / 1024, abs=0.5)
    assert float(usage) <= float(limit)
    assert usage_of(next(kill for kill in kills if kill.report is None)) == ""


@pytest.mark.parametrize(
    ("memcg", "container", "name", "place", "shown"),
    [
        (f"/docker/{ID}", ID, "web", Place("web", "", ""), "web"),
        (f"/docker/{ID}", ID, None, Place(ID[:12], "", ""), ID[:12]),
        ("/system.slice/nginx.service", None, None, Place("", "", "nginx.service"), "nginx.service"),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice/cri-containerd-{ID}.scope",
            ID, None, Place(ID[:12], POD, ""), f"{POD}/{ID[:12]}",
        ),
        (
            f"/kubepods/burstable/pod{POD}/{ID}", ID, K8S,
            Place(K8S, "payments-production/checkout-service-7d4b9c6f5d-x2x7q", ""),
            "payments-production/checkout-service-7d4b9c6f5d-x2x7q/worker-with-a-name",
        ),
        (None, None, None, Place("", "", ""), "-"),
    ],
)  # fmt: skip
def test_a_place_has_the_names_that_its_owner_uses(memcg, container, name, place, shown):
    assert place_of(memcg, container, name) == place
    assert place.name == shown


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        (sample.name, sample.labels.get("container", "")): sample.value
        for family in families
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def test_counters_are_served_on_loopback(kills):
    metrics = Metrics()
    port, stop = metrics.serve("127.0.0.1", 0)
    try:
        assert scraped(port) == {("oomtrial_kernel_log_records_lost_total", ""): 0}
        yes, no = (next(kill for kill in kills if kill.overlap_estimated is answer) for answer in (True, False))
        for kill in (yes, no, no):
            metrics.kill(Sighting(NOON_S, kill, Place("web", "", "")))
        metrics.kill(Sighting(NOON_S, no, Place("", "", "nginx.service")))
        metrics.lost(3)
        metrics.lost(3)
        metrics.lost(5)
        found = scraped(port)
        assert found["oomtrial_oom_kills_total", "web"] == 3
        assert found["oomtrial_oom_kills_overlap_estimated_total", "web"] == 1
        assert found["oomtrial_oom_kills_overlap_unknown_total", "web"] == 0
        assert found["oomtrial_oom_kills_total", ""] == 1
        assert found["oomtrial_kernel_log_records_lost_total", ""] == 5
        with pytest.raises(HostError, match=r"cannot serve metrics on 127\.0\.0\.1"):
            Metrics().serve("127.0.0.1", port)
    finally:
        stop()


def test_containers_that_come_and_go_do_not_grow_it_forever(kills, monkeypatch):
    monkeypatch.setattr("harness.logs.metrics._SERIES", 2)
    metrics = Metrics()
    seen = Sighting(NOON_S, kills[0], Place("a", "", ""))
    for name in "abcda":
        metrics.kill(replace(seen, place=Place(name, "", "")))
    containers = {
        sample.labels["container"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "oomtrial_oom_kills_total"
    }
    assert containers == {"a": 2, "b": 1, "(other)": 2}


@pytest.mark.parametrize(
    ("text", "address"),
    [("9745", ("127.0.0.1", 9745)), ("0.0.0.0:9745", ("0.0.0.0", 9745)), ("[::1]:80", ("::1", 80)), ("host.lan:1", ("host.lan", 1))],
)  # fmt: skip
def test_an_address_without_a_host_is_loopback(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "port", ":9745", "1:2:3", "70000", "host:"])
def test_what_is_no_address_is_said(text):
    with pytest.raises(UsageError, match=r"not an address for --metrics"):
        parse_address(text)
    assert isinstance(CliRunner().invoke(cli, ["watch", "--metrics", text]).exception, UsageError)
