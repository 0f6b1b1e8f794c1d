"""A git history of kernels, for `oomtrial bisect --tree`: a commit for each kernel spec, in the order given.

    python benchmarks/versionhistory.py DIR 6.18 6.19.8 7.3                              # Debian's sources, by version
    python benchmarks/versionhistory.py DIR source:7.3+see-exiting-victims neutral source:7.3   # one change among others

`neutral` is a commit that changes a comment. The first commit has the tag `first`, the last one `last`; a bare version has the
tag `vVERSION`. Nothing is checked out: the files go from the tree in the cache into git's object store, 0.4 GB a
version. The same sources give the same commit IDs. A kernel that cannot be had is told in a line, and left out.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BuildError, OomtrialError, UsageError
from harness.kernels.build import BuildPlan
from harness.kernels.kernel import wait_for
from harness.kernels.overlay import lay_over, restore
from harness.kernels.plan import plan_kernel
from harness.kernels.tree import find_tree
from harness.progress import Reporter
from harness.spec.kernel import KernelSpec, parse_kernel_spec

NEUTRAL = "neutral"
_BARE = re.compile(r"\d+\.\d+\S*")
_OWN_FILES = ".oomtrial-"  # in the trees of the cache
# Compiled into every kernel with oomtrial's config, so that a neutral commit is a build too.
_REVIEWED = ("mm/mremap.c", "fs/read_write.c", "mm/madvise.c", "kernel/fork.c")
_GIT_ENV = {
    "GIT_AUTHOR_NAME": "oomtrial",
    "GIT_AUTHOR_EMAIL": "oomtrial@localhost",
    "GIT_COMMITTER_NAME": "oomtrial",
    "GIT_COMMITTER_EMAIL": "oomtrial@localhost",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
_FIRST_DATE = 1_000_000_000  # of the first commit; each next one is a second later


@dataclass
class History:
    """A repository that only grows; its index is the tree of the last commit."""

    path: Path
    commits: int = 0

    def begin(self) -> None:
        """Raises UsageError where something is already."""
        if self.path.exists() and any(self.path.iterdir()):
            raise UsageError(f"{self.path} is not empty", "choose another directory")
        self.path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "core.looseCompression", "1")
        self.git("config", "gc.auto", "0")

    def git(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        argv = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(
            argv, input=stdin, capture_output=True, check=False, env={**os.environ, **_GIT_ENV, **(env or {})}
        )
        if done.returncode:
            raise BuildError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def take_tree(self, tree: Path, names: Sequence[str]) -> None:
        """Puts files of a tree into the index, in place of what is there."""
        self.git("read-tree", "--empty")
        where = {"GIT_DIR": str(self.path.resolve() / ".git"), "GIT_WORK_TREE": str(tree)}
        listed = "\0".join(names).encode()
        # not `git add`, which matches each file against all names, and would ask Debian's .gitignore
        argv = ["git", "-C", str(tree), "update-index", "--add", "-z", "--stdin"]
        done = subprocess.run(
            argv, input=listed, capture_output=True, check=False, env={**os.environ, **_GIT_ENV, **where}
        )
        if done.returncode:
            raise BuildError(f"git update-index failed: {done.stderr.decode(errors='replace').strip()}")

    def change_comment(self, number: int) -> str:
        """Adds a comment to a file of the index. Returns the file's name."""
        present = self.git("ls-files", "-z", *_REVIEWED).decode().split("\0")
        names = [name for name in _REVIEWED if name in present]
        if not names:
            raise UsageError("a neutral commit needs a kernel before it", f"a tree with one of {', '.join(_REVIEWED)}")
        name = names[number % len(names)]
        content = (
            self.git("show", f":{name}") + f"/* {self.commits} reviews say that this is as it should be */\n".encode()
        )
        blob = self.git("hash-object", "-w", "--stdin", stdin=content).decode().strip()
        self.git("update-index", "--cacheinfo", f"100644,{blob},{name}")
        return name

    def commit(self, subject: str, *tags: str) -> str:
        """Returns the commit's ID."""
        date = f"{_FIRST_DATE + self.commits} +0000"
        parent = ["-p", "HEAD"] if self.commits else []
        tree = self.git("write-tree").decode().strip()
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        commit = self.git("commit-tree", tree, *parent, stdin=subject.encode(), env=dates).decode().strip()
        self.git("update-ref", "HEAD", commit)
        for tag in ("last", *tags, *([] if self.commits else ["first"])):
            self.git("tag", "--force", tag, commit)
        self.commits += 1
        return commit


def add_kernel(history: History, text: str, progress: Reporter) -> str:
    """A commit of the sources of a kernel spec, or of Debian's source of a bare version. Returns its line.

    Raises BuildError when it cannot be had, UsageError when it is built from no source.
    """
    is_bare = _BARE.fullmatch(text) is not None
    plan = plan_kernel(parse_kernel_spec(f"source:{text}" if is_bare else text), progress)
    if not isinstance(plan, BuildPlan):
        raise UsageError(f"{text} has no source to commit", "give source:VERSION or tree:PATH, or a bare version")
    base = plan.base
    with wait_for(base.lock(), base.name, progress):
        restore(base.tree)
        base.fetch(progress)
        lay_over(base.tree, plan.patches, base.name)
        try:
            tree = find_tree(KernelSpec(f"tree:{base.tree}", "tree", str(base.tree)), progress)
            with progress.task(f"commit {text}"):
                history.take_tree(base.tree, [name for name in tree.manifest if not name.startswith(_OWN_FILES)])
        finally:
            restore(base.tree)
    patches = "".join(f" with {patch.name}" for patch in plan.patches)
    subject = f"{plan.source}{patches}"  # says the version
    tags = [f"v{text.replace('~', '-')}"] if is_bare else []  # git allows no ~ in a name
    return f"{history.commit(subject, *tags)[:12]} {subject}"


def add_neutral(history: History) -> str:
    name = history.change_comment(history.commits)
    subject = f"{name}: say that it was reviewed"
    return f"{history.commit(subject)[:12]} {subject}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("kernels", nargs="+", metavar="SPEC", help=f"a version, a kernel spec, or {NEUTRAL}")
    asked = parser.parse_args(arguments)
    history = History(asked.directory)
    try:
        history.begin()
        with Reporter() as progress:
            for text in asked.kernels:
                try:
                    line = add_neutral(history) if text == NEUTRAL else add_kernel(history, text, progress)
                except BuildError as error:
                    progress.say(f"left out: {text}: {error.what}")
                else:
                    print(line, flush=True)
    except OomtrialError as error:
        print(f"versionhistory: {error}", file=sys.stderr)
        return error.exit_code
    if history.commits < 2:
        print("versionhistory: fewer than two commits: there is nothing to bisect", file=sys.stderr)
        return BuildError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
