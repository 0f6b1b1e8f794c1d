"""An initramfs for kernels that have their drivers as modules: our first program, and the modules in loading order."""

from __future__ import annotations

import lzma
import re
import stat
from collections.abc import Iterable
from pathlib import Path

import zstandard

from ..errors import BuildError

_MODULE_FILE = re.compile(r"(?P<name>[^/]+)\.ko(?:\.(?:xz|zst|gz))?")
# In a module's .modinfo section: NAME=VALUE, each ended by a zero byte.
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def module_name(file_name: str) -> str | None:
    """``virtio-rng.ko.xz`` is the module ``virtio_rng``; None for what is no module."""
    match = _MODULE_FILE.fullmatch(file_name)
    return match["name"].replace("-", "_") if match else None


def read_module(path: Path) -> bytes:
    """A module's ELF file; the initramfs has no room for a decompressor in the guest."""
    content = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(content)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content


def depends(module: bytes) -> list[str]:
    """The modules that must be loaded before this one, as its own .modinfo says."""
    match = _DEPENDS.search(module)
    return [name.replace("-", "_") for name in match[1].decode().split(",") if name] if match else []


def loading_order(modules_dir: Path, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
    """The wanted modules and what they depend on, each after its dependencies; built-in ones are left out.

    Raises BuildError when a kernel has one neither as a module nor built in.
    """
    files = {name: path for path in modules_dir.rglob("*.ko*") if (name := module_name(path.name))}
    listed = (modules_dir / "modules.builtin").read_text().splitlines()
    built_in = {module_name(Path(line).name) for line in listed}
    ordered: dict[str, bytes] = {}

    def visit(name: str) -> None:
        if name in ordered or name in built_in:
            return
        if name not in files:
            raise BuildError(f"{modules_dir.name} has no driver {name}, which a guest needs")
        content = read_module(files[name])
        for other in depends(content):
            visit(other)
        ordered[name] = content

    for name in wanted:
        visit(name)
    return list(ordered.items())


def make_archive(init: bytes, modules: Iterable[tuple[str, bytes]]) -> bytes:
    """The initramfs, not compressed: an emulated guest would spend longer on unpacking it."""
    parts = [_entry("dev", stat.S_IFDIR | 0o755), _entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))]
    parts += [_entry("root", stat.S_IFDIR | 0o755), _entry("modules", stat.S_IFDIR | 0o755)]
    parts += [_entry("init", stat.S_IFREG | 0o755, init)]
    for position, (name, content) in enumerate(modules):
        parts.append(_entry(f"modules/{position:03d}-{name}", stat.S_IFREG | 0o644, content))
    return b"".join([*parts, _entry("TRAILER!!!", 0)])


def _entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One file of a cpio archive of the format "newc", with neither owner nor time: equal input, equal archive."""
    raw = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (0, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(raw), 0)
    header = b"070701" + "".join(f"{field:08X}" for field in fields).encode()
    return _padded(header + raw) + _padded(content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
