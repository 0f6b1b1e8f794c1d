"""Debian's prebuilt kernels: fetched by apt, unpacked in the cache, never installed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from ..errors import BuildError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from ..system.cc import build_binary
from ..system.paths import cache_dir, content_key, data_dir, require_room
from ..system.process import run
from . import config as kconfig
from .apt import Package, download
from .debversion import answers, is_candidate, version_order
from .initramfs import loading_order, make_archive
from .kernel import Kernel, keep_kernel, kernel_directory, ready_kernel, wait_for
from .offers import Offers, Rank, host_packages, listed_with

_RECIPE_VERSION = "1"
_UNPACKED_BYTES = 512 << 20  # the package and its content; a kernel and its initramfs stay
_UNPACK_DEADLINE_S = 300
# The disk, the network, the certificates, the file systems.
_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "qemu_fw_cfg", "ext4", "overlay")
# cloud-amd64 first: a third of the size, and it has every driver that a guest needs. No -unsigned, -rt, -dbg.
_FLAVOURS = ("cloud-amd64", "amd64")
_NAME = re.compile(
    r"linux-image-(?P<version>\d+\.\d+(?:\.\d+)?(?:-\d+)?(?:[+~][\w.+~]+)?)-(?P<flavour>cloud-amd64|amd64)"
)


@dataclass(frozen=True)
class Offered:
    """A kernel package, by its name."""

    package: str
    version: str  # 6.1.0-56, 6.12.117+deb12; 7.3 of a release candidate
    flavour: str

    @property
    def series(self) -> str:
        """The kernel's series: ``6.12`` of 6.12.117+deb12."""
        return ".".join(self.version.split(".")[:2])

    def answers(self, wanted: str) -> bool:
        """Whether ``debian:WANTED`` matches it."""
        return wanted == self.series or re.fullmatch(re.escape(wanted) + r"(?:[-+].*)?", self.version) is not None


def parse_name(name: str) -> Offered | None:
    """Parses a package name; None if it is no prebuilt kernel that a guest can boot."""
    match = _NAME.fullmatch(name)
    return Offered(name, match["version"], match["flavour"]) if match else None


def offered_series() -> list[str]:
    """Versions for which the host's own apt offers a prebuilt kernel, such as 6.1, oldest first."""
    series = {name.series for package in host_packages() if (name := parse_name(package.name))}
    return sorted(series, key=version_order)


def rank_debian(wanted: str) -> Rank:
    """Ranks packages for ``debian:WANTED``: a release before a candidate, the small flavour before the other, then the newest."""

    def rank(package: Package) -> tuple[bool, int] | None:
        name = parse_name(package.name)
        if name is None or not _answers(package, wanted) or lacking_parts(package):
            return None
        return not is_candidate(package.version), -_FLAVOURS.index(name.flavour)

    return rank


def find_debian(spec: KernelSpec, offers: Offers) -> tuple[Package, ...]:
    """The packages that together hold the kernel of ``debian:VERSION[@SUITE]``; linux-image is the first.

    Raises BuildError when no archive offers it.
    """
    image = offers.newest("binary", spec.suite, rank_debian(spec.argument))
    if image:
        by_name = {package.name: package for package in listed_with(image) if package.version == image.version}
        return (image, *(by_name[name] for name in _parts(image)))
    known = offers.of_suites("binary", spec.suite) + ([] if spec.suite else host_packages())
    kernels = sorted(
        (package for package in known if parse_name(package.name)), key=lambda package: version_order(package.version)
    )
    whole = [package for package in kernels if not lacking_parts(package)]
    meant = [package for package in kernels if package not in whole and _answers(package, spec.argument)]
    why = f"{meant[-1].suite or 'apt'} lists {meant[-1].title} without {lacking_parts(meant[-1])[0]}" if meant else ""
    raise offers.refusal("prebuilt kernel", spec.argument, spec.suite, whole, why)


