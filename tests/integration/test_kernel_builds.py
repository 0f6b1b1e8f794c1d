"""Kernels of a person's own tree are built with make and gcc: the copy follows the tree, and no build is of anything else.

What is refused before a build: tests/unit/test_kernel_bases.py.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.kernels.kernel import hold_kernel, read_record
from tests.conftest import command
from tests.kerneltree import FIX, OOM_KILL
from tests.unit.conftest import oomtrial, serve  # noqa: F401
from tests.unit.test_kernel_bases import git, look, one_line


def built(done):
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[-1]).read_text()


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


def test_a_link_that_has_become_a_directory_is_not_written_through(kernels, tree, tmp_path):
    built(kernels("build", f"tree:{tree}"))
    (tree / "Documentation").unlink()
    (tree / "Documentation").mkdir()
    (tree / "Documentation/page_alloc.c").write_text("int of_the_documentation;\n")
    (tree / "mm/oom_kill.c").write_text("int changed;\n")
    assert built(kernels("build", f"tree:{tree}")) == "int changed;\n"
    (copy,) = (path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir())
    assert (copy / "mm/page_alloc.c").read_text() == "int page;\n"


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


def test_a_users_config_is_merged_and_what_did_not_take_is_reported(kernels, tree, tmp_path):
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
    # A row for each patch, not for each kernel.
    assert len(re.findall(r"^ wait-for-victim +[\d., ]+$", shown, re.MULTILINE)) == 1


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
