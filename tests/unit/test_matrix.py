"""A matrix over several nights: changed cells are found and others are not, a night is resumed, the page needs nothing else."""

import contextlib
import json
import os
import shutil
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console
from simulated import no_plans, rounds_with, simulated_arm, tables

from harness.analysis import verdict
from harness.analysis.matrix import Cell, Change, Night, compare_with_earlier
from harness.analysis.permutation import BootTest
from harness.cli import cli
from harness.errors import CHECK_FAILED, BuildError, EvidenceError, UsageError
from harness.experiment import block
from harness.experiment.experiment import Experiment
from harness.experiment.guests import TrialGuests
from harness.experiment.places import GuestPlace
from harness.kernels.kernel import Kernel
from harness.report.matrixtable import print_matrix
from harness.runs.record import HostRecord, PlannedBlock, RunRecord, ScenarioRecord, hold_run, read_run, write_run
from harness.spec.arm import name_arms
from harness.spec.scenarios import load_scenario
from harness.studies import matrix as made
from harness.studies import matrixsite, nightly
from harness.studies.nights import nights_in
from harness.tables.schema import TABLES
from harness.tables.store import save_tables
from tests.unit import test_resume as fake

KERNELS = ("debian:6.1", "fix=source:6.12+my<i>.patch", "debian:7.3")
SCENARIOS = ("one-big-many-small", "two-at-once", "oom-group", "slow-exit", "swap-zram")
BOOTS, PER_BOOT = 8, 6


def night_id(number):
    return f"202611{number:02d}-020000-0000"


def write_night(out, number, shares=None, *, kernels=KERNELS, versions=None, failed=None, state="complete", **fields):
    """A run of one night. `shares`: of rounds with a redundant kill by (arm, scenario), 0.1 elsewhere; `failed`: cells
    whose rounds hang; `versions`: of the kernels, by arm."""
    run = out / "nights" / night_id(number)
    arms = name_arms(kernels)
    generator = np.random.default_rng(number)
    frames = {table.name: [] for table in TABLES}
    blocks, found = [], {"rounds": [], "kills": []}
    for scenario in SCENARIOS:
        for arm in arms:
            where = arm.name, scenario
            boots = rounds_with(generator, (shares or {}).get(where, 0.1), "redundant", BOOTS, PER_BOOT)
            if where in (failed or ()):
                boots = [["hung"] * PER_BOOT] * BOOTS
            for name, frame in zip(("rounds", "kills"), tables(arm.name, boots, scenario), strict=True):
                for column in {"trial_id", "boot_id"} & set(frame):
                    frame[column] = f"{scenario} " + frame[column]
                found[name].append(frame)
            for boot in range(1, BOOTS + 1):
                blocks.append(PlannedBlock(len(blocks) + 1, arm.name, scenario, boot, PER_BOOT))
                frames["trials"].append(
                    {
                        "arm": arm.name, "scenario": scenario, "trial_id": f"{scenario} {arm.name}-{boot}", "boot": boot,
                        "block": len(blocks), "token": "t", "first_round": 1, "rounds": PER_BOOT, "rounds_begun": PER_BOOT,
                        "warm_up": 0, "outcome": "completed", "reason": "", "started": "cold", "guest_start_s": 1.0,
                        "containers_start_s": 1.0, "rounds_s": 9.0,
                    }
                )  # fmt: skip
    made_of = {table.name: table.frame(frames[table.name]) for table in TABLES}
    made_of |= {name: pd.concat(each, ignore_index=True) for name, each in found.items()}
    save_tables(run / "tables", made_of)
    sources = {arm.name: (versions or {}).get(arm.name, f"linux-image {number}.1-1") for arm in arms}
    write_run(
        run,
        RunRecord(**{
            "format": 2, "run_id": night_id(number), "state": state, "oomtrial": "0", "command": ["oomtrial", "matrix"],
            "seed": 1, "rounds": BOOTS * PER_BOOT, "boots": BOOTS,
            "scenarios": [ScenarioRecord(s.name, s.version, s.text) for s in map(load_scenario, SCENARIOS)],
            "kernels": [Kernel(arm.kernel, sources[arm.name], "/k", sources[arm.name], {}, "", "gcc", []) for arm in arms],
            "images": {}, "rootfs": "r", "vcpus": 4, "memory_mib": 2048, "accel": "tcg", "accel_reason": "",
            "host": HostRecord(2, "cpu", "qemu"), "blocks": blocks, "arms": list(arms),
        } | fields),
    )  # fmt: skip
    return run


