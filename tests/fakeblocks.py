"""Blocks that measure nothing, for executors: importable by workers of other processes."""

import io
import json
import os
import tarfile
import time
from pathlib import Path

from harness.experiment.remote import BlockResult


def fake_block(job):
    """Writes down which process is at it, takes a moment, and sends one trial back."""
    notes, seconds = Path(job.request.append), 0.4
    (notes / f"{job.block.index}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(seconds)
    packed = io.BytesIO()
    content = json.dumps({"block": job.block.index}).encode()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        entry = tarfile.TarInfo(f"{job.block.index:03d}-1/trial.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return BlockResult(job.block, None, "", (f"block {job.block.index}",), packed.getvalue())
