"""A series: which kernels are taken, in which order, and between which two the share changes; on stored and made-up rounds."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from handrun import write_hand_run
from simulated import no_plans, rounds_with, simulated_arm

from harness.analysis.families import p_words
from harness.analysis.series import steps_of, version_of
from harness.cli import cli
from harness.errors import BuildError, HostError, UsageError
from harness.kernels.kernel import Kernel
from harness.kernels.release import kernel_version, version_order
from harness.progress import Reporter
from harness.report.seriestable import change_lines
from harness.studies import series as made

ROOT = Path(__file__).parents[2]
# what each arm of the stored run stands for: shares of 18.5, 17.5, 0, 96.5 and 33.5 %
VERSIONS = {
    "source:6.1": ("debian:6.1", "linux-image-6.1.0-56-cloud-amd64 6.1.192-2"),
    "source:6.1 (2)": ("source:6.12", "linux-source-6.12 6.12.117-1"),
    "source:6.1+wait-for-victim": ("debian:6.18", "linux-image-6.18.15+deb14-cloud-amd64 6.18.15-1"),
    "source:6.1+ignore-pending-victim": ("debian:7.3", "linux-image-7.3.4+deb14-cloud-amd64 7.3.4-1"),
    "source:6.1+early-reap-no-margin": ("debian:7.2", "linux-image-7.2-cloud-amd64 7.2~rc6-1~exp1"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A stored run whose arms are other versions."""
    from harness.tables.schema import TABLES
    from harness.tables.store import load_tables, save_tables

    stored = ROOT / "results/comparison-8-boots/6.1-4-vcpus"
    run = tmp_path_factory.mktemp("series") / "run"
    shutil.copytree(stored, run)
    record = json.loads((stored / "run.json").read_text())
    names = {arm: spec for arm, (spec, _) in VERSIONS.items()}
    pattern = record["kernels"][0]
    record["kernels"] = [pattern | {"spec": spec, "source": source} for spec, source in VERSIONS.values()]
    record["arms"] = [{"name": spec, "kernel": spec, "probes": "all"} for spec, _ in VERSIONS.values()]
    record["blocks"] = [block | {"arm": names[block["arm"]]} for block in record["blocks"]]
    (run / "run.json").write_text(json.dumps(record))
    kept = [table for table in TABLES if (stored / "tables" / f"{table.name}.parquet").exists()]
    frames = load_tables(stored / "tables", kept)
    for frame in frames.values():
        if "arm" in frame:
            frame["arm"] = frame["arm"].map(names).astype(frame["arm"].dtype)
    save_tables(run / "tables", frames)
    (run / "series.json").write_text('{"left_out": ["debian:9.9: apt offers no prebuilt kernel 9.9"]}')
    return run


def invoke(*arguments):
    return CliRunner().invoke(cli, ["series", *map(str, arguments)])


def test_versions_stand_in_their_order_and_changes_between_neighbours(run):
    found = made.read_series([run])
    assert [each.version for each in found.versions] == ["6.1.192", "6.12.117", "6.18.15", "7.2-rc6", "7.3.4"]
    assert [(step.older, step.newer, step.is_change) for step in found.steps] == [
        ("debian:6.1", "source:6.12", False),
        ("source:6.12", "debian:6.18", True),
        ("debian:6.18", "debian:7.2", True),
        ("debian:7.2", "debian:7.3", True),
    ]
    assert [each.arm.rounds_with_redundant for each in found.versions] == [37, 35, 0, 67, 193]
    assert {step.comparison.comparisons for step in found.steps} == {4}
    first = change_lines(found)[0]
    assert first.startswith(
        "change: between 6.12.117 and 6.18.15 the share falls from 17.5 % to 0.0 % (-17.5 points, -"
    )
    assert found.steps[1].comparison.p_adjusted < 0.01
    assert first.endswith(f"{p_words(found.steps[1].comparison.p_adjusted)} (Holm, 4 steps)")


