"""Whether a kernel can be had, said before minutes are spent: patches apply, the config has what a guest needs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..progress import Reporter
from ..system.paths import cache_dir
from . import config as kconfig
from .build import BuildPlan, configure
from .debian import DebianPlan
from .image import UNCHECKED, ImagePlan
from .kernel import KernelPlan, kernel_directory, make_kernel, ready_kernel, wait_for
from .overlay import restore, try_patches


def check_kernel(plan: KernelPlan, progress: Reporter) -> Iterator[str]:
    """What was found good, line by line. A source that the cache lacks is fetched for it; nothing is compiled.

    Raises BuildError, as the build would, for the first thing that is not good.
    """
    yield f"source: {plan.source}"
    if isinstance(plan, BuildPlan):
        yield from _check_build(plan, progress)
    elif isinstance(plan, DebianPlan):
        # Fetching it is making it: the modules and the config are in the package.
        make_kernel(plan, progress)
        yield "config: has what a guest needs; drivers: all there, in an initramfs"
    elif isinstance(plan, ImagePlan):
        yield f"not checked: {UNCHECKED}"
    ready = ready_kernel(plan)
    yield f"kernel: {kernel_directory(plan) if ready else 'not built yet'}"


def _check_build(plan: BuildPlan, progress: Reporter) -> Iterator[str]:
    tree, name = plan.base.tree, plan.base.name
    with wait_for(plan.base.lock(), name, progress) as lock:
        restore(tree)
        plan.base.fetch(progress)
        try_patches(tree, plan.patches, name)
        for patch in plan.patches:
            yield f"patch {patch.name}: applies to {', '.join(patch.targets())}"
        log = cache_dir() / "logs" / f"check-{plan.key}.log"
        log.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="oomtrial-config-") as scratch, progress.task(f"configure {name}"):
            config = configure(tree, plan.fragment, Path(scratch), log, lock)
    kconfig.require_guest_options(config, plan.spec.text)
    yield "config: has what a guest needs"
    for line in kconfig.not_taken(plan.fragment, config):
        yield f"config: an option did not take: {line}"
    if any("Kconfig" in target for patch in plan.patches for target in patch.targets()):
        yield "not checked: what the patches change in Kconfig"
