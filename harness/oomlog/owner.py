"""Whose a memcg is: the pod, the container, the systemd unit and the runtime that its path names."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .late_pattern import late_pattern


class Owner(NamedTuple):
    """What a path says; None where it does not."""

    pod_uid: str | None
    container_id: str | None
    unit: str | None
    runtime: str | None


NOBODY = Owner(None, None, None, None)

_ID = r"[0-9a-f]{64}|[0-9a-f]{32}-\d+|[0-9a-f]{12}"  # ECS and Docker; a short one, as people retype it
_UID = late_pattern(
    r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])"
)
# The names that runtimes give to a container's cgroup, by what stands before its ID.
_PREFIXES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "crio-conmon": "cri-o",
    "libpod": "podman",
    "libpod-conmon": "podman",
    "libpod-payload": "podman",
    "buildkit": "buildkit",
    "isolated": "cri-o",
}
_SCOPE = late_pattern(r"(?:(?P<name>[a-z][a-z-]*?)-)?(?P<id>[0-9a-f]{6,64})(?:\.scope)?")
_COLON = late_pattern(r"(?P<slice>[^:]+\.slice):(?P<name>[a-z-]+):(?P<id>[\w.-]+)")
_FULL = late_pattern(_ID)
# Parents below which a runtime without systemd puts its containers.
_PARENTS = {
    "docker": "docker",
    "ecs": "ecs",
    "lxc": "lxc",
    "lxc.payload": "lxc",
    "libpod_parent": "podman",
    "default": "containerd",
    "k8s.io": "containerd",
    "moby": "docker",
    "buildkit": "buildkit",
    "garden": "garden",
    "lxd": "lxc",
}
_LXC = late_pattern(r"lxc\.(?:payload|monitor)[./](?P<name>.+)|lxc\.(?:payload|monitor)$")
_MACHINE = late_pattern(r"machine-(?P<name>.+)\.scope|systemd-nspawn@(?P<nspawn>.+)\.service")
_UNIT = late_pattern(r".+\.(?:service|scope|socket|mount)")
_ESCAPE = late_pattern(r"\\x([0-9a-f]{2})")


@lru_cache(4096)
def owner_of(memcg: str | None) -> Owner:
    """The owner of a memcg by its path. The innermost names count: a runtime may run in another's container."""
    if not memcg or not memcg.startswith("/"):
        return NOBODY
    parts = [part for part in memcg.split("/") if part]
    pods = _UID.findall(memcg)
    pod = pods[-1].replace("_", "-") if pods else None
    container, runtime = _container(parts)
    if pod is not None and runtime in (None, "docker") and _is_pod(parts):
        runtime = runtime or "kubernetes"
    unit = next((part for part in reversed(parts) if _UNIT.fullmatch(part)), None)
    found = Owner(pod, container, unit, runtime)
    return NOBODY if found == NOBODY else found


def _is_pod(parts: list[str]) -> bool:
    return any(part.startswith("kubepods") or "-kubepods" in part for part in parts)


def _container(parts: list[str]) -> tuple[str | None, str | None]:
    """ID and runtime of the innermost container."""
    for index in range(len(parts) - 1, -1, -1):
        part, above = parts[index], parts[index - 1] if index else ""
        if match := _COLON.fullmatch(part):
            return match["id"], _PREFIXES.get(match["name"], match["name"])
        if match := _MACHINE.fullmatch(part):
            if match["nspawn"]:
                return match["nspawn"], "systemd-nspawn"
            name = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), match["name"])
            machine = re.fullmatch(r"(qemu|lxc)-\d+-(.+)", name)
            return (machine[2], f"libvirt-{machine[1]}") if machine else (name, "systemd-machined")
        if match := _LXC.fullmatch(part):
            return match["name"] or (parts[index + 1] if index + 1 < len(parts) else None), "lxc"
        match = _SCOPE.fullmatch(part)
        if match and match["name"] in _PREFIXES:
            return match["id"], _PREFIXES[match["name"]]
        if above in ("lxc", "lxc.payload", "lxc.monitor", "garden", "libpod_parent"):
            return part.removeprefix("libpod-"), _PARENTS.get(above, "lxc")
        if _FULL.fullmatch(part):
            if above.startswith("pod") and _is_pod(parts):
                return part, None
            if above in _PARENTS:
                return part, _PARENTS[above]
            if index >= 2 and parts[index - 2] == "ecs":
                return part, "ecs"
            if len(part) == 64:
                return part, None
        if index >= 1 and parts[0] == "ecs" and index == len(parts) - 1 and re.fullmatch(r"[0-9a-f-]{4,}", part):
            return (part if index >= 2 else None), "ecs"
    return None, None
