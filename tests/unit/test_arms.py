"""Names of arms: labels that a person gives, and what is made of a spec without one."""

import io
import json
import shutil
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.errors import UsageError
from harness.report.terminal import print_summary, print_verdicts
from harness.runs.record import read_run
from harness.runs.summary import summarize_runs
from harness.runs.tables import summarize
from harness.spec.arm import ArmSpec, name_arms, split_label

EXAMPLE = Path(__file__).parents[2] / "results/example"


@pytest.mark.parametrize(
    ("text", "label", "kernel"),
    [
        ("source:6.1", "", "source:6.1"),
        ("fix=tree:~/linux+a.patch", "fix", "tree:~/linux+a.patch"),
        ("fix=tree:/a=b/linux+./c=d.patch", "fix", "tree:/a=b/linux+./c=d.patch"),
        ("tree:/a=b/linux", "", "tree:/a=b/linux"),
        ("tree:a=b", "", "tree:a=b"),
        ("source:6.1+./x=y.patch", "", "source:6.1+./x=y.patch"),
        ("v2.1_with-gate=source:6.1", "v2.1_with-gate", "source:6.1"),
    ],
)
def test_a_label_stands_before_the_spec(text, label, kernel):
    assert split_label(text) == (label, kernel)


@pytest.mark.parametrize("text", ["=source:6.1", "a b=source:6.1", "é=source:6.1", "-x=source:6.1", "x" * 33 + "=host"])
def test_a_label_that_is_not_valid_is_refused(text):
    with pytest.raises(UsageError, match="has no valid label before ="):
        split_label(text)


@pytest.mark.parametrize(
    ("kernels", "names"),
    [
        (["source:6.1", "source:6.1", "source:6.1+a"], ["source:6.1", "source:6.1 (2)", "source:6.1+a"]),
        (["source:7.2@sid+/home/me/fix.patch"], ["source:7.2@sid+fix.patch"]),
        (["tree:~/linux", "tree:~/linux+/p/fix.patch"], ["tree:linux", "tree:linux+fix.patch"]),
        (["tree:/a/linux", "tree:/b/linux@v6.1"], ["tree:a/linux", "tree:b/linux@v6.1"]),
        (["tree:/x/linux@" + "ab" * 20], ["tree:linux@abababababab"]),
        (["image:/boot/bzImage"], ["image:bzImage"]),
        (["source:6.1+/a/fix.patch", "source:6.1+/b/fix.patch"], ["source:6.1+a/fix.patch", "source:6.1+b/fix.patch"]),
        (["host"], ["host"]),
        (["old=source:6.1", "source:6.1"], ["old", "source:6.1"]),
    ],
)
def test_names_of_arms(kernels, names):
    assert [arm.name for arm in name_arms(kernels)] == names


def test_one_label_names_one_arm():
    with pytest.raises(UsageError, match="two arms are called 'a'"):
        name_arms(["a=source:6.1", "a=source:6.12"])


@pytest.fixture
def labelled(tmp_path):
    """The example as a run whose third arm has a label."""
    run = tmp_path / "run"
    shutil.copytree(EXAMPLE, run)
    old, new = "source:6.1+ignore-pending-victim", "never-waits"
    record = read_run(run)
    arms = [msgspec.structs.replace(arm, name=new, label=new) if arm.name == old else arm for arm in record.arms]
    blocks = [msgspec.structs.replace(block, arm=new) if block.arm == old else block for block in record.blocks]
    record = msgspec.structs.replace(record, arms=arms, blocks=blocks)
    (run / "run.json").write_bytes(msgspec.json.encode(record))
    import pandas as pd

    for path in (run / "tables").glob("*.parquet"):
        table = pd.read_parquet(path)
        if "arm" in table:
            table["arm"] = table["arm"].replace(old, new)
            table.to_parquet(path)
    return run


def test_a_record_keeps_label_and_spec(labelled):
    arm = read_run(labelled).arms[2]
    assert arm == ArmSpec("never-waits", "source:6.1+ignore-pending-victim", "all", "never-waits")
    assert read_run(EXAMPLE).arms[2].label == ""  # a record from before labels


