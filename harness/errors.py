"""Errors a person meets: what was wrong, where, and what to do, in one line; and the exit codes.

| code | meaning |
|---|---|
| 0 | done |
| 1 | a defect of oomtrial (a traceback is shown) |
| 2 | usage: an option, kernel spec, patch or scenario that does not exist or is malformed |
| 3 | host: a missing package, no room on the disk, no acceleration that was asked for, no container engine or kernel log |
| 4 | build: a kernel version that nobody offers; or a download, a patch or a build failed |
| 5 | guest: it did not start, did not answer in time, or died; what was measured is kept |
| 6 | evidence: a run directory that is missing, damaged or of another format |
| 7 | a check that was asked for failed: a control is not told apart, a bisection is not decided |
| 130 | interrupted; what was measured is kept |
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OomtrialError(Exception):
    """An error with an exit code and, where there is one, a way out."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


class UsageError(OomtrialError):
    """An option, spec, patch, scenario or file that does not exist or is malformed: exit code 2."""

    exit_code = 2


class HostError(OomtrialError):
    """This machine lacks something: a package, room, acceleration, an engine, the kernel log. Exit code 3."""

    exit_code = 3


class BuildError(OomtrialError):
    """A kernel version that nobody offers, or a download, patch or build that failed: exit code 4."""

    exit_code = 4


class GuestError(OomtrialError):
    """A guest that did not start, did not answer in time, or died: exit code 5. Its evidence so far is kept."""

    exit_code = 5


class EvidenceError(OomtrialError):
    """A run, table or log that is missing, damaged or of a newer format: exit code 6."""

    exit_code = 6


CHECK_FAILED = 7
INTERRUPTED = 130


class CheckFailedError(OomtrialError):
    """A check that the user asked for failed: exit code 7."""

    exit_code = CHECK_FAILED


_NEAR = 3  # names that one suggestion offers


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that were perhaps meant, in a sentence, such as ``'a' or 'b'``; empty if none is near. Those that the
    name begins or is a part of come before those that are spelt alike."""
    names = sorted(known)
    longer = [other for other in names if name and other.startswith(name)] or (
        [other for other in names if name in other] if len(name) >= _NEAR else []
    )
    near = longer if 0 < len(longer) <= _NEAR else difflib.get_close_matches(name, names, n=1)
    *before, last = [repr(other) for other in near] or [""]
    return f"{', '.join(before)} or {last}" if before else last


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """A UsageError for a name that is not there, with the nearest ones that are."""
    names = sorted(known)
    near = nearest(name, names)
    return UsageError(f"unknown {kind} {name!r}", f"did you mean {near}?" if near else f"known: {', '.join(names)}")
