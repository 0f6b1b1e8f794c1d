"""Short names of arms, for tables and pictures that have no room for kernel specs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

from ..errors import UsageError
from ..spec.arm import ArmSpec, default_names, short_paths
from ..spec.kernel import KernelSpec, parse_kernel_spec
from .visible import visible

_LETTERS = 40  # of a path's last part
_COMMIT = re.compile(r"[0-9a-f]{40}")
_COMMIT_LETTERS = 12
_PATCH_SUFFIXES = {".patch", ".diff", ".eml", ".mbox", ".mbx"}
STOCK = "stock"


def short_names(arms: Sequence[ArmSpec]) -> dict[str, str]:
    """A name of plain ASCII for each arm, unlike any other, by the arm's own name.

    An arm with a label keeps it. Arms of one base are ``stock`` and ``+PATCH``; of several, ``6.1`` and ``6.12+PATCH``. Of a
    path the last component is kept, or as many as tell it from others.
    """
    specs = {arm.kernel: _parse(arm.kernel) for arm in arms}
    paths = short_paths(specs.values())
    defaults = default_names(list(specs))
    bases = {_base_text(spec): spec for spec in specs.values()}
    single = len(bases) == 1 and next(iter(bases.values())).kind != "host"
    versions = Counter(_version(spec, paths) for spec in bases.values())
    names: dict[str, str] = {}
    for arm in arms:
        if arm.label:
            names[arm.name] = _unlike(_plain(arm.name), names.values())
            continue
        spec = specs[arm.kernel]
        version = _version(spec, paths)
        base = "" if single else version if versions[version] == 1 else f"{spec.kind}:{version}"
        name = base + "".join(f"+{_patch(patch)}" for patch in spec.patches) or STOCK
        names[arm.name] = _unlike(_plain(name + _suffix(arm, defaults[arm.kernel])), names.values())
    return names


def with_short_names(note: str, names: Mapping[str, str]) -> str:
    """A note of a summary, which begins with the name of the arm that it is about."""
    for arm in sorted(names, key=len, reverse=True):
        for end in (": ", ", ", " and "):
            if note.startswith(arm + end):
                return names[arm] + note[len(arm) :]
    return note


def _suffix(arm: ArmSpec, default: str) -> str:
    """What tells the second arm of one kernel, or that of another run, from the first."""
    for name in (arm.kernel, default):
        if arm.name.startswith(name):
            return arm.name.removeprefix(name)
    return f" {arm.name}"


def _parse(text: str) -> KernelSpec:
    try:
        return parse_kernel_spec(text)
    except UsageError:  # a record of an older form
        return KernelSpec(text, "image", text)


def _base_text(spec: KernelSpec) -> str:
    is_path = spec.kind in ("tree", "image")
    return f"{spec.kind}:{spec.argument}@{spec.ref}" if is_path else f"{spec.kind}:{_version(spec, {})}"


def _version(spec: KernelSpec, paths: Mapping[str, str]) -> str:
    """The base without its kind: a version, or a path as `paths` has it, with its commit."""
    if spec.kind == "host":
        return "host"
    if spec.kind in ("debian", "source"):
        return spec.text.partition(":")[2].removesuffix("".join(f"+{patch}" for patch in spec.patches))
    name = _cut(paths.get(spec.argument) or spec.kind)
    if not spec.ref:
        return name
    return f"{name}@{spec.ref[:_COMMIT_LETTERS] if _COMMIT.fullmatch(spec.ref) else spec.ref}"


def _patch(name: str) -> str:
    path = PurePath(name)
    return _cut(path.stem if path.suffix in _PATCH_SUFFIXES else path.name)


def _cut(text: str) -> str:
    half = (_LETTERS - 2) // 2
    return text if len(text) <= _LETTERS else f"{text[:half]}..{text[-half:]}"


def _plain(text: str) -> str:
    return visible(text).encode("ascii", "backslashreplace").decode()


def _unlike(name: str, others: Collection[str]) -> str:
    number, unlike = 1, name
    while unlike in others:
        number += 1
        unlike = f"{name} #{number}"
    return unlike