def test_a_label_is_the_name_everywhere(oomtrial, labelled):
    shown = oomtrial("summary", labelled).stdout
    assert "never-waits against source:6.1: worse" in shown
    assert "arm never-waits: source:6.1+ignore-pending-victim" in shown
    assert "never-waits against source:6.1" in oomtrial("compare", labelled).stdout
    mail = oomtrial("summary", labelled, "--format", "mail").stdout
    assert "\nnever-waits " in mail
    assert "never-waits: source:6.1+ignore-pending-victim" in mail
    found = json.loads(oomtrial("summary", labelled, "--format", "json").stdout)
    assert [arm["kernel"] for arm in found["arms"]] == ["source:6.1", "source:6.1+wait-for-victim", "never-waits"]


def test_the_baseline_may_be_named_as_mails_and_pages_do():
    for name, base in (("stock", "source:6.1"), ("+wait-for-victim", "source:6.1+wait-for-victim")):
        assert {each.baseline for each in summarize_runs([EXAMPLE], name).comparisons} == {base}
    with pytest.raises(UsageError, match="unknown arm 'sotck'; did you mean 'stock'"):
        summarize_runs([EXAMPLE], "sotck")


def test_the_verdicts_stand_last_and_can_be_pasted(oomtrial):
    shown = oomtrial("summary", EXAMPLE).stdout
    lines = shown.splitlines()
    assert lines[-2].startswith("source:6.1+ignore-pending-victim against source:6.1: worse")
    assert (
        shown.index("\nnote: ") < shown.index("\nReproduce: ") < shown.index("\n\nsource:6.1+wait-for-victim against")
    )
    assert shown.isascii()
    assert [line for line in lines if line != line.rstrip()] == []
    rest = lines.index(next(line for line in lines if "detecting half" in line)) + 1
    assert lines[rest].startswith("    ")


def test_a_verdict_has_a_colour_on_a_terminal():
    out = io.StringIO()
    print_verdicts(Console(file=out, width=200, force_terminal=True, color_system="standard"), summarize(EXAMPLE))
    assert "\x1b[1;31msource:6.1+ignore-pending-victim against source:6.1: worse" in out.getvalue()
    assert "\x1b[1msource:6.1+wait-for-victim against source:6.1: not enough rounds" in out.getvalue()


def test_the_baseline_may_be_named_by_its_spec(labelled):
    summary = summarize_runs([labelled], "source:6.1+ignore-pending-victim")
    assert {each.baseline for each in summary.comparisons} == {"never-waits"}


def test_headings_are_not_cut_within_words():
    summary = summarize(EXAMPLE)
    name = "tree:~/a-rather-long-directory/linux+patches/see-exiting-victims-7.3.patch"
    arms = [msgspec.structs.replace(arm, arm=name) for arm in summary.arms[:1]]
    out = io.StringIO()
    print_summary(Console(file=out, width=120), msgspec.structs.replace(summary, arms=arms, comparisons=[], notes=[]))
    rows = [line.strip() for line in out.getvalue().split(" --")[0].splitlines()[1:]]
    assert "".join(rows) == name
    assert all(row.endswith(("-", "/", "linux", "7.3.patch")) for row in rows if row)


def test_three_arms_stand_on_80_columns_without_a_word_that_is_cut():
    out = io.StringIO()
    print_summary(Console(file=out, width=80), summarize(EXAMPLE))
    heading = out.getvalue().split(" --")[0].split()
    assert {"+wait-for-", "victim", "+ignore-", "pending-victim"} <= set(heading)


def test_the_row_of_warm_up_rounds_cuts_no_word_either():
    out = io.StringIO()
    summary = summarize(EXAMPLE)
    names = ("source:6.1", "source:6.1+queue-charges-fail", "source:6.1+wait-forever")
    arms = [msgspec.structs.replace(summary.arms[1], arm=name, warm_up_rounds=2) for name in names]
    print_summary(Console(file=out, width=80), msgspec.structs.replace(summary, arms=arms, comparisons=[], notes=[]))
    heading = out.getvalue().split(" --")[0].split()
    assert {"+queue-charges-", "fail", "+wait-forever"} <= set(heading)


def test_every_table_of_many_arms_has_the_baseline():
    summary = summarize(EXAMPLE)
    arms = [*summary.arms, *(msgspec.structs.replace(summary.arms[1], arm=f"other-{n}") for n in range(4))]
    out = io.StringIO()
    print_summary(Console(file=out, width=120), msgspec.structs.replace(summary, arms=arms))
    headings = [line for line in out.getvalue().splitlines() if "source:6.1" in line and "against" not in line]
    assert len([line for line in headings if not line.startswith(("note", "source"))]) >= 2
