"""What a kernel was built from, kept beside a run: patches, config, and the changes of a developer's tree."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ..errors import OomtrialError
from ..system.paths import write_atomically
from .build import BuildPlan
from .kernel import Kernel, KernelPlan
from .provenance import CONFIG, DIFF, Provenance
from .tree import Tree, changes_of

_MAX_DIFF_BYTES = 32 << 20
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def keep_provenance(plan: KernelPlan, kernel: Kernel, run: Path) -> Provenance:
    """Writes what is known of a kernel to a run's directory, before anything is measured.

    Raises HostError when that cannot be written.
    """
    directory = run / "kernels" / kernel.key
    config = Path(kernel.image).with_name(CONFIG)
    files: dict[str, bytes] = {CONFIG: config.read_bytes()} if kernel.config_key and config.is_file() else {}
    provenance = Provenance(spec=kernel.spec, key=kernel.key, config=CONFIG in files)
    if isinstance(plan, BuildPlan):
        patches = {f"{n:02d}-{_file_name(patch.name)}": patch.content for n, patch in enumerate(plan.patches, 1)}
        files |= patches
        provenance = msgspec.structs.replace(provenance, release=plan.base.release, patches=list(patches))
        if isinstance(plan.base, Tree):
            provenance, diff = _of_tree(provenance, plan.base)
            files |= {DIFF: diff} if diff else {}
    for name, content in files.items():
        write_atomically(directory / name, content)
    return provenance


def _of_tree(provenance: Provenance, tree: Tree) -> tuple[Provenance, bytes]:
    if tree.commit:
        return msgspec.structs.replace(provenance, commit=tree.commit), b""
    try:
        changes = changes_of(tree)
    except OomtrialError:
        return provenance, b""  # no repository, or one without a commit: the key alone says what was built
    diff = changes.diff if len(changes.diff) <= _MAX_DIFF_BYTES else b""
    with_changes = msgspec.structs.replace(provenance, commit=changes.commit, changed=changes.files, diff=bool(diff))
    return with_changes, diff


def _file_name(patch: str) -> str:
    name = _NOT_IN_NAMES.sub("-", patch.rsplit("/", 1)[-1]).strip("-.")[:80]
    return name if name.endswith((".patch", ".diff")) else f"{name or 'patch'}.patch"
