"""Prebuilt kernels: fetched, booted with their drivers in an initramfs, and measured through the same command."""

import json

import pytest

from harness.kernels.debian import offered_series
from harness.kernels.library import nearest_file

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("prepared")]


@pytest.fixture(scope="module")
def debian():
    """The specs of the prebuilt kernels that this host's apt offers, of those that we know."""
    specs = [f"debian:{version}" for version in offered_series() if version in ("6.1", "6.12")]
    assert specs
    return specs


def test_debians_kernels_are_measured_as_built_ones_are(oomtrial, debian, tmp_path):
    arms = [argument for spec in debian for argument in ("--kernel", spec)]
    out = tmp_path / "run"
    done = oomtrial("run", *arms, "--rounds", 2, "--boots", 1, "--vcpus", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    summary = json.loads(oomtrial("summary", out, "--format", "json").stdout)
    assert summary["disagreements"] == []
    for arm in summary["arms"]:
        assert (arm["outcomes"]["completed"], arm["rounds_not_run"], arm["lost_records"]) == (2, 0, 0), arm
        assert (arm["unknown_kills"], arm["kills_without_release"]) == (0, 0), arm
        assert arm["kills"] >= 2
    kernels = json.loads((out / "run.json").read_text())["kernels"]
    assert [kernel["spec"] for kernel in kernels] == debian
    assert all(kernel["initrd"] and "linux-image-" in kernel["source"] for kernel in kernels)


def test_a_prebuilt_kernel_is_there_after_the_first_time(oomtrial, debian):
    for spec in debian:
        done = oomtrial("kernels", "build", spec)
        assert done.returncode == 0, done.stderr
        assert "fetch" not in oomtrial("kernels", "build", spec).stderr
        assert "drivers: all there" in oomtrial("kernels", "check", spec).stdout
        assert "initramfs:" in oomtrial("kernels", "show", spec).stdout
        assert spec in oomtrial("kernels", "list").stdout


def test_check_says_whether_a_patch_applies_before_anything_is_compiled(oomtrial, version):
    good = oomtrial("kernels", "check", f"source:{version}+wait-for-victim")
    assert "patch wait-for-victim: applies to " in good.stdout
    assert "config: has what a guest needs" in good.stdout
    # the library's patch for the other version
    other = {"6.1": "6.12", "6.12": "6.1"}[version]
    wrong = oomtrial("kernels", "check", f"source:{version}+{nearest_file('wait-for-victim', other)[0].path}")
    assert wrong.returncode == 4
    assert f"does not apply to linux-source-{version}" in wrong.stderr
    assert "; it was made for another version" in wrong.stderr.splitlines()[-1]
    assert ", hunk " in wrong.stderr.splitlines()[-1]
