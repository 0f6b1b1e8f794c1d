"""The kernel configuration: tinyconfig, the guest's fragment, then the user's fragments; and which options took effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import BuildError, UsageError
from .kernel import Kernel
from .library import parse_version

FRAGMENT = Path(__file__).parent / "configs" / "guest.config"
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")
_SET = re.compile(r"(CONFIG_\w+)=(.+)")

# In the fragment, the lines after ``## versions FIRST..LAST`` (either may be missing) are for these kernels only: options
# come, go and change their default. ``## versions all`` ends it.
_SECTION = re.compile(r"## versions (?:(all)|([\d.]*?)\.\.([\d.]*))")

# What no guest can do without, and what for.
_NEEDED = {
    "the measurement": "MEMCG SHMEM MMU PROC_FS KPROBES KPROBE_EVENTS FTRACE PRINTK SMP",
    "Docker Engine": "CGROUPS CGROUP_PIDS CGROUP_FREEZER CGROUP_BPF CPUSETS NAMESPACES UTS_NS IPC_NS PID_NS NET_NS "
    "SECCOMP_FILTER KEYS EPOLL INOTIFY_USER UNIX INET TMPFS",
    "the guest's start": "64BIT BLOCK DEVTMPFS SYSFS BINFMT_ELF BINFMT_SCRIPT TTY SERIAL_8250_CONSOLE PCI ACPI",
}
# These may be modules where an initramfs loads them.
_NEEDED_DRIVERS = "VIRTIO_PCI VIRTIO_BLK VIRTIO_NET FW_CFG_SYSFS EXT4_FS OVERLAY_FS"


def parse_config(text: str) -> dict[str, str]:
    """Option names to values; an option that is set to nothing has the value ``n``."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if match := _UNSET.match(line):
            options[match[1]] = "n"
        elif line.startswith("CONFIG_"):
            name, _, value = line.partition("=")
            options[name] = value
    return options


def for_version(fragment: str, version: str) -> str:
    """The lines of a fragment that are for a kernel version."""
    wanted, lines, is_for_it = parse_version(version), [], True
    for line in fragment.splitlines(keepends=True):
        if section := _SECTION.match(line):
            first, last = (parse_version(bound or "") for bound in section.group(2, 3))
            is_for_it = (not first or wanted >= first) and (not last or wanted[: len(last)] <= last)
        elif is_for_it:
            lines.append(line)
    return "".join(lines)


def fragment_text(version: str, own_files: Iterable[Path] = ()) -> str:
    """The guest's fragment for a kernel version, and the user's after it: the last setting of an option wins.

    Raises UsageError for a file that cannot be read or is no config fragment, BuildError for one that drops memcg.
    """
    parts = [for_version(FRAGMENT.read_text(), version)]
    for path in own_files:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UsageError(f"cannot read config fragment {path}: {reason}") from error
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not (_SET.fullmatch(line.strip()) or line.startswith("#")):
                raise UsageError(
                    f"{path}:{number} is not a line of a kernel config: {line.strip()!r}",
                    "write CONFIG_X=y, or # CONFIG_X is not set",
                )
        dropped = parse_config(text).get("CONFIG_MEMCG", "y")
        if dropped != "y":
            raise BuildError(f"{path} drops memcg (CONFIG_MEMCG={dropped})", "there would be nothing to measure")
        parts.append(text if text.endswith("\n") else f"{text}\n")
    return "".join(parts)


def not_taken(fragment: str, config: str) -> list[str]:
    """Lines of a fragment that had no effect on the resulting configuration, as ``CONFIG_X=y (is n)``."""
    have = parse_config(config)
    return [
        f"{name}={want} (is {have.get(name, 'n')})"
        for name, want in parse_config(fragment).items()
        if have.get(name, "n") != want
    ]


def guest_lacks(config: str, *, modules: bool) -> list[str]:
    """Options that a guest needs and a configuration lacks, as ``CONFIG_MEMCG (the measurement)``.

    `modules`: drivers may be modules, because an initramfs loads them.
    """
    have = parse_config(config)
    lacking = [
        f"CONFIG_{name} ({purpose})"
        for purpose, names in _NEEDED.items()
        for name in names.split()
        if have.get(f"CONFIG_{name}") != "y"
    ]
    good = ("y", "m") if modules else ("y",)
    drivers = [name for name in _NEEDED_DRIVERS.split() if have.get(f"CONFIG_{name}") not in good]
    return lacking + [f"CONFIG_{name} (the guest's start)" for name in drivers]


def config_of(kernel: Kernel) -> dict[str, str] | None:
    """The options of a cached kernel, or None if its config is unknown."""
    path = Path(kernel.image).with_name("config")
    return parse_config(path.read_text(errors="replace")) if path.is_file() else None


def lacks(kernel: Kernel, options: Iterable[str]) -> list[str]:
    """The options of a list that a kernel does not have built in. CONFIG_MEMCG_V1 came in 6.11; before, v1 was always there."""
    have = config_of(kernel)
    return [] if have is None else lacks_options(have, options)


def lacks_options(have: Mapping[str, str], options: Iterable[str]) -> list[str]:
    """`lacks` for a parsed config."""
    return [
        name for name in options if have.get(name, "n") != "y" and not (name == "CONFIG_MEMCG_V1" and name not in have)
    ]


def require_guest_options(config: str, owner: str, *, modules: bool = False) -> None:
    """Raises BuildError when a configuration lacks what a guest needs."""
    if lacking := guest_lacks(config, modules=modules):
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise BuildError(
            f"the config of {owner} lacks what a guest needs: {', '.join(lacking[:3])}{more}",
            "take out what drops it: a line of --config FILE, or of the tree's Kconfig",
        )
