"""How a run is measured again: the command, and what its kernels were made of beyond their specs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..kernels.provenance import Provenance, describe_source, files_of
from .visible import visible


def reproduce_lines(command: Sequence[str], provenance: Sequence[Provenance]) -> list[str]:
    """The first line is ``Reproduce:`` and the command, without its directory: that is taken. A line follows for each kernel
    whose spec does not say all: a tree with its commit and its changes, patches that are kept with the run."""
    lines = [f"Reproduce: {shlex.join(without_out(command))}"]
    for kernel in provenance:
        kept = [f"{name}: {path}" for name, path in files_of(kernel).items()]
        if description := "; ".join(filter(None, [describe_source(kernel), *kept])):
            lines.append(f"  {kernel.spec}: {description}")
    return [visible(line) for line in lines]


def without_out(command: Sequence[str]) -> list[str]:
    """A command line without its option --out: that directory is taken, and nobody else has it."""
    words, skip = [], False
    for word in command:
        if not skip and word != "--out" and not word.startswith("--out="):
            words.append(word)
        skip = word == "--out"
    return words
