"""Diagnoses what works on this machine, and how to fix the rest."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import HostError, OomtrialError
from ..guest.accel import Probe, cached_probe, kvm_openable
from ..guest.local import connect_local, engine_of, kernel_log_trouble, require_host_arm, require_kernel
from ..guest.rootfs import plan_rootfs
from ..guest.unprivileged import require_user_namespace
from ..kernels import toolchain
from ..kernels.debian import offered_series
from ..kernels.library import library_names
from ..kernels.source import offered_versions
from ..report.lines import print_table
from ..spec.machine import Accel
from ..system.machine import available_mib, machine_budget
from ..system.paths import cache_dir, data_dir
from ..system.process import find_command, output_of

# What is run on the way from nothing to a summary, beside apt's and dpkg's own.
_COMMANDS = (
    "qemu-system-x86_64", "mmdebstrap", "mke2fs", "setpriv", "zstd", "tar", "musl-gcc", "git", *toolchain.COMMANDS
)  # fmt: skip
_NEED_DISK = 8 << 30
_NEED_MEMORY_MIB = 3 << 10


class FindingState(StrEnum):
    """Whether a property of the machine is as oomtrial needs it."""

    OK = "ok"
    NOTE = "note"  # something optional does not work
    MISSING = "missing"  # nothing works without it


@dataclass(frozen=True)
class Finding:
    """One checked property of the machine."""

    topic: str
    state: FindingState
    text: str
    remedy: str = ""  # the command that fixes it, or what to do where none does

    @property
    def is_fatal(self) -> bool:
        """Whether nothing can run until this is fixed."""
        return self.state is FindingState.MISSING


def host_packages() -> list[str]:
    """The Debian packages that the guest path needs, from containers/host-packages.txt."""
    lines = (data_dir("containers") / "host-packages.txt").read_text().splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def _sudo() -> str:
    return "" if os.geteuid() == 0 else "sudo "


def _packages() -> Finding:
    wanted = host_packages()
    try:
        shown = output_of(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"])
    except HostError as error:
        return Finding("packages", FindingState.MISSING, str(error), "a Debian or Ubuntu host is needed")
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    lacking = [package for package in wanted if package not in installed]
    if lacking:
        return Finding(
            "packages",
            FindingState.MISSING,
            f"not installed: {', '.join(lacking)}",
            f"{_sudo()}apt-get install --no-install-recommends {' '.join(lacking)}",
        )
    commands = (*_COMMANDS, *(() if os.geteuid() == 0 else ("fakeroot", "unshare", "newuidmap")))
    if absent := sorted({command for command in commands if find_command(command) is None}):
        text = f"installed, but not found: {', '.join(absent)}"
        return Finding("packages", FindingState.MISSING, text, 'export PATH="$PATH:/usr/sbin:/sbin"')
    return Finding("packages", FindingState.OK, f"all {len(wanted)} installed")


def _user() -> Finding:
    if os.geteuid() == 0:
        return Finding("user", FindingState.OK, "root")
    try:
        require_user_namespace()
    except HostError as error:
        return Finding("user", FindingState.MISSING, error.what, error.hint)
    return Finding("user", FindingState.OK, "without root: has what mmdebstrap needs for the guest's image")


def _acceleration() -> Finding:
    topic = "acceleration"
    try:
        probe: Probe | None = cached_probe()
    except OomtrialError as error:
        return Finding(topic, FindingState.MISSING, str(error), "install the packages first")
    if reason := kvm_openable():
        remedy = f"{_sudo()}modprobe kvm_intel || {_sudo()}modprobe kvm_amd  # in a virtual machine its host must allow nesting"
        if Path("/dev/kvm").exists():
            remedy = "sudo usermod -aG kvm $USER  # then log in again"
        return Finding(topic, FindingState.NOTE, f"no KVM: {reason}; guests are emulated, which is slower", remedy)
    if probe is None:
        return Finding(
            topic,
            FindingState.NOTE,
            "not known yet: /dev/kvm opens, but only a guest that boots proves it",
            "oomtrial run --kernel debian:6.12 --rounds 2  # or any other run: it finds out",
        )
    if probe.accel == Accel.KVM:
        return Finding(topic, FindingState.OK, f"KVM: {probe.reason}")
    return Finding(
        topic,
        FindingState.NOTE,
        f"{probe.reason}; guests are emulated, which is slower",
        "no command fixes it: it needs bare metal, or a virtual machine with nested VMX or SVM",
    )


def _local_docker() -> Finding:
    try:
        client = connect_local(deadline_s=5)
        with contextlib.closing(client):
            engine = engine_of(client)
        require_host_arm(engine)
        if engine.is_ours:
            require_kernel(engine)
    except HostError as error:
        return Finding(
            "container engine", FindingState.NOTE, f"cannot be used by --kernel host: {error.what}", error.hint
        )
    where = "" if engine.is_ours else f", on another kernel or machine ({engine.kernel})"
    return Finding("container engine", FindingState.OK, f"{engine}{where}: run --kernel host")


def _kernel_log() -> Finding:
    trouble = kernel_log_trouble()
    if trouble is not None:
        return Finding(
            "kernel log", FindingState.NOTE, f"`oomtrial watch` cannot read it: {trouble.what}", trouble.hint
        )
    return Finding("kernel log", FindingState.OK, "readable: `oomtrial watch`")


def _room() -> Finding:
    directory = cache_dir()
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    state = FindingState.OK if free >= _NEED_DISK else FindingState.MISSING
    return Finding(
        "disk",
        state,
        f"{free / (1 << 30):.1f} GiB free for the cache, {_NEED_DISK >> 30} GiB are enough",
        "oomtrial kernels prune  # or set OOMTRIAL_CACHE to a directory on another disk",
    )


def _memory() -> Finding:
    budget, available = machine_budget(), available_mib()
    state = FindingState.OK if available >= _NEED_MEMORY_MIB else FindingState.MISSING
    quota = f" (a cgroup limits CPU time to {budget.quota:g} cores)" if budget.quota else ""
    text = f"{available / 1024:.1f} GiB available, a guest needs 2 GiB; {budget.cores} cores{quota}"
    return Finding(
        "memory, cores", state, text, "stop processes that use memory (ps aux --sort -rss), or use another machine"
    )


def _sources() -> Finding:
    try:
        versions = [version for version in offered_versions() if library_names(version)]
        plan_rootfs()
    except OomtrialError as error:
        return Finding("apt", FindingState.MISSING, str(error), f"{_sudo()}apt-get update")
    if not versions:
        return Finding(
            "apt",
            FindingState.MISSING,
            "apt offers no linux-source package that the patch library knows",
            f"{_sudo()}apt-get update",
        )
    offered = [f"source:{version} with {len(library_names(version))} patches" for version in versions]
    offered += [f"debian:{version}" for version in offered_series()]
    more = "more in the suites of its mirror, and the patches' names: oomtrial kernels list"
    return Finding("apt", FindingState.OK, f"{', '.join(offered)}; {more}")


def _cache() -> Finding:
    cache = cache_dir()
    kernels = len(list(cache.glob("kernels/*/kernel.json")))
    images = len(list(cache.glob("rootfs/*.ext4")))
    return Finding(
        "cache",
        FindingState.OK,
        f"{cache}: {kernels} kernel{'s' * (kernels != 1)}, {images} guest image{'s' * (images != 1)}",
    )


def diagnose() -> list[Finding]:
    """Checks everything that a run needs."""
    return [
        _packages(),
        _user(),
        _sources(),
        _acceleration(),
        _room(),
        _memory(),
        _local_docker(),
        _kernel_log(),
        _cache(),
    ]


def print_findings(console: Console, findings: list[Finding]) -> None:
    """A checklist; below each "no" the command that fixes it."""
    words = {FindingState.OK: "[green]yes[/]", FindingState.NOTE: "[yellow]no[/]", FindingState.MISSING: "[red]NO[/]"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "works", "what was found"):
        table.add_column(heading)
    for finding in findings:
        remedy = f"\n-> {escape(finding.remedy)}" if finding.remedy and finding.state is not FindingState.OK else ""
        table.add_row(finding.topic, words[finding.state], escape(finding.text) + remedy)
    print_table(console, table)
    fatal = [finding.topic for finding in findings if finding.is_fatal]
    without = [finding.topic for finding in findings if finding.state is FindingState.NOTE]
    if fatal:
        console.print(f"guests cannot run yet: fix {', '.join(fatal)}", style="bold red", highlight=False)
    else:
        text = f"; {', '.join(without)}: optional" if without else ""
        console.print(f"guests can run: oomtrial demo{text}", highlight=False)
