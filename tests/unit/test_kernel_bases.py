"""Kernels of a person's own: a tree is only read, its copy follows it, and what is wrong is said in one line."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.errors import BuildError, HostError
from harness.kernels import apt, build, offers, toolchain
from harness.kernels.apt import Package
from harness.kernels.debian import rank_debian
from harness.kernels.initramfs import depends, loading_order, make_archive
from harness.kernels.overlay import lay_over, restore
from harness.kernels.patches import load_patches
from tests.kerneltree import FIX


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


def git(tree, *arguments):
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", "-C", tree, *arguments], check=True, capture_output=True, env={**os.environ, **who})


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


def test_a_patch_through_a_link_is_refused(kernels, tree, tmp_path):
    (tmp_path / "fix.patch").write_text(FIX.replace("mm/", "Documentation/"))
    done = kernels("build", f"tree:{tree}+{tmp_path}/fix.patch")
    assert "Documentation is a symbolic link" in one_line(done, 4)


def test_a_failure_of_git_is_reported_in_its_own_words(kernels, tree, oomtrial, tmp_path):
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


def test_what_is_no_config_fragment_is_refused(kernels, tree, tmp_path):
    own = tmp_path / "own.config"
    own.write_text("CONFIG_A=y\nMEMCG=n\n")
    assert "own.config:2 is not a line of a kernel config: 'MEMCG=n'" in one_line(
        kernels("show", f"tree:{tree}", "--config", own), 2
    )
    assert "cannot read config fragment nowhere: No such file" in one_line(
        kernels("show", f"tree:{tree}", "--config", "nowhere"), 2
    )


@pytest.mark.parametrize(
    ("remove", "says"),
    [("Makefile", "no Makefile with VERSION"), ("mm/oom_kill.c", "has no mm/oom_kill.c"), ("", "is not a directory")],
)
def test_what_is_no_kernel_tree_is_refused(kernels, tree, remove, says):
    shutil.rmtree(tree) if not remove else (tree / remove).unlink()
    assert says in one_line(kernels("build", f"tree:{tree}"), 2)


def test_a_ref_of_what_is_no_repository(kernels, tree):
    assert "is not a git repository, so it has no 'v1'" in one_line(kernels("build", f"tree:{tree}@v1"), 2)


def test_a_missing_tool_is_reported_with_the_line_that_installs_it(kernels, tree, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("gcc", "cc1", "as", "ld", "make", "bc", "patch", "perl", "xz", "tar", "git", "sh", "dpkg"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    says = one_line(kernels("build", f"tree:{tree}", PATH=str(tools)), 3)
    assert "not installed: bison, flex; apt-get install --no-install-recommends bison flex" in says


def test_a_missing_header_is_reported_with_the_package_that_has_it(monkeypatch):
    monkeypatch.setattr(toolchain, "COMMANDS", ("gcc",))
    monkeypatch.setattr(
        toolchain, "_HEADERS", {"stddef.h": "one-dev", "no/such.h": "other-dev", "limits.h": "third-dev"}
    )
    with pytest.raises(HostError) as raised:
        toolchain.require_toolchain()
    said = str(raised.value)
    assert "not installed: no/such.h" in said
    assert "other-dev" in said
    assert "one-dev" not in said
    assert "third-dev" not in said
    monkeypatch.setattr(toolchain, "_HEADERS", {"stddef.h": "one-dev", "limits.h": "third-dev"})
    toolchain.require_toolchain()


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


def test_an_image_that_may_never_end_is_refused(oomtrial, tmp_path):
    """/dev/zero once took all memory."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        assert f"kernel image {path} is not a file" in one_line(
            oomtrial("kernels", "build", f"image:{path}", timeout=60), 2
        )


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


def test_a_full_disk_is_reported_and_leaves_no_kernel(kernels, tree, tmp_path):
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
def test_the_first_error_of_a_build_is_the_one_that_is_reported(log, kind, says):
    error = build._explained(log, 2, "x", Path("build.log"))
    assert isinstance(error, kind)
    assert says in str(error)


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
