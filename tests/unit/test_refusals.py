"""What is refused in one line before a minute is spent, and no traceback."""

import os

import pytest

from tests.kerneltree import make_tree

LATIN = os.fsdecode(b"caf\xe9")


def one_line(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_an_out_that_is_no_utf8(oomtrial, tmp_path):
    done = oomtrial(
        "run", "--kernel", "debian:6.1", "--rounds", 1, "--boots", 1, "--out", f"{tmp_path}/{LATIN}", timeout=60
    )
    assert "is not UTF-8; choose another --out" in one_line(done, 2)


def test_a_cache_that_is_no_utf8(oomtrial, tmp_path):
    tree = make_tree(tmp_path / "linux")
    done = oomtrial("kernels", "build", f"tree:{tree}", env={"OOMTRIAL_CACHE": f"{tmp_path}/{LATIN}"})
    assert "is not UTF-8; set OOMTRIAL_CACHE" in one_line(done, 3)


def test_a_tree_that_is_no_utf8(oomtrial, tmp_path):
    tree = make_tree(tmp_path / LATIN)
    done = oomtrial("kernels", "build", f"tree:{tree}", env={"OOMTRIAL_CACHE": str(tmp_path / "cache")})
    assert "not UTF-8" in one_line(done, 2)


@pytest.mark.parametrize(("soft", "hard", "is_refused"), [(24, 24, True), (24, 4096, False)])
def test_a_run_that_may_open_too_few_files_is_refused(oomtrial, tmp_path, soft, hard, is_refused):
    """With 24 it hung until it was interrupted."""
    done = oomtrial(
        "run", "--kernel", f"tree:{tmp_path}", "--rounds", 1, "--boots", 1, "--out", tmp_path / "out",
        env={"OOMTRIAL_CACHE": str(tmp_path / "cache")}, timeout=60, open_files=(soft, hard),
    )  # fmt: skip
    if is_refused:
        assert "the limit here is 24; ulimit -n 1024" in one_line(done, 3)
    else:
        assert "is not a kernel tree" in one_line(done, 2)
