"""A user's kernel tree: read, never modified. Changed files are copied into the cache, where the copy is built.

What belongs to the tree is what git would say: tracked files, and others that no .gitignore names. So a tree that was
built in place is copied without its objects, and a tree that is no repository is read the same way.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from ..errors import BuildError, HostError, UsageError
from ..progress import Reporter, Task
from ..spec.kernel import KernelSpec
from ..system.paths import cache_dir, content_key, require_room
from ..system.process import CommandError, output_of, start
from .base import makefile_release, makefile_version
from .manifest import Entry, Manifest, blob_id, link_text, read_entries, read_manifest, write_manifest

_TREE_BYTES = 4 << 30  # the copy and a build with oomtrial's config
_GIT_DEADLINE_S = 300
# git must neither refresh the index of the user's tree, nor prompt, nor fetch what a partial clone lacks.
_GIT_ENV = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",  # 2.45 and later; what is before may use no protocol
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
# Nor run programs that the configuration of the tree names.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false")
# What a build leaves at the top of a tree.
_TOP_PRODUCT = re.compile(r"\.[^/]*|vmlinux[^/]*|System\.map|[Mm]odules?[-.][^/]*|[^/]*\.[oa]")
_OWN_FILES = ".oomtrial-"  # at the top of a copy
_LOOKS_LIKE = ("Kconfig", "mm/oom_kill.c", "scripts/kconfig/merge_config.sh", "arch/x86/Makefile")


@dataclass(frozen=True)
class Tree:
    """A snapshot of a tree: its files as they are, or those of one commit."""

    path: Path  # absolute
    ref: str  # as it was typed; empty for the files as they are
    commit: str  # what the ref means; empty likewise
    version: str
    release: str
    manifest: Manifest

    @property
    def name(self) -> str:
        """Path, commit if one was named, and version."""
        return f"{self.path}{f' at {self.ref} ({self.commit[:12]})' if self.ref else ''}, Linux {self.version}"

    @cached_property
    def identity(self) -> str:
        """Content key of the files, as `Base.identity`."""
        return content_key(*(part for path, entry in sorted(self.manifest.items()) for part in (path, *entry)))

    @property
    def tree(self) -> Path:
        """Copy of the tree in the cache, one per path: commits and states follow each other in it, so make is incremental."""
        return cache_dir() / "trees" / f"tree-{content_key(str(self.path))}"

    def lock(self) -> FileLock:
        """The lock of the copy, as `Base.lock`."""
        return FileLock(f"{self.tree}.lock")

    def fetch(self, progress: Reporter) -> None:
        """Copies the files that changed since the last time, and removes those that are gone from the tree.

        Raises BuildError when the tree changes meanwhile, HostError when there is no room.
        """
        have = read_manifest(self.tree)
        changed = {path: entry for path, entry in self.manifest.items() if have.get(path) != entry}
        gone = have.keys() - self.manifest.keys()
        if not changed and not gone:
            return
        if not have:
            require_room(self.tree.parent, _TREE_BYTES, f"a copy of {self.path}")
        self.tree.mkdir(parents=True, exist_ok=True)
        # Whatever happens from here on, these are copied again next time.
        write_manifest(self.tree, have | {path: Entry("", "") for path in changed})
        with progress.task(f"copy {self.path}", total=len(changed)) as task:
            for path in gone:
                (self.tree / path).unlink(missing_ok=True)
            try:
                if self._version_of_copy() not in (None, self.version):
                    self._remove_products()
                self._copy(changed, task)
            except OSError as error:
                raise HostError(
                    f"cannot copy {self.path} to {self.tree}: {error.strerror}", "make room, or set OOMTRIAL_CACHE"
                ) from error
        write_manifest(self.tree, self.manifest)
        # The copy states what it is, for a reader.
        progress.say(f"{len(changed)} files of {self.path} copied, {len(gone)} removed")

    def _version_of_copy(self) -> str | None:
        makefile = self.tree / "Makefile"
        return makefile_version(makefile.read_text(errors="replace")) if makefile.is_file() else None

    def _remove_products(self) -> None:
        """Leaves nothing that a build of another version made: headers that it generated would be found by this one, and
        a directory of its objects may stand where this one has a file. Nothing is lost, because make would build all of it again.
        """
        for directory, names, files in os.walk(self.tree, topdown=False):
            here = Path(directory)
            for name in (*files, *(name for name in names if (here / name).is_symlink())):
                path = here / name
                is_ours = here == self.tree and name.startswith(_OWN_FILES)
                if not is_ours and str(path.relative_to(self.tree)) not in self.manifest:
                    path.unlink()
            if here != self.tree:
                with contextlib.suppress(OSError):
                    here.rmdir()  # where nothing is left in it

    def _copy(self, changed: Manifest, task: Task) -> None:
        top = self.tree.resolve()
        contents = _blobs(self.path, changed) if self.commit else _files(self.path, changed)
        for done, (path, content) in enumerate(contents):
            entry = changed[path]
            if not self.commit and blob_id(content) != entry.blob:
                raise BuildError(f"{self.path / path} changed during the copy", "try again")
            _put(self.tree, path, entry, content)
            task.update(done=done + 1)
        for path, entry in changed.items():
            if entry.is_link and not (end := (self.tree / path).resolve()).is_relative_to(top):
                (self.tree / path).unlink()
                raise BuildError(f"{path} of {self.path} is a link out of the tree, to {end}", "remove the link")


def _put(tree: Path, name: str, entry: Entry, content: bytes) -> None:
    """Writes one file of a copy, never through a link: the path may have been one before."""
    target = tree / name
    for parent in reversed(target.relative_to(tree).parents[:-1]):
        if (tree / parent).is_symlink() or (tree / parent).is_file():
            (tree / parent).unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)  # what was tracked in it is gone already
    elif target.is_symlink() or entry.is_link:
        target.unlink(missing_ok=True)
    if entry.is_link:
        target.symlink_to(os.fsdecode(content))
    else:
        target.write_bytes(content)
        target.chmod(0o755 if entry.is_executable else 0o644)


def find_tree(spec: KernelSpec, progress: Reporter) -> Tree:
    """Reads what ``tree:PATH[@REF]`` names.

    Raises UsageError when that is not a kernel tree, or has no such ref.
    """
    path = spec.path
    if not path.is_dir():
        raise UsageError(f"{path} is not a directory", "write tree:PATH of a kernel tree")
    path = path.resolve()
    if spec.ref:
        return _at_commit(spec, path)
    text = require_kernel_tree(path, spec.argument)
    version = makefile_version(text)
    with progress.task(f"read {path}") as task:
        manifest = read_entries(path, _listed(path), lambda done: task.update(done=done))
    assert version is not None
    return Tree(path, "", "", version, makefile_release(text) or version, manifest)


def require_kernel_tree(path: Path, name: str) -> str:
    """The text of the Makefile of a tree that is called `name`.

    Raises UsageError when that is no kernel tree.
    """
    makefile = path / "Makefile"
    text = makefile.read_text(errors="replace") if makefile.is_file() else ""
    _require_kernel(name, makefile_version(text), [name for name in _LOOKS_LIKE if not (path / name).exists()])
    return text


def _require_kernel(path: str, version: str | None, lacking: list[str]) -> None:
    if version is None:
        raise UsageError(
            f"{path} is not a kernel tree: it has no Makefile with VERSION and PATCHLEVEL",
            "name the top directory of a kernel tree",
        )
    if lacking:
        raise UsageError(
            f"{path} is not a kernel tree: it has no {lacking[0]}", "name the top directory of a kernel tree"
        )


class NoRepositoryError(HostError):
    """git finds no repository in a directory."""


def find_commit(path: Path, ref: str) -> str:
    """The commit that a ref of a repository means.

    Raises UsageError when there is no such commit, NoRepositoryError, or HostError with git's message when git cannot read it.
    """
    try:
        return _git(path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").strip()
    except CommandError as error:
        if not error.said:  # it is --quiet about nothing else
            raise UsageError(f"{path} has no commit {ref!r}", "look with `git log` or `git tag`") from error
        reason = next((line for line in error.said if line.startswith("fatal: ")), error.said[-1]).removeprefix(
            "fatal: "
        )
        if reason.startswith("not a git repository"):
            raise NoRepositoryError(f"{path} is not a git repository") from error
        way_out = error.said[-1] if error.said[-1].startswith("git config ") else ""
        raise HostError(f"git cannot read {path}: {reason}", way_out) from error


@dataclass(frozen=True)
class Changes:
    """What a tree as it is has beyond its commit."""

    commit: str
    files: list[str]  # relative to the tree
    diff: bytes  # for git apply; empty if a file has changed since the tree was read


def changes_of(tree: Tree) -> Changes:
    """How a tree, as it was read, differs from its commit. git only reads objects here: a `git diff` in the tree would run the
    filters that its configuration names.

    Raises NoRepositoryError where there is no repository, UsageError where it has no commit, or is not at the top of it.
    """
    commit = find_commit(tree.path, "HEAD")
    _require_top(tree.path)
    before = _entries_at(tree.path, commit)
    names = sorted(name for name in before.keys() | tree.manifest.keys() if before.get(name) != tree.manifest.get(name))
    with tempfile.TemporaryDirectory(prefix="oomtrial-diff-") as scratch:
        for side, entries in (("a", before), ("b", tree.manifest)):
            top = Path(scratch) / side
            top.mkdir()
            chosen = {name: entries[name] for name in names if name in entries}
            try:
                for name, content in _blobs(tree.path, chosen) if side == "a" else _files(tree.path, chosen):
                    if blob_id(content) != chosen[name].blob:
                        return Changes(commit, names, b"")
                    _put(top, name, chosen[name], content)
            except BuildError:  # it went away meanwhile
                return Changes(commit, names, b"")
        argv = [*_GIT, "-C", scratch, "diff", "--no-index", "--no-prefix", "--binary", "--no-renames", "a", "b"]
        with start(
            argv, stdout=subprocess.PIPE, env=_GIT_ENV | {"GIT_CEILING_DIRECTORIES": str(Path(scratch).parent)}
        ) as git:
            assert git.stdout is not None
            return Changes(commit, names, git.stdout.read())


def _require_top(path: Path) -> None:
    if prefix := _git(path, "rev-parse", "--show-prefix").strip():
        raise UsageError(f"{path} is not the top of its repository", f"leave out {prefix}")


def _entries_at(path: Path, commit: str) -> Manifest:
    manifest: Manifest = {}
    for line in _git(path, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
        if line:
            about, name = line.split("\t", 1)
            mode, kind, blob = about.split()
            if kind == "blob":  # the kernel has no submodules
                manifest[name] = Entry(mode, blob)
    return manifest


def _at_commit(spec: KernelSpec, path: Path) -> Tree:
    try:
        commit = find_commit(path, spec.ref)
    except NoRepositoryError as error:
        raise UsageError(
            f"{path} is not a git repository, so it has no {spec.ref!r}", f"leave @{spec.ref} out"
        ) from error
    _require_top(path)
    manifest = _entries_at(path, commit)
    makefile = _git(path, "cat-file", "blob", f"{commit}:Makefile") if "Makefile" in manifest else ""
    version = makefile_version(makefile)
    _require_kernel(f"{path} at {spec.ref}", version, [name for name in _LOOKS_LIKE if name not in manifest])
    assert version is not None
    return Tree(path, spec.ref, commit, version, makefile_release(makefile) or version, manifest)


def _listed(path: Path) -> list[str]:
    """Names of the files that belong to a tree as it is."""
    if (path / ".git").exists():
        return _ls_files(path)
    # No repository: an empty one in the cache reads it.
    with tempfile.TemporaryDirectory(prefix="oomtrial-git-") as scratch:
        _git(Path(scratch), "init", "--quiet", "--bare")
        return _ls_files(path, f"--git-dir={scratch}", f"--work-tree={path}")


def _ls_files(path: Path, *where: str) -> list[str]:
    arguments = [*where, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = _git(path, *arguments).split("\0")
    if "Makefile" not in names:
        # Debian's source ignores everything at the top, for the sake of its packaging.
        names = [name for name in _git(path, *arguments, "-x", "!/*").split("\0") if not _TOP_PRODUCT.fullmatch(name)]
    return [name for name in names if name]


def _git(path: Path, *arguments: str) -> str:
    return output_of([*_GIT, "-C", str(path), *arguments], deadline_s=_GIT_DEADLINE_S, env=_GIT_ENV)


def _files(root: Path, changed: Manifest) -> Iterator[tuple[str, bytes]]:
    for path, entry in changed.items():
        source = root / path
        try:
            text = link_text(root, source) if entry.is_link else None
            yield path, source.read_bytes() if text is None else os.fsencode(text)
        except FileNotFoundError as error:
            raise BuildError(f"{source} disappeared during the copy", "try again") from error


def _blobs(repository: Path, changed: Manifest) -> Iterator[tuple[str, bytes]]:
    """Contents from git's object store, in the order in which they were asked for."""
    argv = [*_GIT, "-C", str(repository), "cat-file", "--batch"]
    with tempfile.TemporaryFile() as wanted:
        wanted.write("".join(f"{entry.blob}\n" for entry in changed.values()).encode())
        wanted.seek(0)
        with start(argv, stdin=wanted, stdout=subprocess.PIPE, env=_GIT_ENV) as git:
            assert git.stdout is not None
            for path in changed:
                words = git.stdout.readline().split()
                if len(words) != 3:
                    raise BuildError(f"{repository} has no content for {path}", "its object store is incomplete")
                content = git.stdout.read(int(words[2]))
                git.stdout.read(1)
                yield path, content
