"""Kernels of a person's own: a tree is only read, its copy follows it, and what is wrong is said in one line."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.errors import BuildError, HostError
from harness.kernels import apt, build, offers
from harness.kernels.apt import Package
from harness.kernels.debian import rank_debian
from harness.kernels.initramfs import depends, loading_order, make_archive
from harness.kernels.kernel import hold_kernel, read_record
from harness.kernels.overlay import lay_over, restore
from harness.kernels.patches import load_patches
from tests.conftest import command
from tests.kerneltree import FIX, OOM_KILL, make_tree


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "linux")


@pytest.fixture
def kernels(oomtrial, tmp_path):
    """`oomtrial kernels ...` with a cache of its own."""

    def run(*arguments, **env):
        return oomtrial("kernels", *arguments, env={"OOMTRIAL_CACHE": str(tmp_path / "cache"), **env})

    return run


def look(tree):
    """Every byte, mode and time of a tree."""
    found = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, hashlib.sha256(content).hexdigest())
    return found


def one_line(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("oomtrial: ")
    return last


def built(done):
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[-1]).read_text()


def git(tree, *arguments):
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", "-C", tree, *arguments], check=True, capture_output=True, env={**os.environ, **who})


def test_a_tree_is_built_elsewhere_and_stays_byte_for_byte_the_same(kernels, tree, tmp_path):
    (tmp_path / "fix.patch").write_text(FIX)
    before = look(tree)
    assert built(kernels("build", f"tree:{tree}")) == OOM_KILL
    assert "int fixed;" in built(kernels("build", f"tree:{tree}+{tmp_path}/fix.patch"))
    assert look(tree) == before
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    assert (copy / "mm/oom_kill.c").read_text() == OOM_KILL
    assert (copy / "Documentation").is_symlink()


def test_only_what_changed_is_copied_and_compiled_again(kernels, tree):
    first = kernels("build", f"tree:{tree}")
    assert "10 files of" in first.stderr
    again = kernels("build", f"tree:{tree}")
    assert "copied" not in again.stderr
    (tree / "mm/page_alloc.c").unlink()
    (tree / "mm/oom_kill.c").write_text("int changed;\n")
    third = kernels("build", f"tree:{tree}")
    assert "1 files of" in third.stderr
    assert "1 removed" in third.stderr
    assert built(third) == "int changed;\n"
    assert len({done.stdout.split()[-1] for done in (first, again, third)}) == 2


def test_a_tree_whose_gitignore_hides_the_top_is_read_all_the_same(kernels, tree, tmp_path):
    (tree / ".gitignore").write_text("*.o\n/*\n!/debian/\n")
    (tree / "vmlinux.o").write_text("stale")
    assert built(kernels("build", f"tree:{tree}")) == OOM_KILL
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    assert not (copy / "vmlinux.o").exists()
    assert "CONFIG_MINE" not in (copy / ".config").read_text()


def test_the_repository_that_git_names_to_a_hook_is_not_taken_for_the_tree(kernels, tree, tmp_path, monkeypatch):
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "base")
    git(tmp_path, "init", "-q", "--bare", "other.git")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other.git"))
    assert built(kernels("build", f"tree:{tree}@HEAD")) == OOM_KILL


def test_a_commit_is_built_without_being_checked_out(kernels, tree):
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "one")
    git(tree, "tag", "v1")
    (tree / "mm/oom_kill.c").write_text("int not_committed;\n")
    before = look(tree)
    assert built(kernels("build", f"tree:{tree}@v1")) == OOM_KILL
    assert built(kernels("build", f"tree:{tree}")) == "int not_committed;\n"
    assert look(tree) == before
    assert "has no commit 'v2'" in one_line(kernels("show", f"tree:{tree}@v2"), 2)


def test_a_commit_of_another_version_finds_nothing_that_the_one_before_made(kernels, tree, tmp_path):
    """As with a history of Debian's source versions: headers are generated, and directories become files and links."""
    makefile = (tree / "Makefile").read_text()
    (tree / "Makefile").write_text(
        makefile.replace(
            "\t@cat mm/oom_kill.c >", "\t@mkdir -p lib/gen made && touch lib/gen/old.h made/x\n\t@cat mm/oom_kill.c >"
        )
    )
    (tree / "lib").mkdir()
    (tree / "lib/crc.c").write_text("int crc;\n")
    (tree / "link").mkdir()
    (tree / "link/file").write_text("x\n")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "6.1")
    git(tree, "tag", "v6.1")
    shutil.rmtree(tree / "lib")
    shutil.rmtree(tree / "link")
    (tree / "lib").write_text("a file\n")
    (tree / "link").symlink_to("mm")
    (tree / "Makefile").write_text(makefile.replace("PATCHLEVEL = 1", "PATCHLEVEL = 2"))
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "6.2")
    assert built(kernels("build", f"tree:{tree}@v6.1")) == OOM_KILL
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    assert (copy / "lib/gen/old.h").is_file()
    done = kernels("build", f"tree:{tree}@HEAD")
    assert built(done) == OOM_KILL
    assert not (copy / "made").exists()
    assert (copy / "lib").read_text() == "a file\n"
    assert (copy / "link").is_symlink()
    assert built(kernels("build", f"tree:{tree}@v6.1")) == OOM_KILL
    shutil.rmtree(tmp_path / "cache/kernels")
    assert built(kernels("build", f"tree:{tree}@v6.1")) == OOM_KILL
    assert (copy / "lib/crc.c").read_text() == "int crc;\n"
    assert (copy / "link/file").read_text() == "x\n"


