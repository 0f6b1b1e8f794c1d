"""Arms: the kernels that a run compares."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import PurePath

import msgspec

from ..errors import UsageError
from .kernel import KernelSpec, parse_kernel_spec

# A label stands before `=`, and has none of the characters that a kernel spec begins with: KIND: or a path.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_COMMIT_LETTERS = 12
_PATCH_FILES = (".patch", ".diff", ".eml", ".mbox", ".mbx")  # what is no name of the library; see kernels/patches.py

# The patch that lays a sleep upon the scan of a memcg's tasks (`oomtrial run --amplify`).
AMPLIFIER = "scan-sleeps"


class Probes(StrEnum):
    """Which evidence is taken from the kernel under test."""

    ALL = "all"
    KILLS = "kills"  # what classifies a kill, without its mechanism
    NONE = "none"  # counts only


class ArmSpec(msgspec.Struct, frozen=True):
    """A kernel under comparison, with the evidence that is recorded on it."""

    name: str  # in tables and reports; unlike any other arm's
    kernel: str  # text of the kernel spec
    probes: Probes = Probes.ALL
    label: str = ""  # the name that was asked for (LABEL=SPEC); empty: the name comes from the spec


def split_label(text: str) -> tuple[str, str]:
    """``fix=tree:~/linux`` is ``("fix", "tree:~/linux")``; the label of a bare spec is empty.

    An ``=`` after a colon or a slash belongs to a path. Raises UsageError for a label that is empty or has other characters
    than letters, digits, ``.``, ``_``, ``+`` and ``-``.
    """
    label, equals, kernel = text.partition("=")
    if not equals or ":" in label or "/" in label:
        return "", text
    if not _LABEL.fullmatch(label):
        raise UsageError(
            f"{text!r} has no valid label before =",
            "a label begins with a letter or digit, has up to 32 of A-Z a-z 0-9 . _ + -, such as fix=source:6.1+my.patch",
        )
    return label, kernel


def name_arms(kernels: Iterable[str], probes: Probes = Probes.ALL) -> tuple[ArmSpec, ...]:
    """An arm for each ``[LABEL=]SPEC``. Without a label its name is the spec, in which paths are shortened to their last
    component. The second arm of one name is ``NAME (2)``: stock against stock is a control.

    Raises UsageError when a label is not valid, or two arms have the same one.
    """
    given = [split_label(text) for text in kernels]
    defaults = default_names([kernel for _, kernel in given])
    seen: Counter[str] = Counter()
    arms = []
    for label, kernel in given:
        name = label or defaults[kernel]
        seen[name] += 1
        if label and seen[name] > 1:
            raise UsageError(f"two arms are called {label!r}", "give each arm a label of its own")
        arms.append(ArmSpec(name if seen[name] == 1 else f"{name} ({seen[name]})", kernel, probes, label))
    return tuple(arms)


def amplify(kernels: Iterable[str]) -> tuple[str, ...]:
    """The same kernels with AMPLIFIER as their first patch, under the same labels.

    Raises UsageError for a kernel that is not built here.
    """
    given = [split_label(text) for text in kernels]
    specs = [parse_kernel_spec(kernel) for _, kernel in given]
    for spec in specs:
        if spec.kind not in ("source", "tree"):
            raise UsageError(
                f"--amplify patches every arm, and {spec.text} is not built here", "name source: or tree: kernels"
            )
    return tuple(
        f"{label}={text}" if label else text for (label, _), text in zip(given, map(_amplified, specs), strict=True)
    )


def _amplified(spec: KernelSpec) -> str:
    if AMPLIFIER in spec.patches:
        return spec.text
    return f"{_base(spec)}+{'+'.join([AMPLIFIER, *map(_escaped, spec.patches)])}"


def _base(spec: KernelSpec) -> str:
    patches = "".join(f"+{_escaped(patch)}" for patch in spec.patches)
    return spec.text.removesuffix(patches)


def _escaped(patch: str) -> str:
    return patch.replace("+", "++")


def default_names(kernels: Sequence[str]) -> dict[str, str]:
    """Names of arms without a label, by the text of the spec: of each path as few components from its end as tell it from
    the others, of a commit 12 digits. A text that is no kernel spec is its own name.
    """
    specs = {}
    for text in kernels:
        with contextlib.suppress(UsageError):
            specs[text] = parse_kernel_spec(text)
    short = short_paths(specs.values())
    return {text: _name(specs[text], short) if text in specs else text for text in kernels}


def _is_path(patch: str) -> bool:
    return "/" in patch or patch.endswith(_PATCH_FILES)


def _paths(spec: KernelSpec) -> list[str]:
    base = [spec.argument] if spec.kind in ("tree", "image") else []
    return [*base, *(patch for patch in spec.patches if _is_path(patch))]


def short_paths(specs: Iterable[KernelSpec]) -> dict[str, str]:
    """Of each path that specs name as few components from its end as tell it from the others."""
    paths = [path for spec in specs for path in _paths(spec)]
    # Path.resolve() would follow links, and Path.expanduser() refuses a user that there is not.
    parts = {path: PurePath(os.path.abspath(os.path.expanduser(path))).parts for path in paths}  # noqa: PTH100, PTH111
    return {
        path: str(PurePath(*own[-_components(own, [other for other in parts.values() if other != own]) :]))
        for path, own in parts.items()
    }


def _components(own: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> int:
    """How many components from the end tell a path from others."""
    return next(n for n in range(1, len(own) + 1) if n == len(own) or all(other[-n:] != own[-n:] for other in others))


def _name(spec: KernelSpec, short: dict[str, str]) -> str:
    if not _paths(spec):
        return spec.text
    if spec.kind in ("tree", "image"):
        base = f"{spec.kind}:{short[spec.argument]}"
    else:
        base = f"{spec.kind}:{spec.argument}{f'@{spec.suite}' if spec.suite else ''}"
    if spec.ref:
        base += f"@{spec.ref[:_COMMIT_LETTERS] if _COMMIT.fullmatch(spec.ref) else spec.ref}"
    return "+".join([base, *(short.get(patch, patch) for patch in spec.patches)])
