"""What a person meets who types something wrong: one line, no traceback, the documented exit code."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from ownterminal import on_terminal

from harness import cli, errors
from harness.spec.scenarios import scenario_names
from harness.system.paths import require_room

ROOM = 64 << 10
EXAMPLE = Path(__file__).parents[2] / "results/example"


def one_line(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("oomtrial: ")
    return last


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--kernel", "sauce:6.1"], "unknown kernel spec 'sauce:6.1'; did you mean 'source:6.1'?"),
        (["run", "--kernel", "xen:6.1"], "unknown kernel spec 'xen:6.1'; write source:VERSION"),
        (["run", "--kernel", "source:6.1", "--rounds", "many"], "'many' is not a valid integer."),
        (
            ["run", "--kernel", "source:6.1", "--scenario", "one-big"],
            "unknown scenario 'one-big'; did you mean 'one-big-24",
        ),
        (["run", "--kernel", "source:6.1", "--rounds", "0"], "0 is not in the range"),
        (["run", "--kernel", "source:6.1", "--rounds", "3", "--boots", "5"], "3 rounds cannot be spread over 5 boots"),
        (["run", "--kernel", "source:6.1", "--roundz", "3"], "No such option"),
        (["run"], "Missing option '--kernel' / '--arm'. Such as --kernel debian:6.12; `oomtrial kernels list` shows"),
        (["summary", "x", "--format", "mial"], "Did you mean 'mail'?"),
        (["compare", "x", "--fail-if", "wors"], "unknown condition 'wors'; did you mean 'worse'?"),
        (["run", "--kernel", "a=source:6.1", "--arm", "a=source:6.1"], "two arms are called 'a'"),
        (["run", "--kernel", "source:6.1", "--scenario", "nosuch.toml"], "there is no scenario file nosuch.toml"),
        (["report", "x", "--out", "/nosuch/x.html"], "cannot write /nosuch/x.html: /nosuch is not a directory"),
        (["sumary", "x"], "No such command"),
        (["run", "debian:6.12"], "unexpected extra argument (debian:6.12); write --kernel debian:6.12"),
    ],
)
def test_wrong_usage(oomtrial, arguments, says):
    assert says in one_line(oomtrial(*arguments), 2)


def test_verbose_shows_the_commands_and_where_an_error_came_from(oomtrial, tmp_path):
    done = oomtrial("-v", "run", "--kernel", f"tree:{tmp_path}/none")
    assert re.search(r"^\[ *\d+\.\d s\] \$ qemu-system-x86_64 --version", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback (most recent call last):" in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last == oomtrial("run", "--kernel", f"tree:{tmp_path}/none").stderr.strip().splitlines()[-1]
    assert last.startswith("oomtrial: ")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(oomtrial, tmp_path, version):
    out = tmp_path / "out"
    arguments = ["run", "--kernel", f"source:{version}", "--rounds", "40", "--out", out, "--dry-run"]
    done = oomtrial("-q", *arguments)
    assert done.returncode == 0, done.stderr
    first, second, *rest = done.stdout.splitlines()
    assert first.startswith(f"source:{version}: linux-source-{version} ")
    assert first.endswith(("in the cache", "to be made"))
    assert second.startswith("scenario one-big-many-small: ")
    assert rest == [
        "1 arm and 1 scenario: 40 rounds each in 8 boots of 5, after 1 warm-up round per boot",
        f"8 boots and 48 rounds in all; evidence would go to {out}",
    ]
    assert not out.exists()
    assert not done.stderr
    assert one_line(oomtrial("run", "--kernel", "source:6.1+nosuch", "--dry-run"), 2)


def test_an_unknown_patch_names_the_nearest(oomtrial, version):
    done = oomtrial("run", "--kernel", f"source:{version}+wait-for-victm")
    assert "did you mean 'wait-for-victim'" in one_line(done, 2)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("one-big", "'one-big-24-small', 'one-big-8-small' or 'one-big-many-small'"),
        ("big", ""),  # of more than three
        ("pinned", "'pinned-beside' or 'pinned-victim'"),
        ("beside", "'pinned-beside'"),
        ("slow-exti", "'slow-exit'"),
        ("nothing like it", ""),
        ("", ""),
    ],
)
def test_the_names_that_were_perhaps_meant(name, near):
    assert errors.nearest(name, scenario_names()) == near


def test_a_directory_that_holds_runs_names_them(oomtrial, tmp_path):
    for number in range(8):
        (tmp_path / f"run-{number}").mkdir()
        (tmp_path / f"run-{number}/run.json").touch()
    said = one_line(oomtrial("summary", tmp_path), 6)
    assert f"name one of its runs: {tmp_path / 'run-2'}, " in said
    assert said.endswith(f"{tmp_path / 'run-7'} and 2 more")
    said = one_line(oomtrial("summary", tmp_path / "run-0/run.json"), 6)
    assert said.endswith(f"name the directory of a run, such as {tmp_path / 'run-0'}")


@pytest.mark.parametrize("arguments", [["summary"], ["report"], ["tables", "rebuild"]])
def test_a_directory_that_holds_no_run(oomtrial, tmp_path, arguments):
    assert "holds no run" in one_line(oomtrial(*arguments, tmp_path), 6)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nosuch", "nosuch holds no run: there is no such directory"),
        ("dir", "dir holds no run: it has no run.json"),
        ("file", "file holds no run: it is a file"),
    ],
)
def test_why_a_place_holds_no_run(oomtrial, tmp_path, name, says):
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    assert one_line(oomtrial("summary", tmp_path / name), 6).endswith(says)


@pytest.mark.skipif(os.geteuid() != 0, reason="a capability is dropped, which root has")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["summary", "closed"], 6, "closed holds no run: run.json: Permission denied"),
        (["compare", "closed"], 6, "Permission denied"),
        (["parse", "log", "--format", "csv", "--out", "fixed/x"], 3, "cannot write to fixed/x: Permission denied"),
        (["scenarios", "new", "fixed/x"], 3, "cannot write fixed/x.toml: Permission denied"),
        (["report", EXAMPLE, "--out", "fixed/x.html"], 3, "cannot write fixed/x.html: Permission denied"),
    ],
)
def test_what_may_not_be_read_or_written(tmp_path, arguments, code, says):
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "fixed").mkdir(mode=0o555)
    (tmp_path / "log").write_text("nothing\n")
    less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    done = subprocess.run(
        [*less, sys.executable, "-m", "harness", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert says in one_line(done, code)


def test_a_damaged_run_record(oomtrial, tmp_path):
    (tmp_path / "run.json").write_text('{"format": 1, "run_id"')
    assert "is damaged" in one_line(oomtrial("summary", tmp_path), 6)
    (tmp_path / "run.json").write_text('{"format": 99}')
    assert "newer oomtrial" in one_line(oomtrial("summary", tmp_path), 6)


def test_a_run_directory_is_never_overwritten(oomtrial, tmp_path, version):
    (tmp_path / "run.json").write_text("{}")
    done = oomtrial("run", "--kernel", f"source:{version}", "--out", tmp_path)
    assert "already holds a run" in one_line(done, 2)


@pytest.mark.parametrize("place", ["file/run", "file"])
def test_a_directory_that_cannot_be_made_is_reported_at_once(oomtrial, tmp_path, version, place):
    (tmp_path / "file").touch()
    done = oomtrial("run", "--kernel", f"source:{version}", "--out", tmp_path / place)
    assert f"{tmp_path / 'file'} is not a directory; choose another --out" in one_line(done, 3)


def test_docs_and_errors_have_the_same_exit_codes():
    documented = (Path(__file__).parents[2] / "docs/commands.md").read_text()
    for code, said in re.findall(r"^\| (2|4) \| (?:\w+: )?(.*) \|$", errors.__doc__, re.MULTILINE):
        assert re.search(rf"^\| {code} \| (?:usage: )?{re.escape(said)} \|$", documented, re.MULTILINE), (code, said)


def test_a_full_disk_is_reported_before_anything_starts(oomtrial, tmp_path, version):
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False).returncode
    ):
        pytest.skip("a full disk is a small tmpfs here: run the tests as root, where mount(8) is allowed")
    try:
        done = oomtrial("run", "--kernel", f"source:{version}", env={"OOMTRIAL_CACHE": str(tmp_path / "cache")})
        assert "MiB are free; make room there" in one_line(done, 3)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_run_that_has_no_room_goes_elsewhere():
    """/proc has no free blocks."""
    with pytest.raises(
        errors.HostError, match=r"needs 1 MiB in /proc/x, 0 MiB are free; make room there, or choose another --out"
    ):
        require_room(Path("/proc/x"), 1 << 20, "the evidence of a run", "choose another --out")


def test_a_download_that_fails(oomtrial, tmp_path, version):
    apt_config = tmp_path / "apt.conf"
    apt_config.write_text(
        Path(os.environ["APT_CONFIG"]).read_text()
        + 'Acquire::http::Proxy "http://127.0.0.1:1";\nAcquire::https::Proxy "http://127.0.0.1:1";\nAcquire::Retries "0";\n'
    )
    done = oomtrial(
        "run",
        "--kernel",
        f"source:{version}",
        env={"APT_CONFIG": str(apt_config), "OOMTRIAL_CACHE": str(tmp_path / "cache")},
    )
    assert f"download of linux-source-{version} {version}." in one_line(done, 4)
    assert not list((tmp_path / "cache").glob("trees/.*.new"))


def test_help_names_the_exit_codes(oomtrial):
    text = oomtrial("--help").stdout
    for words in (
        "2 wrong usage",
        "3 this machine lacks",
        "4 a download",
        "5 a guest failed",
        "6 evidence",
        "130 interrupted",
    ):
        assert words in " ".join(text.split())


@pytest.mark.parametrize("group", [(), ("kernels",), ("tables",)], ids=" ".join)
def test_help_lists_every_command_with_its_whole_description(oomtrial, group):
    text = oomtrial(*group, "--help").stdout
    assert "..." not in text.replace("[ARGS]...", "")
    found = cli.cli if not group else cli.cli.commands[group[0]]
    for name, command in found.commands.items():
        assert command.hidden or re.search(rf"^  {name} +[A-Z]", text, re.MULTILINE)


def options_of(command, path):
    """Each option of a command and of its subcommands, with the words that one types to reach it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options_of(inner, (*path, name))
    yield from ((" ".join((*path, each.opts[0])), each) for each in command.params if isinstance(each, click.Option))


