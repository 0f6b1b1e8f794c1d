"""From a kernel spec to its plan, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from . import config as kconfig
from .build import BuildPlan
from .debian import plan_debian
from .image import plan_image
from .kernel import KernelPlan
from .offers import Offers
from .patches import load_patches
from .source import find_source
from .toolchain import compiler_version, require_toolchain
from .tree import find_tree


def plan_kernel(
    spec: KernelSpec, progress: Reporter, user_fragments: Sequence[Path] = (), *, offline: bool = False
) -> KernelPlan:
    """Resolves a spec to its inputs; package lists may be read, no kernel is fetched or built. `user_fragments`: fragments
    of a person's own, which count for the kernels that are built. `offline`: by the package lists that are known.

    Raises UsageError for an unknown patch or a path that is no kernel, BuildError for a version that nobody offers,
    HostError when the host lacks a compiler.
    """
    if spec.kind == "host":
        raise UsageError("host is the running kernel, and boots in no guest", "oomtrial run --kernel host measures it")
    if spec.kind == "debian":
        return plan_debian(spec, Offers(progress, offline))
    if spec.kind == "image":
        return plan_image(spec)
    base = find_tree(spec, progress) if spec.kind == "tree" else find_source(spec, Offers(progress, offline))
    fragment = kconfig.fragment_text(base.version, user_fragments)
    patches = tuple(patch for name in spec.patches for patch in load_patches(name, base.release))
    for patch in patches:
        if patch.note:
            progress.say(f"{spec.text}: {patch.name}: {patch.note}")
    require_toolchain()
    return BuildPlan(spec, base, patches, fragment, compiler_version(), tuple(map(str, user_fragments)))
