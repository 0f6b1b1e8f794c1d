"""From a guest's spec to QEMU's command line: a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..system.process import output_of
from .certs import Certificates

BINARY = "qemu-system-x86_64"
API_PORT = 2376  # of dockerd inside the guest

_ACCELERATORS = {"kvm": "kvm", "tcg": "tcg,thread=multi"}

_CMDLINE = (
    "console=ttyS0",
    "root=/dev/vda",
    "ro",
    "init=/sbin/oomtrial-init",
    # Console output is synchronous and slow, and a kill prints while it holds oom_lock: a loud console would widen
    # the window that is measured. Debian's default is quiet; /dev/kmsg has every record all the same.
    "quiet",
    "panic=-1",  # a panic resets the machine at once, and -no-reboot turns the reset into an exit
    "printk.devkmsg=on",  # no rate limit for the markers
    # On a host so busy that a vCPU gets no core for ten ticks, 6.1's check_timer() (arch/x86/kernel/apic/io_apic.c) takes the
    # timer for broken and panics; a kernel that knows it is KVM's guest leaves the check out by itself.
    "no_timer_check",
    "tsc=reliable",  # one clock for all vCPUs; other clock sources are slow to read under emulation
    "log_buf_len=2M",  # Debian's 128 KiB hold a few reports; our own kernels have 2 MiB
)


@dataclass(frozen=True)
class GuestSpec:
    """One guest to be started."""

    kernel: Path
    rootfs: Path
    accel: str  # kvm or tcg
    vcpus: int
    memory_mib: int
    port: int  # of the host, on the loopback interface
    certificates: Certificates
    console: Path  # what the serial port prints
    seed: Path  # random bytes for the guest, which a restored one has not had
    job: Path  # what its supervisor is to do; like the seed always of one size, which the guest has noted at its boot
    monitor: str  # QMP socket: a name in the directory that QEMU is started in, as the path of a Unix socket ends at 107 bytes
    restore: str = ""  # what QEMU reads a snapshot from
    extra_cmdline: tuple[str, ...] = ()
    initrd: Path | None = None  # for a kernel that has its drivers as modules


def qemu_argv(spec: GuestSpec) -> list[str]:
    """The command line of QEMU 7.2 or newer."""
    argv = [BINARY, "-machine", "q35", "-accel", _ACCELERATORS[spec.accel], "-cpu", "max", "-smp", str(spec.vcpus)]
    argv += ["-m", f"{spec.memory_mib}M", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    argv += ["-kernel", str(spec.kernel), "-append", " ".join((*_CMDLINE, *spec.extra_cmdline))]
    if spec.initrd:
        argv += ["-initrd", str(spec.initrd)]
    argv += ["-chardev", f"file,id=console,path={_escaped(spec.console)}", "-serial", "chardev:console"]
    argv += [
        "-drive",
        f"file={_escaped(spec.rootfs)},if=none,id=root,format=raw,readonly=on",
        "-device",
        "virtio-blk-pci,drive=root",
    ]
    # restrict=on: the guest reaches nothing; only the forwarded port gets in.
    network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{spec.port}-:{API_PORT}"
    argv += ["-netdev", network, "-device", "virtio-net-pci,netdev=net"]
    certificates = spec.certificates
    for name, path in (
        ("ca", certificates.ca),
        ("server", certificates.server),
        ("server-key", certificates.server_key),
    ):
        argv += ["-fw_cfg", f"name=opt/org.oomtrial/{name}.pem,file={_escaped(path)}"]
    for name, path in (("seed", spec.seed), ("job", spec.job)):
        argv += ["-fw_cfg", f"name=opt/org.oomtrial/{name},file={_escaped(path)}"]
    argv += ["-qmp", f"unix:{spec.monitor},server=on,wait=off"]
    if spec.restore:
        argv += ["-incoming", spec.restore]
    return argv


def _escaped(path: Path) -> str:
    """A comma ends an option's value unless it is doubled."""
    return str(path).replace(",", ",,")


def qemu_version() -> str:
    return output_of([BINARY, "--version"]).splitlines()[0]