def test_a_tree_that_was_killed_while_it_was_built_is_built_right(kernels, tree, tmp_path):
    kernels("build", f"tree:{tree}")
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    (copy / ".oomtrial-building").touch()
    time.sleep(0.01)
    (copy / "mm/oom_kill.o").write_bytes(b"half")
    shutil.rmtree(tmp_path / "cache/kernels")
    done = kernels("build", f"tree:{tree}")
    assert done.returncode == 0
    assert (copy / "mm/oom_kill.o").read_bytes() != b"half"


def test_a_tree_of_links_is_copied_and_its_original_stays_as_it_is(kernels, tree, tmp_path):
    (tmp_path / "fix.patch").write_text(FIX)
    links = tmp_path / "links"
    subprocess.run(["cp", "-as", tree, links], check=True)
    (links / "Documentation").unlink()
    (links / "Documentation").symlink_to(links / "mm")  # by an absolute path, within the tree
    before = look(tree), look(links)
    assert "int fixed;" in built(kernels("build", f"tree:{links}+{tmp_path}/fix.patch"))
    assert built(kernels("build", f"tree:{links}")) == OOM_KILL
    assert (look(tree), look(links)) == before
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    assert not any(path.is_symlink() and path.name != "Documentation" for path in copy.rglob("*"))
    assert (copy / "Documentation").readlink() == Path("mm")


@pytest.mark.parametrize("to", ["/etc", "/nonexistent", "../outside"])
def test_a_link_out_of_a_tree_that_is_no_file_is_refused(kernels, tree, tmp_path, to):
    (tmp_path / "outside").mkdir()
    (tree / "mm/lib").symlink_to(to if to.startswith("/") else f"../{to}")
    assert "mm/lib is a link to" in one_line(kernels("build", f"tree:{tree}"), 2)


def test_a_commit_with_a_link_out_of_the_tree_is_refused(kernels, tree, tmp_path):
    (tree / "mm/lib").symlink_to("/etc/hostname")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "one")
    assert "mm/lib of" in one_line(kernels("build", f"tree:{tree}@HEAD"), 4)
    assert not list((tmp_path / "cache/trees").glob("*/mm/lib"))


def test_a_link_that_has_become_a_directory_is_not_written_through(kernels, tree, tmp_path):
    built(kernels("build", f"tree:{tree}"))
    (tree / "Documentation").unlink()
    (tree / "Documentation").mkdir()
    (tree / "Documentation/page_alloc.c").write_text("int of_the_documentation;\n")
    (tree / "mm/oom_kill.c").write_text("int changed;\n")
    assert built(kernels("build", f"tree:{tree}")) == "int changed;\n"
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    assert (copy / "mm/page_alloc.c").read_text() == "int page;\n"


def test_a_patch_through_a_link_is_refused(kernels, tree, tmp_path):
    (tmp_path / "fix.patch").write_text(FIX.replace("mm/", "Documentation/"))
    done = kernels("build", f"tree:{tree}+{tmp_path}/fix.patch")
    assert "Documentation is a symbolic link" in one_line(done, 4)


