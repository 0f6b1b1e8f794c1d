"""What stands in the way of the arm `host`, in one line each, with the way out."""

import contextlib
import http.server
import json
import os
import platform
import socket
import threading
from pathlib import Path

import msgspec
import psutil
import pytest
from docker.context import ContextAPI

from harness.containers.names import container_id
from harness.errors import HostError, UsageError
from harness.experiment.host import refuse_mixture
from harness.experiment.workload import require_own_kernel
from harness.guest import local
from harness.guest.engine import EngineInfo
from harness.guest.local import connect_local, engine_of, find_endpoint, kernel_log_trouble, require_host_arm

ENGINE = EngineInfo(
    name="Docker Engine",
    version="28.0",
    kernel="6.1.0",
    architecture=platform.machine(),
    cores=2,
    memory_bytes=1 << 33,
    cgroup="v2",
    cgroup_driver="systemd",
    has_memory_limit=True,
    has_swap_limit=True,
)


@pytest.fixture(autouse=True)
def no_engine(monkeypatch, tmp_path):
    """Nothing of this machine's own settings counts."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")


def test_the_endpoint_is_that_of_the_docker_command_line(monkeypatch):
    assert (find_endpoint().url, find_endpoint().source) == ("unix:///var/run/docker.sock", "the default")
    ContextAPI.create_context("there", host="unix:///there.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "there")
    assert (find_endpoint().url, find_endpoint().source) == ("unix:///there.sock", "docker context there")
    monkeypatch.delenv("DOCKER_CONTEXT")
    ContextAPI.set_current_context("there")
    assert find_endpoint().source == "docker context there"
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    assert (find_endpoint().url, find_endpoint().source) == ("unix:///run/mine.sock", "DOCKER_HOST")
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(HostError, match="docker context gone does not exist; docker context ls"):
        find_endpoint()


def test_no_engine(monkeypatch, tmp_path):
    for url, says in (
        (f"unix://{tmp_path}/none", "no container engine: there is no unix://.*none .DOCKER_HOST.; start one"),
        ("tcp://127.0.0.1:1", "no container engine listens at tcp://127.0.0.1:1 .DOCKER_HOST.; start one"),
    ):
        monkeypatch.setenv("DOCKER_HOST", url)
        with pytest.raises(HostError, match=says) as caught:
            connect_local()
        assert "\n" not in str(caught.value)


@contextlib.contextmanager
def without_rights():
    """Root gives its rights away for a moment; anybody else has none."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_no_permission(monkeypatch, tmp_path):
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        with without_rights(), pytest.raises(HostError, match=r"no permission on .*; run as root, or join its group"):
            connect_local()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"has_memory_limit": False}, "sets no memory limits: .*; boot it with cgroup_enable=memory"),
        ({"is_rootless": True}, "is rootless: .*; use a rootful engine"),
        ({"is_linux": False}, "runs no Linux containers"),
        ({"architecture": "s390x"}, "runs on s390x, our binaries are for"),
    ],
)
def test_an_engine_that_cannot_serve(changes, says):
    require_host_arm(ENGINE)
    with pytest.raises(HostError, match=says):
        require_host_arm(msgspec.structs.replace(ENGINE, **changes))


@contextlib.contextmanager
def engine_at_a_port(name):
    """Says that it is like this machine, but for its name."""
    info = {
        "Name": name,
        "KernelVersion": platform.release(),
        "MemTotal": psutil.virtual_memory().total,
        "MemoryLimit": True,
        "Architecture": platform.machine(),
    }

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = json.dumps(info if self.path.endswith("/info") else {"ApiVersion": "1.41"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("name", "is_ours"), [(platform.node(), True), ("twin", False)])
def test_a_machine_of_the_same_kernel_and_memory_is_another_one(monkeypatch, name, is_ours):
    with engine_at_a_port(name) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        with contextlib.closing(connect_local()) as client:
            engine = engine_of(client)
    assert (engine.kernel, engine.memory_bytes) == (platform.release(), psutil.virtual_memory().total)
    assert engine.is_ours is is_ours


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http+docker://localhost", True),
        ("http+docker://ssh", False),
        ("http://127.0.0.1:2375", True),
        ("http://192.0.2.7:2375", False),
    ],
)
def test_which_addresses_are_here(url, is_here):
    assert local._is_here(url, platform.node()) is is_here


def test_a_twin_behind_a_tunnel_is_told_by_its_boot():
    require_own_kernel(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with pytest.raises(HostError, match="runs on another machine, of the same name, kernel and memory"):
        require_own_kernel("00000000-1111-2222-3333-444444444444")


def test_a_kernel_log_that_may_not_be_read():
    if Path("/proc/sys/kernel/dmesg_restrict").read_text().strip() != "1":
        pytest.skip("kernel.dmesg_restrict is 0: everybody may read it")
    with without_rights():
        trouble = kernel_log_trouble()
    assert "kernel.dmesg_restrict is 1 and this process has no CAP_SYSLOG; run as root" in str(trouble)


def test_host_has_no_other_arms():
    refuse_mixture(("host",), until_decided=False)
    with pytest.raises(UsageError, match=r"host and debian:6\.1 cannot be arms of one run"):
        refuse_mixture(("debian:6.1", "host"), until_decided=False)
    with pytest.raises(UsageError, match="--until-decided compares boots"):
        refuse_mixture(("host",), until_decided=True)


@pytest.mark.parametrize(
    "memcg",
    [
        "/docker/{}",
        "/system.slice/docker-{}.scope",
        "/machine.slice/libpod-{}.scope/container",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a2b.slice/cri-containerd-{}.scope",
    ],
)
def test_the_container_of_a_memcg(memcg):
    assert container_id(memcg.format("5e" * 32)) == "5e" * 32
    assert container_id(memcg.format("not-an-id")) is None
