"""The pytest plugin as a project sees it: options, parametrization, its manners, its words."""

import dataclasses
import importlib.metadata
import re
from pathlib import Path

import msgspec
import pytest
from handrun import write_hand_run

from harness.errors import EvidenceError, UsageError
from harness.pytest_plugin.result import NotEnoughRoundsError, open_result
from harness.system.machine import Budget

pytest_plugins = ["pytester"]
ENTRY_POINT = any(point.name == "oomtrial" for point in importlib.metadata.entry_points(group="pytest11"))
OURS = () if ENTRY_POINT else ("-p", "harness.pytest_plugin.hooks")


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest on the project in `pytester`, in this process; `-n` and killed workers need one of their own."""

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def run(*arguments, apart=False):
        chosen = [*OURS, "-p", "no:cacheprovider", "-p", "no:randomly", *arguments]
        return pytester.runpytest_subprocess(*chosen) if apart else pytester.runpytest_inprocess(*chosen)

    return run


def test_it_imports_nothing_heavy_until_it_is_used(pytester, run):
    pytester.makepyfile(
        """
        import sys

        def test_it():
            heavy = {"pandas", "numpy", "scipy", "docker", "requests", "rich", "click", "psutil", "pyarrow", "msgspec"}
            # of a checkout or of a wheel
            assert {"harness.pytest_plugin.hooks", "oomtrial.pytest_plugin.hooks"} & set(sys.modules)
            assert not heavy & set(sys.modules)
        """
    )
    run(apart=True).assert_outcomes(passed=1)


def test_tests_are_parametrized_over_kernels(pytester, run):
    pytester.makepyfile("def test_it(kernel): pass\ndef test_other(): pass")
    shown = run("-v", "--kernel", "host", "--kernel", "source:6.1+wait-for-victim", "--kernel", "host")
    shown.assert_outcomes(passed=3)
    shown.stdout.fnmatch_lines(["*::test_it?host? PASSED*", "*::test_it?source:6.1+wait-for-victim? PASSED*"])


def test_without_the_option_it_is_the_local_engine_or_what_the_project_says(pytester, run):
    pytester.makepyfile("def test_it(kernel): pass")
    run("-v").stdout.fnmatch_lines(["*::test_it?host? PASSED*"])
    pytester.makeini("[pytest]\noomtrial_kernels =\n  debian:6.1\n")
    run("-v").stdout.fnmatch_lines(["*::test_it?debian:6.1? PASSED*"])


def test_a_project_file_says_kernels_and_size_of_guests(pytester, run):
    pytester.makepyfile("def test_it(kernel): pass")
    (pytester.path / "oomtrial.toml").write_text('kernels = ["fix=debian:6.1"]\nvcpus = 3\nmemory = "1G"\n')
    shown = run("-v")
    shown.stdout.fnmatch_lines(
        ["oomtrial: fix (debian:6.1); guests of 3 vCPUs and 1024 MiB", "*::test_it?fix? PASSED*"]
    )
    pytester.makeini("[pytest]\noomtrial_vcpus = 2\n")
    run("--kernel", "host", "--kernel", "debian:6.12").stdout.fnmatch_lines(["*; guests of 2 vCPUs and 1024 MiB"])
    (pytester.path / "oomtrial.toml").write_text("vcpu = 3\n")
    run().stderr.fnmatch_lines(["*oomtrial.toml: unknown key 'vcpu', did you mean 'vcpus'?*"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kernel", "linux"), "ERROR: oomtrial: unknown kernel spec 'linux'; write source:VERSION*"),
        (("--rounds", "0"), "ERROR: oomtrial: --rounds 0: write a number from 1 on"),
    ],
)
def test_a_wrong_option_is_one_line(run, arguments, said):
    shown = run(*arguments)
    assert shown.ret == pytest.ExitCode.USAGE_ERROR
    shown.stderr.fnmatch_lines([said])


def test_the_id_of_a_test_has_no_long_path(pytester, run):
    pytester.makepyfile("def test_it(kernel): assert kernel.startswith('tree:/')")
    run(
        "-v", "--kernel", "tree:/a/long/way/linux", "--kernel", "new=tree:/a/long/way/linux+/b/fix.patch"
    ).stdout.fnmatch_lines(["*::test_it?tree:linux? PASSED*", "*::test_it?new? PASSED*"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("oomtrial_vcpus = four", "ERROR: oomtrial: oomtrial_vcpus = four: write a number from 1 to 64"),
        ("oomtrial_memory = lots", "ERROR: oomtrial: oomtrial_memory: not a size: 'lots'; write *"),
        ("oomtrial_memory = 8M", "ERROR: oomtrial: oomtrial_memory = 8M: at least 256M are needed"),
    ],
)
def test_a_wrong_size_of_a_guest_is_one_line(pytester, run, line, said):
    pytester.makeini(f"[pytest]\n{line}\n")
    shown = run("--kernel", "debian:6.1")
    assert shown.ret == pytest.ExitCode.USAGE_ERROR
    shown.stderr.fnmatch_lines([said])


def test_a_projects_own_names_go_before_ours(pytester, run):
    pytester.makeconftest(
        """
        import pytest

        def pytest_addoption(parser):
            parser.addoption("--kernel", default="theirs")
            parser.addoption("--rounds")

        @pytest.fixture
        def guest(kernel):
            return "own"
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def kernel(pytestconfig):
            return pytestconfig.getoption("--kernel")

        def test_it(kernel, guest, pytestconfig):
            assert (kernel, guest, pytestconfig.getoption("--rounds")) == ("x", "own", "y")

        @pytest.mark.parametrize("kernel", [1, 2])
        def test_other(kernel):
            assert kernel in (1, 2)
        """
    )
    run("--kernel", "x", "--rounds", "y", "--oomtrial-kernel", "debian:6.1", "--oomtrial-rounds", "5").assert_outcomes(
        passed=3
    )


def test_a_marked_test_runs_once_for_each_scenario_that_is_wanted(pytester, run):
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def trial():
            pass

        @pytest.mark.oom_scenario("four-at-once", "balloon", rounds=8)
        def test_two(oom_scenario, trial): pass

        @pytest.mark.oom_scenario
        def test_any(oom_scenario): pass
        """
    )
    assert "test_two[four-at-once]" in (shown := str(run("-v", "--strict-markers").stdout))
    assert all(each in shown for each in ("test_two[balloon]", "test_any PASSED"))
    shown = run("-v", "-rs", "--scenario", "balloon", "--scenario", "own.toml")
    shown.assert_outcomes(passed=3)
    shown.stdout.fnmatch_lines(
        ["*test_two?balloon? PASSED*", "*test_any?balloon? PASSED*", "*test_any?own.toml? PASSED*"]
    )
    shown = run("-rs", "--scenario", "own.toml")
    shown.assert_outcomes(passed=1, skipped=1)
    shown.stdout.fnmatch_lines(["SKIPPED*it measures four-at-once, balloon, and --scenario asks for own.toml"])


