"""Copies what git has of this checkout, but for the package, to DIRECTORY: tests there import the installed wheel.

`python tools/without_package.py DIRECTORY`, as tox does for its environment `wheel`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("harness/", "alias/")


def copy(directory: Path) -> None:
    """Whatever is in the directory is removed first."""
    shutil.rmtree(directory, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.split("\0"):
        if name and not name.startswith(LEFT_OUT) and (ROOT / name).is_file():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


if __name__ == "__main__":
    copy(Path(sys.argv[1]).resolve())
