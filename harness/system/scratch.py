"""Temporary directories of blocks, and what killed workers left of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from .locks import is_held, owner_is_alive

BLOCK_SCRATCH = "oomtrial-block-"  # and the worker's pid: where a block's evidence is, until it goes back


def remove_leftovers() -> list[Path]:
    """Removes what blocks of killed workers left among this machine's temporary files. Returns what it was."""
    removed = []
    for left in sorted(Path(tempfile.gettempdir()).glob(f"{BLOCK_SCRATCH}*-*")):
        pid = left.name.split("-")[2]
        with contextlib.suppress(OSError):
            if (
                pid.isdigit()
                and left.lstat().st_uid == os.geteuid()
                and not owner_is_alive(int(pid), left)
                and not is_held(left)
            ):
                shutil.rmtree(left)
                removed.append(left)
    return removed