SAME = dict.fromkeys(("debian:6.1", "fix", "debian:7.3"), "linux-image 1.1-1")
CHANGED = ("debian:7.3", "two-at-once")


@pytest.fixture(scope="module", autouse=True)
def _no_plans():
    """Plans, costs and permutations take seconds per cell, and nothing here asks for them."""
    with no_plans(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdict, "boot_test", lambda *_: BootTest(0.5, "boots within blocks"))
        patch.setattr(verdict, "costs_of", lambda pairs: [[] for _ in pairs])
        yield


@pytest.fixture(scope="module", autouse=True)
def _few_pages():
    """A run's page takes seconds: one scenario of one night has a real one."""
    with pytest.MonkeyPatch.context() as patch:
        opened, written = matrixsite.open_report, matrixsite.write_page

        def open_one(run, rounds, most, scenario):
            is_real = (run.name, scenario) == (night_id(2), "one-big-many-small")
            return opened(run, rounds, most, scenario) if is_real else None

        def write_one(report, path):
            if report is None:
                path.write_text('<p id="rounds">')
            else:
                written(report, path)

        patch.setattr(matrixsite, "open_report", open_one)
        patch.setattr(matrixsite, "write_page", write_one)
        yield


@pytest.fixture
def _no_pictures(monkeypatch):
    """Fifteen pictures take a second."""
    monkeypatch.setattr("harness.report.matrixpage.draw_cell", lambda *_: "<svg></svg>")


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Two nights: in the second one cell went up, one only fails, and one kernel is newer."""
    out = tmp_path_factory.mktemp("matrix")
    write_night(out, 1, versions=SAME)
    versions = SAME | {"debian:7.3": "linux-image 7.3.5-1"}
    write_night(out, 2, {CHANGED: 0.8}, versions=versions, failed={("fix", "oom-group")})
    shown = invoke("--out", out)
    assert shown.exit_code == 0, shown.output
    return out


@pytest.fixture
def own(nights, tmp_path):
    out = tmp_path / "own"
    shutil.copytree(nights, out)
    return out


def invoke(*arguments):
    return CliRunner().invoke(cli, ["matrix", *map(str, arguments)])


def read(out):
    return made.read_matrix(out, fake.quiet())


def changes(matrix):
    return {(cell.arm, cell.scenario): cell.changes for cell in matrix.newest.cells if cell.changes}


def test_the_cell_that_changed_is_found_and_no_other(nights):
    found = read(nights)
    assert changes(found) == {CHANGED: [Change.UP], ("fix", "oom-group"): [Change.FAILS]}
    cell = found.newest.cell(*CHANGED)
    assert cell.is_worse
    assert (cell.is_same_kernel, cell.earlier_source, cell.source) == (
        False,
        "linux-image 1.1-1",
        "linux-image 7.3.5-1",
    )
    assert cell.comparison.comparisons == len(KERNELS) * len(SCENARIOS)
    assert found.newest.cell("debian:6.1", "two-at-once").is_same_kernel


def plain_night(number, hits):
    """One arm in as many scenarios as there are hits, of 40 boots of one round."""
    cells = [
        Cell(arm="a", scenario=f"s{place}", measured=simulated_arm("a", [[("necessary", "redundant")]] * count + [[("necessary",)]] * (40 - count), f"s{place}"))
        for place, count in enumerate(hits)
    ]  # fmt: skip
    return Night(
        run_id=night_id(number), directory="x", state="complete", rounds=40, boots=40, machine="", arms=list(name_arms(["host"])),
        scenarios=[cell.scenario for cell in cells], summaries={}, conditions={}, cells=cells, notes=[],
    )  # fmt: skip


def test_cells_are_corrected_for_their_number():
    """A difference that is a change in a matrix of one cell is none among twelve."""
    few, many = ([hits] + [4] * rest for hits, rest in ((13, 0), (13, 11)))
    alone = compare_with_earlier(plain_night(2, few), [plain_night(1, [4])])
    assert alone.cells[0].changes == [Change.UP]
    among = compare_with_earlier(plain_night(2, many), [plain_night(1, [4] * 12)])
    assert not any(cell.changes for cell in among.cells)
    assert among.cells[0].comparison.comparisons == 12


def test_the_newest_earlier_night_that_has_the_cell_is_compared():
    first, last = plain_night(1, [4, 4]), plain_night(2, [4])
    found = compare_with_earlier(plain_night(3, [4, 4, 4]), [first, last])
    assert [cell.against for cell in found.cells] == [night_id(2), night_id(1), ""]
    assert found.cells[2].not_compared == "no earlier night has it"


@pytest.mark.usefixtures("_no_pictures")
def test_a_share_that_falls_is_down(own):
    write_night(own, 3, {CHANGED: 0.0}, versions=SAME)
    found = read(own)
    assert changes(found)[CHANGED] == [Change.DOWN]
    assert not found.newest.cell(*CHANGED).is_worse
    shown = invoke("--out", own, "--fail-if", "worse")
    assert shown.exit_code == 0, shown.output
    assert "▼ down from" in shown.stdout


def test_the_terminal_shows_every_cell_in_80_columns(nights):
    shown = StringIO()
    print_matrix(Console(file=shown, width=80), read(nights))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip() or "─" in line] == []  # it can be pasted
    assert "\x1b" not in shown.getvalue()
    assert [sum(line.startswith(scenario) for line in lines) for scenario in SCENARIOS] == [1] * 5  # in one table
    said = " ".join(shown.getvalue().split())
    assert "▲ up from" in said
    assert "48 of 48 failed" in said
    assert "▲ two-at-once on debian:7.3: up from" in said
    assert "p < 0.001 (Holm, 15 cells)" in said
    assert "the kernel is linux-image 7.3.5-1, and was linux-image 1.1-1" in said
    assert "▲ oom-group on fix: more rounds fail, 48 of 48, 0 of 48 before p < 0.001" in said
    assert "13 cells: no change shown" in said


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize("style", ["table", "json", "junit", "ktap"])
def test_a_worse_cell_fails_if_asked(nights, style):
    assert invoke("--out", nights, "--format", style).exit_code == 0
    assert invoke("--out", nights, "--format", style, "--fail-if", "worse").exit_code == CHECK_FAILED
    assert invoke("--out", nights, "--fail-if", "redundant-rate>99%").exit_code == 0
    assert invoke("--out", nights, "--fail-if", "redundant-rate>30%").exit_code == CHECK_FAILED
    assert isinstance(invoke("--out", nights, "--fail-if", "better").exception, UsageError)


@pytest.mark.usefixtures("_no_pictures")
def test_junit_and_ktap_have_a_case_a_cell(nights):
    shown = invoke("--out", nights, "--format", "junit")
    suites = ElementTree.fromstring(shown.stdout).findall("testsuite")
    assert [suite.get("name") for suite in suites] == sorted(SCENARIOS)
    cases = [case for suite in suites for case in suite.iter("testcase")]
    assert len(cases) == len(KERNELS) * len(SCENARIOS)
    failed = [(c.get("classname"), c.get("name")) for c in cases if c.find("failure") is not None]
    assert failed == [("oomtrial.oom-group", "fix: worse"), ("oomtrial.two-at-once", "debian:7.3: worse")]
    lines = invoke("--out", nights, "--format", "ktap").stdout.splitlines()
    assert lines[:2] == ["KTAP version 1", "1..5"]
    assert sum(line.startswith("  not ok") for line in lines) == 2


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.text.append(data)


def test_the_site_needs_nothing_else_and_has_every_cell(nights):
    written = (nights / "index.html").read_text()
    page = _Page()
    page.feed(written)
    assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "b", "i"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in written.replace("url(#", "")
    assert "@import" not in written
    assert "default-src 'none'" in written
    assert len(page.ids) == len(set(page.ids))
    links = [value for name, value in page.attributes if name in ("href", "src") and not value.startswith("#")]
    assert links
    assert all((nights / link.partition("#")[0]).is_file() for link in links)
    assert any(link.endswith("#rounds") for link in links)
    assert 'id="rounds"' in (nights / links[0].partition("#")[0]).read_text()
    assert written.count("<td style=") == len(KERNELS) * len(SCENARIOS)
    assert written.count("<svg") == len(KERNELS) * len(SCENARIOS)
    text = " ".join(" ".join(page.text).split())
    assert "Changes since the last night" in text
    assert "48 of 48 rounds failed: 48 hung" in text
    assert text.count("not compared") == 0
    assert "2 Nov 2026, 02:00 UTC" in text


def test_a_first_night_is_compared_with_nothing(tmp_path):
    write_night(tmp_path, 1)
    shown = invoke("--out", tmp_path, "--fail-if", "worse")
    assert shown.exit_code == 0
    assert "the first night: nothing to compare it with" in shown.stdout
    cases = ElementTree.fromstring(invoke("--out", tmp_path, "--format", "junit").stdout).iter("testcase")
    assert all(case.find("skipped") is not None for case in cases)
    assert "This is the first night." in (tmp_path / "index.html").read_text()


@pytest.mark.usefixtures("_no_pictures")
def test_nights_of_different_machines_are_not_compared(own):
    write_night(own, 3, host=HostRecord(2, "another cpu", "qemu"))
    found = read(own)
    assert {cell.not_compared for cell in found.newest.cells} == {"host CPU is another cpu, was cpu"}
    assert not changes(found)
    said = " ".join(invoke("--out", own).stdout.split())
    assert "15 cells not compared: host CPU is another cpu, was cpu" in said


def test_a_changed_scenario_is_not_compared_and_the_others_are(own):
    scenarios = [ScenarioRecord(s.name, s.version, s.text) for s in map(load_scenario, SCENARIOS)]
    scenarios[0] = msgspec.structs.replace(scenarios[0], version="other")
    write_night(own, 3, scenarios=scenarios, versions=SAME)
    found = read(own)
    compared = {cell.scenario for cell in found.newest.cells if cell.comparison}
    assert compared == set(SCENARIOS[1:])


def test_what_was_read_is_kept_until_the_evidence_changes(own, monkeypatch):
    first = read(own)
    with monkeypatch.context() as patch:
        patch.setattr(made, "summarize_pool", lambda *_, **__: pytest.fail("read again"))
        patch.setattr(made, "compare_with_earlier", lambda *_: pytest.fail("compared again"))
        assert read(own) == first
    write_night(own, 1, {CHANGED: 0.8}, versions=SAME)
    assert CHANGED not in changes(read(own))


def test_a_night_that_cannot_be_read_costs_the_others_nothing(own):
    (own / "nights" / night_id(1) / "run.json").write_text("{")
    found = read(own)
    assert len(found.nights) == 1
    assert "is damaged" in found.left_out[0]
    (own / "nights" / night_id(2) / "run.json").write_text("{")
    with pytest.raises(EvidenceError, match="no night that can be read"):
        read(own)


def test_only_the_newest_nights_are_shown(own, monkeypatch):
    monkeypatch.setattr(made, "MOST_NIGHTS", 1)
    assert invoke("--out", own).exit_code == 0
    assert "1 older night is not shown" in (own / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rounds", "3"], "--rounds is of a night that is measured; add --kernels SPEC"),
        (["--kernels", "sauce:6.1"], "unknown kernel spec 'sauce:6.1'"),
        (["--kernel", "debian:6.1", "--scenario", "nonsense"], "unknown scenario 'nonsense'"),
        (["--kernels", "debian:6.1", "--rounds", "1", "--boots", "2"], "1 rounds cannot be spread over 2 boots"),
    ],
)
def test_mistakes_are_reported_before_a_kernel_is_made(monkeypatch, tmp_path, arguments, says):
    monkeypatch.setattr(nightly, "make_kernel", lambda *_: pytest.fail("a kernel was made"))
    shown = invoke("--out", tmp_path / "x", *arguments)
    assert isinstance(shown.exception, UsageError), shown.output
    assert says in str(shown.exception)
    assert not (tmp_path / "x").exists()


def test_a_directory_without_a_night(tmp_path):
    assert "holds no night of a matrix; add one with --kernels" in str(invoke("--out", tmp_path).exception)


# --- measuring, in guests that are made up ---


@pytest.fixture
def guests(monkeypatch):
    """Stands in for guests, and for apt, which offers no 9.9."""
    monkeypatch.setattr(TrialGuests, "of_trial", fake.fake_guest)
    monkeypatch.setattr(block, "run_trial", fake.fake_trial)
    monkeypatch.setattr(Experiment, "prepare", lambda _: fake.PREPARED)
    monkeypatch.setattr(GuestPlace, "check", lambda *_, **__: None)
    monkeypatch.setattr(GuestPlace, "refusal", lambda *_: None)

    def plan(spec, *_):
        if "9.9" in spec.text:
            raise BuildError("apt offers no 9.9")

    monkeypatch.setattr(nightly, "plan_kernel", plan)
    monkeypatch.setattr(nightly, "make_kernel", lambda *_: None)
    return monkeypatch


@contextlib.contextmanager
def locked(directory):
    """As by another process."""
    descriptor = hold_run(directory)
    try:
        yield
    finally:
        os.close(descriptor)


NIGHT = ("--kernels", "source:6.1", "--kernels", "again=source:6.1", "--rounds", "4", "--boots", "2")


def rounds_of(run):
    found = pd.read_parquet(run / "tables/rounds.parquet")
    return sorted(zip(found["arm"], found["boot"], found["round"], strict=True))


def test_each_call_adds_a_night(guests, tmp_path):
    del guests
    for _ in range(2):
        shown = invoke("--out", tmp_path, *NIGHT)
        assert shown.exit_code == 0, shown.output
    assert len(nights_in(tmp_path)) == 2
    assert "compared with the night of" in shown.stdout
    assert (tmp_path / "index.html").is_file()


def interrupted_after(rounds):
    """Trials that are cut off after so many rounds."""
    left = [rounds]

    def run(client, job, evidence, on_round, save, progress, _watch):
        def count(number):
            on_round(number)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        return fake.fake_trial(client, job, evidence, count, save, progress)

    return run


def test_the_same_call_resumes_an_interrupted_night_and_every_round_counts_once(guests, tmp_path):
    guests.setattr(block, "run_trial", interrupted_after(7))
    assert invoke("--out", tmp_path, *NIGHT).exit_code != 0
    (run,) = nights_in(tmp_path)
    assert read_run(run).state == "interrupted"
    shown = invoke("--out", tmp_path)
    assert "(interrupted)" in shown.stdout
    assert "rounds not run" in shown.stdout
    guests.setattr(block, "run_trial", fake.fake_trial)
    shown = invoke("--out", tmp_path, *NIGHT)
    assert shown.exit_code == 0, shown.output
    assert "resuming the interrupted night" in shown.stderr
    assert nights_in(tmp_path) == [run]
    assert read_run(run).state == "complete"
    counted = [(arm, boot, n) for arm in ("again", "source:6.1") for boot in (1, 2) for n in (1, 2, 3)]
    assert [row for row in rounds_of(run) if row[2] <= 3] == counted
    assert read(tmp_path).newest.cell("again", "one-big-many-small").measured.rounds == 4


def test_a_night_that_was_asked_for_otherwise_stays_as_it_is(guests, tmp_path):
    guests.setattr(block, "run_trial", interrupted_after(3))
    assert invoke("--out", tmp_path, *NIGHT).exit_code != 0
    guests.setattr(block, "run_trial", fake.fake_trial)
    shown = invoke("--out", tmp_path, *NIGHT[:-4], "--rounds", "6", "--boots", "2")
    assert shown.exit_code == 0, shown.output
    assert "stays as it is: its rounds are 4, and now 6. A new night begins" in shown.stderr
    # both may have begun in one second, so that their names say nothing of their order
    assert sorted(read_run(run).state for run in nights_in(tmp_path)) == ["complete", "interrupted"]


def test_a_damaged_last_night_does_not_stop_the_next(guests, tmp_path):
    del guests
    (tmp_path / "nights/20261101-020000-0000").mkdir(parents=True)
    (tmp_path / "nights/20261101-020000-0000/run.json").write_text("{")
    shown = invoke("--out", tmp_path, *NIGHT)
    assert shown.exit_code == 0, shown.output
    assert "is damaged" in shown.stderr
    assert "left out: night 20261101-020000-0000" in shown.stdout


def test_a_night_that_was_killed_is_shown(guests, tmp_path):
    del guests
    assert invoke("--out", tmp_path, *NIGHT).exit_code == 0
    (run,) = nights_in(tmp_path)
    write_run(run, msgspec.structs.replace(read_run(run), state="running"))
    shutil.rmtree(run / "tables")
    assert "(interrupted)" in invoke("--out", tmp_path).stdout
    assert read_run(run).state == "interrupted"
    write_run(run, msgspec.structs.replace(read_run(run), state="running"))
    with locked(run):
        assert "it is being measured" in str(invoke("--out", tmp_path).exception)


def test_a_kernel_that_cannot_be_had_leaves_the_others_their_night(guests, tmp_path):
    del guests
    shown = invoke("--out", tmp_path, "--kernels", "source:9.9", *NIGHT)
    assert shown.exit_code == 0, shown.output
    assert "left out: source:9.9: apt offers no 9.9" in shown.stderr
    assert "1 cell not measured: apt offers no 9.9" in shown.stdout
    assert [arm.name for arm in read(tmp_path).newest.arms] == ["source:9.9", "source:6.1", "again"]
    text = (tmp_path / "index.html").read_text()
    assert "apt offers no 9.9" in text
    cases = ElementTree.fromstring(invoke("--out", tmp_path, "--format", "junit").stdout).iter("testcase")
    assert len(list(cases)) == 3
    alone = invoke("--out", tmp_path / "alone", "--kernels", "source:9.9")
    assert isinstance(alone.exception, BuildError)
    assert not list(Path(tmp_path / "alone").glob("nights/*"))


def test_two_processes_do_not_add_to_one_matrix(guests, tmp_path):
    del guests
    with locked(tmp_path):
        shown = invoke("--out", tmp_path, *NIGHT)
    assert "another process is writing" in str(shown.exception)


@pytest.mark.usefixtures("_no_pictures")
def test_json_has_the_newest_night(nights):
    shown = invoke("--out", nights, "--format", "json")
    found = json.loads(shown.stdout)
    assert found["nights"] == 2
    assert len(found["newest"]["cells"]) == len(KERNELS) * len(SCENARIOS)