def test_nothing_that_a_trees_git_config_names_is_run(kernels, tree, tmp_path):
    ran = tmp_path / "ran"
    (tree / ".gitattributes").write_text("* diff=evil filter=evil\n")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "one")
    trap = f"sh -c 'touch {ran}; cat'"
    for name in ("core.fsmonitor", "diff.evil.textconv", "filter.evil.clean", "filter.evil.smudge", "core.sshCommand"):
        git(tree, "config", name, trap)
    hook = tree / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    (tree / "mm/oom_kill.c").touch()
    assert built(kernels("build", f"tree:{tree}")) == OOM_KILL
    assert built(kernels("build", f"tree:{tree}@HEAD")) == OOM_KILL
    assert not ran.exists()


def test_a_failure_of_git_is_told_in_its_own_words(kernels, tree, oomtrial, tmp_path):
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "one")
    for path in (tree / ".git/objects").glob("??/*"):
        path.chmod(0o644)
        path.write_text("damaged")
    (tree / ".git/config").write_text("[core\n")
    done = oomtrial("bisect", "--tree", tree, "--good", "HEAD", "--bad", "HEAD", "--out", tmp_path / "out")
    for line in (one_line(done, 3), one_line(kernels("show", f"tree:{tree}@HEAD"), 3)):
        assert "bad config line 1" in line
        assert "no commit" not in line
    (tree / ".git/config").unlink()
    line = one_line(kernels("show", f"tree:{tree}@HEAD"), 3)
    assert "git cannot read" in line
    assert "no commit" not in line


def test_a_config_of_ones_own_is_merged_and_what_did_not_take_is_told(kernels, tree, tmp_path):
    own = tmp_path / "own.config"
    own.write_text("CONFIG_TRACING_MINE=y\n# CONFIG_PSI is not set\n")
    stock = kernels("build", f"tree:{tree}").stdout
    done = kernels("build", f"tree:{tree}", "--config", own)
    assert done.stdout != stock
    assert "had no effect" not in done.stderr
    merge = tree / "scripts/kconfig/merge_config.sh"
    merge.write_text(merge.read_text() + 'sed -i s/TRACING_MINE=y/TRACING_MINE=m/ "$KCONFIG_CONFIG"\n')
    done = kernels("build", f"tree:{tree}", "--config", own)
    assert "config option had no effect: CONFIG_TRACING_MINE=y (is m)" in done.stderr
    checked = kernels("check", f"tree:{tree}", "--config", own)
    assert "config: option had no effect: CONFIG_TRACING_MINE=y (is m)" in checked.stdout


@pytest.mark.parametrize("command", ["check", "build"])
def test_a_config_that_drops_memcg_is_refused_and_nothing_is_kept(kernels, tree, tmp_path, command):
    own = tmp_path / "own.config"
    own.write_text("# CONFIG_MEMCG is not set\n")
    assert "drops memcg" in one_line(kernels(command, f"tree:{tree}", "--config", own), 4)
    assert not list((tmp_path / "cache").glob("kernels/*/kernel.json"))
    own.write_text("CONFIG_KPROBES=m\n")
    says = one_line(kernels(command, f"tree:{tree}", "--config", own), 4)
    assert "lacks what a guest needs: CONFIG_KPROBES (the measurement)" in says
    assert not list((tmp_path / "cache").glob("kernels/*/kernel.json"))


def test_what_is_no_config_fragment_is_refused(kernels, tree, tmp_path):
    own = tmp_path / "own.config"
    own.write_text("CONFIG_A=y\nMEMCG=n\n")
    assert "own.config:2 is not a line of a kernel config: 'MEMCG=n'" in one_line(
        kernels("show", f"tree:{tree}", "--config", own), 2
    )
    assert "cannot read config fragment nowhere: No such file" in one_line(
        kernels("show", f"tree:{tree}", "--config", "nowhere"), 2
    )


def test_a_compiler_error_is_shown_with_file_and_line(kernels, tree, tmp_path):
    (tmp_path / "bad.patch").write_text(FIX.replace("int fixed;", "int fixed"))
    says = one_line(kernels("build", f"tree:{tree}+{tmp_path}/bad.patch"), 4)
    assert "does not compile: mm/oom_kill.c:2:10: expected" in says
    assert "build.log" in says
    assert built(kernels("build", f"tree:{tree}")) == OOM_KILL


