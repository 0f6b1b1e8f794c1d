"""Pods, containers and units by the paths of their memcgs, as runtimes make them."""

import pytest

from harness.oomlog.owner import NOBODY, Owner, owner_of

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
POD = "3f0c1a7e-1b2c-4d3e-8f90-123456789abc"
SLICE = f"kubepods-burstable-pod{POD.replace('-', '_')}.slice"


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        (f"/kubepods/burstable/pod{POD}/{ID}", Owner(POD, ID, None, "kubernetes")),
        (f"/kubepods/pod{POD}", Owner(POD, None, None, "kubernetes")),
        (f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/cri-containerd-{ID}.scope", Owner(POD, ID, f"cri-containerd-{ID}.scope", "containerd")),
        (f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/crio-{ID}.scope", Owner(POD, ID, f"crio-{ID}.scope", "cri-o")),
        (f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/crio-{ID}.scope/container", Owner(POD, ID, f"crio-{ID}.scope", "cri-o")),
        (f"/kubepods.slice/kubepods-burstable.slice/{SLICE}/docker-{ID}.scope", Owner(POD, ID, f"docker-{ID}.scope", "docker")),
        (f"/system.slice/containerd.service/{SLICE}:cri-containerd:{ID}", Owner(POD, ID, "containerd.service", "containerd")),
        (f"/docker/{OTHER}/kubelet/kubepods/besteffort/pod{POD}/{ID}", Owner(POD, ID, None, "kubernetes")),
        (f"/kubelet.slice/kubelet-kubepods.slice/kubelet-{SLICE}/cri-containerd-{ID}.scope", Owner(POD, ID, f"cri-containerd-{ID}.scope", "containerd")),
        (f"/docker/{ID}", Owner(None, ID, None, "docker")),
        (f"/docker/{ID}/init.scope", Owner(None, ID, "init.scope", "docker")),
        (f"/system.slice/docker-{ID}.scope", Owner(None, ID, f"docker-{ID}.scope", "docker")),
        ("/system.slice/docker-00748bf4.scope", Owner(None, "00748bf4", "docker-00748bf4.scope", "docker")),
        (f"/machine.slice/libpod-{ID}.scope/container", Owner(None, ID, f"libpod-{ID}.scope", "podman")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", Owner(None, ID, f"libpod-{ID}.scope", "podman")),
        (f"/libpod_parent/libpod-{ID}", Owner(None, ID, None, "podman")),
        (f"/default/{ID}", Owner(None, ID, None, "containerd")),
        (f"/ecs/{ID[:32]}/{ID[:32]}-1234567890", Owner(None, f"{ID[:32]}-1234567890", None, "ecs")),
        (f"/ecs/0d2f7f9e-1111-2222-3333-444444444444/{ID}", Owner(None, ID, None, "ecs")),
        ("/ecs/f209/15e2", Owner(None, "15e2", None, "ecs")),
        ("/lxc/101/ns/system.slice/mysql.service", Owner(None, "101", "mysql.service", "lxc")),
        ("/lxc.payload.web1/system.slice", Owner(None, "web1", None, "lxc")),
        ("/lxc.payload/web1", Owner(None, "web1", None, "lxc")),
        ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", Owner(None, "vm", "machine-qemu\\x2d1\\x2dvm.scope", "libvirt-qemu")),
        ("/machine.slice/systemd-nspawn@deb.service/payload", Owner(None, "deb", "systemd-nspawn@deb.service", "systemd-nspawn")),
        ("/system.slice/nginx.service", Owner(None, None, "nginx.service", None)),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope", Owner(None, None, "app-firefox.scope", None)),
        ("/user.slice/user-0.slice/session-4.scope", Owner(None, None, "session-4.scope", None)),
        ("/leaker", NOBODY),
        ("/", NOBODY),
        (None, NOBODY),
        ("/cafe", NOBODY),
    ],
)  # fmt: skip
def test_whose_a_memcg_is(path, owner):
    assert owner_of(path) == owner