def _answers(package: Package, wanted: str) -> bool:
    name = parse_name(package.name)
    return name is not None and (name.answers(wanted) or answers(wanted, package.version))


def _parts(image: Package) -> list[str]:
    """Since 6.19 linux-image is empty: kernel, modules and config are in packages of their own."""
    named = image.name.removeprefix("linux-image-")
    if f"linux-binary-{named}" not in image.depends:
        return []
    return [f"linux-{part}-{named}" for part in ("binary", "modules", "base")]


def lacking_parts(image: Package) -> list[str]:
    """Packages without which a kernel is not whole, and which its index does not offer: a suite that keeps old versions
    of linux-image (made of linux-signed-amd64) may have dropped their linux-modules (made of linux)."""
    names = _parts(image)
    if not names:
        return []
    there = {package.name for package in listed_with(image) if package.version == image.version}
    return [name for name in names if name not in there]


@dataclass(frozen=True)
class DebianPlan:
    """A prebuilt kernel, and the initramfs that oomtrial makes for it."""

    spec: KernelSpec
    packages: tuple[Package, ...]  # linux-image, and what it is divided into

    @cached_property
    def key(self) -> str:
        """Content key of the packages and of everything that goes into the initramfs."""
        first_program = _first_program().read_bytes()
        hashes = [package.sha256 for package in self.packages]
        return content_key("debian", _RECIPE_VERSION, *hashes, first_program, *_MODULES)

    @property
    def source(self) -> str:
        """Name and version of the package with the kernel."""
        return self.packages[0].title

    def make(self, progress: Reporter) -> Kernel:
        """Fetches the packages, and makes the initramfs.

        Raises BuildError when the download fails, or the kernel lacks something that a guest needs.
        """
        directory = kernel_directory(self)
        with wait_for(FileLock(cache_dir() / "kernels" / f".{self.key}.lock"), self.source, progress):
            if kernel := ready_kernel(self):
                return kernel
            require_room(directory, _UNPACKED_BYTES, f"the kernel {self.packages[0].name}")
            scratch = directory.with_name(f".{self.key}.new")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            try:
                with progress.task(f"fetch {self.source}"):
                    for file in download(self.packages, scratch):
                        _unpack(file, scratch / "root")
                return self._keep(scratch / "root")
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _keep(self, root: Path) -> Kernel:
        directory = kernel_directory(self)
        # /lib until Debian 12, /usr/lib after it; /boot until 6.18, beside the modules after it
        modules_dir = self._only(root, "modules", "**/lib/modules/*/modules.builtin").parent
        image = self._only(root, "kernel", "boot/vmlinuz-*", "**/lib/modules/*/vmlinuz")
        config = self._only(root, "config", "boot/config-*", "**/lib/modules/*/config")
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

    def _only(self, root: Path, kind: str, *patterns: str) -> Path:
        matches = [path for pattern in patterns for path in root.glob(pattern) if path.is_file()]
        if len(matches) != 1:
            raise BuildError(f"{self.source} has {len(matches) or 'no'} {kind}, expected one: {patterns[-1]}")
        return matches[0]


def _first_program() -> Path:
    return data_dir("containers") / "guest" / "initramfs.c"


def _unpack(package: Path, root: Path) -> None:
    log = cache_dir() / "logs" / f"unpack-{package.stem}.log"
    log.unlink(missing_ok=True)
    if run(["dpkg-deb", "-x", str(package), str(root)], log=log, deadline_s=_UNPACK_DEADLINE_S):
        last = log.read_text(errors="replace").strip().splitlines()[-1]
        raise BuildError(f"cannot unpack {package.name}: {last}", f"log: {log}")
    package.unlink()


def plan_debian(spec: KernelSpec, offers: Offers) -> DebianPlan:
    """Resolves ``debian:VERSION[@SUITE]``; package lists may be read, no package is fetched.

    Raises BuildError when no archive offers such a kernel.
    """
    return DebianPlan(spec, find_debian(spec, offers))
