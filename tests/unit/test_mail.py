"""The text for a patch mail: its form, whatever the arms are called, and what it says of a stored run."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from handrun import write_hand_run

from harness.cli import cli
from harness.report.armnames import short_names
from harness.report.mail import command_lines
from harness.spec.arm import ArmSpec, name_arms

ROOT = Path(__file__).parents[2]
STORED = [ROOT / f"results/{name}" for name in ("comparison-8-boots/6.1-4-vcpus", "never-better/hang")]
LONG = "source:6.1+" + "/a/very/long/path" * 6 + "/" + "name-of-a-patch-" * 4 + "v2.patch"


def invoke(*arguments):
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def assert_fit_for_a_mail(text):
    assert text.isascii()
    assert text.endswith("\n")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 72
    assert [line for line in lines if line != line.rstrip()] == []
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("run", STORED, ids=lambda run: run.name)
def test_stored_runs_are_ascii_of_72_columns_without_trailing_blanks(run):
    assert_fit_for_a_mail(invoke("summary", run, "--format", "mail"))


def test_the_text_of_the_example_is_the_one_in_the_docs():
    text = invoke("summary", ROOT / "results/example", "--format", "mail")
    assert_fit_for_a_mail(text)
    assert f"```\n{text}```" in (ROOT / "docs/report.md").read_text()


def test_it_has_a_paragraph_of_what_was_tested():
    text = invoke("summary", ROOT / "results/regression-7.x/7.3-4-vcpus", "--format", "mail")
    paragraph = " ".join(text.partition("\nTested: ")[2].partition("\n\n")[0].split())
    assert paragraph.startswith(
        "with oomtrial in guests with 4 vCPUs on 2 host cores (software emulation), 8 boots per kernel."
    )
    assert "stock 178 of 200 (source:7.3); +see-exiting-victims 16 of 200 (better, p < 0.001);" in paragraph
    failing = invoke("summary", STORED[1], "--format", "mail")
    assert "+wait-forever 0 of 0 (worse, 5 rounds failed)" in " ".join(failing.split())


def test_the_command_that_measured_it_is_without_the_directory():
    """`--out` is a path of whoever ran it, and it is taken."""
    record = json.loads((ROOT / "results/example/run.json").read_text())
    assert "--out" in record["command"]
    assert "--out" not in invoke("summary", ROOT / "results/example", "--format", "mail")


def test_report_and_compare_print_the_same():
    run = ROOT / "results/comparison-8-boots/6.12-4-vcpus"
    text = invoke("summary", run, "--format", "mail")
    assert invoke("report", "--mail", run) == text
    assert invoke("compare", run, "--format", "mail") == text
    assert "of 200" in text
    assert not (run / "report.html").exists()


def test_a_reason_that_is_not_in_the_counts_is_said():
    text = invoke("summary", ROOT / "results/comparison/7.3-2-vcpus", "--format", "mail")
    paragraph = " ".join(text.partition("\nTested: ")[2].partition("\n\n")[0].split())
    assert (
        "early-reap-no-margin 172 of 200 (worse, more surplus kills per round: 5.53 against 1.68, p = 0.0039)"
        in paragraph
    )


def test_runs_that_are_pooled_are_both_named(tmp_path):
    one, other = ROOT / "results/example", tmp_path / "other"
    shutil.copytree(one, other)
    record = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(record | {"run_id": "other"}))
    text = invoke("compare", one, other, "--format", "mail")
    assert_fit_for_a_mail(text)
    assert "20 of 200" in text
    assert "2c47 (complete), other (complete)" in text
    assert text.count("oomtrial run") == 2


@pytest.mark.parametrize("arm", [LONG, "image:/<script>\x1b[31m", "tree:/tmp/\u00e4\u00f6 \u4e2d+./fix.patch"])
def test_any_name_fits(tmp_path, arm):
    run = write_hand_run(tmp_path / "run", arm)
    assert_fit_for_a_mail(invoke("summary", run, "--format", "mail"))


def test_a_condition_still_fails(tmp_path):
    run = write_hand_run(tmp_path / "run")
    done = CliRunner().invoke(cli, ["compare", str(run), "--format", "mail", "--fail-if", "redundant-rate>1%"])
    assert done.exit_code == 7
    assert_fit_for_a_mail(done.stdout)
    assert "FAILED" in done.stderr


def test_an_unknown_scenario_is_one_line(oomtrial):
    done = oomtrial("report", "--mail", ROOT / "results/example", "--scenario", "nonsense")
    assert done.returncode == 2
    assert "unknown scenario 'nonsense'" in done.stderr


@pytest.mark.parametrize(
    ("kernels", "names"),
    [
        (["source:6.1", "source:6.1", "source:6.1+a+b"], ["stock", "stock (2)", "+a+b"]),
        (["source:6.1+./dir/fix.patch", "source:6.1+other/fix.patch"], ["+fix", "+fix #2"]),
        (["debian:6.1", "source:6.1", "source:7.3+a"], ["debian:6.1", "source:6.1", "7.3+a"]),
        (["tree:/y/linux@" + "ab" * 20, "tree:/x/linux"], ["y/linux@abababababab", "x/linux"]),
        (["host"], ["host"]),
        (["image:/boot/bzImage", "image:/boot/bzImage-2"], ["bzImage", "bzImage-2"]),
        (["image:/a/bzImage", "image:/b/bzImage"], ["a/bzImage", "b/bzImage"]),
        (["source:6.1", "fix=source:6.1+a", "tree:~/linux+/p/b.patch"], ["6.1", "fix", "linux+b"]),
        (["debian:6.1.0-56", "source:6.1+x"], ["6.1.0-56", "6.1+x"]),
        (["nonsense"], ["stock"]),
    ],
)
def test_short_names(kernels, names):
    arms = name_arms(kernels)
    assert short_names(arms) == dict(zip([arm.name for arm in arms], names, strict=True))


def test_short_names_are_unlike_each_other_and_short():
    arms = [ArmSpec(f"{LONG} r{number}", LONG) for number in range(3)]
    names = short_names(arms)
    assert len(set(names.values())) == 3
    assert max(map(len, names.values())) < 60


@pytest.mark.parametrize("word", ["x" * 300, "it's " * 60, "$(boom) `boom` \\ \" ' " * 20, "--option", ""])
def test_a_shell_reads_the_command_back(word):
    command = ["printf", "%s\\0", "--kernel", word, "--", word, "end"]
    lines = command_lines(command)
    assert max(map(len, lines)) <= 72
    done = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == command[2:]
