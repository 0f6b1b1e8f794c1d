"""Builds: keyed by the content of source, patches, config and compiler."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.errors import BuildError, OomtrialError
from harness.kernels import config as kconfig
from harness.kernels.patches import Patch, compiler_version, explain_failure, load_patch
from harness.kernels.source import Source, fetch_source, find_source
from harness.paths import cache_dir, content_key, require_room, write_atomically
from harness.proc import run
from harness.progress import Reporter, Task
from harness.spec.kernel import KernelSpec

_BUILD_DEADLINE_S = 3600
_FIRST_ERROR = re.compile(r"^(\S+:\d+(?::\d+)?): (?:fatal )?error: (.+)$", re.MULTILINE)
# No build host in the image, and equal inputs give an equal kernel.
_REPRODUCIBLE = {
    "KBUILD_BUILD_USER": "oomtrial",
    "KBUILD_BUILD_HOST": "oomtrial",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
    "LOCALVERSION": "",
}


class Kernel(msgspec.Struct, frozen=True):
    """A kernel that is ready to boot, and where it comes from."""

    spec: str
    key: str  # content key of all that follows
    image: str  # path of the bzImage
    source: str  # package and version
    patches: dict[str, str]  # name to content key, in order
    config_key: str
    compiler: str
    config_not_taken: list[str]  # options of our fragment that the result does not have


@dataclass(frozen=True)
class BuildPlan:
    """Everything that a build depends on."""

    spec: KernelSpec
    source: Source
    patches: tuple[Patch, ...]
    fragment: str
    compiler: str

    @property
    def key(self) -> str:
        diffs = [patch.content for patch in self.patches]
        return content_key(self.source.sha256, self.fragment, self.compiler, str(sorted(_REPRODUCIBLE.items())), *diffs)

    @property
    def directory(self) -> Path:
        return cache_dir() / "kernels" / self.key


def plan_build(spec: KernelSpec) -> BuildPlan:
    """Resolves a spec to its inputs; nothing is fetched or built.

    Raises UsageError for an unknown patch, BuildError for a version that apt does not offer.
    """
    patches = tuple(load_patch(name, spec.version) for name in spec.patches)
    return BuildPlan(spec, find_source(spec.version), patches, kconfig.FRAGMENT.read_text(), compiler_version())


def ready_kernel(plan: BuildPlan) -> Kernel | None:
    """The kernel of a plan if the cache has it. A directory counts once `kernel.json` stands in it: written last."""
    record = plan.directory / "kernel.json"
    if not record.is_file():
        return None
    kernel = msgspec.json.decode(record.read_bytes(), type=Kernel)
    return msgspec.structs.replace(kernel, spec=plan.spec.text, image=str(plan.directory / "bzImage"))


def build_kernel(plan: BuildPlan, report: Reporter) -> Kernel:
    """Builds a kernel, unless the cache has it. Safe to call from several processes at once.

    Raises BuildError when a patch does not apply, a download fails or the compiler finds an error.
    """
    if kernel := ready_kernel(plan):
        return kernel
    with plan.source.lock():
        if kernel := ready_kernel(plan):
            return kernel
        fetch_source(plan.source, report)
        require_room(plan.directory, 1 << 30, f"a build of {plan.spec.text}")
        _restore(plan.source.tree)
        for patch in plan.patches:
            _apply(plan.source.tree, patch, plan.source)
        try:
            with report.task(f"build {plan.spec.text}") as task:
                return _build(plan, task)
        finally:
            _restore(plan.source.tree)


def _saved(tree: Path) -> Path:
    """Originals of patched files. What stands here is put back before anything else, even after a SIGKILL."""
    return tree / ".oomtrial-originals"


def _restore(tree: Path) -> None:
    saved = _saved(tree)
    for original in sorted(saved.rglob("*")):
        if original.is_file():
            target = tree / original.relative_to(saved)
            if original.suffix == ".oomtrial-absent":
                target.with_suffix("").unlink(missing_ok=True)
            else:
                # a fresh time stamp, so that make sees the change
                shutil.copyfile(original, target)
    shutil.rmtree(saved, ignore_errors=True)


def _apply(tree: Path, patch: Patch, source: Source) -> None:
    saved, log = _saved(tree), cache_dir() / "logs" / f"patch-{content_key(patch.content)}.log"
    for name in patch.targets():
        keep = saved / name
        keep.parent.mkdir(parents=True, exist_ok=True)
        if (tree / name).is_file():
            if not keep.exists():
                shutil.copyfile(tree / name, keep)
        else:
            keep.with_name(f"{keep.name}.oomtrial-absent").touch()
    log.unlink(missing_ok=True)
    # --fuzz=0: a hunk that lands only by guessing is not the patch that was asked for.
    argv = [
        "patch",
        "-p1",
        "--batch",
        "--forward",
        "--fuzz=0",
        "--no-backup-if-mismatch",
        "-i",
        str(patch.path.resolve()),
    ]
    if run([*argv, "--dry-run"], log=log, deadline_s=60, cwd=tree) or run(argv, log=log, deadline_s=60, cwd=tree):
        reason = explain_failure(log.read_text(errors="replace"))
        _restore(tree)
        raise BuildError(
            f"patch {patch.name} does not apply to {source.package} {source.package_version}: {reason}", f"log: {log}"
        )


def _make(plan: BuildPlan, log: Path, *targets: str, task: Task) -> int:
    def tick() -> None:
        done, last = _progress(log)
        task.update(done=done, detail=last)

    jobs = f"-j{os.cpu_count() or 1}"
    return run(
        ["make", jobs, *targets],
        log=log,
        deadline_s=_BUILD_DEADLINE_S,
        cwd=plan.source.tree,
        env=_REPRODUCIBLE,
        on_tick=tick,
    )


def _progress(log: Path) -> tuple[int, str]:
    compiled = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("  CC ")]
    return len(compiled), compiled[-1].split()[-1] if compiled else ""


def _build(plan: BuildPlan, task: Task) -> Kernel:
    tree, log = plan.source.tree, plan.directory / "build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    configure = [
        ["make", "tinyconfig"],
        ["scripts/kconfig/merge_config.sh", "-m", ".config", str(kconfig.FRAGMENT)],
        ["make", "olddefconfig"],
    ]
    for argv in configure:
        if run(argv, log=log, deadline_s=300, cwd=tree, env=_REPRODUCIBLE):
            raise BuildError(f"cannot configure {plan.spec.text}: `{' '.join(argv)}` failed", f"log: {log}")
    config = (tree / ".config").read_bytes()
    status = _make(plan, log, "bzImage", task=task)
    if status:
        found = _FIRST_ERROR.search(log.read_text(errors="replace"))
        what = f"{found[1]}: {found[2]}" if found else f"make ended with status {status}"
        raise BuildError(f"{plan.spec.text} does not compile: {what}", f"log: {log}")
    try:
        write_atomically(plan.directory / "bzImage", (tree / "arch/x86/boot/bzImage").read_bytes())
        write_atomically(plan.directory / "config", config)
        kernel = Kernel(
            spec=plan.spec.text,
            key=plan.key,
            image=str(plan.directory / "bzImage"),
            source=f"{plan.source.package} {plan.source.package_version}",
            patches={patch.name: content_key(patch.content) for patch in plan.patches},
            config_key=content_key(config),
            compiler=plan.compiler,
            config_not_taken=kconfig.not_taken(plan.fragment, config.decode()),
        )
        write_atomically(plan.directory / "kernel.json", msgspec.json.format(msgspec.json.encode(kernel)))
    except OomtrialError as error:
        raise BuildError(f"cannot keep {plan.spec.text}: {error}") from error
    return kernel
