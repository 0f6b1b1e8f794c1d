"""Patches in a tree: applied aside first, then laid over the tree, and always taken back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import BuildError
from ..system.paths import cache_dir, content_key
from ..system.process import run
from .manifest import blob_id
from .patches import Patch

_ABSENT = ".oomtrial-absent"
# --fuzz=0: a hunk that lands only by guessing is not the patch that was asked for.
_PATCH = ("patch", "-p1", "--batch", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-")


def _saved(tree: Path) -> Path:
    """Originals of patched files. What stands here is put back before anything else, even after a SIGKILL."""
    return tree / ".oomtrial-originals"


def restore(tree: Path) -> None:
    """Takes every patch back."""
    saved = _saved(tree)
    for original in sorted(saved.rglob("*")):
        if original.is_file():
            target = tree / original.relative_to(saved)
            if original.suffix == _ABSENT:
                target.with_suffix("").unlink(missing_ok=True)
            else:
                # a fresh time stamp, so that make sees the change
                shutil.copy(original, target)
    shutil.rmtree(saved, ignore_errors=True)


def try_patches(tree: Path, patches: Iterable[Patch], where: str) -> None:
    """Says whether patches apply, one upon the other, to a tree that has none; the tree is only read.

    Raises BuildError, naming file and hunk, when one does not.
    """
    with tempfile.TemporaryDirectory(prefix="oomtrial-patch-") as scratch:
        _apply_aside(tree, patches, Path(scratch), where)


@dataclass(frozen=True)
class Laid:
    """What patches made of the files they touch: git's names of the contents, None for a file that is gone."""

    blobs: dict[str, str | None]

    def require_unchanged(self, tree: Path) -> None:
        """Raises BuildError when one of the files is not what it was when the build began: then the kernel is not, either."""
        for name, blob in self.blobs.items():
            if _blob_of(tree / name) != blob:
                raise BuildError(f"{tree / name} changed while it was built", "nothing was kept; try again")


def _blob_of(path: Path) -> str | None:
    try:
        return blob_id(path.read_bytes())
    except FileNotFoundError:
        return None


def lay_over(tree: Path, patches: Iterable[Patch], where: str) -> Laid:
    """Puts patches into a tree that has none. Nothing is changed unless all of them apply.

    Raises BuildError, naming file and hunk, when one does not.
    """
    with tempfile.TemporaryDirectory(prefix="oomtrial-patch-") as scratch:
        patched = Path(scratch)
        names = _apply_aside(tree, patches, patched, where)
        if not names:
            return Laid({})
        saved = _saved(tree)
        being_saved = saved.with_name(f"{saved.name}.new")
        shutil.rmtree(being_saved, ignore_errors=True)
        for name in names:
            keep = being_saved / name
            keep.parent.mkdir(parents=True, exist_ok=True)
            if (tree / name).is_file():
                shutil.copy(tree / name, keep)
            else:
                keep.with_name(f"{keep.name}{_ABSENT}").touch()
        # All originals at once: a part of them, or half a file, must never be put back.
        being_saved.rename(saved)
        laid = Laid({name: _blob_of(patched / name) for name in names})
        for name in names:
            if (patched / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(patched / name, tree / name)
            else:
                (tree / name).unlink(missing_ok=True)
        return laid


def _apply_aside(tree: Path, patches: Iterable[Patch], scratch: Path, where: str) -> list[str]:
    """Applies patches to copies of the files they touch, and returns those files' names."""
    names: dict[str, None] = {}
    for patch in patches:
        for name in patch.targets():
            if link := _link_on_the_way(tree, name):
                raise BuildError(
                    f"patch {patch.name} touches {name}: {link} is a symbolic link", "patch what it points to"
                )
            if name not in names and (tree / name).is_file():
                (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(tree / name, scratch / name)
            names[name] = None
        _apply_one(patch, scratch, where)
    return list(names)


def _link_on_the_way(tree: Path, name: str) -> str | None:
    """A part of a file's path that is a link: what is written there lands elsewhere."""
    parts = (name, *map(str, PurePosixPath(name).parents))
    return next((part for part in reversed(parts) if part != "." and (tree / part).is_symlink()), None)


def _apply_one(patch: Patch, scratch: Path, where: str) -> None:
    log = cache_dir() / "logs" / f"patch-{content_key(patch.content)}.log"
    log.unlink(missing_ok=True)
    diff = scratch / ".oomtrial-diff"
    diff.write_bytes(patch.content)
    argv = [*_PATCH, "-i", diff.name]
    if run([*argv, "--forward"], log=log, deadline_s=60, cwd=scratch):
        reason = explain_failure(log.read_text(errors="replace"))
        hint = patch.note or "it is made for another version, or goes on top of other patches"
        if run([*argv, "--reverse", "--dry-run"], log=log, deadline_s=60, cwd=scratch) == 0:
            hint = "the tree has it already"
        raise BuildError(f"patch {patch.name} does not apply to {where}: {reason}", f"{hint}; log: {log}")
    diff.unlink()


def explain_failure(output: str) -> str:
    """The first file and hunk that patch(1) could not place."""
    current = "?"
    lines = output.splitlines()
    for position, line in enumerate(lines):
        if line.startswith(("checking file ", "patching file ")):
            current = line.split(" ", 2)[2]
        elif line.startswith("Hunk #") and " FAILED at " in line:
            number, _, at = line.removeprefix("Hunk #").partition(" FAILED at ")
            return f"{current}, hunk {number} (line {at.rstrip('.')})"
        elif line.startswith("can't find file to patch"):
            following = [other for other in lines[position:] if other.startswith(("|--- ", "|+++ "))]
            missing = following[0].split()[1].split("/", 1)[-1] if following else "a file"
            return f"{missing} is not in the tree"
        elif line.startswith("Reversed (or previously applied) patch detected"):
            return f"{current}, hunk 1 is already there"
        elif "git binary diffs are not supported" in line:
            return f"{current} is a binary file"
    return lines[-1].strip() if lines else "unknown reason"
