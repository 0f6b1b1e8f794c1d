"""Patches: the project's library, or a person's own files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BuildError, UsageError, unknown
from harness.proc import output_of

LIBRARY = Path(__file__).parent / "patches"
_TARGET = re.compile(r"^(?:---|\+\+\+) (?:[ab]/)?([^\t\n]+)", re.MULTILINE)
_FAILED_FILE = re.compile(r"^(?:checking|patching) file (.+)$")
_FAILED_HUNK = re.compile(r"^Hunk #(\d+) FAILED at (\d+)")


@dataclass(frozen=True)
class Patch:
    """A unified diff, with -p1 paths."""

    name: str
    path: Path
    content: bytes

    def targets(self) -> list[str]:
        """The files it touches, relative to the tree."""
        names = {name.strip() for name in _TARGET.findall(self.content.decode(errors="replace"))} - {"/dev/null"}
        for name in names:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise BuildError(f"patch {self.name} reaches outside the tree: {name}")
        return sorted(names)


def library_names(version: str) -> list[str]:
    return sorted(path.stem for path in (LIBRARY / version).glob("*.patch"))


def load_patch(name: str, version: str) -> Patch:
    """A patch of the library for a kernel version, or a file by its path.

    Raises UsageError when there is none.
    """
    library = LIBRARY / version / f"{name}.patch"
    if "/" in name or name.endswith((".patch", ".diff")):
        path = Path(name)
    elif library.is_file():
        path = library
    elif any((LIBRARY / other.name / f"{name}.patch").is_file() for other in LIBRARY.iterdir() if other.is_dir()):
        raise UsageError(
            f"patch {name!r} is not in the library for {version}",
            f"for {version}: {', '.join(library_names(version)) or 'none'}",
        )
    else:
        raise unknown("patch", name, library_names(version))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read patch {path}: {error.strerror}") from error
    patch = Patch(name, path, content)
    if not patch.targets():
        raise UsageError(f"{path} is no unified diff", "make one with `git diff` or `diff -up`")
    return patch


def explain_failure(output: str) -> str:
    """The first file and hunk that patch(1) could not place."""
    current = "?"
    for line in output.splitlines():
        if match := _FAILED_FILE.match(line):
            current = match[1]
        elif match := _FAILED_HUNK.match(line):
            return f"{current}, hunk {match[1]} (line {match[2]})"
        elif line.startswith("can't find file to patch"):
            return "a file that is not in the tree"
    return output.strip().splitlines()[-1] if output.strip() else "unknown reason"


def compiler_version() -> str:
    return output_of(["gcc", "--version"]).splitlines()[0]
