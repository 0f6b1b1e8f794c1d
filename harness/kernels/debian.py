"""Debian's prebuilt kernels: fetched by apt, unpacked in the cache, never installed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from harness.binaries import build_binary
from harness.errors import BuildError
from harness.kernels import config as kconfig
from harness.kernels.apt import Package, download, find_package, package_names
from harness.kernels.initramfs import loading_order, make_archive
from harness.kernels.kernel import Kernel, keep_kernel, kernel_directory, ready_kernel, wait_for
from harness.paths import cache_dir, content_key, data_dir, require_room
from harness.proc import run
from harness.progress import Reporter
from harness.spec.kernel import KernelSpec

_RECIPE_VERSION = "1"
_UNPACKED_BYTES = 512 << 20  # the package and its content; a kernel and its initramfs stay
_UNPACK_DEADLINE_S = 300
# The disk, the network, the certificates, the file systems.
_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "qemu_fw_cfg", "ext4", "overlay")
# cloud-amd64 first: a third of the size, and it has every driver that a guest needs. No -unsigned, -rt, -dbg.
_FLAVOURS = ("cloud-amd64", "amd64")
_NAME = re.compile(r"linux-image-(?P<version>\d+\.\d+\.\d+(?:-\d+)?(?:[+~][\w.+~]+)?)-(?P<flavour>cloud-amd64|amd64)")


@dataclass(frozen=True)
class Offered:
    """A kernel package that apt knows by name."""

    package: str
    version: str  # 6.1.0-56 or 6.12.117+deb12
    flavour: str

    @property
    def series(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def order(self) -> tuple[int, ...]:
        """Newer kernels have greater ones."""
        return tuple(map(int, re.findall(r"\d+", self.version)))

    def answers(self, wanted: str) -> bool:
        """Whether ``debian:WANTED`` may mean it."""
        return wanted == self.series or re.fullmatch(re.escape(wanted) + r"(?:[-+].*)?", self.version) is not None


def parse_names(names: list[str]) -> list[Offered]:
    """Kernel packages among package names: best flavour first, and of each the newest first."""
    found = [Offered(name, match["version"], match["flavour"]) for name in names if (match := _NAME.fullmatch(name))]
    return sorted(found, key=lambda one: (-_FLAVOURS.index(one.flavour), one.order), reverse=True)


def offered_series() -> list[str]:
    """Versions for which apt offers a prebuilt kernel here, such as 6.1, oldest first."""
    series = {one.series for one in parse_names(package_names("linux-image-"))}
    return sorted(series, key=lambda text: tuple(map(int, text.split("."))))


def find_debian(version: str) -> Package:
    """The newest package of a version that apt would fetch.

    Raises BuildError when it offers none.
    """
    for one in parse_names(package_names("linux-image-")):
        if one.answers(version) and (package := find_package(one.package)):
            return package
    offered = ", ".join(offered_series()) or "none (run `apt-get update` first)"
    raise BuildError(f"apt offers no prebuilt kernel {version}", f"offered: {offered}")


@dataclass(frozen=True)
class DebianPlan:
    """A prebuilt kernel and our initramfs for it."""

    spec: KernelSpec
    package: Package

    @cached_property
    def key(self) -> str:
        first_program = _first_program().read_bytes()
        return content_key("debian", _RECIPE_VERSION, self.package.sha256, first_program, *_MODULES)

    @property
    def source(self) -> str:
        return f"{self.package.name} {self.package.version}"

    def make(self, report: Reporter) -> Kernel:
        """Fetches the package, and makes the initramfs.

        Raises BuildError when the download fails, or the kernel lacks something that a guest needs.
        """
        directory = kernel_directory(self)
        with wait_for(FileLock(cache_dir() / "kernels" / f".{self.key}.lock"), self.source, report):
            if kernel := ready_kernel(self):
                return kernel
            require_room(directory, _UNPACKED_BYTES, f"the kernel {self.package.name}")
            scratch = directory.with_name(f".{self.key}.new")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            try:
                with report.task(f"fetch {self.source}"):
                    _unpack(download(self.package, scratch), scratch / "root")
                return self._keep(scratch / "root")
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _keep(self, root: Path) -> Kernel:
        directory = kernel_directory(self)
        (image,), (config,) = root.glob("boot/vmlinuz-*"), root.glob("boot/config-*")
        # /lib until Debian 13, /usr/lib after it
        (modules_dir,) = (path for path in root.glob("**/lib/modules/*") if (path / "modules.builtin").is_file())
        text = config.read_text()
        kconfig.require_guest_options(text, self.spec.text, modules=True)
        initrd = make_archive(build_binary(_first_program()).read_bytes(), loading_order(modules_dir, _MODULES))
        kernel = Kernel(
            spec=self.spec.text,
            key=self.key,
            image=str(directory / "bzImage"),
            source=self.source,
            patches={},
            config_key=content_key(text),
            compiler=kconfig.parse_config(text).get("CONFIG_CC_VERSION_TEXT", "").strip('"'),
            config_not_taken=[],
            initrd=str(directory / "initrd"),
        )
        return keep_kernel(self, kernel, {"bzImage": image.read_bytes(), "initrd": initrd, "config": text.encode()})


def _first_program() -> Path:
    return data_dir("containers") / "guest" / "initramfs.c"


def _unpack(package: Path, root: Path) -> None:
    log = cache_dir() / "logs" / f"unpack-{package.stem}.log"
    log.unlink(missing_ok=True)
    if run(["dpkg-deb", "-x", str(package), str(root)], log=log, deadline_s=_UNPACK_DEADLINE_S):
        last = log.read_text(errors="replace").strip().splitlines()[-1]
        raise BuildError(f"cannot unpack {package.name}: {last}", f"log: {log}")
    package.unlink()


def plan_debian(spec: KernelSpec) -> DebianPlan:
    """Resolves ``debian:VERSION``; nothing is fetched.

    Raises BuildError when apt offers no such kernel.
    """
    return DebianPlan(spec, find_debian(spec.argument))
