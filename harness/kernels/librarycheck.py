"""Whether the patches of the library apply to a kernel's source: every patch, in seconds, without a compiler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..errors import BuildError
from ..progress import Reporter
from .base import Base
from .kernel import wait_for
from .library import library_names, nearest_file, why_not
from .overlay import restore, try_patches
from .patches import load_patches


class PatchState(StrEnum):
    """Result of trying a patch on a version."""

    APPLIES = "applies"  # and it was written for the version
    APPLIES_NEAREST = "applies (file of another version)"
    NO_MEANING = "not applicable"
    FAILS = "does not apply"


@dataclass(frozen=True)
class CheckedPatch:
    """A patch of the library against one source."""

    name: str
    state: PatchState
    detail: str  # the range of the file that was tried, or the reason

    @property
    def is_good(self) -> bool:
        """Whether the patch applies, or is not applicable to the version."""
        return self.state is not PatchState.FAILS


def check_library(base: Base, progress: Reporter) -> list[CheckedPatch]:
    """Tries every patch of the library on a source, each alone. A source that the cache lacks is fetched for it.

    Raises BuildError when the source is not available.
    """
    with wait_for(base.lock(), base.name, progress):
        restore(base.tree)
        base.fetch(progress)
        return [_checked(name, base) for name in library_names()]


def _checked(name: str, base: Base) -> CheckedPatch:
    if reason := why_not(name, base.release):
        return CheckedPatch(name, PatchState.NO_MEANING, reason)
    nearest = nearest_file(name, base.release)
    assert nearest is not None, name  # the name is the library's own
    file, is_exact = nearest
    try:
        try_patches(base.tree, load_patches(name, base.release), base.name)
    except BuildError as error:
        return CheckedPatch(name, PatchState.FAILS, error.what)
    return CheckedPatch(name, PatchState.APPLIES if is_exact else PatchState.APPLIES_NEAREST, file.range)