def test_a_patch_that_fails_names_file_and_hunk_and_whether_it_is_there_already(kernels, tree, tmp_path):
    (tmp_path / "fix.patch").write_text(FIX)
    (tmp_path / "other.patch").write_text(FIX.replace("int two;", "int 2;"))
    (tmp_path / "gone.patch").write_text(FIX.replace("oom_kill.c", "oom.c"))
    for verb in ("check", "build"):
        says = one_line(kernels(verb, f"tree:{tree}+{tmp_path}/other.patch"), 4)
        assert "other.patch does not apply to" in says
        assert "mm/oom_kill.c, hunk 1 (line 1); it was made for another version" in says
        assert "mm/oom.c is not in the tree" in one_line(kernels(verb, f"tree:{tree}+{tmp_path}/gone.patch"), 4)
        twice = f"tree:{tree}+{tmp_path}/fix.patch+{tmp_path}/fix.patch"
        assert "; the tree already has it" in one_line(kernels(verb, twice), 4)
    good = kernels("check", f"tree:{tree}+{tmp_path}/fix.patch")
    assert "applies to mm/oom_kill.c" in good.stdout
    assert "config: has what a guest needs" in good.stdout


@pytest.mark.parametrize(
    ("remove", "says"),
    [("Makefile", "no Makefile with VERSION"), ("mm/oom_kill.c", "has no mm/oom_kill.c"), ("", "is not a directory")],
)
def test_what_is_no_kernel_tree_is_refused(kernels, tree, remove, says):
    shutil.rmtree(tree) if not remove else (tree / remove).unlink()
    assert says in one_line(kernels("build", f"tree:{tree}"), 2)


def test_a_ref_of_what_is_no_repository(kernels, tree):
    assert "is not a git repository, so it has no 'v1'" in one_line(kernels("build", f"tree:{tree}@v1"), 2)


