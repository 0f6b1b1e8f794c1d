"""Everything that is built for a run: kernels, the guest's root file system, our images; here, or on another machine."""

from __future__ import annotations

import dataclasses
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..containers.images import NAMES, Image, plan_image
from ..guest.rootfs import build_rootfs, plan_rootfs
from ..kernels.kernel import RECORD, Kernel, KernelPlan, make_kernel
from ..progress import Reporter
from ..runs.record import RunRecord
from ..system.paths import cache_dir
from ..system.process import kill_children, threads
from .resume import find_rootfs, plan_same_rootfs, refuse_other_images


@dataclass(frozen=True)
class Artifacts:
    """Everything that is built: what remains is to measure."""

    kernels: dict[str, Kernel]  # by the text of the spec
    rootfs: Path
    images: dict[str, Image]
    accel: str
    accel_reason: str


def build_images(resumed: RunRecord | None, progress: Reporter) -> dict[str, Image]:
    """Our images. `resumed`: a run whose images they must be.

    Raises UsageError when they are others, BuildError when one does not compile.
    """
    images = {name: plan_image(name, progress.say) for name in NAMES}
    if resumed:
        refuse_other_images(resumed, images)
    return images


def build_parts(
    plans: list[KernelPlan], cached: dict[str, Kernel], resumed: RunRecord | None, progress: Reporter
) -> tuple[dict[str, Kernel], Path, dict[str, Image]]:
    """Kernels, root file system and images, side by side, whatever the cache lacks. `cached`: kernels that need no plan.

    Raises BuildError when a download, a patch or a compilation fails, UsageError as in `build_images`.
    """
    with threads(3) as pool:
        kernels_job = pool.submit(lambda: cached | {plan.spec.text: make_kernel(plan, progress) for plan in plans})
        rootfs_job = pool.submit(_build_rootfs, resumed, progress)
        images_job = pool.submit(build_images, resumed, progress)
        jobs: tuple[Future[Any], ...] = (kernels_job, rootfs_job, images_job)
        try:
            # A failure of any is told at once, not after the others have ended.
            for job in wait(jobs, return_when=FIRST_EXCEPTION).done:
                job.result()
            return kernels_job.result(), rootfs_job.result(), images_job.result()
        except BaseException as error:
            for job in jobs:
                job.cancel()
            # The pool waits for its threads, and they wait for their children: those that run, and those that a thread
            # was about to start.
            kill_children()
            while isinstance(error, Exception) and wait(jobs, timeout=0.1).not_done:
                kill_children()
            raise


def _build_rootfs(resumed: RunRecord | None, progress: Reporter) -> Path:
    if resumed is None:
        return build_rootfs(plan_rootfs(), progress)
    return find_rootfs(resumed) or build_rootfs(plan_same_rootfs(resumed), progress)


def shipment(prepared: Artifacts) -> list[str]:
    """The files of the cache that a guest is made of, as paths within it; their names hold their content keys."""
    paths = [prepared.rootfs, *(image.binary for image in prepared.images.values())]
    for kernel in prepared.kernels.values():
        image = Path(kernel.image)
        # the record comes last: a kernel without one is none
        paths += [image, *([Path(kernel.initrd)] if kernel.initrd else []), image.with_name(RECORD)]
    return [str(path.relative_to(cache_dir())) for path in paths]


def at_home(prepared: Artifacts, cache: Path) -> Artifacts:
    """The same with the paths of this machine's cache; `cache`: where they were."""
    here = cache_dir()

    def moved(path: str | Path) -> Path:
        return here / Path(path).relative_to(cache)

    kernels = {
        text: msgspec.structs.replace(
            kernel, image=str(moved(kernel.image)), initrd=str(moved(kernel.initrd)) if kernel.initrd else ""
        )
        for text, kernel in prepared.kernels.items()
    }
    images = {name: dataclasses.replace(image, binary=moved(image.binary)) for name, image in prepared.images.items()}
    return dataclasses.replace(prepared, kernels=kernels, rootfs=moved(prepared.rootfs), images=images)
