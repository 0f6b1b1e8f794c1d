"""The guest's root file system: a read-only ext4 image with Docker Engine, built without mounts."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ..errors import BuildError, HostError
from ..progress import Reporter
from ..system.aptcache import ask_apt, list_indexes
from ..system.paths import cache_dir, content_key, data_dir, require_room
from ..system.process import run
from ..system.sealed import is_intact, put_seal, sync
from .unprivileged import require_user_namespace

_RECIPE_VERSION = "2"
_IMAGE_MIB = 1024  # sparse
_MOUNT_POINTS = ("etc/docker", "opt/containerd", "sys/fs/cgroup", "var/lib/containerd", "var/lib/docker")
_DATA_DIR, _DATA_MIB = "usr/share/oomtrial", 256  # a hole: what hogs read to fill the page cache
_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")


@dataclass(frozen=True)
class Mirror:
    """One line of apt's configuration on this host."""

    uri: str
    suite: str
    component: str
    codename: str = ""  # what the suite calls itself: bookworm where apt's sources say oldstable

    def line(self) -> str:
        """The line for sources.list."""
        return f"deb {self.uri} {self.suite} {self.component}"


@dataclass(frozen=True)
class RootfsPlan:
    """Everything that the image depends on."""

    suite: str
    mirrors: tuple[Mirror, ...]
    packages: tuple[str, ...]
    versions: str  # what apt would install of them, so that an update makes a new image
    init: bytes

    @property
    def key(self) -> str:
        """Content key: equal keys are equal images."""
        return content_key(_RECIPE_VERSION, self.suite, "\n".join(self.packages), self.versions, self.init)

    @property
    def image(self) -> Path:
        """Path of the image in the cache."""
        return cache_dir() / "rootfs" / f"{self.key}.ext4"


def _package_list(path: Path) -> tuple[str, ...]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return tuple(line for line in lines if line)


def _mirrors() -> list[Mirror]:
    """The distribution's own archives among what apt reads here (no backports, no third parties)."""
    mirrors: dict[Mirror, None] = {}
    for line in list_indexes("$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(CODENAME)"):
        origin, label, uri, release, component, codename = line.split("|")
        if origin in ("Debian", "Ubuntu") and "Backports" not in label and not release.endswith("-backports"):
            mirrors[Mirror(uri, release, component, codename)] = None
    if not mirrors:
        raise HostError("apt knows no Debian or Ubuntu archive", "run `apt-get update` first")
    return list(mirrors)


def choose_suite(mirrors: Sequence[Mirror], codename: str) -> tuple[str, list[Mirror]]:
    """The suite that the image is made of, and the mirrors of it, its updates and its security fixes: the host's own, by its
    VERSION_CODENAME. That of a sid host is the next release's, which its apt need not read: then it is the suite with the shortest name.
    """
    own = [mirror for mirror in mirrors if codename in (mirror.suite, mirror.codename)]
    main = own[0] if codename and own else min(mirrors, key=lambda mirror: len(mirror.suite))
    roots = {main.suite, main.codename} - {""}
    family = {f"{root}{suffix}" for root in roots for suffix in ("", "-updates", "-security", "/updates")}
    return main.suite, [mirror for mirror in mirrors if {mirror.suite, mirror.codename} & family]


def host_codename() -> str:
    """VERSION_CODENAME of /etc/os-release; empty if it has none."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def plan_rootfs() -> RootfsPlan:
    """Plans the image from this host's apt configuration.

    Raises HostError when apt knows no Debian or Ubuntu archive.
    """
    recipe = data_dir("containers") / "guest"
    suite, mirrors = choose_suite(_mirrors(), host_codename())
    packages = _package_list(recipe / "packages.txt")
    policy = ask_apt("policy", *packages).splitlines()
    versions = "\n".join(line.strip() for line in policy if "Candidate:" in line)
    return RootfsPlan(suite, tuple(mirrors), packages, versions, (recipe / "init").read_bytes())


def build_rootfs(plan: RootfsPlan, progress: Reporter) -> Path:
    """Builds the image, unless the cache has it. Safe to call from several processes at once.

    Raises BuildError when a package is not available, HostError when there is no room, or this user may not build it.
    """
    plan.image.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{plan.image}.lock"):
        if is_intact(plan.image):
            return plan.image
        if plan.image.exists():
            progress.say(f"{plan.image} is damaged or from an older oomtrial; making it again")
        require_user_namespace()
        require_room(plan.image.parent, 2 << 30, "the guest's root file system")
        scratch = plan.image.with_name(f".{plan.key}.new")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        log = cache_dir() / "logs" / f"rootfs-{plan.key}.log"
        log.unlink(missing_ok=True)
        try:
            with progress.task("build the guest's root file system"):
                _bootstrap(plan, scratch, log)
                _make_image(plan, scratch, log)
            sync(scratch / "root.ext4")
            (scratch / "root.ext4").rename(plan.image)
            put_seal(plan.image)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return plan.image


def _bootstrap(plan: RootfsPlan, scratch: Path, log: Path) -> None:
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(plan.packages)}"]
    argv += [f"--dpkgopt=path-exclude=/{path}/*" for path in _LEFT_OUT]
    argv += [plan.suite, str(scratch / "root.tar"), *(mirror.line() for mirror in plan.mirrors)]
    if run(argv, log=log, deadline_s=1200):
        errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(("E:", "W:"))]
        raise BuildError(f"mmdebstrap failed: {errors[-1] if errors else 'no reason given'}", f"log: {log}")


def _make_image(plan: RootfsPlan, scratch: Path, log: Path) -> None:
    root = scratch / "root"
    (scratch / "init").write_bytes(plan.init)
    points = " ".join(f"root/{point}" for point in _MOUNT_POINTS)
    # One shell, so that one fakeroot session sees the owners from unpacking to the image.
    script = f"""set -e
mkdir root
tar -x -f root.tar -C root --exclude './dev/*' --exclude './var/cache/apt/*' --exclude './var/lib/apt/lists/*'
mkdir -p {points}
install -m 755 init root/sbin/oomtrial-init
mkdir -p root/{_DATA_DIR}
truncate -s {_DATA_MIB}M root/{_DATA_DIR}/data
mke2fs -q -F -t ext4 -O ^has_journal -d root root.ext4 {_IMAGE_MIB}M
"""
    wrapper = [] if os.geteuid() == 0 else ["fakeroot"]
    status = run([*wrapper, "sh", "-c", script], log=log, deadline_s=300, cwd=scratch)
    shutil.rmtree(root, ignore_errors=True)
    if status:
        last = log.read_text(errors="replace").strip().splitlines()[-1]
        raise BuildError(f"cannot make the guest's image: {last}", f"log: {log}")
