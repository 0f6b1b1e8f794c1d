"""The local Docker Engine: its endpoint, whether it can serve as the arm `host`, and whether the kernel log is readable."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker
import docker.errors
import docker.tls
import psutil
import requests
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.context import ContextAPI
from docker.utils import kwargs_from_env

from ..errors import HostError
from .engine import EngineInfo

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
KMSG = Path("/dev/kmsg")
_DEADLINE_S = 60
_RESTRICTED = Path("/proc/sys/kernel/dmesg_restrict")
_UID_MAP = Path("/proc/self/uid_map")
_CAP_SYSLOG = 34  # include/uapi/linux/capability.h
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}  # as Podman and as the kernel call them
_START = "start one (systemctl start docker; Debian: apt-get install docker.io), or name one by DOCKER_HOST"


@dataclass(frozen=True)
class Endpoint:
    """Address of an engine, and where it was configured."""

    url: str
    source: str  # DOCKER_HOST, docker context NAME, or the default
    tls: docker.tls.TLSConfig | bool = False

    @property
    def socket(self) -> Path | None:
        """Socket of a local engine, or None."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None


def find_endpoint(environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint that the docker command line would use: DOCKER_HOST, DOCKER_CONTEXT, the current context, the default socket.

    Raises HostError for a context that does not exist or cannot be used.
    """
    if environment.get("DOCKER_HOST"):
        try:
            given = kwargs_from_env(environment=dict(environment))
        except docker.errors.TLSParameterError as error:
            raise HostError(f"cannot use DOCKER_HOST: {_first_line(error)}", "see DOCKER_CERT_PATH") from error
        return Endpoint(given["base_url"], "DOCKER_HOST", given.get("tls", False))
    name = environment.get("DOCKER_CONTEXT")
    try:
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    except (docker.errors.DockerException, OSError, ValueError) as error:
        raise HostError(
            f"cannot read docker context {name or ''}: {_first_line(error)}", "docker context ls"
        ) from error
    if context is None:
        description = f"docker context {name}" if name else "the current docker context"
        raise HostError(f"{description} does not exist", "`docker context ls` lists the existing ones")
    if context.Name == "default" or not context.Host:
        return Endpoint(DEFAULT_SOCKET, "the default")
    return Endpoint(context.Host.removeprefix("http+"), f"docker context {context.Name}", context.TLSConfig or False)


def connect_local(deadline_s: int = _DEADLINE_S) -> docker.DockerClient:
    """A client for the engine of this machine, or the one that DOCKER_HOST or the current docker context names; it has
    answered. `deadline_s`: of each request.

    Raises HostError, with the way out, when nothing answers there or this user may not ask.
    """
    endpoint = find_endpoint()
    try:
        if endpoint.socket is not None:
            with socket.socket(socket.AF_UNIX) as probe:  # docker-py leaves its own open when that fails
                probe.settimeout(deadline_s)
                probe.connect(str(endpoint.socket))
        with contextlib.closing(_client(endpoint, DEFAULT_DOCKER_API_VERSION, deadline_s)) as asking:
            version = str(asking.api.version(api_version=False)["ApiVersion"])
        return _client(endpoint, version, deadline_s)
    except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as error:
        raise _explain(endpoint, error) from error


def _client(endpoint: Endpoint, version: str, deadline_s: int) -> docker.DockerClient:
    """A client that has asked nothing yet: a version that docker-py finds out by itself is asked for before the next line."""
    client = docker.DockerClient(base_url=endpoint.url, tls=endpoint.tls, version=version, timeout=deadline_s)
    # requests lets REQUESTS_CA_BUNDLE, and proxies, of the environment override a session's own settings.
    client.api.trust_env = False
    return client


def _explain(endpoint: Endpoint, error: Exception) -> HostError:
    reason = _os_error(error)
    where = f"{endpoint.url} ({endpoint.source})"
    if reason is not None and reason.errno in (errno.EACCES, errno.EPERM):
        return HostError(
            f"no permission on {where}",
            "run as root, or join its group: sudo usermod -aG docker $USER, then log in again",
        )
    if reason is not None and reason.errno == errno.ENOENT:
        return HostError(f"no container engine: there is no {where}", _START)
    if reason is not None and reason.errno == errno.ECONNREFUSED:
        return HostError(f"no container engine listens at {where}", _START)
    if endpoint.url.startswith("ssh://") and "paramiko" in str(error):
        return HostError(f"cannot reach {where}: ssh:// needs paramiko", "pip install 'docker[ssh]'")
    text = reason.strerror if reason is not None and reason.strerror else _first_line(error)
    return HostError(f"no container engine answers at {where}: {text}", _START)


def _os_error(error: BaseException | None) -> OSError | None:
    """The OSError below the layers of docker, requests and urllib3, which hand it on as an argument."""
    seen: list[BaseException] = []
    left = [error]
    while left:
        current = left.pop(0)
        if current is None or current in seen:
            continue
        if isinstance(current, OSError) and current.errno is not None and not isinstance(current, ssl.SSLError):
            return current  # the number of a TLS error is no errno
        seen.append(current)
        left += [arg for arg in current.args if isinstance(arg, BaseException)]
        left += [
            part for arg in current.args if isinstance(arg, tuple) for part in arg if isinstance(part, BaseException)
        ]
        left += [getattr(current, "reason", None), current.__cause__, current.__context__]
        left = [each if isinstance(each, BaseException) else None for each in left]
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def engine_of(client: docker.DockerClient) -> EngineInfo:
    """What an engine reports about itself.

    Raises HostError when it does not answer.
    """
    try:
        info, version = client.info(), client.version()
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise HostError(f"the container engine does not answer: {_first_line(error)}") from error
    components = [part.get("Name", "") for part in version.get("Components") or []]
    options = " ".join(info.get("SecurityOptions") or [])
    return EngineInfo(
        name="Podman" if any("Podman" in name for name in components) else "Docker Engine",
        version=str(info.get("ServerVersion") or version.get("Version", "unknown")),
        kernel=str(info.get("KernelVersion", "")),
        architecture=_ARCHITECTURES.get(str(info.get("Architecture")), str(info.get("Architecture", ""))),
        cores=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        cgroup=f"v{info.get('CgroupVersion') or 1}",  # engines before 20.10 know v1 only
        cgroup_driver=str(info.get("CgroupDriver", "")),
        has_memory_limit=bool(info.get("MemoryLimit", False)),
        has_swap_limit=bool(info.get("SwapLimit", False)),
        is_rootless="name=rootless" in options,
        is_linux=info.get("OSType", "linux") == "linux",
        is_here=_is_here(client.api.base_url, str(info.get("Name", ""))),
    )


def _is_here(base_url: str, name: str) -> bool:
    """Whether an engine is on this machine, by its address and host name: an engine with the same kernel
    and memory may be at any address, and behind a tunnel at an address of this machine."""
    if base_url.startswith("http+docker://"):
        return base_url != "http+docker://ssh"  # a socket; docker-py has no address for it
    host = urlsplit(base_url).hostname or ""
    own = {address.address.partition("%")[0] for interface in psutil.net_if_addrs().values() for address in interface}
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return addresses <= own and name in ("", platform.node())


def require_host_arm(engine: EngineInfo) -> None:
    """Raises HostError, with advice, when an engine cannot serve as the arm `host`."""
    if not engine.is_linux:
        raise HostError(f"{engine} runs no Linux containers", "switch it to Linux containers")
    if engine.is_rootless:
        raise HostError(
            f"{engine.name} {engine.version} is rootless: in its user namespace rounds cannot be marked in the kernel log,"
            " tracefs is not mounted, and memcg files belong to another user",
            "use a rootful engine: docker context use default, or DOCKER_HOST=" + DEFAULT_SOCKET,
        )
    if not engine.has_memory_limit:
        raise HostError(
            f"{engine} sets no memory limits: its kernel has no memory controller",
            "boot it with cgroup_enable=memory, or with cgroup v2 where memory is in cgroup.controllers",
        )
    if engine.architecture not in (platform.machine(), ""):
        raise HostError(
            f"{engine} runs on {engine.architecture}; oomtrial's binaries are for {platform.machine()}",
            "run oomtrial on that machine",
        )


def require_kernel(engine: EngineInfo) -> None:
    """Raises HostError where a setting of this machine forbids a run."""
    if _read(Path("/proc/sys/vm/panic_on_oom")) == "2":
        raise HostError(
            "vm.panic_on_oom is 2: the first OOM kill in a container would panic this machine",
            "sysctl vm.panic_on_oom=0",
        )
    if _read(Path("/proc/sys/kernel/printk_devkmsg")) == "off":
        raise HostError(
            "kernel.printk_devkmsg is off: rounds cannot be marked in the kernel log",
            "sysctl kernel.printk_devkmsg=ratelimit, which is the default",
        )
    swap_mib = psutil.swap_memory().total >> 20
    if swap_mib and not engine.has_swap_limit:
        raise HostError(
            f"{engine} cannot limit swap, and {swap_mib} MiB of swap are on: processes would be swapped out, not killed",
            "swapoff -a, or boot with swapaccount=1",
        )


def open_kernel_log() -> int:
    """A descriptor that reads /dev/kmsg from here on, without blocking.

    Raises HostError, with the way out, when this process may not.
    """
    try:
        descriptor = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _explain_log(error) from error
    os.lseek(descriptor, 0, os.SEEK_END)
    return descriptor


def kernel_log_trouble() -> HostError | None:
    """Why this process cannot read the kernel log, or None."""
    try:
        os.close(open_kernel_log())
    except HostError as error:
        return error
    return None


def _explain_log(error: OSError) -> HostError:
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return HostError(f"there is no {KMSG} here", "run outside of a container, or in one with --privileged")
    if error.errno == errno.EACCES:
        return HostError(f"{KMSG} is not readable by uid {os.geteuid()}", "run as root: sudo oomtrial watch")
    if error.errno == errno.EPERM:
        if _in_user_namespace():
            return HostError(
                "the kernel log is restricted (kernel.dmesg_restrict = 1), and root in a user namespace cannot read it",
                "run outside of the user namespace, as root",
            )
        if _read(_RESTRICTED) == "1" and not _has_capability(_CAP_SYSLOG):
            return HostError(
                "the kernel log is restricted: kernel.dmesg_restrict is 1 and this process has no CAP_SYSLOG",
                "run as root, in a container with --cap-add SYSLOG; or sudo sysctl kernel.dmesg_restrict=0",
            )
    return HostError(f"cannot read {KMSG}: {error.strerror}", "run as root")


def _in_user_namespace() -> bool:
    """Other than the first one, which maps all of the ids to themselves."""
    return _read(_UID_MAP).split() not in ([], ["0", "0", "4294967295"])


def _has_capability(number: int) -> bool:
    status = _read(Path("/proc/self/status"))
    held = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(held, 16) >> number & 1)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