def test_fewer_guests_than_workers_is_said_in_one_line(pytester, run, monkeypatch):
    monkeypatch.setattr("harness.system.machine.machine_budget", lambda: Budget(2, 24105))
    pytester.makepyfile("def test_it(): pass")
    shown = str(run("--kernel", "debian:6.1", "-n", "2", "--oomtrial-out", "kept").stdout)
    assert "oomtrial: debian:6.1; guests of 4 vCPUs and 2048 MiB" in shown
    assert "1 passed" in shown
    line = "oomtrial: 2 workers, and room for 1 guest at a time (2 cores, 24105 MiB): the other workers wait their turn"
    assert line in shown
    assert "oomtrial:" not in str(run().stdout)


def test_no_engine_is_one_line(pytester, run, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    pytester.makepyfile("def test_it(docker_client): pass\ndef test_other(memcg_container): pass")
    shown = run()
    shown.assert_outcomes(errors=2)
    text = str(shown.stdout)
    assert "oomtrial: no container engine: there is no unix:///nonexistent/docker.sock (DOCKER_HOST); start one" in text
    assert "Traceback" not in text
    assert "plugin.py" not in text


@pytest.fixture(scope="module")
def hand_run(tmp_path_factory):
    """One completed round with two redundant kills."""
    return write_hand_run(tmp_path_factory.mktemp("run"), hung_arm=None)


@pytest.fixture
def project(pytester, hand_run):
    """A test of that run, with the lines given."""

    def project(*lines):
        body = "\n    ".join(lines)
        pytester.makepyfile(
            f"from harness.pytest_plugin.result import open_result\ndef test_it():\n"
            f"    result = open_result(__import__('pathlib').Path({str(hand_run)!r}))\n    {body}"
        )

    return project


def test_a_redundant_kill_shows_its_round_and_where_the_evidence_is(project, run, hand_run):
    project("assert result.redundant_kills == 0")
    shown = run()
    shown.assert_outcomes(failed=1)
    text = str(shown.stdout)
    for line in (
        "E       assert <2 redundant kills> == 0",
        "E         redundant kills on image:/stock, s: 2",
        "E         1 round in 1 boot (1 completed); redundant in 100.0 %, 95 % interval 2.5 to 100.0 %; 4 vCPUs on 2 host cores (software emulation)",
        "E         in 1 round: 001-1/1",
        f"E         evidence: {hand_run}/trials/001-1",
        f"E         oomtrial report {hand_run} --round 001-1/1",
        "decided 10.0 ms before kill 1's memory was free",
        "redundant one decided |",
    ):
        assert line in text
    assert re.search(r"-+ oomtrial: the first round of 2 redundant kills -+", text)
    assert "truncated" not in text


def test_a_count_is_a_number(hand_run):
    result = open_result(hand_run)
    assert result.redundant_kills + 1 == 3
    assert f"{result.redundant_kills}" == "2"
    assert (result.redundant_rounds, result.completed_rounds, result.outcomes) == (1, 1, {"completed": 1})
    assert list(result.kills["kill_class"]) == ["necessary", "redundant", "redundant"]
    assert result.collateral_kills == result.failed_rounds == 0


def with_rounds(result, redundant, rounds, unknown=0, **changes):
    """The same result with these numbers of rounds, by boot."""
    boots = [
        msgspec.structs.replace(
            result.arm.by_boot[0], boot_id=str(boot), completed=count, redundant=hits, unknown=unknown
        )
        for boot, (hits, count) in enumerate(zip(redundant, rounds, strict=True))
    ]
    arm = msgspec.structs.replace(result.arm, by_boot=boots, rounds=sum(rounds), **changes)
    return dataclasses.replace(result, arm=arm)


def test_a_rate_passes_fails_or_is_not_decided(hand_run):
    result = open_result(hand_run)
    found = with_rounds(result, [0] * 100, [1] * 100).assert_rate_below(0.05)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 100), rel=0.01)
    with pytest.raises(
        AssertionError, match=r"not below 5.0 %: 20.0 % of 100 rounds.*at least 10.4 % with confidence 0.95"
    ):
        with_rounds(result, [10, 10], [50, 50]).assert_rate_below(0.05)
    with pytest.raises(
        NotEnoughRoundsError, match=r"0.0 % of 40 rounds .*0.0 % to 9.1 %.*\n.*101 would decide it: 61 more"
    ) as error:
        with_rounds(result, [0, 0, 0, 0], [10] * 4).assert_rate_below(0.05)
    assert (error.value.rounds, error.value.rounds_needed) == (40, 101)
    with pytest.raises(
        NotEnoughRoundsError, match="no number of rounds in 1 boot would decide it at this share; more boots may"
    ):
        with_rounds(result, [0], [40]).assert_rate_below(0.05)
    assert not isinstance(error.value, AssertionError)


