"""Kernels of any suite of the host's mirror: which one a spec means, how it is fetched, and what is refused, in one line."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import BuildError
from harness.kernels.catalog import KINDS, Catalog, Index
from harness.kernels.kernel import make_kernel
from harness.kernels.mirror import read_host
from harness.kernels.plan import plan_kernel
from harness.progress import Reporter
from harness.spec.kernel import parse_kernel_spec
from tests.aptrepo import (
    Archive,
    add_old_prebuilt,
    add_prebuilt,
    end_agent,
    kernel_source,
    make_key,
    missing_tools,
    prebuilt_files,
    tar_of,
)
from tests.kerneltree import FIX
from tests.unit.conftest import oomtrial, serve  # noqa: F401

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"not installed here: {', '.join(missing_tools())}")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """The archive as all tests begin with it."""
    directory = tmp_path_factory.mktemp("k")
    made = Archive(directory / "www", make_key(directory / "g"))
    add_old_prebuilt(made, "bookworm", "6.1.192-2", "6.1.0-56-cloud-amd64")
    add_prebuilt(made, "trixie-backports", "7.2.12-1~bpo13+1", "7.2.12+deb13-cloud-amd64")
    add_prebuilt(made, "trixie-backports", "7.0.13-1~bpo13+1", "7.0.13+deb13-cloud-amd64", without=("modules",))
    add_prebuilt(made, "sid", "7.2.13-1", "7.2.13+deb14-cloud-amd64")
    add_prebuilt(made, "sid", "7.3.1-1", "7.3.1+deb14-cloud-amd64")
    add_prebuilt(made, "experimental", "7.3~rc7-1~exp1", "7.3-cloud-amd64")
    add_prebuilt(made, "experimental", "7.4~rc1-1~exp1", "7.4-cloud-amd64")
    made.publish()
    yield made
    end_agent(made.key)


@pytest.fixture(scope="module")
def sources(pristine, tmp_path_factory):
    """The archive with kernel sources in it, too."""
    directory = tmp_path_factory.mktemp("sources")
    with pristine.copy(directory / "www") as made:
        add_sources(made, directory)
        yield made


@pytest.fixture
def archive(request, pristine, tmp_path):
    """An archive of the test's own, with sources if the test uses that fixture."""
    origin = request.getfixturevalue("sources") if "sources" in request.fixturenames else pristine
    with origin.copy(tmp_path / "www") as made:
        yield made


@pytest.fixture(autouse=True)
def environment(archive, tmp_path, monkeypatch):
    """A Debian 12 whose mirror is the archive, with an empty cache; of this process, too."""
    found = archive.host_apt(tmp_path / "apt", "bookworm") | {"OOMTRIAL_CACHE": str(tmp_path / "cache")}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def kernels(oomtrial, environment):  # noqa: F811
    return lambda *arguments: oomtrial("kernels", *arguments, env=environment)


def plan_of(text):
    return plan_kernel(parse_kernel_spec(text), Reporter())


def source_of(text):
    return plan_of(text).source


def image_of(text):
    """What stands in the image that is made: the release of a prebuilt kernel, mm/oom_kill.c of a built one."""
    return Path(make_kernel(plan_of(text), Reporter()).image).read_text()


