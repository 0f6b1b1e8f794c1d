"""What a kernel was built from, as the record of a run has it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

CONFIG, DIFF = "config", "tree.diff"


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel of a run; the files are in ``kernels/KEY/`` of the run's directory."""

    spec: str
    key: str
    release: str = ""  # full version of the source, such as 6.1.176; empty for a kernel that was not built here
    patches: list[str] = []  # files of the patches in that directory, in the order in which they were applied
    config: bool = False  # the config is there
    commit: str = ""  # of a git tree: the commit that was built, or upon which the changed files lie
    changed: list[str] = []  # files of the tree that differ from the commit; git calls the tree dirty then
    diff: bool = False  # these changes are there, in tree.diff


def describe_source(provenance: Provenance) -> str:
    """In words, as far as the spec does not say it: ``Linux 6.1.176, commit 0123456789ab, 2 changed files``."""
    parts = [f"Linux {provenance.release}"] if provenance.release else []
    parts += [f"commit {provenance.commit[:12]}"] if provenance.commit else []
    if provenance.changed:
        count = len(provenance.changed)
        parts.append(f"{count} changed file{'s' * (count != 1)}")
    return ", ".join(parts)


def files_of(provenance: Provenance) -> Mapping[str, str]:
    """What is kept, with the path of each relative to the run's directory."""
    where = f"kernels/{provenance.key}"
    paths = {f"patch {n}": f"{where}/{name}" for n, name in enumerate(provenance.patches, 1)}
    paths |= {"changes": f"{where}/{DIFF}"} if provenance.diff else {}
    return paths | ({"config": f"{where}/{CONFIG}"} if provenance.config else {})
