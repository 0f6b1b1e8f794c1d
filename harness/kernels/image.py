"""An existing bzImage."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from filelock import FileLock

from ..errors import UsageError
from ..progress import Reporter
from ..spec.kernel import KernelSpec
from ..system.paths import cache_dir, content_key, require_room
from .kernel import Kernel, keep_kernel, kernel_directory, ready_kernel, wait_for

# Of the Linux x86 boot protocol (Documentation/arch/x86/boot.rst).
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_VERSION_POINTER_AT, _SETUP_AT = 0x20E, 0x200
UNCHECKED = (
    "its config is not known: memcg, kprobe events and what Docker Engine needs are assumed; virtio, ext4, "
    "overlay and fw_cfg must be built in, because it gets no initramfs"
)


@dataclass(frozen=True)
class ImagePlan:
    """An image as it was when it was read: a later build over the same path is another kernel."""

    spec: KernelSpec
    content: bytes
    version: str

    @property
    def key(self) -> str:
        """Content key of the image."""
        return content_key("image", self.content)

    @property
    def source(self) -> str:
        """Path of the image and the version that it states."""
        return f"{self.spec.path.resolve()}, Linux {self.version}"

    def make(self, progress: Reporter) -> Kernel:
        """Keeps a copy, so that the whole run uses one kernel.

        Raises HostError when there is no room.
        """
        directory = kernel_directory(self)
        with wait_for(FileLock(cache_dir() / "kernels" / f".{self.key}.lock"), self.source, progress):
            if kernel := ready_kernel(self):
                return kernel
            require_room(directory, len(self.content) + (1 << 20), f"a copy of {self.spec.argument}")
            kernel = Kernel(
                spec=self.spec.text,
                key=self.key,
                image=str(directory / "bzImage"),
                source=self.source,
                patches={},
                config_key="",
                compiler="",
                config_not_taken=[],
            )
            progress.say(f"{self.spec.text}: {UNCHECKED}")
            return keep_kernel(self, kernel, {"bzImage": self.content})


def image_version(content: bytes) -> str | None:
    """The version that a bzImage states, such as 6.1.192-oomtrial; None if it is not a bzImage."""
    if content[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC:
        return None
    at = int.from_bytes(content[_VERSION_POINTER_AT : _VERSION_POINTER_AT + 2], "little") + _SETUP_AT
    words = content[at : at + 256].split(b"\0")[0].decode(errors="replace").split()
    return words[0] if words else "of an unknown version"


def plan_image(spec: KernelSpec) -> ImagePlan:
    """Resolves ``image:PATH``.

    Raises UsageError when there is not a bzImage.
    """
    try:
        if not stat.S_ISREG(spec.path.stat().st_mode):  # a pipe may never end, nor does /dev/zero
            raise UsageError(f"kernel image {spec.path} is not a file", "name arch/x86/boot/bzImage of a built tree")
        content = spec.path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read kernel image {spec.path}: {error.strerror}") from error
    version = image_version(content)
    if version is None:
        raise UsageError(f"{spec.path} is not a bzImage", "name arch/x86/boot/bzImage of a built tree")
    return ImagePlan(spec, content, version)