def test_boots_are_clusters_from_eight_on(hand_run):
    """The same rounds, in boots that differ more than chance allows."""
    result = open_result(hand_run)
    spread = with_rounds(result, [2] * 8, [50] * 8).assert_rate_below(0.08)
    assert spread.is_clustered
    with pytest.raises(NotEnoughRoundsError):
        with_rounds(result, [16] + [0] * 7, [50] * 8).assert_rate_below(0.08)


def test_rounds_of_unknown_class_count_against_it(hand_run):
    result = with_rounds(open_result(hand_run), [0], [100], unknown=20, rounds_with_unknown=20)
    with pytest.raises(
        NotEnoughRoundsError, match=r"20.0 % of 100 rounds .* or one of unknown class.*\n.*as long as the class"
    ):
        result.assert_rate_below(0.05)


def test_rounds_that_hang_are_no_success(hand_run):
    result = with_rounds(open_result(hand_run), [0], [100], unexpected_outcomes=3)
    with pytest.raises(AssertionError, match="not every round completed"):
        result.assert_rate_below(0.05)


def test_what_cannot_be_told_is_not_zero(hand_run):
    result = open_result(hand_run)
    with pytest.raises(EvidenceError, match="1 of 3 kills on image:/stock are of unknown class"):
        _ = with_rounds(result, [0], [1], unknown_kills=1).redundant_kills
    with pytest.raises(UsageError, match="scenario s declares no demand"):
        _ = with_rounds(result, [0], [1], has_oracle=False).redundant_kills