def refusal_of(text):
    with pytest.raises(BuildError) as refused:
        image_of(text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def error_of(done, code=4):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("oomtrial: ")
    return last


def lists(environment):
    kept = Path(environment["OOMTRIAL_CACHE"]) / "apt"
    return sorted(path for kind in KINDS for path in kept.glob(f"*-{kind}.json"))


def test_a_spec_means_the_hosts_own_package_else_the_newest_release_of_any_suite(environment):
    assert source_of("debian:6.1") == "linux-image-6.1.0-56-cloud-amd64 6.1.192-2"
    assert not lists(environment)  # what the host's apt has is not looked for elsewhere
    assert source_of("debian:7.2") == "linux-image-7.2.13+deb14-cloud-amd64 7.2.13-1"
    assert source_of("debian:7.2@trixie-backports") == "linux-image-7.2.12+deb13-cloud-amd64 7.2.12-1~bpo13+1"
    assert source_of("debian:7.2.12") == "linux-image-7.2.12+deb13-cloud-amd64 7.2.12-1~bpo13+1"
    assert source_of("debian:7.2.13-1") == "linux-image-7.2.13+deb14-cloud-amd64 7.2.13-1"
    assert source_of("debian:7.3") == "linux-image-7.3.1+deb14-cloud-amd64 7.3.1-1"
    assert source_of("debian:7.3~rc7") == "linux-image-7.3-cloud-amd64 7.3~rc7-1~exp1"
    assert source_of("debian:7.4") == "linux-image-7.4-cloud-amd64 7.4~rc1-1~exp1"  # there is no release yet


def test_a_kernel_in_several_packages_is_put_together(kernels):
    done = kernels("build", "debian:7.3")
    assert done.returncode == 0, done.stderr
    image = Path(done.stdout.split()[-1])
    assert image.read_text() == "7.3.1+deb14-cloud-amd64"
    assert b"overlay" in image.with_name("initrd").read_bytes()
    assert "CONFIG_MEMCG=y" in image.with_name("config").read_text()
    assert image_of("debian:6.1") == "6.1.0-56-cloud-amd64"


def test_a_kernel_whose_modules_went_from_the_list_is_not_taken(kernels):
    says = refusal_of("debian:7.0")
    assert "offers a prebuilt kernel 7.0; trixie-backports lists linux-image-7.0.13+deb13-cloud-amd64" in says
    assert "without linux-modules-7.0.13+deb13-cloud-amd64; nearest: 6.1.192, 7.2.12, 7.2.13" in says
    shown = kernels("list").stdout
    assert "listed without their modules: 7.0" in shown


def test_a_package_that_lacks_what_its_name_promises_is_reported(archive):
    binary, modules, _ = prebuilt_files("7.5.1-cloud-amd64")
    archive.add("sid", "linux-image-7.5.1-cloud-amd64", "7.5.1-1", binary | modules)
    archive.publish()
    says = refusal_of("debian:7.5")
    assert "linux-image-7.5.1-cloud-amd64 7.5.1-1 has no modules, expected one" in says


def test_list_says_what_can_be_had_and_from_where(kernels, archive):
    shown = kernels("list")
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["debian:6.1", "6.1.192-2", "apt", "prebuilt"] in lines
    assert ["debian:7.2", "7.2.13-1", "sid", "prebuilt"] in lines
    assert ["debian:7.4", "7.4~rc1-1~exp1", "experimental", "prebuilt"] in lines
    assert max(map(len, shown.stdout.splitlines())) <= 100
    archive.close()
    offline = kernels("list", "--offline").stdout
    assert ["debian:7.2", "7.2.13-1", "sid", "prebuilt"] in [line.split() for line in offline.splitlines()]
    assert "offers of the mirror's other suites: as of 0 min ago" in offline


def test_list_without_a_network_says_what_the_host_has(kernels, archive):
    archive.close()
    shown = kernels("list").stdout
    assert ["debian:6.1", "6.1.192-2", "apt", "prebuilt"] in [line.split() for line in shown.splitlines()]
    assert "suites: unknown, as no package list has been read yet" in shown


def test_a_version_that_nobody_offers_and_a_suite_that_the_mirror_lacks(kernels, archive):
    says = error_of(kernels("build", "debian:7.2.14"))
    assert f"neither the host's apt nor {archive.uri} offers a prebuilt kernel 7.2.14; nearest: 7.2.12, 7.2.13" in says
    assert f"sid of {archive.uri} offers no prebuilt kernel 6.1; nearest: 7.2.13" in refusal_of("debian:6.1@sid")
    assert f"{archive.uri} has no suite warty" in refusal_of("debian:7.2@warty")
    assert refusal_of("source:7.2").endswith("offers a source of Linux 7.2; no other version is offered either")
    assert "prebuilt and takes no patch; build it: source:7.2+x" in error_of(kernels("build", "debian:7.2@sid+x"), 2)


def test_a_version_that_is_new_on_the_mirror_is_found_when_the_lists_are_an_hour_old(environment, archive):
    assert source_of("debian:7.2") == "linux-image-7.2.13+deb14-cloud-amd64 7.2.13-1"
    add_prebuilt(archive, "sid", "7.6.1-1", "7.6.1-cloud-amd64")
    archive.publish()
    with pytest.raises(Exception, match=r"offers a prebuilt kernel 7\.6"):
        source_of("debian:7.6")
    for file in lists(environment):
        os.utime(file, (time.time() - 2 * 3600,) * 2)
    assert source_of("debian:7.6") == "linux-image-7.6.1-cloud-amd64 7.6.1-1"


def test_a_signature_that_does_not_verify(kernels, archive, tmp_path, environment):
    archive.publish(make_key(tmp_path / "o"))
    end_agent(tmp_path / "o")
    says = error_of(kernels("build", "debian:7.2@sid"))
    assert f"sid of {archive.uri} does not verify: " in says
    assert "no package of it is used" in says
    assert "does not verify" in refusal_of("debian:7.2")
    assert not [
        file for file in lists(environment) if file.name.startswith(("sid", "trixie-backports", "experimental"))
    ]
    assert not list(Path(environment["OOMTRIAL_CACHE"]).glob("apt/*/lists/*Packages*"))


def test_what_is_wrong_with_a_list_is_said_once_in_a_command(archive, tmp_path, capfd):
    """As in `oomtrial demo`, which plans its kernels one by one."""
    archive.publish(make_key(tmp_path / "o"))
    end_agent(tmp_path / "o")
    with Reporter() as progress:
        for _ in range(2):
            with pytest.raises(BuildError, match="does not verify"):
                plan_kernel(parse_kernel_spec("debian:7.2"), progress)
    said = capfd.readouterr().err
    assert said.count(f"sid of {archive.uri} does not verify: ") == 1
    assert said.count("read the package lists of") == 2  # begun, done


def test_a_list_that_is_not_the_signed_one(archive):
    listed = archive.debian / "dists/sid/main/binary-amd64/Packages"
    listed.write_text(listed.read_text().replace("7.2.13", "7.2.99"))
    assert "does not verify" in refusal_of("debian:7.2@sid")


def test_a_package_that_is_not_the_listed_one(archive, environment):
    (deb,) = archive.debian.glob("pool/linux-modules-7.3.1*.deb")
    whole = deb.read_bytes()
    deb.write_bytes(whole[:-1] + b"x")
    assert "download of linux-image-7.3.1+deb14-cloud-amd64 7.3.1-1 failed" in refusal_of("debian:7.3")
    deb.write_bytes(whole[: len(whole) // 2])
    refusal_of("debian:7.3")
    assert not list(Path(environment["OOMTRIAL_CACHE"]).glob("kernels/*/kernel.json"))
    deb.unlink()
    assert "the mirror lists linux-image-7.3.1" in refusal_of("debian:7.3")
    deb.write_bytes(whole)
    assert image_of("debian:7.3") == "7.3.1+deb14-cloud-amd64"


def test_a_mirror_that_is_down(kernels, archive):
    archive.close()
    assert f"{archive.uri} does not answer: " in error_of(kernels("build", "debian:7.2"))
    assert f"{archive.uri} does not answer: " in refusal_of("debian:7.2@sid")


def test_what_is_known_goes_on_when_the_mirror_is_down(kernels, archive, environment):
    assert image_of("debian:7.2") == "7.2.13+deb14-cloud-amd64"
    archive.close()
    for file in lists(environment):
        os.utime(file, (time.time() - 3 * 86400,) * 2)
    done = kernels("build", "debian:7.2")
    assert done.returncode == 0, done.stderr
    assert f"{archive.uri} does not answer" in done.stderr
    assert "the package lists of 3 days ago are used" in done.stderr
    assert "7.2.13" in Path(done.stdout.split()[-1]).read_text()


def test_what_is_wrong_with_a_list_is_said_once_for_all_kernels(kernels, archive, environment):
    image_of("debian:7.2")
    archive.close()
    for file in lists(environment):
        os.utime(file, (time.time() - 3 * 86400,) * 2)
    said = [line.partition("] ")[2] for line in kernels("build", "debian:7.2", "debian:7.2@sid").stderr.splitlines()]
    silent = [line for line in said if "does not answer" in line]
    assert silent
    assert len(silent) == len(set(silent)), silent


def test_an_update_that_was_killed_leaves_nothing_that_is_taken(environment):
    state = Index(read_host().archive("sid"), "sid", "binary").state
    directory = Path(environment["OOMTRIAL_CACHE"]) / "apt" / state
    (directory / "lists/partial").mkdir(parents=True)
    (directory / "lists/partial/127.0.0.1_debian_dists_sid_InRelease").write_text("half")
    directory.with_name(f"{state}.json").write_text('{"suite": "sid", "packa')
    assert image_of("debian:7.2@sid") == "7.2.13+deb14-cloud-amd64"


def test_the_hosts_apt_is_left_as_it_was(tmp_path):
    def look():
        return {
            str(path): path.read_bytes()
            for path in sorted((tmp_path / "apt").rglob("*"))
            if path.is_file() and path.suffix != ".bin"
        }

    before = look()
    assert image_of("debian:7.2") == "7.2.13+deb14-cloud-amd64"
    assert look() == before


def add_sources(archive, tmp_path):
    for suite, release, version in (
        ("trixie-backports", "7.2.12", "7.2.12-1~bpo13+1"),
        ("experimental", "7.4.0", "7.4~rc1-1~exp1"),
    ):
        series = release.rpartition(".")[0]
        packed = tar_of(kernel_source(tmp_path / version, release), f"linux-source-{series}")
        archive.add(suite, f"linux-source-{series}", version, {f"usr/src/linux-source-{series}.tar.xz": packed})
    for suite, release, version in (
        ("trixie-backports", "6.19.8", "6.19.8-1~bpo13+1"),
        ("sid", "6.19.10", "6.19.10-1"),
        ("sid", "6.19.11", "6.19.11-1"),
        ("sid", "7.2.13", "7.2.13-1"),
    ):
        tree = kernel_source(tmp_path / version, release)
        patches = tmp_path / version / "debian/patches"
        (patches / "bugfix").mkdir(parents=True)
        (patches / "bugfix/fix.patch").write_text(FIX)
        (patches / "series").write_text("# Debian's\nbugfix/fix.patch\n\n")
        files = {
            f"linux_{release}.orig.tar.xz": tar_of(tree, f"linux-{release}"),
            f"linux_{version}.debian.tar.xz": tar_of(patches.parent, "debian"),
        }
        archive.add_source(suite, version, files)
    archive.publish()


@pytest.mark.usefixtures("sources")
def test_a_linux_source_package_is_preferred_and_a_source_package_is_unpacked_as_debian_builds_it(kernels):
    assert "int two;" in image_of("source:7.2")
    assert source_of("source:7.2") == "linux-source-7.2 7.2.12-1~bpo13+1"
    assert source_of("source:7.4") == "linux-source-7.4 7.4~rc1-1~exp1"
    assert "int fixed;" in image_of("source:6.19")
    assert source_of("source:6.19") == "source package linux 6.19.11-1"
    assert (
        source_of("source:6.19.8")
        == source_of("source:6.19@trixie-backports")
        == "source package linux 6.19.8-1~bpo13+1"
    )
    assert source_of("source:7.2.13") == "source package linux 7.2.13-1"
    lines = [line.split() for line in kernels("list").stdout.splitlines()]
    assert ["source:6.19", "6.19.11-1", "sid", "source", "package"] in lines
    assert ["source:7.2", "7.2.12-1~bpo13+1", "trixie-backports", "linux-source"] in lines


@pytest.mark.usefixtures("sources")
def test_the_release_of_a_source():
    with Reporter() as progress:
        for text, series, release in (
            ("source:7.2", "7.2", "7.2.12"),
            ("source:6.19.8", "6.19", "6.19.8"),
            ("source:7.4", "7.4", "7.4-rc1"),
        ):
            base = plan_kernel(parse_kernel_spec(text), progress).base
            assert (base.version, base.release) == (series, release)


@pytest.mark.usefixtures("sources")
def test_a_source_package_that_is_listed_and_not_there_gives_way_to_the_next(kernels, archive):
    for file in archive.debian.glob("pool/linux_6.19.11*"):
        file.unlink()
    (archive.debian / "pool/linux_6.19.10-1.debian.tar.xz").unlink()
    shown = kernels("show", "source:6.19")
    assert "source package linux 6.19.10-1\n" in shown.stdout
    assert "listed, but not on the mirror: source package linux 6.19.11-1 (sid)" in shown.stderr
    says = refusal_of("source:6.19")
    assert "the mirror lists linux 6.19.10-1 but does not have it" in says
    assert "try again: another version may match" in says
    assert "int fixed;" in image_of("source:6.19")
    assert source_of("source:6.19") == "source package linux 6.19.8-1~bpo13+1"


@pytest.mark.usefixtures("sources")
def test_of_a_source_package_whose_small_files_are_gone_the_upstream_archive_is_taken(kernels, archive):
    for file in [*archive.debian.glob("pool/linux_6.19*.dsc"), *archive.debian.glob("pool/linux_6.19*.debian.tar.xz")]:
        file.unlink()
    (archive.debian / "pool/linux_6.19.11.orig.tar.xz").unlink()
    name = "upstream archive of linux 6.19.10, without Debian's patches"
    shown = kernels("show", "source:6.19")
    assert f"{name}\n" in shown.stdout
    image = image_of("source:6.19")
    assert "int two;" in image
    assert "int fixed;" not in image
    assert source_of("source:6.19") == name
    assert "6.19.8, without" in source_of("source:6.19.8")
    lines = [line.split() for line in kernels("list").stdout.splitlines()]
    assert ["source:6.19", "6.19.10-1", "sid", "upstream", "archive,", "if", "the", "mirror", "has", "it"] in lines


@pytest.mark.usefixtures("sources")
def test_an_upstream_archive_that_is_not_the_listed_one_is_not_taken(archive, tmp_path):
    for file in archive.debian.glob("pool/linux_6.19*.dsc"):
        file.unlink()
    (archive.debian / "pool/linux_6.19.11.orig.tar.xz").write_bytes(b"planted")
    says = refusal_of("source:6.19")
    assert "download of upstream archive of linux 6.19.11-1 failed: " in says
    assert [file.suffix for file in (tmp_path / "cache/apt/upstream").iterdir()] == [".lock"]


@pytest.mark.usefixtures("sources")
def test_an_upstream_archive_that_is_damaged_in_the_cache_is_fetched_again(archive, tmp_path):
    for file in archive.debian.glob("pool/linux_6.19*.dsc"):
        file.unlink()
    assert "6.19.11, without" in source_of("source:6.19")
    (kept,) = (tmp_path / "cache/apt/upstream").glob("*.tar")
    kept.write_bytes(kept.read_bytes()[:-1])
    says = refusal_of("source:6.19")
    assert "the upstream archive of linux 6.19.11, without Debian's patches in the cache is damaged" in says
    assert "int two;" in image_of("source:6.19")
    assert not kept.exists()  # unpacked


@pytest.mark.usefixtures("sources")
def test_a_source_package_whose_patch_does_not_apply_leaves_no_tree(archive, tmp_path, environment):
    tree = kernel_source(tmp_path / "again", "6.20.1")
    patches = tmp_path / "again/debian/patches"
    patches.mkdir(parents=True)
    (patches / "series").write_text("bad.patch\n")
    (patches / "bad.patch").write_text(FIX.replace("int two;", "int 2;"))
    files = {
        "linux_6.20.1.orig.tar.xz": tar_of(tree, "linux-6.20.1"),
        "linux_6.20.1-1.debian.tar.xz": tar_of(patches.parent, "debian"),
    }
    archive.add_source("sid", "6.20.1-1", files)
    archive.publish()
    says = refusal_of("source:6.20")
    assert "Debian's patch bad.patch does not apply to source package linux 6.20.1-1" in says
    assert not [path for path in Path(environment["OOMTRIAL_CACHE"]).glob("trees/*") if path.is_dir()]


@pytest.mark.usefixtures("sources")
def test_prune_asks_no_mirror_and_keeps_what_a_later_run_would_take(kernels, archive, environment):
    for text in ("source:7.2", "source:6.19.8", "debian:7.2"):
        assert image_of(text)
    archive.close()
    for file in lists(environment):
        os.utime(file, (time.time() - 9 * 86400,) * 2)
    done = kernels("prune")
    assert done.returncode == 0, done.stderr
    assert "removed" not in done.stdout
    assert "does not answer" not in done.stderr


@pytest.mark.usefixtures("sources")
def test_prune_takes_what_a_newer_package_took_the_place_of(kernels, archive, tmp_path, environment):
    for text in ("source:7.2", "debian:7.2"):
        assert image_of(text)
    add_prebuilt(archive, "sid", "7.2.20-1", "7.2.20-cloud-amd64")
    archive.entries["trixie-backports", "binary"] = [
        stanza for stanza in archive.entries["trixie-backports", "binary"] if "linux-source" not in stanza
    ]
    packed = tar_of(kernel_source(tmp_path / "newer", "7.2.20"), "linux-source-7.2")
    archive.add("sid", "linux-source-7.2", "7.2.20-1", {"usr/src/linux-source-7.2.tar.xz": packed})
    archive.publish()
    for file in lists(environment):
        os.utime(file, (time.time() - 2 * 86400,) * 2)
    assert source_of("debian:7.2") == "linux-image-7.2.20-cloud-amd64 7.2.20-1"
    pruned = kernels("prune").stdout
    assert (
        "debian:7.2: built from linux-image-7.2.13+deb14-cloud-amd64 7.2.13-1, now replaced by linux-image-7.2.20"
        in pruned
    )
    assert "replaced by a newer package" in pruned


def test_a_host_without_the_archives_keyring_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("harness.kernels.mirror._KEYRINGS", (str(tmp_path / "no.gpg"),))
    text = (tmp_path / "apt/sources.list").read_text()
    assert read_host().main.keyrings[0].endswith("keyring.gpg")  # the host's own line names it
    (tmp_path / "apt/sources.list").write_text(text.replace("keyring.gpg", "gone.gpg"))
    with pytest.raises(Exception, match="keyring of the Debian archive is not installed; apt-get install"):
        read_host()


def test_prune_takes_lists_that_were_not_read_for_long(kernels, environment):
    assert source_of("debian:7.2@sid")
    (catalog,) = lists(environment)
    assert "package lists" not in kernels("prune", "--dry-run").stdout
    os.utime(catalog, (time.time() - 40 * 86400,) * 2)
    assert "package lists that were not read recently" in kernels("prune").stdout
    assert not catalog.exists()
    assert not catalog.with_suffix("").exists()
    assert image_of("debian:7.2@sid") == "7.2.13+deb14-cloud-amd64"


def test_two_at_once_read_a_list_once(monkeypatch):
    index = Index(read_host().archive("sid"), "sid", "binary")
    begun = []

    def update(self, _directory):
        begun.append(self)
        time.sleep(0.3)
        return Catalog("sid", self.archive.uri, ())

    monkeypatch.setattr(Index, "_update", update)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(index.read, Reporter(), 60.0) for _ in range(2)]
    assert [future.result().suite for future in both] == ["sid", "sid"]
    assert len(begun) == 1