def test_the_terminal_has_a_line_a_version_and_what_was_left_out(run, tmp_path):
    shown = invoke("--from", run, "--svg", tmp_path, "--png", tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "193 of 200   96.5 %" in shown.stdout
    assert "left out: debian:9.9: apt offers no prebuilt kernel 9.9" in shown.stdout
    assert "kernels of several kinds" in shown.stdout
    assert (tmp_path / "series.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.fromstring((tmp_path / "series.svg").read_bytes())
    assert "the share rises from 0.0 % to 33.5 %" in root.get("aria-label")
    assert "7.2-rc6" in "".join(root.itertext())
    assert not (run / "series.svg").exists()


def test_pictures_go_beside_the_run_and_json_is_alone_on_standard_output(run):
    shown = invoke("--from", run, "--format", "json")
    found = json.loads(shown.stdout)
    assert [each["version"] for each in found["versions"]][-1] == "7.3.4"
    assert (run / "series.svg").is_file()
    assert (run / "series.png").is_file()


def test_of_another_run_the_unpatched_kernels_are_taken(tmp_path):
    shown = invoke("--from", ROOT / "results/example", "--svg", tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "left out: source:6.1+wait-for-victim: patched" in shown.stdout
    assert "96 of 100" not in shown.stdout


def test_a_picture_of_a_kernel_without_a_completed_round_and_hostile_names(tmp_path):
    run = write_hand_run(tmp_path / "run")
    (run / "series.json").write_text('{"left_out": []}')
    shown = invoke("--from", run)
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.stdout
    ElementTree.fromstring((run / "series.svg").read_bytes())


def series_of(*arms):
    return [version_of(arm, arm.arm, arm.arm) for arm in arms]


def test_a_version_that_only_hangs_parts_no_neighbours():
    generator = np.random.default_rng(1)
    rising = [simulated_arm(name, rounds_with(generator, share, "redundant", 2, 50)) for name, share in (("a", 0.05), ("c", 0.9))]  # fmt: skip
    hung = simulated_arm("b", [["hung"] * 5])
    (step,) = steps_of(series_of(rising[0], hung, rising[1]))
    assert (step.older, step.newer, step.is_change) == ("a", "c", True)
    assert steps_of(series_of(hung)) == []


def test_steps_are_corrected_for_their_number():
    """A difference that one test would call a change is none among twelve."""
    arms = [simulated_arm(f"v{n}", [[kinds] for kinds in [("necessary", "redundant")] * hits + [("necessary",)] * (40 - hits)]) for n, hits in enumerate([4] * 12 + [13])]  # fmt: skip
    with no_plans():
        assert steps_of(series_of(*arms[-2:]))[0].is_change
        assert not any(step.is_change for step in steps_of(series_of(*arms)))


def test_many_steps_in_eight_boots_can_all_be_shown():
    """A permutation of eight boots could not: nine versions whose shares are none and all in turn."""
    generator = np.random.default_rng(1)
    versions = series_of(*(simulated_arm(f"v{n}", rounds_with(generator, n % 2, "redundant", 8, 5)) for n in range(9)))
    assert all(step.is_change for step in steps_of(versions))


@pytest.mark.parametrize(
    ("source", "version"),
    [
        ("linux-image-6.1.0-56-cloud-amd64 6.1.192-2", "6.1.192"),
        ("linux-source-6.12 6.12.117-1~deb12u1", "6.12.117"),
        ("linux 7.0~rc3-1~exp1", "7.0-rc3"),
        ("/tmp/linux-5.4 at v6.19 (0123456789ab), Linux 6.19", "6.19"),
        ("/boot/bzImage (0123456789ab)", None),
    ],
)
def test_the_version_of_a_kernel(source, version):
    assert kernel_version(Kernel("x", "k", "/k", source, {}, "", "", [])) == version


def test_candidates_come_before_their_release():
    ordered = ["6.1", "6.1.9", "6.1.10", "6.12", "7.0-rc3", "7.0-rc10", "7.0", "7.0.1"]
    assert sorted({*ordered}, key=version_order) == ordered


@pytest.fixture
def offered(monkeypatch):
    """Stands in for apt: these specs can be had."""
    specs = {"debian:6.1", "source:6.19", "source:7.3+see-exiting-victims"}

    def make(spec, *_):
        if spec.text not in specs:
            raise BuildError(f"apt offers no {spec.text}", "offered: something")
        return spec

    monkeypatch.setattr(made, "plan_kernel", make)
    monkeypatch.setattr(made, "make_kernel", lambda plan, _report: plan)
    return specs


@pytest.mark.usefixtures("offered")
def test_a_bare_version_is_prebuilt_else_source_and_what_cannot_be_had_is_left_out(capsys):
    texts = ["6.1", "6.19", "9.9", "debian:6.19", "7.3+see-exiting-victims"]
    choice = made.choose_kernels(texts, Reporter())
    assert choice.specs == ["debian:6.1", "source:6.19", "source:7.3+see-exiting-victims"]
    assert choice.left_out == [
        "9.9: apt offers no debian:9.9; apt offers no source:9.9",
        "debian:6.19: apt offers no debian:6.19",
    ]
    assert capsys.readouterr().err.count("left out: ") == 2


@pytest.mark.usefixtures("offered")
def test_nothing_to_measure_is_an_error():
    with pytest.raises(BuildError, match=r"apt offers no debian:9\.8"):
        made.choose_kernels(["9.8", "9.9"], Reporter())
    with pytest.raises(UsageError, match="two or more versions"):
        made.choose_kernels(["6.1"], Reporter())
    with pytest.raises(UsageError, match="unknown kernel spec"):
        made.choose_kernels(["6.1", "sauce:6.1"], Reporter())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["6.1", "6.12", "--scenario", "nonsense"], "unknown scenario 'nonsense'"),
        (["6.1", "6.12", "--rounds", "1", "--boots", "2"], "1 rounds cannot be spread over 2 boots"),
        (["6.1", "6.12", "--out", ROOT / "results/example"], "already holds a run"),
        (["--from"], "--from needs the directory of a run"),
        (["6.1", "--resume", "x"], "--resume continues a series as recorded"),
        (["--from", ROOT / "results/example", "--scenario", "x"], "the runs have no scenario 'x'"),
    ],
)
def test_mistakes_are_reported_before_a_kernel_is_made(monkeypatch, arguments, says):
    monkeypatch.setattr(made, "choose_kernels", lambda *_: pytest.fail("kernels were made"))
    shown = invoke(*arguments)
    assert isinstance(shown.exception, UsageError)
    assert says in str(shown.exception)


@pytest.mark.usefixtures("offered")
def test_a_run_that_was_begun_says_that_it_is_a_series(monkeypatch, tmp_path):
    from harness.runs.record import read_run, write_run

    def begin(experiment, _cluster, **_):
        import msgspec

        record = read_run(ROOT / "results/example")
        write_run(experiment.directory, msgspec.structs.replace(record, run_id=experiment.run_id))
        raise KeyboardInterrupt

    monkeypatch.setattr(made, "run_experiment", begin)
    with pytest.raises(KeyboardInterrupt):
        made.measure_series(["6.1", "6.19", "9.9"], request_into(tmp_path / "out"), Reporter())
    assert json.loads((tmp_path / "out/series.json").read_text())["left_out"][0].startswith("9.9: ")

    def fail(_experiment, _cluster, **_):
        raise HostError("no QEMU")

    monkeypatch.setattr(made, "run_experiment", fail)
    with pytest.raises(HostError):
        made.measure_series(["6.1", "6.19"], request_into(tmp_path / "none"), Reporter())
    assert not (tmp_path / "none").exists()


def request_into(out):
    from harness.experiment.request import Request

    return Request((), ("one-big-many-small",), 8, 2, 1, out)
