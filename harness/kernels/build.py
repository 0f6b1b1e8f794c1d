"""Builds: keyed by the content of source, patches, config and compiler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import BuildError, HostError
from ..progress import Reporter, Task
from ..spec.kernel import KernelSpec
from ..system.machine import machine_budget
from ..system.paths import cache_dir, content_key, require_room
from ..system.process import run
from . import config as kconfig
from .base import Base
from .kernel import Kernel, keep_kernel, kernel_directory, ready_kernel, wait_for
from .overlay import Laid, lay_over, restore
from .patches import Patch
from .products import begin_products, is_first_build, note_products, remove_doubtful
from .toolchain import compiler_argument

_BUILD_DEADLINE_S = 3600
_BUILD_BYTES = 1 << 30
_FIRST_ERROR = re.compile(r"^(\S+:\d+(?::\d+)?): (?:fatal )?error: (.+)$", re.MULTILINE)
# Of the linker, of kbuild's own checks, and of make.
_OTHER_ERRORS = re.compile(
    r"^(?:.*\bld(?:\.\w+)?: (.+)|(\S.*: undefined reference to .+)|(?:Error|ERROR): (.+)|make\S*: \*\*\* (.+))$",
    re.MULTILINE,
)
# Files that a build from nothing compiles, about: 1,344 on 6.12, 1,391 on 7.3. For the progress line only.
_ABOUT_FILES = 1400
# No build host in the image, and equal inputs give an equal kernel.
_REPRODUCIBLE = {
    "KBUILD_BUILD_USER": "oomtrial",
    "KBUILD_BUILD_HOST": "oomtrial",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
    "LOCALVERSION": "",
}


@dataclass(frozen=True)
class BuildPlan:
    """Everything that a build depends on."""

    spec: KernelSpec
    base: Base
    patches: tuple[Patch, ...]
    fragment: str  # the guest's, and the user's after it
    compiler: str
    user_fragments: tuple[str, ...] = ()  # paths of the user's fragments

    @property
    def key(self) -> str:
        """Content key of source, config, compiler, build environment and patches: equal keys are equal kernels."""
        diffs = [patch.content for patch in self.patches]
        return content_key(self.base.identity, self.fragment, self.compiler, str(sorted(_REPRODUCIBLE.items())), *diffs)

    @property
    def source(self) -> str:
        """Name and version of the base."""
        return self.base.name

    def make(self, progress: Reporter) -> Kernel:
        """Builds the kernel, in the tree of its base.

        Raises BuildError when a download fails, a patch does not apply, the config drops what a guest needs, or the
        compiler finds an error; HostError when there is no room.
        """
        tree = self.base.tree
        with wait_for(self.base.lock(), self.base.name, progress) as lock:
            if kernel := ready_kernel(self):
                return kernel
            restore(tree)
            self.base.fetch(progress)
            require_room(kernel_directory(self), _BUILD_BYTES, f"a build of {self.spec.text}")
            remove_doubtful(tree)
            laid = lay_over(tree, self.patches, self.base.name)
            try:
                with progress.task(f"build {self.spec.text}") as task:
                    kernel = self._build(task, laid, lock)
            finally:
                restore(tree)
        for line in kernel.config_not_taken:
            progress.say(f"{self.spec.text}: config option had no effect: {line}")
        return kernel

    def _build(self, task: Task, laid: Laid, lock: int) -> Kernel:
        tree, directory = self.base.tree, kernel_directory(self)
        log = directory / "build.log"
        log.unlink(missing_ok=True)
        task.update(detail="config")
        config = configure(tree, self.fragment, directory, log, lock)
        kconfig.require_guest_options(config, self.spec.text)
        (tree / ".config").write_text(config)
        if is_first_build(tree):
            task.update(total=_ABOUT_FILES)
        begin_products(tree)
        status = _make(tree, log, "bzImage", task=task, lock=lock)
        if status >= 0:  # make has ended by itself, and has taken away what it could not finish
            note_products(tree)
        if status:
            raise _explained(log.read_text(errors="replace"), status, self.spec.text, log)
        kernel = Kernel(
            spec=self.spec.text,
            key=self.key,
            image=str(directory / "bzImage"),
            source=self.source,
            patches={patch.name: content_key(patch.content) for patch in self.patches},
            config_key=content_key(config),
            compiler=self.compiler,
            config_not_taken=kconfig.not_taken(self.fragment, config),
            user_fragments=list(self.user_fragments),
        )
        image = (tree / "arch/x86/boot/bzImage").read_bytes()
        laid.require_unchanged(tree)
        return keep_kernel(self, kernel, {"bzImage": image, "config": config.encode()})


def configure(tree: Path, fragment: str, directory: Path, log: Path, lock: int) -> str:
    """The configuration that a tree makes of a fragment. It is made in `directory`; the tree's own is not changed. `lock`: descriptor of
    the tree's lock.

    Raises BuildError when the tree's Kconfig does not work.
    """
    directory.mkdir(parents=True, exist_ok=True)
    wanted, result = directory / "fragment", directory / "config.new"
    wanted.write_text(fragment)
    environment = _REPRODUCIBLE | {"KCONFIG_CONFIG": str(result)}
    for argv in (
        ["make", compiler_argument(), "tinyconfig"],
        ["scripts/kconfig/merge_config.sh", "-m", str(result), str(wanted)],
        ["make", compiler_argument(), "olddefconfig"],
    ):
        if status := run(argv, log=log, deadline_s=300, cwd=tree, env=environment, keep=(lock,)):
            text = log.read_text(errors="replace")
            raise _explained(text, status, f"the config of {tree.name}", log)
    try:
        return result.read_text()
    finally:
        for leftover in (result, result.with_name(f"{result.name}.old")):
            leftover.unlink(missing_ok=True)


def _make(tree: Path, log: Path, *targets: str, task: Task, lock: int) -> int:
    def tick() -> None:
        done, last = _progress(log)
        task.update(done=done, detail=f"files compiled; {last}" if last else "")

    argv = ["make", f"-j{machine_budget().cores}", compiler_argument(), *targets]
    return run(argv, log=log, deadline_s=_BUILD_DEADLINE_S, cwd=tree, env=_REPRODUCIBLE, on_tick=tick, keep=(lock,))


def _progress(log: Path) -> tuple[int, str]:
    compiled = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("  CC ")]
    return len(compiled), compiled[-1].split()[-1] if compiled else ""


def _explained(text: str, status: int, target: str, log: Path) -> BuildError | HostError:
    """The first error of a build's log, as a BuildError or HostError."""
    if "No space left on device" in text:
        return HostError(
            f"the disk of {cache_dir()} is full: {target} could not be built",
            "make room there (`oomtrial kernels prune` helps), or set OOMTRIAL_CACHE to another disk",
        )
    if missing := re.search(r"(?:/bin/sh: \d+: |sh: )(\S+): (?:command )?not found", text):
        return HostError(f"{target} could not be built: {missing[1]} is not installed", f"log: {log}")
    if match := _FIRST_ERROR.search(text):
        return BuildError(f"{target} does not compile: {match[1]}: {match[2]}", f"log: {log}")
    other = _OTHER_ERRORS.search(text)
    reason = next(filter(None, other.groups())) if other else f"make ended with status {status}"
    return BuildError(f"{target} cannot be built: {reason}", f"log: {log}")