def test_a_missing_tool_is_told_with_the_line_that_installs_it(kernels, tree, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("gcc", "cc1", "as", "ld", "make", "bc", "patch", "perl", "xz", "tar", "git", "sh", "dpkg"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    says = one_line(kernels("build", f"tree:{tree}", PATH=str(tools)), 3)
    assert "not installed: bison, flex; apt-get install --no-install-recommends bison flex" in says


def test_an_image_is_kept_as_it_was(kernels, tmp_path):
    image = tmp_path / "bzImage"
    image.write_bytes(bytes(0x202) + b"HdrS" + bytes(8) + b"\x00\x10" + bytes(0x1000) + b"6.1.7-mine (a@b)\0")
    content = bytearray(image.read_bytes())
    content[0x1200:0x1211] = b"6.1.7-mine (a@b)\0"
    image.write_bytes(content)
    done = kernels("build", f"image:{image}")
    kept = done.stdout.split()[-1]
    assert Path(kept).read_bytes() == bytes(content)
    assert "its config is not known" in done.stderr
    assert "Linux 6.1.7-mine" in kernels("show", f"image:{image}").stdout
    assert "not checked: its config is not known" in kernels("check", f"image:{image}").stdout
    image.write_bytes(b"\x7fELF" + bytes(1000))
    assert "is not a bzImage; name arch/x86/boot/bzImage" in one_line(kernels("build", f"image:{image}"), 2)
    assert "cannot read kernel image" in one_line(kernels("build", f"image:{tmp_path}/nowhere"), 2)


def test_host_is_nothing_to_be_built(kernels, oomtrial):
    assert "host is the running kernel" in one_line(kernels("build", "host"), 2)
    mixed = oomtrial("run", "--kernel", "host", "--kernel", "debian:6.1")
    assert "host and debian:6.1 cannot be arms of one run" in one_line(mixed, 2)


@pytest.mark.parametrize(
    ("said", "absent"),
    [
        ("Failed to fetch http://127.0.0.1:40412/x.deb  404  Not Found [IP: 127.0.0.1 40412]", True),
        ("Failed to fetch file:/x/y.deb  File not found - /x/y.deb (2: No such file or directory)", True),
        ("Failed to fetch http://127.0.0.1:40412/pool/4404.deb  Hash Sum mismatch", False),
    ],
)
def test_a_404_is_a_status_and_no_part_of_an_address(said, absent):
    assert (apt._ABSENT.search(said) is not None) == absent


def image(name, version, *depends):
    return Package(f"linux-image-{name}", version, "0", depends)


def test_the_newest_package_of_the_best_flavour_comes_first(monkeypatch):
    offered = [
        image("6.1.0-9-cloud-amd64", "6.1.27-1"),
        image("6.1.0-56-cloud-amd64", "6.1.192-2"),
        image("6.1.0-57-amd64", "6.1.193-1"),
        image("6.1.0-58-cloud-amd64-unsigned", "6.1.194-1"),
        image("6.1.0-58-rt-amd64", "6.1.194-1"),
        image("6.1.0-58-cloud-amd64-dbg", "6.1.194-1"),
        image("cloud-amd64", "6.1.194-1"),
        image("6.12.9+deb12-cloud-amd64", "6.12.9-1~bpo12+1"),
        image("6.12.117+deb12-cloud-amd64", "6.12.117-1~deb12u1"),
        image("7.3-cloud-amd64", "7.3~rc7-1~exp1"),
        image("7.3-rc8-cloud-amd64", "7.3~rc8-1~exp1"),
        image("7.4.1+deb13-cloud-amd64", "7.4.1-1", "linux-binary-7.4.1+deb13-cloud-amd64"),
    ]
    monkeypatch.setattr(offers, "host_packages", lambda: offered)

    def meant(wanted):
        found = offers._best(offered, rank_debian(wanted))
        return found and found.version

    assert meant("6.1") == "6.1.192-2"
    assert meant("6.1.0-57") == meant("6.1.193") == "6.1.193-1"
    assert meant("6.1.0-9") == "6.1.27-1"
    assert meant("6.12") == meant("6.12.117") == meant("6.12.117+deb12") == "6.12.117-1~deb12u1"
    assert meant("6.12.9-1~bpo12+1") == "6.12.9-1~bpo12+1"
    assert meant("6.12.11") is None
    assert meant("7.3") == meant("7.3~rc7") == "7.3~rc7-1~exp1"
    assert meant("7.4") is None  # the rest of it is not offered
    offered.append(image("7.3.1+deb14-amd64", "7.3.1-1"))
    assert meant("7.3") == "7.3.1-1"


def module(*needs):
    return b"\x7fELF..\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0intree=Y\0"


def test_modules_are_loaded_after_what_they_depend_on(tmp_path):
    assert depends(module("a", "b-c")) == ["a", "b_c"]
    assert depends(module()) == []
    files = {"virtio_net": ["net_failover"], "net_failover": ["failover"], "failover": [], "overlay": ["virtio"]}
    for name, needs in files.items():
        (tmp_path / f"{name.replace('_', '-')}.ko").write_bytes(module(*needs))
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\n")
    order = [name for name, _ in loading_order(tmp_path, ["overlay", "virtio_net"])]
    assert order == ["overlay", "failover", "net_failover", "virtio_net"]


def test_the_archive_is_one_that_cpio_reads():
    if not shutil.which("cpio"):
        pytest.skip("cpio is not installed: apt-get install cpio")
    archive = make_archive(b"#!", [("b", b"1"), ("a", b"22")])
    shown = subprocess.run(["cpio", "-t", "--quiet"], input=archive, capture_output=True, check=True).stdout.decode()
    assert shown.split() == ["dev", "dev/console", "root", "modules", "init", "modules/000-b", "modules/001-a"]
    assert make_archive(b"#!", [("b", b"1"), ("a", b"22")]) == archive


def test_prune_removes_halves_and_what_is_old_and_nothing_else(kernels, tree, tmp_path):
    cache = tmp_path / "cache"
    kernels("build", f"tree:{tree}")
    (record,) = cache.glob("kernels/*/kernel.json")
    half = cache / "kernels/0123456789abcdef"
    half.mkdir()
    (half / "bzImage").write_bytes(b"x" * 100_000)
    assert "would remove" in kernels("prune", "--dry-run").stdout
    assert half.exists()
    done = kernels("prune")
    assert f"removed {half} (0.1 MiB): an unfinished build" in done.stdout
    assert not half.exists()
    assert record.exists()
    long_ago = time.time() - 40 * 86400
    os.utime(record, (long_ago, long_ago))
    assert "not used for 40 days" in kernels("prune").stdout
    assert not record.exists()


def test_prune_leaves_what_is_in_use(kernels, tree, tmp_path):
    kernels("build", f"tree:{tree}")
    (record,) = (tmp_path / "cache").glob("kernels/*/kernel.json")
    held = hold_kernel(read_record(record.parent))
    try:
        assert f"kept {record.parent}: in use" in kernels("prune", "--older-than", "0").stdout
        assert record.exists()
    finally:
        os.close(held)
    assert "removed" in kernels("prune", "--older-than", "0").stdout
    assert not record.exists()


def test_list_names_what_the_cache_holds(kernels, tree):
    kernels("build", f"tree:{tree}")
    shown = kernels("list", "--offline").stdout
    assert "debian:" in shown
    assert "source:" in shown
    assert "tree:" in shown
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []
    assert (
        len(re.findall(r"^ wait-for-victim +[\d., ]+$", shown, re.MULTILINE)) == 1
    )  # a row for each patch, not for each kernel


def test_a_full_disk_is_told_and_leaves_no_kernel(kernels, tree, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False).returncode
    ):
        pytest.skip("a full disk is a small tmpfs here: run the tests as root, where mount(8) is allowed")
    try:
        says = one_line(kernels("build", f"tree:{tree}", OOMTRIAL_CACHE=str(small / "cache")), 3)
        assert "needs 4096 MiB" in says
        assert "MiB are free; make room there" in says
        assert not list(small.glob("cache/kernels/*"))
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("log", "kind", "says"),
    [
        ("fatal error: cannot write: No space left on device\n", HostError, "is full: x could not be built; make room"),
        ("/bin/sh: 1: bison: not found\n", HostError, "bison is not installed"),
        ("mm/a.c:7:1: error: no\nmm/b.c:1:1: error: nor\n", BuildError, "x does not compile: mm/a.c:7:1: no; log"),
        (
            "In file:\ninc/a.h:3:9: fatal error: b.h: No such file or directory\n",
            BuildError,
            "inc/a.h:3:9: b.h: No such",
        ),
        ("ld: mm/a.o: undefined reference to `b'\n", BuildError, "x cannot be built: mm/a.o: undefined reference"),
        ("make[1]: *** No rule to make target 'c'.  Stop.\n", BuildError, "x cannot be built: No rule to make target"),
        ("Killed\n", BuildError, "x cannot be built: make ended with status 2"),
    ],
)
def test_the_first_error_of_a_build_is_the_one_that_is_told(log, kind, says):
    error = build._explained(log, 2, "x", Path("build.log"))
    assert isinstance(error, kind)
    assert says in str(error)