def test_every_option_says_what_it_is():
    options = dict(options_of(cli.cli, ()))
    assert "run --rounds" in options
    assert [name for name, option in options.items() if not option.hidden and not option.help] == []


def test_a_shell_completes_commands_and_options():
    code = "import sys; sys.argv[0] = 'oomtrial'; from harness.cli import main; main()"
    words = {"_OOMTRIAL_COMPLETE": "bash_complete", "COMP_WORDS": "oomtrial run --ker", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | words
    )
    assert done.stdout == "plain,--kernel\n", done.stderr


INTERRUPTED_IN_EXEC = """
import harness.cli
@harness.cli.cli.command("boom")
def boom():
    exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM); [None for _ in range(1000)]")
harness.cli.main()
"""


def test_an_interruption_within_exec_has_the_exit_code_of_one(tmp_path):
    """As when a dataclass is being imported: under `python -m`, CPython would end itself with SIGINT."""
    (tmp_path / "boom.py").write_text(INTERRUPTED_IN_EXEC)
    argv = [sys.executable, "-m", "boom", "boom"]
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})
    assert (done.returncode, done.stderr.strip()) == (130, "oomtrial: interrupted; what was measured is kept")


TERMINAL_CLOSED = """
import pathlib, sys, time
import click
import harness.cli
@harness.cli.cli.command("work")
@click.argument("began")
@click.argument("ended")
def work(began, ended):
    try:
        pathlib.Path(began).touch()
        while True:  # CPython does not wake from one long sleep if the signal comes just before it
            time.sleep(0.05)
    finally:
        print("said", flush=True)
        print("said", file=sys.stderr, flush=True)
        pathlib.Path(ended).touch()
harness.cli.main()
"""


def test_a_closed_terminal_interrupts_and_its_silence_is_no_error(tmp_path):
    terminal, its_end = os.openpty()
    began, ended = tmp_path / "began", tmp_path / "ended"
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL_CLOSED, "work", began, ended],
        preexec_fn=on_terminal(its_end),
        cwd=Path(__file__).parents[2],
    )
    os.close(its_end)
    try:
        deadline = time.monotonic() + 30
        while not began.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.close(terminal)  # the kernel sends SIGHUP, and every write fails from now on
        assert process.wait(timeout=30) == 130
        assert ended.exists()
    finally:
        process.kill()
        process.wait()
