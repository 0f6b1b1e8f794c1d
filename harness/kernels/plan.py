"""Turns a kernel spec of any kind into its plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import UsageError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from . import config as kconfig
from .build import BuildPlan
from .debian import plan_debian
from .image import plan_image
from .kernel import KernelPlan
from .offers import Offers, offers_of
from .patches import load_patches
from .source import find_source
from .toolchain import compiler_version, require_toolchain
from .tree import find_tree


def plan_kernel(
    spec: KernelSpec,
    progress: Reporter,
    user_fragments: Sequence[Path] = (),
    *,
    offline: bool = False,
) -> KernelPlan:
    """Resolves a spec to its inputs; package lists may be read, no kernel is fetched or built. `user_fragments`: fragments
    of the user, for the kernels that are built. `offline`: use the package lists in the cache.

    Raises UsageError for an unknown patch or a path that is no kernel, BuildError for a version that no archive offers,
    HostError when the host lacks a compiler.
    """
    if spec.kind == "host":
        raise UsageError(
            "host is the running kernel and cannot boot in a guest", "oomtrial run --kernel host measures it"
        )
    offers = Offers(progress, offline) if offline else offers_of(progress)
    if spec.kind == "debian":
        return plan_debian(spec, offers)
    if spec.kind == "image":
        return plan_image(spec)
    base = find_tree(spec, progress) if spec.kind == "tree" else find_source(spec, offers)
    fragment = kconfig.fragment_text(base.version, user_fragments)
    patches = tuple(patch for name in spec.patches for patch in load_patches(name, base.release))
    for patch in patches:
        if patch.note:
            progress.say(f"{spec.text}: {patch.name}: {patch.note}")
    require_toolchain()
    return BuildPlan(spec, base, patches, fragment, compiler_version(), tuple(map(str, user_fragments)))


def plan_kernels(
    specs: Iterable[KernelSpec], progress: Reporter, user_fragments: Sequence[Path] = ()
) -> list[KernelPlan]:
    """`plan_kernel` for each spec, in order."""
    return [plan_kernel(spec, progress, user_fragments) for spec in specs]
