"""Defaults of a project: read by the command line and by the pytest plugin; what is wrong names file and key."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.errors import UsageError
from harness.spec.project import Project, read_project

FULL = """
kernels = ["source:6.1", "fix=source:6.1+a"]
scenarios = ["equal-hogs"]
vcpus = 3
memory = "1G"
out = "evidence"
"""


def test_a_directory_without_any_has_the_usual_defaults(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert read_project(tmp_path) == Project((), (), None, None, Path("results/runs"))


@pytest.mark.parametrize(("name", "head"), [("oomtrial.toml", ""), ("pyproject.toml", "[tool.oomtrial]")])
def test_both_files_say_the_same(tmp_path, name, head):
    (tmp_path / name).write_text(head + FULL)
    kernels = ("source:6.1", "fix=source:6.1+a")
    assert read_project(tmp_path) == Project(kernels, ("equal-hogs",), 3, 1024, Path("evidence"))


def test_its_own_file_goes_first(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.oomtrial]\nvcpus = 1\n")
    (tmp_path / "oomtrial.toml").write_text("vcpus = 2\n")
    assert read_project(tmp_path).vcpus == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kernles = []", "unknown key 'kernles', did you mean 'kernels'?; keys are kernels, scenarios, vcpus"),
        ("kernels = 'source:6.1'", "kernels: Expected `array`, got `str`"),
        ("kernels = ['sauce:6.1']", "kernels: unknown kernel spec 'sauce:6.1'"),
        ("vcpus = 99", "vcpus is 99, between 1 and 64"),
        ("memory = 'thirty'", "memory is not a size: 'thirty'"),
        ("memory = 8", "memory is 8, at least 256 MiB"),
        ("memory = ", "is not valid TOML"),
    ],
)
def test_what_is_wrong_names_file_and_key(tmp_path, text, says):
    (tmp_path / "pyproject.toml").write_text(f"[tool.oomtrial]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        read_project(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'pyproject.toml'}")
    assert says in str(caught.value)


def test_a_pyproject_of_others_that_is_broken_is_theirs(tmp_path):
    (tmp_path / "pyproject.toml").write_text("not TOML about oomtrial")
    assert read_project(tmp_path) == Project()


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What `oomtrial run` would ask for in a directory with such a file."""
    from harness.experiment import driver

    requests = []

    def run_experiment(experiment, *_, **__):
        requests.append(experiment)
        raise UsageError("enough")

    monkeypatch.setattr(driver, "run_experiment", run_experiment)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(cli, ["run", *arguments])
        assert str(done.exception) == "enough", done.output
        return requests[-1]

    return run


def test_a_run_takes_them_where_the_command_line_says_nothing(asked, tmp_path):
    (tmp_path / "oomtrial.toml").write_text(FULL)
    experiment = asked()
    request = experiment.request
    assert [arm.name for arm in request.arms] == ["source:6.1", "fix"]
    assert (request.scenarios, request.vcpus, request.memory_mib) == (("equal-hogs",), 3, 1024)
    assert experiment.directory == Path("evidence") / experiment.run_id
    experiment = asked("--kernel", "source:6.12", "--vcpus", "2", "--out", "here")
    assert [arm.name for arm in experiment.request.arms] == ["source:6.12"]
    assert (experiment.request.vcpus, experiment.directory) == (2, Path("here"))


@pytest.mark.parametrize(("given", "mib"), [("2G", 2048), ("1536M", 1536), ("1048576K", 1024), ("3000", 3000)])
def test_the_command_line_takes_the_sizes_of_the_file(asked, given, mib):
    assert asked("--kernel", "source:6.12", "--memory", given).request.memory_mib == mib


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("lots", "not a size: 'lots'; write a number of MiB, or a size such as 2G"),
        ("262145K", "no whole number of MiB"),
        ("8M", "8 is not in the range"),
    ],
)
def test_a_memory_that_is_no_size_of_a_guest(given, says):
    done = CliRunner().invoke(cli, ["run", "--memory", given])
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == 2
    assert says in done.output


def test_help_works_with_a_file_that_is_wrong(monkeypatch, tmp_path):
    (tmp_path / "oomtrial.toml").write_text("kernles = []")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["--help"]).exit_code == 0
    assert isinstance(CliRunner().invoke(cli, ["scenarios"]).exception, UsageError)
