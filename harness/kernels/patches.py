"""Patches: the project's library, or a user's diffs, mails, mailboxes and series."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from ..errors import BuildError, UsageError, unknown
from .library import files_of, library_names, nearest_file, why_not, written_for

_MAILBOX_FROM = re.compile(
    rb"^From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d(?::\d\d)? \d{4}", re.MULTILINE
)
_MAIL_HEADER = re.compile(rb"(?:From|Subject|Date|Message-I[dD]|Return-Path|Received|Delivered-To): ")
_POSITION = re.compile(r"\[[^\]]*?(\d+)/\d+\]")
_SUFFIXES = (".patch", ".diff", ".eml", ".mbox", ".mbx")


@dataclass(frozen=True)
class Patch:
    """A unified diff, with -p1 paths; text around it is ignored."""

    name: str
    path: Path  # the file that it comes from
    content: bytes
    note: str = ""  # for the user, such as that the nearest file was taken

    def targets(self) -> list[str]:
        """The files it touches, relative to the tree.

        Raises UsageError for a damaged diff, BuildError for one that leaves the tree.
        """
        try:
            files = PatchSet(self.content.decode(errors="replace"))
        except UnidiffParseError as error:
            raise UsageError(f"patch {self.name} is damaged: {error}", f"look at {self.path}") from error
        sides = {side for file in files for side in (file.source_file, file.target_file)} - {"/dev/null"}
        names = {side.split("/", 1)[-1] for side in sides}
        for name in names | {side for side in sides if side.startswith("/")}:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise BuildError(f"patch {self.name} reaches outside the tree: {name}")
        return sorted(names)


def load_patches(name: str, version: str) -> list[Patch]:
    """The patches that one ``+PATCH`` of a spec names: one of the library for a kernel version, or those of a diff, a
    mail, a mailbox or a directory with a series, by its path; in order. For a version that no file of the library was written
    for, the nearest one is taken, and its `note` says so.

    Raises UsageError when there is no such patch, the file is not a patch, or the patch has no meaning for the version.
    """
    if nearest := nearest_file(name, version):
        file, is_exact = nearest
        if reason := why_not(name, version):
            raise UsageError(
                f"patch {name} is not for {version}: {reason}", f"written for {written_for(files_of(name))}"
            )
        patches = _read_file(file.path, name)
        if is_exact:
            return patches
        note = f"the library has no file for {version}; trying the one for {file.range}"
        return [replace(patch, note=note) for patch in patches]
    if "/" in name or name.endswith(_SUFFIXES):
        path = Path(name).expanduser()
        return _read_series(path) if path.is_dir() else _read_file(path, name)
    if Path(name).exists():
        raise UsageError(f"unknown patch {name!r}", f"for the file of that name write ./{name}")
    raise unknown("patch", name, library_names())


def _read_series(directory: Path) -> list[Patch]:
    """A directory of patches, in the order of its ``series`` file (as quilt has it) or of their names."""
    series = directory / "series"
    if series.is_file():
        listed = [line.split("#")[0].split() for line in series.read_text(errors="replace").splitlines()]
        for words in listed:
            if words[1:] and words[1:] != ["-p1"]:
                raise UsageError(f"{series} asks for {' '.join(words[1:])} with {words[0]}", "only -p1 is supported")
        files = [directory / words[0] for words in listed if words]
    else:
        files = sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES)
        # a cover letter has no diff
        files = [path for path in files if not path.name.startswith("0000-")]
    if not files:
        raise UsageError(f"{directory} holds no patch", f"a series has a file `series`, or names in {_SUFFIXES}")
    return [patch for path in files for patch in _read_file(path, f"{directory.name}/{path.name}")]


def _read_file(path: Path, name: str) -> list[Patch]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read patch {path}: {error.strerror}") from error
    starts = [match.start() for match in _MAILBOX_FROM.finditer(content)]
    if starts[:1] == [0]:
        bounds = zip(starts, [*starts[1:], len(content)], strict=True)
        patches = _read_mails([content[start:end] for start, end in bounds], path, name)
    elif _MAIL_HEADER.match(content):
        patches = _read_mails([content], path, name)
    else:
        patches = [Patch(name, path, content)]
    patches = [patch for patch in patches if patch.targets()]
    if not patches:
        raise UsageError(f"{path} is not a unified diff", "make one with `git diff`, `git format-patch` or `diff -up`")
    return patches


def _read_mails(mails: list[bytes], path: Path, name: str) -> list[Patch]:
    """The diffs of mails, decoded; by the numbers in their subjects where each has its own."""
    diffs: list[tuple[int, str, bytes]] = []
    for mail in mails:
        message = email.message_from_bytes(mail, policy=email.policy.default)
        subject = " ".join(str(message["subject"] or "").split())
        body = b"\n".join(
            raw
            for part in message.walk()
            if part.get_content_maintype() in ("text", "application")
            and isinstance(raw := part.get_payload(decode=True), bytes)
        )
        # Replies quote diffs, and cover letters have none: neither has such a line of its own.
        if re.search(rb"^(?:\+\+\+ |diff --git )", body, re.MULTILINE):
            position = _POSITION.search(subject)
            diffs.append((int(position[1]) if position else 0, subject, body.replace(b"\r\n", b"\n")))
    positions = [position for position, _, _ in diffs]
    if 0 not in positions:
        if len(set(positions)) < len(positions):
            raise UsageError(f"{path} holds several versions of a series", "keep one: `b4 am` does")
        diffs.sort()
    if len(diffs) == 1:
        return [Patch(name, path, diffs[0][2])]
    return [Patch(f"{name} ({subject})", path, body) for _, subject, body in diffs]
