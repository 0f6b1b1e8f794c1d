"""apt-cache on a host that keeps its parsed package lists, and on one that does not, as in Debian's container images."""

import os
import shutil
from pathlib import Path

import pytest

from harness.kernels import hostpackages
from harness.kernels.hostpackages import read_host_packages
from harness.system.aptcache import PARSED_LISTS, ask_apt, list_indexes, lists_directory

pytestmark = pytest.mark.skipif(not shutil.which("apt-config"), reason="needs apt: only Debian and its kin have it")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where the parsed lists would be kept."""
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/apt" / PARSED_LISTS


@pytest.fixture
def _no_cache_of_the_host(tmp_path, monkeypatch):
    config = tmp_path / "apt.conf"
    config.write_text(f'{Path(os.environ["APT_CONFIG"]).read_text()}Dir::Cache::pkgcache "";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))


@pytest.mark.usefixtures("_no_cache_of_the_host")
def test_parsed_lists_are_kept_in_our_cache_where_the_host_keeps_none(kept):
    first = ask_apt("pkgnames", "linux-")
    assert "linux-" in first
    assert kept.is_file()
    written = kept.stat().st_mtime_ns
    assert ask_apt("pkgnames", "linux-") == first
    assert kept.stat().st_mtime_ns == written  # apt has used it


@pytest.mark.usefixtures("_no_cache_of_the_host")
def test_damaged_ones_are_made_again(kept):
    first = ask_apt("pkgnames", "linux-")
    size = kept.stat().st_size
    os.truncate(kept, size // 2)
    assert ask_apt("pkgnames", "linux-") == first
    assert kept.stat().st_size == size


@pytest.mark.usefixtures("_no_cache_of_the_host")
def test_without_a_place_to_keep_them_apt_answers_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OOMTRIAL_CACHE", str(tmp_path / "file/cache"))
    assert "linux-" in ask_apt("pkgnames", "linux-")


def test_a_host_that_keeps_its_own_is_left_to_it(kept):
    assert "linux-" in ask_apt("pkgnames", "linux-")
    assert not kept.exists()


@pytest.mark.usefixtures("_no_cache_of_the_host")
def test_the_lists_that_apt_reads_are_told_without_parsing_them_anew(kept):
    told = list_indexes("$(CODENAME)|$(FILENAME)")
    assert kept.is_file()
    assert told == list_indexes("$(CODENAME)|$(FILENAME)")
    assert all(Path(line.split("|")[1]).parent == Path(lists_directory()) for line in told)


def test_kernel_packages_are_asked_for_again_when_apt_would_choose_otherwise(kept, monkeypatch):
    first = read_host_packages()
    assert any(package.name.startswith("linux-image-") for package in first)
    monkeypatch.setattr(hostpackages, "find_packages", lambda _: pytest.fail("apt was asked again"))
    assert read_host_packages() == first
    asked = []
    monkeypatch.setattr(hostpackages, "find_packages", lambda names: asked.append(names) or first[:1])
    monkeypatch.setattr(hostpackages, "ask_apt", lambda *words: f"{ask_apt(*words)}  Candidate: another\n")
    assert read_host_packages() == first[:1]  # a pin, or what is installed
    assert read_host_packages() == first[:1]
    monkeypatch.setattr(hostpackages, "_lists", lambda: ["newer"])
    assert read_host_packages() == first[:1]
    (kept.with_name("host-packages.json")).write_bytes(b"{")  # damaged
    assert read_host_packages() == first[:1]
    assert len(asked) == 3
    monkeypatch.setattr(hostpackages, "_lists", lambda: ["newest"])
    monkeypatch.setattr(hostpackages, "find_packages", lambda _: [])
    assert read_host_packages() == []  # for the moment
    monkeypatch.setattr(hostpackages, "find_packages", lambda _: first)
    assert read_host_packages() == first