def test_a_series_of_mails_is_built_in_order(kernels, tree, tmp_path):
    series = tmp_path / "series.d"
    series.mkdir()
    head = "From {} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH {}/2] x\n\n---\n"
    (series / "0001-a.patch").write_text(head.format("a" * 40, 1) + FIX + "-- \n2.39\n")
    second = FIX.replace("-int two;", "-int fixed;").replace("+int fixed;", "+int fixed_twice;")
    (series / "0002-b.patch").write_text(head.format("b" * 40, 2) + second + "-- \n2.39\n")
    assert "int fixed_twice;" in built(kernels("build", f"tree:{tree}+{series}"))
    (tmp_path / "b4.mbx").write_text("".join(path.read_text() for path in sorted(series.iterdir(), reverse=True)))
    assert "int fixed_twice;" in built(kernels("build", f"tree:{tree}+{tmp_path}/b4.mbx"))
    (series / "series").write_text("0002-b.patch\n0001-a.patch\n")
    says = one_line(kernels("check", f"tree:{tree}+{series}"), 4)
    assert "series.d/0002-b.patch does not apply" in says


def test_a_patch_that_moves_and_removes_files_is_taken_back(tree, tmp_path):
    moving = """diff --git a/mm/page_alloc.c b/mm/pages.c
similarity index 50%
rename from mm/page_alloc.c
rename to mm/pages.c
--- a/mm/page_alloc.c
+++ b/mm/pages.c
@@ -1 +1 @@
-int page;
+int pages;
diff --git a/Kconfig b/Kconfig
deleted file mode 100644
index e69de29..0000000
"""
    path = tmp_path / "move.patch"
    path.write_text(moving)
    before = {name: digest for name, (_, _, digest) in look(tree).items()}
    lay_over(tree, load_patches(str(path), "6.1"), "here")
    assert (tree / "mm/pages.c").read_text() == "int pages;\n"
    assert not (tree / "mm/page_alloc.c").exists()
    assert not (tree / "Kconfig").exists()
    restore(tree)
    assert {name: digest for name, (_, _, digest) in look(tree).items()} == before


def test_two_at_once_build_once(tree, tmp_path):
    environment = {**os.environ, "OOMTRIAL_CACHE": str(tmp_path / "cache")}
    argv = command("kernels", "build", f"tree:{tree}")
    both = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert ended[0][0] == ended[1][0]
    assert sum(errors.count("build tree:") for _, errors in ended) == 2  # begun and done, by one of them
